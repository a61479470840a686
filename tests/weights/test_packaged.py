"""Weights that are a file of this package: `ucf101-35`."""

import json
import os
import pathlib
import shutil

import keras
import numpy as np
import pytest

import keras_stc
from keras_stc.cli import main
from keras_stc.files import sha256
from keras_stc.models.complexity import count_parameters
from keras_stc.weights import find, registry
from keras_stc.weights.load import read_weights_file

NAME = "stc_resnet18.ucf101-35"
RECORD = registry.find_record(*NAME.split("."))
FILE = registry.PATH.with_name(RECORD.file)


@pytest.fixture(scope="module")
def model():
    return keras_stc.STCResNet18(weights=RECORD.tag)


def test_the_file_is_small_and_the_one_that_was_measured():
    assert FILE.stat().st_size == RECORD.bytes < 20e6 and sha256(FILE) == RECORD.sha256


def test_the_network_is_as_it_was_trained(model):
    assert count_parameters(model) == RECORD.parameters
    assert model.output_shape == (None, 35) and model.input_shape == (None, 8, 80, 80, 3)
    config = model.video_config
    assert (config.frames, config.stride, config.crop) == (8, 4, (80, 80))
    assert config.class_names[0] == "ApplyEyeMakeup" and len(config.class_names) == 35
    assert {keras.backend.standardize_dtype(v.dtype) for v in model.weights} == {"float32"}


def test_half_precision_is_the_files_alone(model):
    """Kernels are float16 in the file, what batch normalisation keeps float32."""
    kernel = read_weights_file(FILE)["layer1_block1_conv1"][""][0]
    assert kernel.dtype == np.float16
    np.testing.assert_array_equal(model.get_layer("layer1_block1_conv1").kernel, kernel)
    variance = read_weights_file(FILE)["layer1_block1_bn1"][""][3]
    assert variance.dtype == np.float32


def test_nothing_is_fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_STC_HOME", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", None)
    model = keras_stc.STCResNet18(weights="ucf101-35", classes=3)  # with a classifier of its own
    assert model.output_shape == (None, 3) and model.video_config.class_names is None
    assert not list(tmp_path.iterdir())


def test_another_file_in_its_place_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(find, "PATH", tmp_path / "registry.json")
    with pytest.raises(ValueError, match="is missing or damaged: install keras-stc again"):
        keras_stc.STCResNet18(weights="ucf101-35")
    damaged = tmp_path / RECORD.file
    shutil.copy(FILE, damaged)
    with open(damaged, "r+b") as file:
        file.seek(5_000_000)
        file.write(b"damage")
    with pytest.raises(ValueError, match="is missing or damaged: install keras-stc again"):
        keras_stc.STCResNet18(weights="ucf101-35")


def test_names_of_weights_are_models_to_the_command_line(capsys):
    assert main(["predict", "x.mp4", "--model", "stc_resnet18.imagenet"]) == 1
    assert "stc_resnet18.imagenet name no classes" in capsys.readouterr().err
    assert main(["predict", "x.mp4", "--model", "stc_resnet18.ucf101"]) == 1
    assert "no weights stc_resnet18.ucf101: those of this" in capsys.readouterr().err
    assert main(["predict", "x.mp4", "--model", "stc_resnet18.keras"]) == 1
    assert "The model stc_resnet18.keras does not exist" in capsys.readouterr().err


SHARED = pathlib.Path(__file__).parents[2] / ".." / "shared" / "ucf101_35"
TESTED = sorted(SHARED.glob("*/v_*_g0[1-7]_c02.mp4"))


@pytest.mark.skipif(not TESTED, reason="needs ../shared/ucf101_35")
def test_it_names_clips_that_it_was_not_trained_on(tmp_path, capsys):
    """Two of each class from other films than those it learnt from, as often as the card says."""
    videos = {path.parent.name: path for path in TESTED}  # group 7, or the last before it
    videos = [*videos.values(), *{path.parent.name: path for path in TESTED[::-1]}.values()]
    folder = tmp_path / "videos"
    folder.mkdir()
    for path in videos:
        os.symlink(path.resolve(), folder / path.name)
    assert main(["predict", str(folder), "--model", NAME, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["videos"]
    right = [f"v_{row['top'][0]['label']}_" in row["path"] for row in found]
    stated = next(metric.value for metric in RECORD.metrics) / 100
    # Three standard deviations of so many clips.
    assert np.mean(right) > stated - 3 * np.sqrt(stated * (1 - stated) / len(right))
