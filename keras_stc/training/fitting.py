"""Epochs from wherever a run is to its end: what every training in a run folder has in common."""

import math

import keras
import numpy as np

from keras_stc import distribute
from keras_stc.data import Quarantine, find_video_error
from keras_stc.data.clips.quarantine import saved_reasons
from keras_stc.training.callbacks import (
    Checkpoint,
    StopOnNaN,
    Unfinished,
    random_state,
    restore_random_state,
)

#: An epoch has at least this many clips: small sets are gone through several times in one.
MIN_EPOCH_CLIPS = 64


def describe(network, recipe, videos, validation, seed, data):
    """What the `config.json` of every run says; of `network`, which stays when it is done."""
    return {
        "architecture": network.architecture,
        "video_config": network.video_config.to_dict(),
        "recipe": recipe.to_dict(),
        "seed": seed,
        "data": data,
        "videos": len(videos),
        "validation_videos": None if validation is None else len(validation),
    }


def batch_size(model, recipe, videos):
    """Clips in an update: the recipe's, or about as many as there are videos."""
    videos = len(videos)
    return min(
        recipe.batch_size, videos - videos % (distribute.devices(model) * recipe.accumulation)
    )


def clips_per_video(videos):
    """How often an epoch goes through the videos."""
    return max(1, math.ceil(MIN_EPOCH_CLIPS / len(videos)))


def run_state(model, run, chief):
    """Where a run is, on every worker: `epoch`, `step`, `history` and what else was kept."""
    state = distribute.from_chief(model, run.state() if chief else None)
    return {"epoch": 0, "step": 0, "history": [], **(state or {})}


def run_quarantine(run, state, chief, videos):
    """A `Quarantine` with the videos that a run has put aside so far.

    Args:
        run: A `Run`.
        state: Of `run_state`.
        videos: All videos of the run; others, as they were called when it began, do not count.
        chief: Whether this process is the first worker; the lists of others are not kept.
    """
    if not chief or not run.quarantine_path.exists():
        return Quarantine()
    if state["epoch"] or state["step"]:
        reasons, names = saved_reasons(run.quarantine_path), {video.name for video in videos}
        return Quarantine(reasons={name: reasons[name] for name in reasons if name in names})
    run.quarantine_path.unlink()  # of a run of which nothing else was kept
    return Quarantine()


def restore(model, run, state, chief):
    """Weights, optimizer and random state of the checkpoint, the first worker's on every worker.

    Args:
        model: A compiled model with a built optimizer.
        run: A `Run`.
        state: Of `run_state`; of a run without a checkpoint, nothing happens.
        chief: Whether this process is the first worker.
    """
    if not (state["epoch"] or state["step"]):
        return
    if chief:
        run.restore(model, state)
    if distribute.share(model)[1] > 1:
        for variable in (*model.weights, *model.optimizer.variables):
            variable.assign(distribute.from_chief(model, np.asarray(variable)))
    restore_random_state(model, state.get("random", random_state(model)))


def fit_run(
    model,
    run,
    state,
    whole,
    rest,
    validation,
    *,
    epochs,
    chief=True,
    example,
    quarantine,
    callbacks=(),
    average=None,
    stopped=lambda: False,
    save_every=1,
    save_steps=None,
    verbose="auto",
):
    """Trains a compiled model until its last epoch, from the step where the run is.

    Args:
        model: The model; what `restore` loads is loaded.
        run: A `Run`.
        state: Of `run_state`; kept up to date here.
        whole: The dataset of an epoch, with the attributes `batches` and `set_epoch`.
        rest: Called with the number of a batch: the dataset of an epoch from that batch on.
        validation: A dataset, or `None`.
        epochs: Of the whole training.
        chief: Whether this process is the first worker, which writes.
        example: Arguments of `test_on_batch` for two samples, of any values.
        quarantine: Of the datasets; the first worker's is kept in the run folder.
        callbacks: Further callbacks; those that end the training come before the checkpoint.
        average: The `Average` callback, or `None`.
        stopped: Whether the training is over before its last epoch.
        save_every: Epochs from one checkpoint to the next.
        save_steps: Steps from one to the next within an epoch, or `None`.
        verbose: As `keras.Model.fit`; the first worker's.

    Raises:
        TrainingError: If the loss is no longer a number.
        VideoError: If more than half of the videos cannot be read.
    """

    def is_done():
        return stopped() or state["epoch"] >= epochs

    def fit(data, epochs, *more):
        # `fit` looks at one batch before its first epoch, which would count as one.
        begin = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, _: data.set_epoch(epoch)
        )
        distribute.fit(
            model,
            data,
            validation,
            epochs=epochs,
            initial_epoch=state["epoch"],
            callbacks=[begin, *callbacks, checkpoint, *more],
            verbose=verbose if chief else 0,
        )

    checkpoint = Checkpoint(
        run if chief else None,
        state,
        save_every,
        save_steps,
        epochs,
        whole.batches,
        example,
        average,
        quarantine,
    )
    callbacks = [StopOnNaN(run, state), *([average] if average else []), *callbacks]
    try:
        if state["step"] and not is_done():
            fit(rest(state["step"]), state["epoch"] + 1, *([Unfinished()] if average else []))
        if not is_done():
            return fit(whole, epochs)
    except Exception as error:
        # TensorFlow wraps what the pipeline raised into an error of its own.
        video_error = find_video_error(error)
        if video_error is None:
            raise
        raise video_error from error
    finally:
        checkpoint.keep_quarantine()
    # Puts the moving average, where there is one, in the place of the weights.
    with distribute.scope(model):
        model.optimizer.finalize_variable_values(model.trainable_variables)
