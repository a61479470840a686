"""Exported models, run by TensorFlow without Keras and by ONNX Runtime."""

import inspect
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_stc
from keras_stc.cli import main
from keras_stc.data import open_video
from keras_stc.demo.motion import write_motion_videos
from keras_stc.export import with_preprocessing
from keras_stc.models import c3d, densenet3d, p3d
from keras_stc.models.zoo import CONSTRUCTORS

#: Of probabilities: a pixel halfway between two grey values may be rounded to the other one.
ONE_GREY_VALUE = 1e-3

#: Of probabilities of `linear`: FFmpeg's resizing against ours.
RESIZED = 0.015

#: Reads a SavedModel in a process that knows nothing of this package.
READER = """
import sys
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
np.save(sys.argv[2], model.serve(np.load(sys.argv[2])).numpy())
assert "keras_stc" not in sys.modules
"""


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = keras_stc.STCResNet18(classes=3, input_shape=(4, 32, 32, 3), alpha=0.25)
    rng = np.random.default_rng(0)
    for layer in model.layers:  # statistics that a network in training mode would not use
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
    model.video_config = model.video_config.replace(class_names=("a", "b", "ü"), stride=3)
    return model


@pytest.fixture(scope="module")
def linear(model):
    """Logits that are sums over pixels, and move as little as they do.

    A deep network of random weights may turn one grey value in one pixel into another answer.
    """
    inputs = keras.Input(model.input_shape[1:])
    means = keras.layers.Flatten()(keras.layers.AveragePooling3D((2, 4, 4))(inputs))
    logits = keras.layers.Dense(3, name="logits")
    network = keras_stc.VideoModel(inputs, logits(means), video_config=model.video_config)
    logits.kernel.assign(np.random.default_rng(0).normal(0, 0.001, logits.kernel.shape))
    return network


@pytest.fixture(scope="module")
def clips():
    return np.random.default_rng(1).integers(0, 256, (3, 4, 32, 32, 3)).astype("float32")


def test_saved_model(model, clips, tmp_path):
    path = tmp_path / "new" / "folder"
    assert keras_stc.export_model(model, path) < 1e-5
    assert [child.name for child in path.parent.iterdir()] == ["folder"]
    assert b"FusedBatchNorm" not in (path / "saved_model.pb").read_bytes()  # folded
    np.save(tmp_path / "clips.npy", clips)
    command = [sys.executable, "-c", READER, str(path), str(tmp_path / "clips.npy")]
    subprocess.run(command, check=True)
    expected = model.predict(clips, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "clips.npy"), expected, atol=1e-5)
    config = json.loads((path / "assets.extra" / "video_config.json").read_text())
    assert keras_stc.VideoConfig.from_dict(config) == model.video_config


@pytest.mark.onnx
def test_onnx(model, clips, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    model.save(tmp_path / "model.keras")
    path = tmp_path / "model.onnx"
    assert main(["export", str(tmp_path / "model.keras"), str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["largest_difference"] < 1e-5
    session = onnxruntime.InferenceSession(path)
    (made,) = session.run(None, {"clip": clips})  # another batch than it was checked with
    np.testing.assert_allclose(made, model.predict(clips, verbose=0), atol=1e-5)
    config = json.loads(session.get_modelmeta().custom_metadata_map["video_config"])
    assert keras_stc.VideoConfig.from_dict(config) == model.video_config


@pytest.mark.parametrize("ending", ["", pytest.param(".onnx", marks=pytest.mark.onnx)])
def test_preprocessing_inside(linear, tmp_path, capsys, ending):
    """Whole frames of a video, three sizes and batches, answered as predict_video answers."""
    if ending:
        onnxruntime = pytest.importorskip("onnxruntime")
        pytest.importorskip("tf2onnx")
    linear.save(tmp_path / "model.keras")
    path = tmp_path / f"model{ending}"
    line = ["export", str(tmp_path / "model.keras"), str(path), "--preprocessing", "--json"]
    assert main(line) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["largest_difference"] < 1e-5
    assert made["input"] == {
        "name": "frames",
        "dtype": "uint8",
        "shape": ["batch", 4, "height", "width", 3],
    }
    if ending:
        session = onnxruntime.InferenceSession(path)
        serve = lambda frames: session.run(None, {"frames": frames})[0]  # noqa: E731
    else:
        saved = tf.saved_model.load(str(path))  # it holds the variables that are served
        serve = lambda frames: saved.serve(frames).numpy()  # noqa: E731
    for size in (40, 96):
        folder = tmp_path / str(size)
        write_motion_videos(folder, 1, frames=12, size=size, classes=("move_left",))
        (video,) = folder.rglob("*.mp4")
        with open_video(video) as reader:
            (clip,) = reader.clips([np.arange(0, 12, 3)])
        expected = keras_stc.predict_video(linear, video, max_clips=1).clip_probabilities
        batch = np.stack([clip] * (size // 40))
        found = serve(batch)
        np.testing.assert_allclose(found, np.repeat(expected, len(batch), 0), atol=RESIZED)
        np.testing.assert_allclose(found, with_preprocessing(linear)(batch), atol=ONE_GREY_VALUE)
        swapped = serve(batch[..., ::-1])
        assert np.abs(swapped - expected).max() > 2 * RESIZED  # what the tolerance tells apart


def test_frames_are_stretched_where_the_model_says_so(linear, tmp_path):
    config = linear.video_config.replace(resize=(36, 48))
    stretched = keras_stc.VideoModel(linear.input, linear.output, video_config=config)
    wrong_by = keras_stc.export_model(stretched, tmp_path / "saved", preprocessing=True)
    assert wrong_by < ONE_GREY_VALUE
    write_motion_videos(tmp_path / "v", 1, frames=12, size=96, classes=("move_left",))
    (video,) = (tmp_path / "v").rglob("*.mp4")
    with open_video(video) as reader:
        (clip,) = reader.clips([np.arange(0, 12, 3)])
    saved = tf.saved_model.load(str(tmp_path / "saved"))  # it holds the variables
    found = saved.serve(clip[None]).numpy()
    expected = keras_stc.predict_video(stretched, video, max_clips=1).clip_probabilities
    np.testing.assert_allclose(found, expected, atol=RESIZED)


#: Each is one that is tried with other numbers of units, another width, another 2D network, or
#: less in it.
LARGER = ("resnet3d34", "resnet3d101", "resnet3d152", "resnext3d101", "densenet3d169")
LARGER += ("c3d", "wideresnet3d50", "preresnet3d200")
LARGER += ("tsn_resnet50", "tsn_resnet101", "tsn_densenet121")
LARGER += ("stc_resnet34", "stc_resnet101", "stc_resnet152", "stc_resnext101")
LARGER += ("stc_wideresnet50", "stc_preresnet200")
KINDS = [(name, {}) for name in CONSTRUCTORS if name not in LARGER]
KINDS += [("stc_resnet18", {"preactivation": True})]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), KINDS)
def test_every_kind_of_network(name, options, tmp_path, monkeypatch, short):
    """Logits within 1e-4 of the largest, by a signature call and by ONNX Runtime."""
    # Whole, tf2onnx takes 11 and 15 GB for the first two, and minutes for all three.
    monkeypatch.setattr(c3d, "DENSE", 64)
    monkeypatch.setattr(p3d, "UNITS", (1, 1, 1, 1))
    monkeypatch.setitem(densenet3d.DEPTHS, 121, (2, 2, 2, 2))
    takes_width = "alpha" in inspect.signature(CONSTRUCTORS[name]).parameters
    width = {"alpha": 0.125} if takes_width else {}
    frames = 16 if name in ("inception_i3d", "s3d") else 4
    network = keras_stc.create_model(
        name,
        classes=5,
        input_shape=(frames, 32, 32, 3),
        classifier_activation=None,
        **width,
        **options,
    )
    clips = np.random.default_rng(2).integers(0, 256, (3, frames, 32, 32, 3)).astype("float32")
    expected = network.predict(clips, verbose=0)
    tolerance = 1e-4 * np.abs(expected).max()
    keras_stc.export_model(network, tmp_path / "saved")
    signature = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    (found,) = signature(clip=clips).values()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    keras_stc.export_model(network, tmp_path / "made.onnx")
    (found,) = onnxruntime.InferenceSession(tmp_path / "made.onnx").run(None, {"clip": clips})
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_what_cannot_go_says_so(model, tmp_path):
    with pytest.raises(ValueError, match="TensorFlow Lite has no 3D pooling.*ends in .onnx, or a"):
        keras_stc.export_model(model, tmp_path / "model.tflite")
    features = keras_stc.STCResNet18(include_top=False, input_shape=(4, 32, 32, 3))
    with pytest.raises(
        ValueError, match=r"`preprocessing` makes probabilities.*\(None, 1, 1, 1, 512"
    ):
        keras_stc.export_model(features, tmp_path / "out", preprocessing=True)
    grey = keras_stc.STCResNet18(classes=3, input_shape=(4, 32, 32, 1))
    with pytest.raises(ValueError, match="must describe RGB clips"):
        keras_stc.export_model(grey, tmp_path / "out", preprocessing=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_tensorflow_lite_cannot_hold_these_networks(model):
    """The reason that is given: were it to go away, the sentence should."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    with pytest.raises(Exception, match="MaxPool3D"):
        converter.convert()


def test_what_is_in_the_way_stays(model, tmp_path, capsys):
    path = tmp_path / "model.onnx"
    path.write_text("mine")
    with pytest.raises(ValueError, match="model.onnx exists already: remove it, or choose"):
        keras_stc.export_model(model, path)
    assert path.read_text() == "mine"
    assert main(["export", str(tmp_path / "missing.keras"), str(tmp_path / "out")]) == 1
    assert "missing.keras" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_onnx_without_its_packages(model, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'keras-stc\[onnx\]'"):
        keras_stc.export_model(model, tmp_path / "model.onnx")


@pytest.mark.onnx
def test_onnx_of_half_precision_is_refused(tmp_path):
    pytest.importorskip("tf2onnx")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = keras_stc.STCResNet18(classes=3, input_shape=(2, 32, 32, 3))
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ValueError, match="this one is in mixed_bfloat16"):
        keras_stc.export_model(half, tmp_path / "half.onnx")
    assert not list(tmp_path.iterdir())
