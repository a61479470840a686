"""`Session`: a training under way in a run folder: its lock, state, checkpoints and fit."""

import contextlib
import importlib.util
import math

import keras
import numpy as np

from keras_stc import distribute
from keras_stc.checks import positive_integer
from keras_stc.data import Quarantine, find_video_error
from keras_stc.data.clips.quarantine import saved_reasons
from keras_stc.models.first_step import announce_first_step
from keras_stc.models.recompute import recomputing
from keras_stc.runs import Follower, Run
from keras_stc.training.callbacks import (
    Checkpoint,
    EarlyStop,
    Plateau,
    StopOnNaN,
    Unfinished,
    is_over,
    random_state,
    restore_random_state,
)
from keras_stc.training.freeze import frozen
from keras_stc.training.upgrade import upgraded

#: An epoch has at least this many clips: small sets are gone through several times in one.
MIN_EPOCH_CLIPS = 64


class Session:
    """A training under way in a run folder, from wherever the run is to its end.

    Inside the block the folder belongs to this process, what the recipe freezes is frozen, and
    batch normalisation is synchronised. Of several workers all enter it, and only the first one
    writes: the others hold a `Follower`.

    Example:

    ```python
    with Session(model, recipe, "runs/a", videos) as session:
        clips = functools.partial(
            keras_stc.data.clip_dataset, videos, batch_size=session.part, **session.settings
        )
        session.fit(clips, example=two_clips_and_labels, loss="sparse_categorical_crossentropy")
    history = session.finish(session.run.model_path)
    ```

    Args:
        model: What is fitted, built in the scope of the strategy.
        recipe: A `Recipe`.
        out: Path of the run folder.
        videos: `VideoSet` to train on.
        validation: `VideoSet` to validate on, or `None`.
        seed: Of the order, the clips and the crops.
        data: What `config.json` is to say of the data's origin.
        network: The `VideoModel` that stays when it is done, part of `model`; by default `model`.
        about: What else `config.json` is to say; a run of another one is not gone on with.
        save_every: Epochs from one checkpoint to the next.
        save_steps: Steps from one to the next within an epoch, or `None`.
        verbose: As `keras.Model.fit`; of the first worker.
        validation_freq: Epochs from one validation to the next; the last epoch always has one.
        tensorboard: Whether to write logs for TensorBoard into the folder.

    Attributes:
        run: The `Run`, or a `Follower`.
        state: Where the run is: `epoch` and `step` done, `history`, and what else was kept.
        quarantine: The `Quarantine` of its videos.
        settings: Arguments that every dataset of the run takes.
        batch: Clips in an update: the recipe's, or about as many as there are videos.
        part: Clips that go through the network at once, a part of the batch.
        repeats: How often an epoch goes through the videos.
        validated: The epochs that end in a validation, as `validation_freq` of `keras.Model.fit`.

    Raises:
        ImportError: If TensorBoard is wanted and missing.
        ValueError: If the recipe recomputes units on several devices, or of a network without.
        RunError: If the folder holds another run, or another process has it.
    """

    def __init__(
        self,
        model,
        recipe,
        out,
        videos,
        validation=None,
        *,
        seed=0,
        data=None,
        network=None,
        about=None,
        save_every=1,
        save_steps=None,
        verbose: str | int = "auto",
        tensorboard=False,
        validation_freq=1,
    ):
        if tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise ImportError("Logs for TensorBoard need it installed: pip install tensorboard")
        positive_integer(save_every=save_every, validation_freq=validation_freq)
        if save_steps is not None:
            positive_integer(save_steps=save_steps)
        self.model, self.network, self.recipe = model, network or model, recipe
        if recipe.recompute != "none" and distribute.devices(model) > 1:
            raise ValueError(
                "`recompute` must be 'none' on several devices: divide the batch by "
                f"`accumulation`, or train on one. Received: recompute={recipe.recompute!r}"
            )
        self.save_every, self.save_steps = save_every, save_steps
        self._writes = distribute.share(model)[0] == 0
        self.run = Run(out) if self._writes else Follower(out)
        self.verbose = verbose if self._writes else 0
        self.tensorboard = tensorboard and self._writes
        self._config = {
            "architecture": self.network.architecture,
            "video_config": self.network.video_config.to_dict(),
            "recipe": recipe.to_dict(),
            "seed": seed,
            "data": data,
            "videos": len(videos),
            "validation_videos": None if validation is None else len(validation),
            "validation_freq": validation_freq,
            **(about or {}),
        }
        often = range(validation_freq, recipe.epochs, validation_freq)
        self.validated = [*often, recipe.epochs]
        self._names = {video.name for video in (*videos, *(validation or ()))}
        self._seed = seed
        count, whole_parts = len(videos), distribute.devices(model) * recipe.accumulation
        self.batch = min(recipe.batch_size, count - count % whole_parts)
        self.part = self.batch // recipe.accumulation
        self.repeats = max(1, math.ceil(MIN_EPOCH_CLIPS / count))

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(distribute.connected(self.model))
            held = frozen(self.network, self.recipe.freeze, self.recipe.partial_bn)
            stack.enter_context(held)
            stack.enter_context(recomputing(self.network, self.recipe.recompute))
            stack.enter_context(distribute.synchronized(self.network))
            stack.enter_context(self.run.alone())
            self.run.open(self._config, anew=not self.run.state(), upgrade=upgraded)
            kept = distribute.from_chief(self.model, self.run.state()) or {}
            self.state = {"epoch": 0, "step": 0, "history": [], **kept}
            self.quarantine = Quarantine(reasons=self._put_aside())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    @property
    def settings(self):
        return {
            "seed": self._seed,
            "quarantine": self.quarantine,
            "share": distribute.share(self.model),
        }

    def validation_batches(self, videos):
        """Arguments of a dataset of videos to validate on: several devices need a part of each."""
        devices = distribute.devices(self.model)
        size = min(self.part, len(videos) - len(videos) % devices)
        return {"batch_size": size, "training": False, "drop_remainder": devices > 1}

    def fit(self, clips, validation=None, *, example, loss=None, metrics=None):
        """Trains until the last epoch, from the step where the run is.

        Args:
            clips: Called with `first_batch=` a number: the dataset of an epoch from that batch on,
                with the attributes `batches` and `set_epoch`.
            validation: A dataset, or `None`.
            example: Arguments of `test_on_batch` for two samples, of any values.
            loss: As `keras.Model.compile`.
            metrics: As `keras.Model.compile`; objects are made in the scope of the model.

        Raises:
            TrainingError: If the loss is no longer a number.
            VideoError: If more than half of the videos cannot be read.
        """
        recipe, epoch = self.recipe, clips()
        with distribute.scope(self.model):
            self.model.compile(
                optimizer=recipe.optimizer(epoch.batches, self.batch), loss=loss, metrics=metrics
            )
            self.model.optimizer.build(self.model.trainable_variables)
        self._restore()
        monitor = "val_loss" if validation else "loss"
        average = keras.callbacks.SwapEMAWeights() if recipe.ema else None
        checkpoint = Checkpoint(self, epoch.batches, example, average)
        folder, logs = self.run.folder / "tensorboard", []
        if self.tensorboard:
            logs = [keras.callbacks.TensorBoard(folder, write_graph=False)]
        callbacks = [
            StopOnNaN(self),
            *([average] if average else []),
            *([Plateau(recipe, self.state, monitor)] if recipe.schedule == "plateau" else []),
            EarlyStop(self.state, recipe.early_stop, monitor),
            *logs,
            checkpoint,
        ]
        with self.reading():
            if self.state["step"] and not self._is_done(monitor):
                ending = [Unfinished()] if average else []
                part = clips(first_batch=self.state["step"])
                self._fit(part, validation, self.state["epoch"] + 1, [*callbacks, *ending])
            if not self._is_done(monitor):
                return self._fit(epoch, validation, recipe.epochs, callbacks)
        # Puts the moving average, where there is one, in the place of the weights.
        with distribute.scope(self.model):
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    @contextlib.contextmanager
    def reading(self):
        """A block that reads videos: what they raise is a `VideoError`, bad ones are listed."""
        try:
            yield
        except Exception as error:
            # TensorFlow wraps what the pipeline raised into an error of its own.
            video_error = find_video_error(error)
            if video_error is None:
                raise
            raise video_error from error
        finally:
            self.keep_quarantine()

    def keep_quarantine(self):
        """Writes the list of videos put aside, where there are any."""
        if len(self.quarantine):
            self.run.save_quarantine(self.quarantine)

    def finish(self, path):
        """Writes the network to a `.keras` file, once; called after the block.

        Returns:
            The history: a list with a dictionary of figures for each epoch.
        """
        if not path.exists():
            self.run.save_model(self.network, path)
        return self.state["history"]

    def _fit(self, clips, validation, epochs, callbacks):
        # `fit` looks at one batch before its first epoch, which would count as one.
        begin = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, _: clips.set_epoch(epoch)
        )
        announce_first_step(self.model, self.verbose)
        distribute.fit(
            self.model,
            clips,
            validation,
            epochs=epochs,
            initial_epoch=self.state["epoch"],
            callbacks=[begin, *callbacks],
            verbose=self.verbose,
            validation_freq=self.validated,
        )

    def _is_done(self, monitor):
        recipe, state = self.recipe, self.state
        return state["epoch"] >= recipe.epochs or is_over(
            state["history"], recipe.early_stop, monitor
        )

    def _put_aside(self):
        """`{name: reason}` of the videos that the run has put aside so far.

        Of those that it still has; other workers begin with none and find their own.
        """
        if not self._writes or not self.run.quarantine_path.exists():
            return {}
        if not (self.state["epoch"] or self.state["step"]):
            self.run.quarantine_path.unlink()  # of a run of which nothing else was kept
            return {}
        reasons = saved_reasons(self.run.quarantine_path)
        return {name: reasons[name] for name in reasons if name in self._names}

    def _restore(self):
        """Weights, optimizer and random state of the checkpoint, the first worker's everywhere."""
        if not (self.state["epoch"] or self.state["step"]):
            return
        self.run.restore(self.model, self.state)
        if distribute.share(self.model)[1] > 1:
            for variable in (*self.model.weights, *self.model.optimizer.variables):
                variable.assign(distribute.from_chief(self.model, np.asarray(variable)))
        restore_random_state(self.model, self.state.get("random", random_state(self.model)))
