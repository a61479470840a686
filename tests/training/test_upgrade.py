"""Runs that earlier versions began, as their command lines wrote them down, go on."""

import json
import pathlib

import helpers
import pytest

from keras_stc.data import Video, VideoSet
from keras_stc.models import create_model
from keras_stc.runs import Run, RunError
from keras_stc.training import RECIPES
from keras_stc.training.session import Session
from keras_stc.training.upgrade import upgraded
from keras_stc.transfer import RECIPES as TRANSFERS

#: `{day and command: config.json}`, written by the commits e566c07 and bef6935, of `keras-stc train
#: videos/train --no-flip --epochs 3 --size 32`, with `--frames 4 --model stc_resnet18` or with
#: `--frames 8 --model inception_i3d --weights kinetics400`, and of `keras-stc transfer videos/train
#: --no-flip --epochs 3 --batch-size 4 --frames 4 --size 32 --frame-size 32 --teacher-weights random
#: --hold-out 0.2`; the videos are those of `helpers.write_videos`.
OLD = json.loads((pathlib.Path(__file__).parent / "old_configs.json").read_text())

VIDEOS = VideoSet([Video(f"{k}.mp4", k % 2) for k in range(12)], helpers.CLASSES)


@pytest.fixture(scope="module")
def built():
    """What the commands build today: `{command: (network, recipe)}`."""
    clips = {"frames": 4, "size": 32}
    trained = create_model("stc_resnet18", classes=2, video_config=clips)
    trained.video_config = trained.video_config.replace(class_names=VIDEOS.class_names)
    student = create_model("stc_resnet18", include_top=False, pooling="avg", video_config=clips)
    recipe = RECIPES["default"].replace(epochs=3, frames=4, flip=False)
    return {
        "train": (trained, recipe),
        "transfer": (student, TRANSFERS["default"].replace(epochs=3, batch_size=4, flip=False)),
    }


def go_on(folder, key, built, recipe=None, model=None, data=None):
    """Enters the training of the same command in the run folder of an earlier version."""
    old, (network, usual) = OLD[key], built[key.partition(" ")[2]]
    (folder / "config.json").write_text(json.dumps(old))
    state = {"epoch": 1, "step": 0, "history": [{"epoch": 1, "loss": 0.7}]}
    (folder / "state.json").write_text(json.dumps(state))
    session = Session(
        *(model or network, recipe or usual, folder, VIDEOS[:10], VIDEOS[10:]),
        data=data or old["data"],
        about={name: old[name] for name in ("teacher",) if name in old},
    )
    with session:
        return session.state["epoch"]


@pytest.mark.parametrize("key", [key for key in OLD if "i3d" not in key])
def test_the_same_command_goes_on(tmp_path, built, key):
    assert go_on(tmp_path, key, built) == 1
    assert Run(tmp_path).config() == OLD[key]


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("2026-11-22 train", {"recipe": {"momentum": 0.8}}, "recipe.momentum: 0.9 there, 0.8 now"),
        ("2026-11-22 train", {"recipe": {"feature_passes": 1}}, "feature_passes: 0 there, 1 now"),
        ("2026-11-22 train", {"model": {"alpha": 0.5}}, "architecture.alpha: 1.0 there, 0.5 now"),
        ("2026-11-22 transfer", {"recipe": {"step_epochs": 2}}, "step_epochs: 30 there, 2 now"),
    ],
)
def test_another_command_is_refused(tmp_path, built, key, change, words):
    """And nothing but what is other is named."""
    network, recipe = built[key.partition(" ")[2]]
    if "recipe" in change:
        recipe = recipe.replace(**change["recipe"])
    else:
        network = create_model(**{**network.architecture, **change["model"]})
        network.video_config = built["train"][0].video_config
    with pytest.raises(RunError) as refused:
        go_on(tmp_path, key, built, recipe, network)
    assert words in str(refused.value) and ";" not in str(refused.value)


def test_a_network_is_what_it_was_before_it_had_other_arguments():
    """InceptionI3D, which takes long to build, before there were STC blocks in it."""
    old = OLD["2026-11-22 train inception_i3d"]
    new = {"stc": False, "reduction_ratio": 4, "stc_branches": ["temporal", "spatial"]}
    new |= {"stc_placement": "module", "final_endpoint": None}
    assert upgraded(old, old)["architecture"] == {**old["architecture"], **new}


def test_names_of_classes_are_those_of_now_where_none_were_written():
    old = {"data": {"origin": {"data": "/a.csv"}, "weights": None}}
    now = {"data": {"origin": {"data": "/b.csv", "class_names": "/names.txt"}, "weights": None}}
    wanted = {"data": "/a.csv", "class_names": "/names.txt"}
    assert upgraded(old, now)["data"] == {"origin": wanted, "weights": None}
    assert upgraded({"data": old["data"]["origin"]}, {"data": now["data"]["origin"]}) == {
        "data": wanted
    }
    other = {"data": {"origin": {**wanted, "class_names": "/other.txt"}}}
    assert upgraded(other, now) == other
    assert upgraded({"data": "motion"}, now) == {"data": "motion"}


def test_validation_videos_were_named_as_they_were_typed(tmp_path, monkeypatch):
    (tmp_path / "val.csv").write_text("path,label\nx.mp4,a\n")
    monkeypatch.chdir(tmp_path)
    now = {"data": {"origin": {"data": "/a.csv", "validation": str(tmp_path / "val.csv")}}}
    for typed in ("val.csv", "./val.csv"):
        old = {"data": {"origin": {"data": "/a.csv", "validation": typed}}}
        assert upgraded(old, now) == now
    old = {"data": {"origin": {"data": "/a.csv", "validation": "gone.csv"}}}
    assert upgraded(old, now) == old
