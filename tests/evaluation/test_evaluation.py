"""Accuracies against a computation of their own, one video at a time."""

import shutil

import numpy as np
import pytest

import keras_stc
from keras_stc.data import VideoError, VideoFolder
from keras_stc.evaluation import Evaluation


@pytest.fixture(scope="module")
def model(small_run):
    return keras_stc.load_model(small_run.folder)


def test_known_probabilities_by_hand():
    evaluation = Evaluation(
        class_names=tuple("abcdefg"),
        labels=np.array([0, 0, 1, 6]),
        probabilities=np.array(
            [
                [0.5, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05],  # right
                [0.1, 0.5, 0.1, 0.1, 0.1, 0.05, 0.05],  # b; a is among the first five
                [0.1, 0.6, 0.1, 0.1, 0.1, 0.0, 0.0],  # right
                [0.2, 0.2, 0.2, 0.2, 0.1, 0.07, 0.03],  # a; g is the last of seven
            ]
        ),
        clip1=0.4,
        clips=10,
        protocol={},
        paths=("p", "q", "r", "s"),
        failures={},
    )
    assert (evaluation.video1, evaluation.video5) == (0.5, 0.75)
    assert evaluation.per_class["a"] == 0.5 and evaluation.per_class["b"] == 1
    assert np.isnan(evaluation.per_class["c"]) and evaluation.to_dict()["per_class"]["c"] is None
    confusion = np.zeros((7, 7), int)
    confusion[0, 0] = confusion[0, 1] = confusion[1, 1] = confusion[6, 0] = 1
    np.testing.assert_array_equal(evaluation.confusion, confusion)


def test_equals_predicting_each_video(model, small_run):
    videos = VideoFolder(small_run.videos / "train")
    done = []
    got = keras_stc.evaluate_videos(model, videos, batch_size=5, progress=done.append)
    assert done == list(range(1, len(videos) + 1))
    right_clips = clips = right_videos = 0
    for i, video in enumerate(videos):
        prediction = keras_stc.predict_video(model, video.path)
        np.testing.assert_allclose(got.probabilities[i], prediction.probabilities, atol=1e-5)
        right_clips += (prediction.clip_probabilities.argmax(axis=1) == video.label).sum()
        clips += len(prediction.clip_probabilities)
        right_videos += prediction.probabilities.argmax() == video.label
    assert got.clips == clips and got.clip1 == right_clips / clips
    assert got.video1 == right_videos / len(videos) and got.video5 == 1
    assert got.protocol["averaging"] == "softmax probabilities over clips"


def test_bad_videos_do_not_count_and_are_listed(model, small_run, tmp_path):
    shutil.copytree(small_run.videos / "test", tmp_path / "test")
    bad = next((tmp_path / "test" / "move_left").glob("*.mp4"))
    bad.write_bytes(b"no video")
    got = keras_stc.evaluate_videos(model, VideoFolder(tmp_path / "test"))
    assert len(got.labels) == 3 and list(got.failures) == [str(bad)]
    for path in (tmp_path / "test").rglob("*.mp4"):
        path.write_bytes(b"")
    with pytest.raises(VideoError, match="too many to go on"):
        keras_stc.evaluate_videos(model, VideoFolder(tmp_path / "test"))


def test_other_classes_get_a_sentence(model, small_run, tmp_path):
    shutil.copytree(small_run.videos / "test", tmp_path / "test")
    (tmp_path / "test" / "move_left").rename(tmp_path / "test" / "links")
    with pytest.raises(ValueError, match="does not know 'links'"):
        keras_stc.evaluate_videos(model, VideoFolder(tmp_path / "test"))
    with pytest.raises(ValueError, match="in another order"):
        keras_stc.evaluate_videos(
            model, VideoFolder(small_run.videos / "test", class_names=("move_right", "move_left"))
        )
