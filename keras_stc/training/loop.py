"""A training run: data, model, recipe and a folder that survives a kill."""

import math

import keras

from keras_stc.data import Quarantine, clip_dataset, find_video_error
from keras_stc.training.run import Run

#: An epoch has at least this many clips: small sets are gone through several times in one.
MIN_EPOCH_CLIPS = 64


class TrainingError(RuntimeError):
    """One sentence about a training that cannot go on."""


def train(
    model, videos, recipe, out, validation=None, seed=0, data=None, verbose="auto", save_every=1
):
    """Trains a model on videos; run again with the same arguments, it goes on where it was.

    Epochs end in a checkpoint of weights, optimizer and history. The clips of an epoch
    depend on the seed and the epoch alone, so a resumed run sees what an uninterrupted one sees.

    Example:

    ```python
    videos = keras_stc.data.VideoFolder("videos")
    model = keras_stc.STCResNet18(classes=len(videos.class_names))
    keras_stc.training.train(model, videos, keras_stc.training.RECIPES["default"], out="runs/a")
    ```

    Args:
        model: A `keras_stc.VideoModel` with softmax outputs; it carries the clip's shape.
        videos: `keras_stc.data.VideoSet` with labels.
        recipe: A `Recipe`.
        out: Path of the run folder.
        validation: Another `VideoSet` with the same classes, or `None`.
        seed: Of the order, the clips and the crops.
        data: What the run's `config.json` is to say of the data's origin.
        verbose: As `keras.Model.fit`.
        save_every: Epochs from one checkpoint to the next; what a kill costs at most. The last
            epoch always ends in one.

    Returns:
        The history: a list with a dictionary of figures for each epoch.

    Raises:
        RunError: If the folder holds another run.
        TrainingError: If the loss is no longer a number.
        VideoError: If more than half of the videos cannot be read.
    """
    model.video_config = model.video_config.replace(class_names=videos.class_names)
    run = Run(out)
    run.open(
        {
            "architecture": model.architecture,
            "video_config": model.video_config.to_dict(),
            "recipe": recipe.to_dict(),
            "seed": seed,
            "data": data,
            "videos": len(videos),
            "validation_videos": None if validation is None else len(validation),
        }
    )
    state = run.state() or {"epoch": 0, "history": []}
    batch_size = min(recipe.batch_size, len(videos))
    quarantine = Quarantine()
    settings = {"batch_size": batch_size, "seed": seed, "quarantine": quarantine}
    train_clips = _training_clips(model, videos, recipe, state["epoch"], settings)
    valid_clips = None
    if validation is not None:
        valid_clips = clip_dataset(validation, video_config=model.video_config, **settings)

    steps = int(train_clips.cardinality())
    model.compile(
        optimizer=recipe.optimizer(steps),
        loss=recipe.loss(len(videos.class_names)),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    model.optimizer.build(model.trainable_variables)
    if state["epoch"]:
        run.restore(model, state)
    callbacks = [
        # `fit` looks at one batch before its first epoch, which would count as one.
        keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, _: train_clips.set_epoch(epoch)
        ),
        StopOnNaN(run),
        Checkpoint(run, state, save_every, recipe.epochs),
    ]
    if recipe.schedule == "plateau":
        callbacks.insert(2, Plateau(recipe, state, monitor="val_loss" if valid_clips else "loss"))
    if state["epoch"] < recipe.epochs:
        try:
            model.fit(
                train_clips,
                validation_data=valid_clips,
                epochs=recipe.epochs,
                initial_epoch=state["epoch"],
                callbacks=callbacks,
                shuffle=False,
                verbose=verbose,
            )
        except Exception as error:
            # TensorFlow wraps what the pipeline raised into an error of its own.
            video_error = find_video_error(error)
            if video_error is None:
                raise
            raise video_error from error
    if not run.model_path.exists():
        run.save_model(model, run.model_path)
    if len(quarantine):
        quarantine.save(run.quarantine_path)
    return state["history"]


class Checkpoint(keras.callbacks.Callback):
    """Keeps the run's state every so many epochs, and the best of those kept."""

    def __init__(self, run, state, every, last):
        super().__init__()
        self.run, self.state = run, state
        self.every, self.last = every, last
        self.best = max(state["history"], key=_quality, default=None)

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, "learning_rate": float(self.model.optimizer.learning_rate)}
        row.update({name: float(value) for name, value in (logs or {}).items()})
        self.state.update(epoch=epoch + 1, history=[*self.state["history"], row])
        if (epoch + 1) % self.every and epoch + 1 != self.last:
            return
        self.run.save(self.model, self.state)
        if "val_accuracy" in row and (self.best is None or _quality(row) > _quality(self.best)):
            self.best = row
            self.run.mark_best(self.state)


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Divides the learning rate by ten on a plateau; its count is part of the run's state."""

    def __init__(self, recipe, state, monitor):
        super().__init__(monitor=monitor, factor=0.1, patience=recipe.patience, verbose=0)
        self.state = state

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.best, self.wait = self.state.get("plateau", (self.best, self.wait))

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.state["plateau"] = (float(self.best), int(self.wait))


class StopOnNaN(keras.callbacks.Callback):
    """Ends the training in a sentence as soon as the loss is not a number."""

    def __init__(self, run):
        super().__init__()
        self.run = run
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            kept = self.epoch - 1
            raise TrainingError(
                f"The loss became {loss} in step {batch + 1} of epoch {self.epoch}: try a lower "
                f"learning rate. The last good checkpoint, of epoch {kept}, is kept in "
                f"{self.run.folder}."
                if kept
                else f"The loss became {loss} in step {batch + 1} of the first epoch: try a lower "
                "learning rate."
            )


def _training_clips(model, videos, recipe, first_epoch, settings):
    return clip_dataset(
        videos,
        training=True,
        video_config=model.video_config,
        flip=recipe.flip,
        multiscale=recipe.multiscale,
        clips_per_video=max(1, math.ceil(MIN_EPOCH_CLIPS / len(videos))),
        first_epoch=first_epoch,
        # A last batch of one or two clips has BN statistics of no use.
        drop_remainder=True,
        **settings,
    )


def _quality(row):
    return (row.get("val_accuracy", -1.0), -row.get("val_loss", math.inf))
