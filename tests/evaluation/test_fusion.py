"""Late fusion against NumPy, of two networks that look at videos in different ways."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import keras_stc
from keras_stc.cli import main
from keras_stc.data import VideoFolder


@pytest.fixture(scope="module")
def other(small_run, tmp_path_factory):
    """The path of a network that sees segments where the small run's sees clips."""
    keras.utils.set_random_seed(0)
    names = keras_stc.load_model(small_run.folder).video_config.class_names
    model = keras_stc.TSNMobileNetV2(input_shape=(3, 32, 32, 3), classes=len(names))
    model.video_config = model.video_config.replace(class_names=names)
    head = model.get_layer("predictions")
    head.kernel.assign(50 * head.kernel)  # sure of what it says
    path = tmp_path_factory.mktemp("other") / "other.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def models(small_run, other):
    return [keras_stc.load_model(path) for path in (small_run.folder, other)]


@pytest.fixture(scope="module")
def test_set(small_run):
    return VideoFolder(small_run.videos / "test")


@pytest.fixture(scope="module")
def evaluations(models, test_set):
    return [keras_stc.evaluate_videos(model, test_set) for model in models]


def test_predictions(models, test_set):
    one, two = (keras_stc.predict_video(model, test_set[0].path) for model in models)
    assert len(one.clip_probabilities) == 3 and len(two.clip_probabilities) == 1
    assert np.abs(one.probabilities - two.probabilities).max() > 0.01
    fused = keras_stc.late_fusion([one, two])
    by_hand = (one.clip_probabilities.mean(axis=0) + two.clip_probabilities[0]) / 2
    np.testing.assert_allclose(fused.probabilities, by_hand, atol=1e-6)
    assert fused.top(1)[0][0] == one.class_names[by_hand.argmax()]
    np.testing.assert_allclose(fused.clip_times, [[0, 1]])
    fused = keras_stc.late_fusion([one, two], weights=[1, 3])
    by_hand = 0.25 * one.clip_probabilities.mean(axis=0) + 0.75 * two.clip_probabilities[0]
    np.testing.assert_allclose(fused.probabilities, by_hand, atol=1e-6)
    # Where both saw the same clips, each of them is fused.
    turned = dataclasses.replace(one, clip_probabilities=one.clip_probabilities[:, ::-1])
    fused = keras_stc.late_fusion([one, turned], weights=[2, 1])
    by_hand = (2 * one.clip_probabilities + one.clip_probabilities[:, ::-1]) / 3
    np.testing.assert_allclose(fused.clip_probabilities, by_hand, atol=1e-6)
    np.testing.assert_array_equal(fused.clip_times, one.clip_times)


def test_evaluations(evaluations):
    one, two = evaluations
    fused = keras_stc.late_fusion(evaluations, weights=[1, 2])
    by_hand = (one.probabilities + 2 * two.probabilities) / 3
    np.testing.assert_allclose(fused.probabilities, by_hand, atol=1e-6)
    right = by_hand.argmax(axis=1) == one.labels
    assert fused.video1 == fused.clip1 == right.mean() and fused.clips == len(right) == 4
    assert fused.protocol["weights"] == [1 / 3, 2 / 3]
    assert [each["frames"] for each in fused.protocol["models"]] == [4, 3]
    json.dumps(fused.to_dict())
    # A video that one could not read has no answer of both.
    bad = two.videos[1].name
    left = [0, 2, 3]
    fewer = dataclasses.replace(
        two,
        labels=two.labels[left],
        probabilities=two.probabilities[left],
        videos=tuple(two.videos[i] for i in left),
        paths=tuple(two.paths[i] for i in left),
        failures={bad: "broken"},
    )
    for order in ([one, fewer], [fewer, one]):
        fused = keras_stc.late_fusion(order)
        mean = (one.probabilities[left] + two.probabilities[left]) / 2
        np.testing.assert_allclose(fused.probabilities, mean, atol=1e-6)
        assert fused.failures == {bad: "broken"} and bad not in fused.paths
        assert [video.name for video in fused.videos] == [one.videos[i].name for i in left]


@pytest.mark.parametrize(
    ("change", "weights", "sentence"),
    [
        ({"class_names": ("move_right", "move_left")}, None, "'move_left' and 'move_right' in the"),
        ({"class_names": ("a", "b", "c")}, None, "Received: 2 and 3 classes"),
        ({"failures": {"other.mp4": "broken"}}, None, "must be evaluations of the same videos"),
        ({"labels": np.zeros(4, int)}, None, "must have one label of each video"),
        ({}, [1], "`weights` must hold 2 numbers"),
        ({}, [1, -1], "`weights` must hold 2 numbers"),
        ({}, [0, 0], "`weights` must hold 2 numbers"),
        ({}, [1, "x"], "`weights` must hold 2 numbers"),
    ],
)
def test_what_does_not_go_together_is_told(evaluations, change, weights, sentence):
    one, two = evaluations
    with pytest.raises(ValueError, match=sentence):
        keras_stc.late_fusion([one, dataclasses.replace(two, **change)], weights)


def test_only_answers_are_fused(evaluations, models, test_set):
    with pytest.raises(ValueError, match="two or more .* Received: Evaluation$"):
        keras_stc.late_fusion(evaluations[:1])
    predictions = [keras_stc.predict_video(models[1], test_set[i].path) for i in (0, 1)]
    with pytest.raises(ValueError, match="must be of one video"):
        keras_stc.late_fusion(predictions)
    with pytest.raises(ValueError, match="Received: Evaluation, VideoPrediction"):
        keras_stc.late_fusion([evaluations[0], predictions[0]])


@pytest.mark.slow
def test_the_command_line(small_run, other, models, evaluations, test_set, capsys, tmp_path):
    video = test_set[0].path
    (tmp_path / "bad.mp4").write_text("text")
    both = ["--model", str(small_run.folder), "--model", str(other)]
    line = ["predict", video, str(tmp_path / "bad.mp4"), *both, "--json"]
    assert main([*line, "--fusion-weights", "1", "3"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == both[1::2] and list(found["failures"]) == [str(tmp_path / "bad.mp4")]
    (row,) = found["videos"]
    answers = [keras_stc.predict_video(model, video) for model in models]
    top = keras_stc.late_fusion(answers, [1, 3]).top(1)[0]
    assert row["top"][0] == {"label": top[0], "probability": pytest.approx(top[1], abs=1e-5)}

    assert main(["evaluate", *both[1::2], str(small_run.videos), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    fused = keras_stc.late_fusion(evaluations)
    assert found["video@1"] == fused.video1 and found["confusion"] == fused.confusion.tolist()
    assert [each["video@1"] for each in found["models"]] == [each.video1 for each in evaluations]
    assert main([*line[:2], *both[:2], "--fusion-weights", "1"]) == 1
    assert "for each of two or more models" in capsys.readouterr().err
