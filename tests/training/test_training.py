"""Recipes, the optimizer against arithmetic by hand, and runs that survive a kill."""

import csv
import dataclasses
import json
import shutil
import types

import helpers
import keras
import numpy as np
import pytest

import keras_stc
from keras_stc.data import VideoError, VideoFolder, VideoSet, open_unlabelled
from keras_stc.models.load import load_model
from keras_stc.runs import Run, RunError
from keras_stc.training import RECIPES, SGD, TrainingError, loop, train
from keras_stc.training.callbacks import Plateau

STEPS = 4


def dense(kernel, bias):
    layer = keras.layers.Dense(kernel.shape[1])
    layer.build((None, kernel.shape[0]))
    layer.set_weights([kernel, bias])
    return layer


def test_sgd_by_hand():
    """PyTorch's rule: d = g + l2 w; v = 0.9 v + d; w -= lr (d + 0.9 v), the penalty on kernels."""
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 2)), rng.normal(size=2)
    layer = dense(kernel, bias)
    optimizer = SGD(0.1, l2=0.05, momentum=0.9, nesterov=True)
    velocity = [np.zeros_like(kernel), np.zeros_like(bias)]
    want = [kernel.copy(), bias.copy()]
    for _ in range(STEPS):
        gradients = [rng.normal(size=(3, 2)), rng.normal(size=2)]
        optimizer.apply(
            [keras.ops.convert_to_tensor(g, "float32") for g in gradients],
            layer.trainable_variables,
        )
        for i, (gradient, l2) in enumerate(zip(gradients, (0.05, 0.0), strict=True)):
            d = gradient + l2 * want[i]
            velocity[i] = 0.9 * velocity[i] + d
            want[i] = want[i] - 0.1 * (d + 0.9 * velocity[i])
    for got, value in zip(layer.get_weights(), want, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-5)


@pytest.mark.torch
def test_sgd_is_pytorchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 2)).astype("float32")
    layer = dense(kernel, np.zeros(2))
    ours = SGD(0.1, l2=0.01, momentum=0.9, nesterov=True)
    parameter = torch.nn.Parameter(torch.tensor(kernel))
    theirs = torch.optim.SGD([parameter], 0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    for _ in range(STEPS):
        gradient = rng.normal(size=(3, 2)).astype("float32")
        ours.apply([keras.ops.convert_to_tensor(gradient)], [layer.kernel])
        parameter.grad = torch.tensor(gradient)
        theirs.step()
    np.testing.assert_allclose(layer.get_weights()[0], parameter.detach().numpy(), rtol=1e-5)


def test_schedules():
    recipe = RECIPES["default"].replace(epochs=5, learning_rate=0.4)
    rate = recipe.optimizer(steps_per_epoch=10)._learning_rate
    assert float(rate(0)) == 0
    assert float(rate(5)) == pytest.approx(0.2)  # half of the one epoch of warm-up
    assert float(rate(10)) == pytest.approx(0.4)
    assert float(rate(30)) == pytest.approx(0.2)  # half of the cosine
    assert float(rate(50)) == pytest.approx(0, abs=1e-6)
    constant = dataclasses.replace(recipe, schedule="constant", warmup_epochs=0)
    assert float(constant.optimizer(10)._learning_rate(37)) == pytest.approx(0.4)


def test_the_papers_recipe():
    recipe = RECIPES["paper"]
    assert (recipe.learning_rate, recipe.momentum, recipe.batch_size) == (0.1, 0.9, 128)
    assert (recipe.epochs, recipe.schedule, recipe.weight_decay) == (200, "plateau", 1e-4)
    optimizer = recipe.optimizer(10)
    assert optimizer.nesterov and optimizer.l2 == 1e-4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "`epochs` must be a positive integer"),
        ({"learning_rate": -1.0}, "`learning_rate` must be positive"),
        ({"schedule": "steps"}, "`schedule` must be one of"),
        ({"schedule": "plateau", "warmup_epochs": 1}, "`warmup_epochs` must be 0"),
    ],
)
def test_bad_recipes_get_a_sentence(change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(RECIPES["default"], **change)


def test_label_smoothing_by_hand():
    loss = RECIPES["default"].replace(label_smoothing=0.1).loss(np.arange(4), classes=4)
    p = np.array([[0.7, 0.1, 0.1, 0.1]], "float32")
    target = np.array([0.925, 0.025, 0.025, 0.025])
    assert float(loss(np.array([0]), p)) == pytest.approx(-(target * np.log(p[0])).sum(), rel=1e-5)


def test_plateau_survives_a_restart():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(SGD(1.0), "mse")
    recipe = dataclasses.replace(RECIPES["paper"], patience=2)
    state, rates = {}, []
    for epoch, loss in enumerate([3.0, 2.0, None, 2.0, 2.5, None, 2.5, 2.5]):
        callback = Plateau(recipe, state, "val_loss")  # a new process at every epoch
        callback.set_model(model)
        callback.on_train_begin()
        callback.on_epoch_end(epoch, {} if loss is None else {"val_loss": loss})
        state = json.loads(json.dumps(state))
        rates.append(float(model.optimizer.learning_rate))
    np.testing.assert_allclose(rates, [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01], rtol=1e-6)


def test_a_run_leaves_its_files(small_run):
    run = Run(small_run.folder)
    assert [row["epoch"] for row in small_run.history] == [1, 2, 3]
    rows = list(csv.DictReader(run.history_path.open()))
    assert len(rows) == 3 and {"loss", "val_accuracy", "learning_rate"} <= set(rows[0])
    config = json.loads(run.config_path.read_text())
    assert config["architecture"]["name"] == "stc_resnet18"
    assert config["video_config"]["class_names"] == list(helpers.CLASSES)
    assert [path.name for path in run.folder.glob("state-*")] == ["state-0003.weights.h5"]
    model = load_model(small_run.folder)
    assert model.video_config.class_names == helpers.CLASSES
    assert load_model(small_run.folder, "best").output_shape == (None, 2)
    # Nothing half written stays behind.
    assert not [path for path in run.folder.iterdir() if path.name.startswith(".")]


def test_validation_batches_have_a_part_for_every_device(small_run, monkeypatch):
    """Thirteen videos in batches of six on two devices: the last one of 1 would leave one idle."""
    videos = VideoFolder(small_run.videos / "train")
    videos = VideoSet(list(videos)[:6] * 2 + list(videos)[:1], videos.class_names)
    monkeypatch.setattr("keras_stc.training.loop.distribute.devices", lambda model: 2)
    network = types.SimpleNamespace(video_config=keras_stc.VideoConfig(4, 2, 16))
    session = types.SimpleNamespace(part=6, model=None, network=network, settings={"seed": 0})
    batches = loop._validation_clips(session, videos)
    assert [len(labels) for _, labels in batches] == [8, 5]


def test_another_configuration_is_refused(small_run):
    with pytest.raises(RunError, match="recipe.epochs: 3 there, 4 now.*choose another --out"):
        helpers.train_small(
            small_run.videos, small_run.folder, dataclasses.replace(helpers.RECIPE, epochs=4)
        )


def test_a_run_is_trained_by_one_process_at_a_time(small_run):
    before = {path: path.stat().st_mtime_ns for path in small_run.folder.iterdir()}
    with (
        Run(small_run.folder).alone(),
        pytest.raises(RunError, match="is being trained by another process: wait"),
    ):
        helpers.train_small(small_run.videos, small_run.folder)
    for path, changed in before.items():
        assert path.stat().st_mtime_ns == changed, path
    with Run(small_run.folder).alone():
        pass
    assert set(small_run.folder.iterdir()) == set(before)


def test_loss_that_is_not_a_number_ends_in_a_sentence(small_run, tmp_path):
    wild = dataclasses.replace(helpers.RECIPE, learning_rate=1e12, warmup_epochs=0)
    with pytest.raises(TrainingError, match="The loss became (nan|inf).*lower learning rate"):
        helpers.train_small(small_run.videos, tmp_path / "run", wild)


def test_more_bad_videos_than_good_ones_end_in_a_sentence(small_run, tmp_path):
    videos = tmp_path / "videos"
    shutil.copytree(small_run.videos, videos)
    for path in list((videos / "train").rglob("*.mp4"))[::2] + [
        *(videos / "train" / "move_left").glob("*.mp4")
    ]:
        path.write_bytes(b"")
    with pytest.raises(VideoError, match="videos cannot be used"):
        helpers.train_small(videos, tmp_path / "run")


def test_validation_without_labels_is_refused(small_run, tmp_path):
    sets = VideoFolder(small_run.videos / "train"), open_unlabelled(small_run.videos / "test")
    model = keras_stc.ResNet3D18(classes=2, input_shape=(4, 32, 32, 3))
    with pytest.raises(ValueError, match="`validation` must be videos with labels.*mp4 without"):
        train(model, sets[0], helpers.RECIPE, tmp_path / "run", sets[1])


@pytest.mark.parametrize("name", ["nothing", "empty", "text.keras"])
def test_what_is_no_model_gets_a_sentence(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.keras").write_text("x")
    with pytest.raises(RunError) as caught:
        load_model(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_model_of_somebody_else_gets_a_sentence(tmp_path):
    keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]).save(tmp_path / "m.keras")
    with pytest.raises(RunError, match="carries no video_config"):
        keras_stc.load_model(tmp_path / "m.keras")
