"""Transfers that survive a kill, and what follows them, through the command line."""

import json
import pathlib
import shutil
import subprocess
import sys

import helpers
import keras
import numpy as np
import pytest
import transfer_parts
from helpers import run

import keras_stc
from keras_stc.data import open_unlabelled
from keras_stc.models.load import load_model
from keras_stc.runs import RunError
from keras_stc.transfer import FrameTeacher, kept_answers, loop, pair_dataset
from keras_stc.transfer.loop import train_transfer
from keras_stc.transfer.recipe import RECIPES, WarmupDrops
from keras_stc.transfer.teachers import create_teacher
from keras_stc.weights.find import find_weights

RECIPE = RECIPES["default"].replace(epochs=3, batch_size=8, step_epochs=2)
CONFIG = keras_stc.VideoConfig(4, 2, 16)


def train_small(videos, out, recipe=RECIPE, **options):
    """A small transfer on the videos of a folder; returns its history."""
    small = transfer_parts.small_student()
    student = keras_stc.VideoModel(small.inputs[0], small.outputs[0], video_config=CONFIG)
    transfer = transfer_parts.small_transfer(student)
    held_out = open_unlabelled(pathlib.Path(videos) / "test")
    videos = open_unlabelled(pathlib.Path(videos) / "train")
    return train_transfer(
        transfer, videos, recipe, out, held_out, frame_size=16, verbose=0, **options
    )


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return helpers.write_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def finished(videos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "t"
    return out, train_small(videos, out)


def test_rate_rises_and_drops():
    rate = WarmupDrops(0.1, warmup_steps=4, drop_steps=30)
    for step, wanted in ((0, 0), (1, 0.025), (4, 0.1), (29, 0.1), (30, 0.01), (65, 0.001)):
        assert float(rate(step)) == pytest.approx(wanted, rel=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(rate))
    assert float(again(1)) == pytest.approx(0.025)


def test_a_run_of_an_earlier_version_goes_on(finished, videos, tmp_path):
    """Whose `config.json` has a recipe of fewer fields, one of them by another name."""
    out, history = finished
    shutil.copytree(out, tmp_path / "t")
    config = json.loads((out / "config.json").read_text())
    new = ("schedule", "reference_batch", "patience", "early_stop", "label_smoothing", "ema")
    new += ("class_weights", "precision", "freeze", "frames", "stride")
    for name in new:
        del config["recipe"][name]
    config["recipe"]["drop_every"] = config["recipe"].pop("step_epochs")
    (tmp_path / "t" / "config.json").write_text(json.dumps(config))
    assert train_small(videos, tmp_path / "t") == history
    with pytest.raises(RunError, match="recipe.step_epochs: 2 there, 3 now"):
        train_small(videos, tmp_path / "t", RECIPE.replace(step_epochs=3))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"precision": "mixed_bfloat16"}, "The student must be built with the recipe's precision"),
        ({"feature_passes": 2, "freeze": "layer1"}, "`feature_passes` must be 0 in a transfer"),
    ],
)
def test_what_a_transfer_does_not_do_is_refused(videos, tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        train_small(videos, tmp_path / "t", RECIPE.replace(**change))


def test_what_a_recipe_says_of_labels_is_refused(videos, tmp_path):
    with pytest.raises(ValueError, match="`label_smoothing` must be 0.0.*no labels"):
        train_small(videos, tmp_path / "t", RECIPE.replace(label_smoothing=0.1))
    assert not (tmp_path / "t").exists()


def test_the_papers_recipe():
    recipe = RECIPES["paper"]
    assert (recipe.learning_rate, recipe.momentum, recipe.batch_size) == (0.1, 0.9, 32)
    assert (recipe.epochs, recipe.step_epochs) == (150, 30)
    optimizer = recipe.replace(accumulation=4).optimizer(10)
    assert optimizer.nesterov and optimizer.accumulation == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "`epochs` must be a positive"),
        ({"learning_rate": -1.0}, "`learning_rate` must be positive"),
        ({"accumulation": 5}, "`accumulation` must divide"),
        ({"accumulation": 32}, "parts of at least 2"),
    ],
)
def test_bad_recipes_get_a_sentence(change, words):
    with pytest.raises(ValueError, match=words):
        RECIPES["default"].replace(**change)


def test_what_a_recipe_makes_of_its_numbers():
    recipe = RECIPES["paper"].replace(warmup_epochs=5, weight_decay=3e-4, momentum=0.8)
    optimizer = recipe.optimizer(steps_per_epoch=10)
    rates = optimizer._learning_rate
    for step, wanted in ((0, 0), (25, 0.05), (50, 0.1), (299, 0.1), (300, 0.01), (900, 1e-4)):
        assert float(rates(step)) == pytest.approx(wanted, rel=1e-5)
    config = optimizer.get_config()
    assert (config["l2"], config["momentum"]) == (3e-4, 0.8)
    assert RECIPES["paper"].warmup_epochs == 5 and RECIPES["default"].warmup_epochs == 1
    assert RECIPES["paper"].weight_decay == RECIPES["default"].weight_decay == 1e-4


def test_pairs_are_made_as_the_recipe_says(videos, tmp_path, monkeypatch):
    made = []

    def recorded(*args, **options):
        made.append(options)
        return pair_dataset(*args, **options)

    monkeypatch.setattr(loop, "pair_dataset", recorded)
    recipe = RECIPE.replace(epochs=1, accumulation=2, flip=False, multiscale=True)
    train_small(videos, tmp_path / "t", recipe, seed=3)
    validation, *training = sorted(made, key=lambda options: options.get("training", True))
    training = training[0]
    wanted = {"batch_size": 4, "flip": False, "multiscale": True, "seed": 3, "frame_size": 16}
    assert {name: training[name] for name in wanted} == wanted
    assert training["clips_per_video"] == 6  # 12 videos, 64 clips an epoch at least
    assert training["drop_remainder"] and training.get("training", True)
    assert validation["training"] is False and validation["video_config"] == CONFIG
    assert validation["seed"] == 3 and validation["frame_size"] == 16


def test_a_transfer_leaves_its_files(finished):
    out, history = finished
    assert [row["epoch"] for row in history] == [1, 2, 3]
    wanted = {"loss", "pair_accuracy", "auc", "val_pair_accuracy", "val_auc", "learning_rate"}
    assert wanted <= set(history[0])
    student = keras.models.load_model(out / "student.keras")
    assert student.video_config == CONFIG and student.output_shape == (None, 8)
    assert json.loads((out / "config.json").read_text())["teacher"]["name"] == "small2d"
    assert find_weights(out, "resnet3d18").source == str(out / "student.keras")
    with pytest.raises(RunError, match="is a transfer.*keras-stc train DATA --weights"):
        load_model(out)


def test_accumulated_batches_train(videos, tmp_path):
    history = train_small(videos, tmp_path / "t", RECIPE.replace(accumulation=2, epochs=1))
    assert np.isfinite(history[0]["loss"])


def test_another_teacher_is_refused(videos, finished, monkeypatch):
    other = transfer_parts.image_model(seed=7)
    monkeypatch.setattr(transfer_parts, "image_model", lambda: other)
    with pytest.raises(RunError, match="teacher.weights"):
        train_small(videos, finished[0])


def test_a_teacher_that_is_asked_once(videos, tmp_path, monkeypatch):
    """Its features of the frames of two clips a video, which a run that finds them takes."""
    recipe = RECIPE.replace(epochs=1)
    whole = train_small(videos, tmp_path / "t", recipe, windows=2)
    assert np.isfinite(whole[0]["loss"]) and "val_pair_accuracy" in whole[0]

    train = open_unlabelled(videos / "train")
    config = CONFIG.replace(size=20, resize=24)
    with pytest.raises(ValueError, match="`video_config` must be a VideoConfig where a FrameTeac"):
        kept_answers(transfer_parts.frame_teacher(), train, tmp_path / "a", 2)
    teacher = transfer_parts.frame_teacher()
    teacher.model = transfer_parts.image_model(size=20)
    options = {"windows": 2, "verbose": 0, "video_config": config}
    answers = kept_answers(teacher, train, tmp_path / "a", **options)
    assert answers.answers is None and answers.features.shape == (12, 2, 6)
    with keras_stc.data.VideoReader(train[5].path) as reader:
        frames = reader.read(
            range(reader.info.num_frames), keras_stc.data.evaluation_geometry((20, 20), 24)
        )
    for window, start in enumerate((0, len(frames) - 7)):
        clip = frames[start : start + 7 : 2]
        wanted = keras.ops.convert_to_numpy(teacher(clip[None]))[0]
        np.testing.assert_allclose(answers.features[5, window], wanted, rtol=1e-4, atol=1e-4)

    asked = []
    shutil.copytree(tmp_path / "t" / "answers", tmp_path / "u" / "answers")
    called = FrameTeacher.__call__
    monkeypatch.setattr(FrameTeacher, "__call__", lambda *a: asked.append(a) or called(*a))
    history = train_small(videos, tmp_path / "u", recipe, windows=2)
    monkeypatch.undo()
    assert history[0]["loss"] == pytest.approx(whole[0]["loss"], 1e-3)
    # As the two networks that would be asked are made.
    assert len(asked) <= 2 and all(len(frames.shape) == 5 for _, frames in asked)
    with pytest.raises(RunError, match="teacher.windows"):
        train_small(videos, tmp_path / "t", recipe, windows=3)


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    """Figures and weights after five steps: `{kind}-{replicas}.npz`."""
    folder = tmp_path_factory.mktemp("replicas")
    script = pathlib.Path(__file__).parents[1] / "transfer_replicas.py"
    started = [
        subprocess.Popen([sys.executable, script, str(count), folder], stderr=subprocess.PIPE)
        for count in (1, 2)
    ]
    for process in started:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said[-2000:].decode()
    return folder


@pytest.mark.slow
@pytest.mark.multi_device
@pytest.mark.parametrize(
    ("kind", "least"), [("transfer", 11), ("distillation", 11), ("features_of_frames", 10)]
)
def test_two_replicas_are_one(replicas, kind, least):
    """Figures and weights, within 1e-5: the same pairs, the losses scaled right."""
    one, two = (np.load(replicas / f"{kind}-{count}.npz") for count in (1, 2))
    assert len(one.files) >= least and len(set(one["loss"].tolist())) == 5
    for name in one.files:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-5, atol=1e-5, err_msg=name)


# === The command line ===


@pytest.mark.slow
def test_transfer_then_train(capsys, videos, tmp_path):
    """From unlabelled videos to a classifier that started from the student."""
    line = ["transfer", videos, "--out", tmp_path / "t", "--teacher", "mobilenetv2", "--epochs", 1]
    line += ["--student", "resnet3d18"]
    line += ["--teacher-weights", "random", "--frames", 2, "--size", 32, "--frame-size", 32]
    line += ["--batch-size", 8, "--hold-out", 0.3, "--json"]
    status, out, err = run(capsys, *line)
    assert status == 0, err
    first = json.loads(out)
    assert first["epochs"] == 1 and 0 <= first["last"]["val_pair_accuracy"] <= 1
    # Of the twelve videos to train on; those to test on were not touched.
    assert json.loads((tmp_path / "t" / "config.json").read_text())["videos"] == 8

    line = ["train", videos / "train", "--model", "resnet3d18", "--weights", tmp_path / "t"]
    line += ["--out", tmp_path / "a", "--frames", 2, "--size", 32, "--epochs", 1, "--lr", 1e-12]
    status, _, err = run(capsys, *line, "--hold-out", 0, "--no-flip", "--json")
    assert status == 0, err
    student = keras.models.load_model(tmp_path / "t" / "student.keras")
    model = load_model(tmp_path / "a")
    for layer in ("conv1", "layer4_block2_conv2"):
        one, other = (network.get_layer(layer).get_weights() for network in (student, model))
        np.testing.assert_allclose(one[0], other[0], atol=1e-6)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["transfer", "nowhere", "--out", "{tmp}/t"], "nowhere does not exist"),
        (["transfer", "{tmp}", "--out", "{tmp}/t"], "holds no videos"),
        (["transfer", "{videos}", "--out", "{tmp}/t", "--recipe", "x"], "--recipe must be"),
        (["transfer", "{videos}", "--out", "{tmp}/t", "--student", "x"], "`name` must be one of"),
        (
            ["transfer", "{videos}", "--out", "{tmp}/t", "--teacher", "x"],
            "`teacher` must be one of",
        ),
        (
            ["transfer", "{videos}", "--out", "{tmp}/t", "--teacher-weights", "x.h5"],
            "x.h5 do not exist",
        ),
        (
            ["transfer", "{videos}", "--out", "{tmp}/t", "--accumulation", "3"],
            "`accumulation` must",
        ),
        (["transfer", "{videos}", "--out", "{tmp}/t", "--windows", "-1"], "--windows must be"),
        (["transfer", "{videos}", "--out", "{tmp}/t", "--hold-out", "1.5"], "--hold-out must be"),
        (["transfer", "{videos}", "--out", "{tmp}/t", "--seed", "-1"], "--seed must be at least 0"),
        (
            ["transfer", "{videos}", "--out", "{tmp}/t", "--checkpoint-steps", "0"],
            "--checkpoint-steps must be at least 1",
        ),
        (
            [*["transfer", "{videos}", "--out", "{tmp}/t", "--teacher", "mobilenetv2"]]
            + ["--student", "resnet3d18", "--teacher-weights", "random", "--frame-size", "4"]
            + ["--size", "32", "--frames", "2", "--batch-size", "4"],
            "`frame_size` must be a size that the teacher",
        ),
        (["train", "{videos}", "--out", "{tmp}/a", "--weights", "{tmp}"], "holds no finished run"),
        (["predict", "x.mp4", "--model", "{run}"], "is a transfer"),
    ],
)
def test_mistakes_get_one_sentence(capsys, videos, finished, tmp_path, line, words):
    names = {"tmp": tmp_path, "videos": videos, "run": finished[0]}
    status, _, err = run(capsys, *(word.format(**names) for word in line))
    assert status == 1
    assert err.startswith("keras-stc: error: ") and words in err
    assert err.count("\n") == 1 and "Traceback" not in err


# === A real teacher ===


@pytest.mark.slow
@pytest.mark.shared
def test_the_imagenet_network_sees_what_is_there(shared, imagenet_resnet50):
    """The real weights give the features of the network whose classes are known to be right."""
    whole = keras.applications.ResNet50(weights=imagenet_resnet50)
    teacher = create_teacher("resnet50", imagenet_resnet50)
    with keras_stc.data.VideoReader(shared / "clips" / "abseiling_k400.mp4") as reader:
        geometry = keras_stc.data.evaluation_geometry((224, 224), 224)
        frames = reader.read([0, 5], geometry)
    prepared = keras.applications.resnet.preprocess_input(frames.astype("float32"))
    probabilities = whole.predict(prepared, verbose=0)
    assert probabilities[0].argmax() == 972  # "cliff"
    features = keras.Model(whole.input, whole.layers[-2].output).predict(prepared, verbose=0)
    got = keras.ops.convert_to_numpy(teacher(frames[None]))
    np.testing.assert_allclose(got[0], features.mean(axis=0), rtol=1e-3, atol=1e-4)
