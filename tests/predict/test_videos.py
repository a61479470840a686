"""A file to labels: against frames that FFmpeg decoded and a crop by hand."""

import keras
import numpy as np
import pytest
import video_files
from helpers import softmax

import keras_stc
from keras_stc.models import VideoModel
from keras_stc.predict import VideoPrediction, classify
from keras_stc.video_config import VideoConfig


@pytest.fixture(scope="module")
def model(small_run):
    model = keras_stc.load_model(small_run.folder)
    # A short side of 36 pixels, the height of the test's video: nothing is resized.
    model.video_config = model.video_config.replace(resize=36)
    return model


def test_whole_video_by_hand(model, tmp_path):
    path = video_files.write_video(tmp_path / "x.mp4", count=24, size=(36, 48))
    frames = video_files.ffmpeg_frames(path, 36, 48)
    # 4 frames, every second one: clips start at 0, 8, 16. Crop of 32 from 36x48: 2 and 8 off.
    clips = np.stack([frames[k : k + 8 : 2, 2:34, 8:40] for k in (0, 8, 16)])
    want = np.asarray(model.predict(clips, verbose=0))
    got = keras_stc.predict_video(model, path, batch_size=2)
    np.testing.assert_allclose(got.clip_probabilities, want, atol=1e-3)
    np.testing.assert_allclose(got.probabilities, want.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(got.clip_times[:, 0], [0, 8 / 25, 16 / 25])
    assert got.class_names == ("move_left", "move_right")
    assert got.top(1)[0][0] == got.class_names[want.mean(axis=0).argmax()]


def test_many_videos_have_the_answers_that_each_has(model, tmp_path):
    """With clips of several in a batch, and one that cannot be read among them."""
    paths = []
    for k, count in enumerate((24, 3, 50, 8)):
        paths.append(video_files.write_video(tmp_path / f"{k}.mp4", count=count, size=(36, 48)))
    paths.insert(2, tmp_path / "missing.mp4")
    got = list(keras_stc.predict_videos(model, paths, batch_size=4))
    assert "missing.mp4 does not exist" in str(got.pop(2)) and len(got) == 4
    del paths[2]
    for prediction, path in zip(got, paths, strict=True):
        alone = keras_stc.predict_video(model, path, batch_size=4)
        assert prediction.path == alone.path == str(path)
        np.testing.assert_array_equal(prediction.clip_times, alone.clip_times)
        np.testing.assert_allclose(
            prediction.clip_probabilities, alone.clip_probabilities, atol=1e-6
        )
    with pytest.raises(ValueError, match="`videos` must be a list of videos; `predict_video`"):
        next(keras_stc.predict_videos(model, str(paths[0])))
    first = keras_stc.predict_videos(model, [*paths, *paths], batch_size=1)
    assert next(first).path == str(paths[0])
    first.close()  # without waiting for the others


def test_without_its_softmax_a_network_gives_the_same_answer(model):
    config = model.get_config()
    for layer in config["layers"]:
        if layer["config"]["name"] == "predictions":
            layer["config"]["activation"] = "linear"
    logits = VideoModel.from_config(config)
    logits.set_weights(model.get_weights())
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), dtype="uint8")
    assert np.abs(np.asarray(logits.predict(clips, verbose=0)).sum(axis=1) - 1).max() > 1e-3
    np.testing.assert_allclose(classify(logits, clips), classify(model, clips), atol=1e-6)


@pytest.mark.parametrize("activation", ["softmax", None])
def test_probabilities_are_averaged_not_logits(tmp_path, activation):
    """Of a network that tells dark clips from bright ones, against its formula in NumPy."""
    inputs = keras.Input((4, 32, 32, 3))
    bright = keras.layers.GlobalAveragePooling3D()(inputs)
    dense = keras.layers.Dense(2, activation)
    network = VideoModel(
        inputs, dense(bright), video_config=VideoConfig(4, 2, 32, 36, class_names=("dark", "light"))
    )
    kernel = np.array([[-0.1, 0.1]] * 3)
    path = video_files.write_video(tmp_path / "x.mp4", count=24, size=(36, 48))
    frames = video_files.ffmpeg_frames(path, 36, 48)
    clips = np.stack([frames[k : k + 8 : 2, 2:34, 8:40] for k in (0, 8, 16)])
    logits = clips.mean(axis=(1, 2, 3)) @ kernel
    bias = -logits.mean(axis=0)  # one clip is on one side, two on the other
    dense.set_weights([kernel, bias])
    each = softmax(logits + bias)
    want = each.mean(axis=0)
    assert np.abs(want - softmax((logits + bias).mean(axis=0))).max() > 0.01
    got = keras_stc.predict_video(network, path)
    np.testing.assert_allclose(got.clip_probabilities, each, atol=1e-3)
    np.testing.assert_allclose(got.probabilities, want, atol=1e-3)


def test_what_is_no_classifier_of_exclusive_classes_is_refused(model):
    student = keras_stc.ResNet3D18(include_top=False, pooling="avg", input_shape=(2, 32, 32, 3))
    with pytest.raises(ValueError, match="`model` must have a classifier"):
        keras_stc.predict_video(student, "x.mp4")
    config = model.get_config()
    config["layers"][-1]["config"]["activation"] = "sigmoid"
    with pytest.raises(ValueError, match="must end in softmax or in logits.* Received: sigmoid"):
        keras_stc.predict_video(VideoModel.from_config(config), "x.mp4")


def test_top_and_timeline_of_known_probabilities():
    prediction = VideoPrediction(
        path="x.mp4",
        class_names=("a", "b", "c"),
        clip_probabilities=np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4]]),
        clip_times=np.array([[0.0, 1.0], [1.0, 2.0]]),
    )
    assert prediction.top(2) == [("a", pytest.approx(0.4)), ("b", pytest.approx(0.35))]
    assert len(prediction.top(5)) == 3
    assert [(clip.label, clip.probability, clip.start) for clip in prediction.timeline] == [
        ("a", 0.7, 0.0),
        ("b", 0.5, 1.0),
    ]


def test_max_clips_and_short_videos(model, tmp_path):
    path = video_files.write_video(tmp_path / "x.mp4", count=40, size=(36, 48))
    assert len(keras_stc.predict_video(model, path).timeline) == 5
    assert len(keras_stc.predict_video(model, path, max_clips=2).timeline) == 2
    short = video_files.write_video(tmp_path / "short.mp4", count=1, size=(36, 48))
    assert len(keras_stc.predict_video(model, short).timeline) == 1


def test_models_that_cannot_answer_get_a_sentence(tmp_path):
    plain = keras.Sequential([keras.Input((4, 32, 32, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="must carry a video_config"):
        keras_stc.predict_video(plain, "x.mp4")
    bare = keras_stc.ResNet3D18(include_top=False, input_shape=(4, 32, 32, 3))
    with pytest.raises(ValueError, match="must have a classifier"):
        keras_stc.predict_video(bare, "x.mp4")


@pytest.mark.shared
def test_every_real_clip_gets_an_answer(model, shared):
    files = [path for path in sorted((shared / "clips").iterdir()) if path.suffix != ".csv"]
    files = [path for path in files if path.suffix != ".md"]
    assert {path.suffix for path in files} >= {".avi", ".mp4", ".mkv", ".webm"}
    for path in files:
        prediction = keras_stc.predict_video(model, path, max_clips=2)
        assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-4), path
