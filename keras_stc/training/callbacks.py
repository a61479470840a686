"""Keras callbacks of a run: checkpoints, moving average, plateaus, early stop, stop at NaN."""

import math

import keras
import numpy as np


class TrainingError(RuntimeError):
    """One sentence about a training that cannot go on."""


class Checkpoint(keras.callbacks.Callback):
    """Keeps the run's state every so many epochs or steps, and the best epoch of those kept.

    Args:
        session: The `Session`, whose state is kept up to date here.
        steps: Of an epoch.
        example: Arguments of `test_on_batch` for a batch of any values.
        average: The callback that validates the moving average of the weights, or `None`.
    """

    def __init__(self, session, steps, example, average=None):
        super().__init__()
        self.session, self.steps = session, steps
        self.example, self.average = example, average
        rows = [row for row in self.state["history"] if self._is_kept(row["epoch"])]
        self.best = max(rows, key=_quality, default=None)

    @property
    def state(self):
        return self.session.state

    def on_epoch_begin(self, epoch, logs=None):
        # What an epoch that was broken off had measured so far.
        measured = self.state.pop("metrics", None)
        if measured is None:
            return
        if len(self.model.metrics_variables) < len(measured):
            # On one device Keras makes the metrics' variables with the first batch.
            self.model.test_on_batch(*self.example)
        for variable, value in zip(self.model.metrics_variables, measured, strict=True):
            variable.assign(np.array(value, variable.dtype))

    def on_train_batch_end(self, batch, logs=None):
        self.state["step"] += 1
        step = self.state["step"]
        # The last step's checkpoint is that of the epoch, with its validation.
        interval = self.session.save_steps
        if not interval or step % interval or step == self.steps:
            return
        # Reading a metric takes part of every worker.
        metrics = [np.asarray(variable).tolist() for variable in self.model.metrics_variables]
        self._check_weights(step, self.state["epoch"] + 1)
        self._save({**self.state, "metrics": metrics})

    def on_epoch_end(self, epoch, logs=None):
        # The rate with which the next epoch begins; some of Keras' callbacks log another.
        rate = {"learning_rate": float(self.model.optimizer.learning_rate)}
        figures = {name: float(value) for name, value in (logs or {}).items()}
        row = {"epoch": epoch + 1, **rate, **figures, **rate}
        self.state.update(epoch=epoch + 1, step=0, history=[*self.state["history"], row])
        last = epoch + 1 == self.session.recipe.epochs or self.model.stop_training
        if not last and not self._is_kept(epoch + 1):
            return
        self._check_weights(self.steps, epoch + 1)
        # Before the state says that the epoch is done: a kill in between repeats the epoch.
        is_best = "val_accuracy" in row and (
            self.best is None or _quality(row) > _quality(self.best)
        )
        if is_best:
            self.best = row
        # Averages, and a network of which only a part is fitted, are no state file.
        apart = self.average is not None or self.session.network is not self.model
        if is_best and apart:
            self._save_best()
        self._save(self.state, is_best and not apart)

    def _is_kept(self, epoch):
        """Whether an epoch, counted from 1, ends in a checkpoint even if it is not the last."""
        return bool(self.session.save_steps) or epoch % self.session.save_every == 0

    def _check_weights(self, step, epoch):
        """Before anything is kept: a step can spoil the weights before a loss shows it."""
        if not all(np.isfinite(weights).all() for weights in self.model.get_weights()):
            what = "The weights are no numbers"
            raise TrainingError(_not_a_number(what, step, epoch, self.session))

    def _save(self, state, is_best=False):
        self.session.keep_quarantine()
        random = random_state(self.model)
        self.session.run.save(self.model, {**state, "random": random}, is_best)

    def _save_best(self):
        if self.average is None:
            return self.session.run.save_best(self.session.network)
        # What was validated are the averages, and the state file has them beside the weights.
        self.average.on_test_begin()
        self.session.run.save_best(self.session.network)
        self.average.on_test_end()


class Unfinished(keras.callbacks.Callback):
    """Keeps the end of a `fit` from putting the moving average in the place of the weights.

    For a `fit` that another one goes on from.
    """

    def on_epoch_end(self, epoch, logs=None):
        self._optimizer.use_ema = False

    def on_train_end(self, logs=None):
        self._optimizer.use_ema = True

    @property
    def _optimizer(self):
        # Under float16 Keras wraps the optimizer into one that scales the loss.
        optimizer = self.model.optimizer
        return getattr(optimizer, "inner_optimizer", optimizer)


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Divides the learning rate by ten on a plateau; its count is part of the run's state."""

    def __init__(self, recipe, state, monitor):
        super().__init__(monitor=monitor, factor=0.1, patience=recipe.patience, verbose=0)
        self.state = state

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.best, self.wait = self.state.get("plateau", (self.best, self.wait))

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor in (logs or {}):  # not every epoch ends in a validation
            super().on_epoch_end(epoch, logs)
        self.state["plateau"] = (float(self.best), int(self.wait))


class EarlyStop(keras.callbacks.Callback):
    """Ends the training when a figure has not fallen for so many epochs."""

    def __init__(self, state, patience, monitor):
        super().__init__()
        self.state, self.patience, self.monitor = state, patience, monitor

    def on_epoch_end(self, epoch, logs=None):
        if is_over([*self.state["history"], logs or {}], self.patience, self.monitor):
            self.model.stop_training = True


def is_over(history, patience, monitor):
    """Whether the best of the epochs was `patience` epochs before the last that was measured."""
    figures = {epoch: row[monitor] for epoch, row in enumerate(history) if monitor in row}
    if not patience or not figures:
        return False
    return max(figures) - min(figures, key=lambda epoch: (figures[epoch], epoch)) >= patience


class StopOnNaN(keras.callbacks.Callback):
    """Ends the training in a sentence as soon as the loss is not a number."""

    def __init__(self, session):
        super().__init__()
        self.session = session

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            state, what = self.session.state, f"The loss became {loss}"
            place = state["step"] + 1, state["epoch"] + 1
            raise TrainingError(_not_a_number(what, *place, self.session))


def random_state(model):
    """States of the model's random generators, which weight files leave out: `[[int, …], …]`."""
    return [np.asarray(variable).tolist() for variable in _random_variables(model)]


def restore_random_state(model, states):
    for variable, state in zip(_random_variables(model), states, strict=True):
        variable.assign(np.array(state, variable.dtype))


def _random_variables(model):
    known = {id(variable) for variable in (*model.weights, *model.metrics_variables)}
    return [variable for variable in model.variables if id(variable) not in known]


def _not_a_number(what, step, epoch, session):
    """The sentence for weights or a loss of a step, both counted from 1."""
    run, kept = session.run, session.run.state()
    remedy = _remedy(session.network.dtype_policy.name)
    where = f"{what} at step {step} of epoch {epoch}: {remedy}."
    if not kept:
        return where
    place = f"epoch {kept['epoch']}"
    if kept["step"]:
        place = f"step {kept['step']} of epoch {kept['epoch'] + 1}"
    return f"{where} The last good checkpoint, of {place}, is kept in {run.folder}."


def _remedy(precision):
    """What to try where numbers end; half precision has fewer of them."""
    if precision in ("float32", "float64"):
        return "try a lower learning rate"
    others = "float32"
    if precision == "mixed_float16":
        others = "mixed_bfloat16, which has the range of float32, or float32"
    return f"try a lower learning rate, or instead of {precision} the precision {others}"


def _quality(row):
    return (row.get("val_accuracy", -1.0), -row.get("val_loss", math.inf))
