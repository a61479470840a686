"""Exported models, run by TensorFlow without Keras and by ONNX Runtime."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_stc
from keras_stc.cli import main

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
    model = keras_stc.STCResNet18(classes=3, input_shape=(4, 32, 32, 3))
    rng = np.random.default_rng(0)
    for layer in model.layers:  # statistics that a network in training mode would not use
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
    model.video_config = model.video_config.replace(class_names=("a", "b", "ü"), stride=3)
    return model


@pytest.fixture(scope="module")
def clips():
    return np.random.default_rng(1).integers(0, 256, (3, 4, 32, 32, 3)).astype("float32")


def test_saved_model(model, clips, tmp_path):
    path = tmp_path / "new" / "folder"
    assert keras_stc.export_model(model, path) < 1e-5
    assert [child.name for child in path.parent.iterdir()] == ["folder"]
    np.save(tmp_path / "clips.npy", clips)
    command = [sys.executable, "-c", READER, str(path), str(tmp_path / "clips.npy")]
    subprocess.run(command, check=True)
    expected = model.predict(clips, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "clips.npy"), expected, atol=1e-5)
    config = json.loads((path / "assets.extra" / "video_config.json").read_text())
    assert keras_stc.VideoConfig.from_dict(config) == model.video_config


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
