"""What a training starts from where nobody says."""

import dataclasses
import json

import helpers
import numpy as np
import pytest
from short import short_networks

import keras_stc
from keras_stc.cli import main, options
from keras_stc.models.load import load_model
from keras_stc.runs import Run
from keras_stc.training import RECIPES, start

pytestmark = pytest.mark.usefixtures("short")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return helpers.write_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "base.keras"
    with short_networks():
        keras_stc.ResNet3D18(classes=5, input_shape=(4, 32, 32, 3), alpha=0.25).save(path)
    return path


@pytest.fixture
def small_start(monkeypatch, weights):
    """One pretrained start, of a small network whose weights are here."""
    # --alpha itself would be an answer to what to start from.
    monkeypatch.setattr(options, "structure", lambda *_: {"alpha": 0.25})
    recipe = RECIPES["classifier"].replace(freeze="layer4", frames=4, epochs=2, flip=False)
    small = start.Start("i3d", "resnet3d18", str(weights), 32, recipe, "a test", "why", "cost")
    monkeypatch.setattr(start, "STARTS", (small,))
    # Where random weights are the answer, they are to be small too.
    random = dataclasses.replace(
        start.RANDOM, size=32, recipe=start.RANDOM.recipe.replace(frames=4, epochs=1)
    )
    monkeypatch.setattr(start, "RANDOM", random)
    return small


def train(capsys, *line):
    status = main(["train", *map(str, line)])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def test_nothing_said_is_the_best(capsys, videos, weights, small_start, monkeypatch, tmp_path):
    out = train(capsys, videos, "--out", tmp_path / "run")
    assert (
        "from a test, of which only the classifier learns: why. cost." in out
        and "4 frames, 32x32" in out
    )
    config = Run(tmp_path / "run").config()
    assert config["data"]["start"] == "i3d" and config["architecture"]["name"] == "resnet3d18"
    assert config["recipe"]["name"] == "classifier" and (tmp_path / "run" / "features").is_dir()
    kept, model = (
        keras_stc.create_model("resnet3d18", weights=weights),
        load_model(tmp_path / "run"),
    )
    np.testing.assert_array_equal(
        kept.get_layer("layer4_block1_conv2").kernel, model.get_layer("layer4_block1_conv2").kernel
    )
    assert model.video_config.class_names == ("move_left", "move_right")
    # Run again, it goes on from the same, though it could not be chosen any more.
    small_start = dataclasses.replace(small_start, name="i3d")
    start.STARTS = (
        dataclasses.replace(small_start, name="better", weights="nowhere.keras"),
        small_start,
    )
    assert "Going on after epoch 2" in train(capsys, videos, "--out", tmp_path / "run")


def test_weights_out_of_reach_are_passed_over(capsys, videos, small_start, monkeypatch, tmp_path):
    missing = dataclasses.replace(small_start, weights=str(tmp_path / "missing.keras"))
    monkeypatch.setattr(start, "STARTS", (missing,))
    out = train(capsys, videos, "--out", tmp_path / "run")
    assert "They cannot be had: The weights file" in out and "are learnt by heart" in out
    data = Run(tmp_path / "run").config()["data"]
    assert data["weights"] is None and "start" not in data
    status = main(["train", str(videos), "--out", str(tmp_path / "other"), "--start", "i3d"])
    assert status == 1 and "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        ["--weights", "none"],
        pytest.param(["--start", "none"], marks=pytest.mark.slow),
        pytest.param(["--recipe", "default"], marks=pytest.mark.slow),
    ],
)
def test_random_where_it_is_asked_for(capsys, videos, small_start, tmp_path, line):
    if line[0] == "--recipe":
        line = [*line, "--frames", 4, "--epochs", 1]
    if line[0] == "--weights":
        line = [*line, "--json"]
    out = train(capsys, videos, "--out", tmp_path / "run", *line)
    if "--json" in line:
        assert json.loads(out)["start"] == "none"
    else:
        assert "12 videos are learnt by heart" in out
    assert Run(tmp_path / "run").config()["architecture"]["name"] == "stc_resnet18"


def test_starts_are_data():
    for each in start.STARTS:
        assert each.weights in keras_stc.list_weights(each.model)
        assert each.recipe.freeze and each.recipe.feature_passes
        assert start.find_start(each.name) == (each,)
    assert start.find_start("auto")[-1] is start.RANDOM
    assert start.warn_of_few(start.FEW_VIDEOS) is None
    with pytest.raises(ValueError, match="`start` must be one of auto, i3d, ucf101-35, none"):
        start.find_start("best")
