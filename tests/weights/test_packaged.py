"""Weights that are a file of this package: `ucf101-35`."""

import json
import os
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

NAMES = ("stc_resnet18.ucf101-35", "inception_i3d.ucf101-35")
RECORD = registry.find_record(*NAMES[0].split("."))
FILE = registry.PATH.with_name(RECORD.file)

#: Name of a network -> its clips, a convolution of it, and a batch normalisation's variance.
KNOWN = {
    "stc_resnet18": ((8, 4, (80, 80)), "layer1_block1_conv1", ("layer1_block1_bn1", 3)),
    "inception_i3d": (
        (16, 2, (112, 112)),
        "Mixed_4f_Branch_0_Conv3d_0a_1x1_conv",
        ("Conv3d_1a_7x7_bn", 2),
    ),
}


@pytest.fixture(scope="module", params=NAMES)
def packaged(request):
    """A record and its network."""
    record = registry.find_record(*request.param.split("."))
    return record, keras_stc.create_model(record.arch, weights=record.tag)


def test_the_file_is_small_and_the_one_that_was_measured(packaged):
    record, _ = packaged
    file = registry.PATH.with_name(record.file)
    assert file.stat().st_size == record.bytes < 20e6 and sha256(file) == record.sha256


def test_the_network_is_as_it_was_trained(packaged):
    record, model = packaged
    assert count_parameters(model) == record.parameters
    config, clips = model.video_config, KNOWN[record.arch][0]
    assert (config.frames, config.stride, config.crop) == clips
    assert model.output_shape == (None, 35)
    assert model.input_shape == (None, config.frames, *config.crop, 3)
    assert config.class_names[0] == "ApplyEyeMakeup" and len(config.class_names) == 35
    assert {keras.backend.standardize_dtype(v.dtype) for v in model.weights} == {"float32"}


def test_half_precision_is_the_files_alone(packaged):
    """Kernels are float16 in the file, what batch normalisation keeps float32."""
    record, model = packaged
    layers = read_weights_file(registry.PATH.with_name(record.file))
    _, convolution, (norm, place) = KNOWN[record.arch]
    kernel = layers[convolution][""][0]
    assert kernel.dtype == np.float16
    np.testing.assert_array_equal(model.get_layer(convolution).kernel, kernel)
    variance = layers[norm][""][place]
    assert variance.dtype == np.float32
    np.testing.assert_array_equal(model.get_layer(norm).moving_variance, variance)


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


@pytest.mark.shared
@pytest.mark.parametrize("name", [NAMES[0], pytest.param(NAMES[1], marks=pytest.mark.slow)])
def test_it_names_clips_that_it_was_not_trained_on(name, shared, tmp_path, capsys):
    """Two of each class from other films than those it learnt from, as often as the card says."""
    if not (shared / "ucf101_35").is_dir():
        pytest.skip(f"no ucf101_35 in {shared}")
    tested = sorted((shared / "ucf101_35").glob("*/v_*_g0[1-7]_c02.mp4"))
    videos = {path.parent.name: path for path in tested}  # group 7, or the last before it
    videos = [*videos.values(), *{path.parent.name: path for path in tested[::-1]}.values()]
    assert len(videos) == 70
    folder = tmp_path / "videos"
    folder.mkdir()
    for path in videos:
        os.symlink(path.resolve(), folder / path.name)
    assert main(["predict", str(folder), "--model", name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["videos"]
    right = [f"v_{row['top'][0]['label']}_" in row["path"] for row in found]
    record = registry.find_record(*name.split("."))
    stated = next(metric.value for metric in record.metrics) / 100
    # Three standard deviations of so many clips.
    assert np.mean(right) > stated - 3 * np.sqrt(stated * (1 - stated) / len(right))


@pytest.mark.slow
def test_its_first_half_is_rgb_i3d():
    """Every kernel to Mixed_4f is DeepMind's, in half precision."""
    whole, half = (keras_stc.InceptionI3D(weights=tag) for tag in ("kinetics400", "ucf101-35"))
    names = [layer.name for layer in half.layers if layer.name.endswith("_conv")]
    assert len(names) > 30
    for name in names:
        kernel = np.asarray(whole.get_layer(name).kernel).astype("float16")
        np.testing.assert_array_equal(half.get_layer(name).kernel, kernel)
