"""What recipes are made of, each against arithmetic by hand."""

import csv
import dataclasses
import importlib.util
import json
import warnings

import distributed_worker
import helpers
import keras
import numpy as np
import pytest

from keras_stc.data import VideoFolder
from keras_stc.distribute.fit import _is_validated
from keras_stc.layers.conv import on_tensorflow_cpu
from keras_stc.models.load import load_model
from keras_stc.runs import Run, RunError
from keras_stc.training import RECIPES, SGD, fits, train
from keras_stc.training.callbacks import StopOnNaN, Unfinished, is_over
from keras_stc.training.freeze import frozen


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return helpers.write_videos(tmp_path_factory.mktemp("videos"))


def apply(optimizer, start, gradients):
    """A kernel of one value after steps with these gradients, step by step."""
    layer = keras.layers.Dense(1, use_bias=False)
    layer.build((None, 1))
    layer.set_weights([np.array([[start]])])
    optimizer.build(layer.trainable_variables)
    trace = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor([[gradient]])], layer.trainable_variables)
        trace.append(float(layer.get_weights()[0].item()))
    return trace, layer


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"accumulation": 0}, "`accumulation` must be a positive integer"),
        ({"l2": -1.0}, "`l2` must be at least 0"),
        ({"accumulation": 2, "clipnorm": 1.0}, "`clipnorm` must be None with `accumulation`"),
        ({"accumulation": 2, "weight_decay": 1e-4}, "`l2` is a weight decay"),
    ],
)
def test_what_sgd_does_not_do_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        SGD(0.1, **arguments)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_accumulation_updates_once_with_the_mean_gradient(momentum):
    settings = {"learning_rate": 0.1, "l2": 0.05, "momentum": momentum, "nesterov": momentum > 0}
    gradients = np.random.default_rng(0).normal(size=12).tolist()
    got, _ = apply(SGD(**settings, accumulation=3), 2.0, gradients)
    want, _ = apply(SGD(**settings), 2.0, np.reshape(gradients, (4, 3)).mean(axis=1).tolist())
    np.testing.assert_allclose(got[2::3], want, rtol=1e-5)
    # In between nothing moves.
    assert got[0] == got[1] == 2.0 and got[3] == got[4] == got[2]


def test_average_of_the_weights_by_hand():
    recipe = dataclasses.replace(
        RECIPES["default"], ema=0.8, schedule="constant", warmup_epochs=0, weight_decay=0.0
    )
    optimizer = recipe.optimizer(10)
    trace, layer = apply(optimizer, 1.0, [0.5, -1.0, 0.25, 2.0])
    average = trace[0]
    for value in trace[1:]:
        average = 0.8 * average + 0.2 * value
    optimizer.finalize_variable_values(layer.trainable_variables)
    assert layer.get_weights()[0].item() == pytest.approx(average, rel=1e-5)
    # Two steps an update weigh as much as one update does.
    twice = dataclasses.replace(recipe, accumulation=2).optimizer(10)
    assert twice.ema_momentum**2 == pytest.approx(0.8)


def test_the_average_is_what_is_validated_and_what_stays(videos, tmp_path, monkeypatch):
    """Computed here from the weights after each of twelve steps."""
    steps, seen = [], StopOnNaN.on_train_batch_end

    def remember(self, batch, logs=None):
        seen(self, batch, logs)
        steps.append([variable.numpy() for variable in self.model.trainable_variables])

    monkeypatch.setattr(StopOnNaN, "on_train_batch_end", remember)
    recipe = dataclasses.replace(distributed_worker.EXACT, ema=0.7)
    history, _ = distributed_worker.run(videos, tmp_path / "run", recipe)
    averages = [steps[0]]
    for step in steps[1:]:
        averages.append([0.7 * a + 0.3 * b for a, b in zip(averages[-1], step, strict=True)])
    model = load_model(tmp_path / "run")
    for got, want, last in zip(model.trainable_variables, averages[-1], steps[-1], strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
        assert np.abs(want - last).max() > 1e-4
    row = max(history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    best = Run(tmp_path / "run").best_path
    assert distributed_worker.validated(best, videos) == pytest.approx(
        (row["val_loss"], row["val_accuracy"]), abs=1e-5
    )


def test_a_scaled_loss_takes_the_same_steps():
    """With decay, momentum and accumulation; an infinite gradient leaves all as it was."""
    settings = {"learning_rate": 0.1, "l2": 0.05, "momentum": 0.9}
    scaled = keras.optimizers.LossScaleOptimizer(SGD(**settings, accumulation=2), 8.0)
    # The scale is halved by the infinite one.
    gradients = [8 * 0.5, 8 * -1.5, np.inf, 4 * 0.25, 4 * 0.75]
    got, _ = apply(scaled, 2.0, gradients)
    # The mean of each pair is -0.5 and 0.5; v = 0.9 v - 0.1 (g + 0.05 w), w = w + v.
    first = 2.0 - 0.1 * (-0.5 + 0.05 * 2.0)
    second = first + 0.9 * (first - 2.0) - 0.1 * (0.5 + 0.05 * first)
    np.testing.assert_allclose(got, [2.0, first, first, first, second], rtol=1e-6)
    assert float(scaled.dynamic_scale) == 4.0


def test_rates_scale_with_the_batch():
    paper = RECIPES["paper"]
    assert paper.peak_rate(128) == 0.1 and paper.peak_rate(32) == 0.025
    assert float(paper.optimizer(10, batch_size=64).learning_rate) == pytest.approx(0.05)
    assert RECIPES["default"].peak_rate(2) == RECIPES["default"].learning_rate


def test_rates_fall_by_steps():
    recipe = dataclasses.replace(
        RECIPES["default"], schedule="step", learning_rate=0.4, step_epochs=3, warmup_epochs=1
    )
    rate = recipe.optimizer(steps_per_epoch=10)._learning_rate
    steps = [0, 5, 10, 29, 30, 59, 60]
    want = [0, 0.2, 0.4, 0.4, 0.04, 0.04, 0.004]
    np.testing.assert_allclose([float(rate(step)) for step in steps], want, rtol=1e-5)
    again = type(rate).from_config(json.loads(json.dumps(rate.get_config())))
    assert float(again(30)) == pytest.approx(0.04)


def test_rare_classes_weigh_more():
    recipe = dataclasses.replace(RECIPES["default"], class_weights="balanced")
    loss = recipe.loss(np.array([0, 0, 0, 1]), classes=2)
    p = np.array([[0.6, 0.4], [0.9, 0.1]], "float32")
    # 4 clips, 2 classes: 4 / (2 * 3) for the frequent class, 4 / (2 * 1) for the rare one.
    want = (4 / 6 * -np.log(0.6) + 4 / 2 * -np.log(0.1)) / 2
    assert float(loss(np.array([0, 1]), p)) == pytest.approx(want, rel=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(again(np.array([0, 1]), p)) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize(
    ("losses", "patience", "over"),
    [
        ([], 2, False),
        ([3, 2, 1], 2, False),
        ([3, 1, 2], 2, False),
        ([3, 1, 2, 2], 2, True),
        ([3, 1, 2, 2], 0, False),
        ([1, 1, 1], 2, True),
        # Not measured after every epoch.
        ([None, None, None], 2, False),
        ([None, 1, None, None], 2, False),
        ([None, 1, None, 2], 2, True),
        ([None, 1, None, 0], 2, False),
    ],
)
def test_training_is_over_when_nothing_gets_better(losses, patience, over):
    rows = [{} if loss is None else {"loss": loss} for loss in losses]
    assert is_over(rows, patience, "loss") == over


def test_validation_after_every_second_epoch_and_the_last(videos, tmp_path):
    """With a checkpoint after every second step, and what another line would change is refused."""
    recipe = dataclasses.replace(distributed_worker.PLAIN, epochs=5)
    out = tmp_path / "run"
    history, _ = distributed_worker.run(videos, out, recipe, validation_freq=2, save_steps=2)
    validated = [row["epoch"] for row in history if "val_accuracy" in row]
    assert validated == [2, 4, 5] and len(history) == 5
    rows = list(csv.DictReader(Run(out).history_path.open()))
    assert [row["epoch"] for row in rows if row["val_loss"]] == ["2", "4", "5"]
    with pytest.raises(RunError, match="validation_freq: 2 there, 1 now"):
        distributed_worker.run(videos, out, recipe)
    for wrong in ({"validation_freq": 0}, {"validation_freq": 1.5}, {"save_every": 0}):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"`{name}` must be a positive integer"):
            train(
                *(distributed_worker.small_model(), VideoFolder(videos / "train"), recipe),
                *(tmp_path / "new", VideoFolder(videos / "test")),
                **wrong,
            )
    with pytest.raises(ValueError, match="`save_steps` must be a positive integer"):
        distributed_worker.run(videos, tmp_path / "new", recipe, save_steps=-3)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("often", [1, 2, 3, [2, 5]])
def test_epochs_with_a_validation_are_those_of_keras(often):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    for epoch in range(6):
        assert _is_validated(epoch + 1, often) == model._should_eval(epoch, often)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_data(name):
    recipe = RECIPES[name]
    assert recipe == type(recipe)(**json.loads(json.dumps(recipe.to_dict())))
    optimizer = recipe.optimizer(10)
    config = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer)).get_config()
    assert config["l2"] == recipe.weight_decay and config["use_ema"] == (recipe.ema > 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"accumulation": 3}, "`accumulation` must divide the batch of 8"),
        ({"precision": "half"}, "`precision` must be one of"),
        ({"class_weights": "rare"}, "`class_weights` must be one of"),
        ({"ema": 1.0}, "`ema` must be at least 0 and below 1"),
        ({"early_stop": -1}, "`early_stop` must be an integer of at least 0"),
        ({"weight_decay": -1e-4}, "`weight_decay` must be at least 0"),
        ({"learning_rate": float("inf")}, "`learning_rate` must be positive"),
    ],
)
def test_bad_recipes_get_a_sentence(change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(RECIPES["default"], **change)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_the_rest_of_an_epoch_ends_without_the_averages(precision):
    """Or training would go on from them; under float16 Keras wraps the optimizer."""
    with distributed_worker.precision(precision):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(SGD(0.1, use_ema=True, ema_momentum=0.9), "mse")
        kernel = model.layers[0].kernel
        trained = []
        last = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: trained.append(np.array(kernel))
        )
        model.fit(np.ones((8, 2)), np.ones(8), callbacks=[last, Unfinished()], verbose=0)
    np.testing.assert_array_equal(kernel, trained[-1])
    assert getattr(model.optimizer, "inner_optimizer", model.optimizer).use_ema


def test_frozen_stages_stay_bit_identical(videos, tmp_path):
    """Kernels and the statistics of batch normalisation; what follows them learns."""
    recipe = dataclasses.replace(distributed_worker.PLAIN, epochs=1, freeze="layer1")
    _, model = distributed_worker.run(videos, tmp_path / "run", recipe)
    fresh = distributed_worker.small_model()
    for layer, before in zip(model.layers, fresh.layers, strict=True):
        for got, want in zip(layer.get_weights(), before.get_weights(), strict=True):
            moved = not np.array_equal(got, want)
            assert moved == (not layer.name.startswith("layer1")), layer.name
    assert all(layer.trainable for layer in model.layers)
    assert all(layer.trainable for layer in load_model(tmp_path / "run").layers)


def test_partial_batch_normalisation(videos, tmp_path):
    """All but the first are as they were, and every kernel learns."""
    recipe = dataclasses.replace(distributed_worker.PLAIN, epochs=1, partial_bn=True)
    _, model = distributed_worker.run(videos, tmp_path / "run", recipe)
    moved = {}
    for layer, before in zip(model.layers, distributed_worker.small_model().layers, strict=True):
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        for got, want in zip(layer.get_weights(), before.get_weights(), strict=True):
            moved.setdefault((is_norm, layer.name), []).append(not np.array_equal(got, want))
    norms = [name for is_norm, name in moved if is_norm]
    assert norms == ["layer1_bn", "layer2_bn"]
    for (is_norm, name), changed in moved.items():
        assert any(changed) == (not is_norm or name == norms[0]), name
    assert all(layer.trainable for layer in model.layers)


def test_tensorboard_logs_or_the_line_that_installs_it(videos, tmp_path):
    recipe = dataclasses.replace(distributed_worker.PLAIN, epochs=1)
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(ImportError, match="pip install tensorboard"):
            distributed_worker.run(videos, tmp_path / "run", recipe, tensorboard=True)
        assert not (tmp_path / "run").exists()
        return
    distributed_worker.run(videos, tmp_path / "run", recipe, tensorboard=True)
    assert list((tmp_path / "run" / "tensorboard").rglob("events.out.*"))


@pytest.mark.parametrize(
    ("last", "words"), [("layer9", "layer1, layer2"), ("predictions", "leave something")]
)
def test_what_cannot_be_frozen_gets_a_sentence(last, words):
    with pytest.raises(ValueError, match=f"`freeze` must.*{words}"):
        with frozen(distributed_worker.small_model(), last):
            pass


def test_a_model_of_another_precision_is_refused(videos, tmp_path):
    recipe = dataclasses.replace(distributed_worker.PLAIN, precision="mixed_bfloat16")
    model = distributed_worker.small_model()
    with pytest.raises(ValueError, match="set_dtype_policy before"):
        train(model, VideoFolder(videos / "train"), recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not on_tensorflow_cpu(), reason="was measured on TensorFlow's CPU")
@pytest.mark.parametrize(("has_bfloat16", "warned"), [(False, 1), (True, 0), (None, 0)])
def test_emulated_bfloat16_is_warned_of(monkeypatch, has_bfloat16, warned):
    monkeypatch.setattr(fits, "has_bfloat16", lambda: has_bfloat16)
    recipe = dataclasses.replace(distributed_worker.PLAIN, precision="mixed_bfloat16")
    with distributed_worker.precision("mixed_bfloat16"):
        model = distributed_worker.small_model()
    with warnings.catch_warnings(record=True) as said:
        fits.check_precision(model, recipe)
    assert ["emulates bfloat16" in str(each.message) for each in said] == [True] * warned


def test_early_stop_ends_a_run_for_good(videos, tmp_path):
    """A rate so high that the loss of validation soon stops falling."""
    recipe = dataclasses.replace(
        distributed_worker.PLAIN, epochs=9, learning_rate=5.0, early_stop=1, warmup_epochs=0
    )
    history, model = distributed_worker.run(videos, tmp_path / "run", recipe)
    losses = [row["val_loss"] for row in history]
    assert len(history) < 9 and losses[-1] >= min(losses[:-1])
    assert Run(tmp_path / "run").model_path.exists()
    again, _ = distributed_worker.run(videos, tmp_path / "run", recipe)
    assert again == history
