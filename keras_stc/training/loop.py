"""`train`: a classifier on labelled videos, in a run folder that a killed training resumes from."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_stc import distribute
from keras_stc.data import clip_dataset
from keras_stc.models.classifier import ends_in_softmax
from keras_stc.training.features import FeatureBatches, cached_features, clips_key, split
from keras_stc.training.fits import check_batches, check_precision, check_unused
from keras_stc.training.session import Session

if TYPE_CHECKING:
    from keras_stc.data.sets.video import VideoSet
    from keras_stc.training.recipe import Recipe


def train(
    model: keras.Model,
    videos: VideoSet,
    recipe: Recipe,
    out: str | os.PathLike[str],
    validation: VideoSet | None = None,
    seed: int = 0,
    data: Any = None,
    verbose: str | int = "auto",
    save_every: int = 1,
    save_steps: int | None = None,
    tensorboard: bool = False,
    validation_freq: int = 1,
) -> list[dict[str, Any]]:
    """Trains a model on videos; run again with the same arguments, it goes on where it was.

    A checkpoint holds weights, optimizer, history, random state and the place in the data. The
    clips of a step depend on the seed, the epoch and the step alone, so a resumed run sees what an
    uninterrupted one sees.

    A model that was built in the scope of `keras_stc.distribute.strategy()` trains on all devices
    and workers: the recipe's batch is divided among them, batch normalisation sees all of it, and
    only the first worker writes. The run is the same as on one device.

    Example:

    ```python
    videos = keras_stc.data.VideoFolder("videos")
    with keras_stc.distribute.strategy().scope():
        model = keras_stc.STCResNet18(classes=len(videos.class_names))
    keras_stc.training.train(model, videos, keras_stc.training.RECIPES["default"], out="runs/a")
    ```

    Args:
        model: A `keras_stc.VideoModel` with softmax outputs; it carries the clip's shape. Its
            `video_config` gets the names of the videos' classes, which `predict_video` then says.
        videos: `keras_stc.data.VideoSet` with labels.
        recipe: A `Recipe`.
        out: Path of the run folder.
        validation: Another `VideoSet` with the same classes, or `None`.
        seed: Of the order, the clips and the crops.
        data: What the run's `config.json` is to say of the data's origin.
        verbose: As `keras.Model.fit`.
        save_every: Epochs from one checkpoint to the next. The last epoch always ends in one.
        save_steps: Steps from one checkpoint to the next within an epoch, or `None` for none: what
            a kill costs at most.
        tensorboard: Whether to write logs for TensorBoard, which has to be installed, into the
            folder.
        validation_freq: Epochs from one validation to the next. The last epoch always has one.

    Returns:
        The history: a list with a dictionary of figures for each epoch.

    Raises:
        ValueError: If the recipe does not fit the model or the devices.
        RunError: If the folder holds another run, or cannot be written any more.
        TrainingError: If the loss is no longer a number.
        DistributionError: If another worker is lost.
        VideoError: If more than half of the videos cannot be read.
    """
    _check_model(model, recipe)
    check_batches(model, recipe, videos, validation)
    _check_validation(model, validation)
    model.video_config = model.video_config.replace(class_names=videos.class_names)
    keeps_features = recipe.feature_passes and distribute.devices(model) == 1
    divided = split(model, recipe.freeze) if keeps_features else None
    if divided:
        check_unused(recipe, " where features are kept", recompute="none")
    session = Session(
        *(divided.head if divided else model, recipe, out, videos, validation),
        network=model,
        seed=seed,
        data=data,
        verbose=verbose,
        save_every=save_every,
        save_steps=save_steps,
        validation_freq=validation_freq,
        tensorboard=tensorboard,
    )
    with session:
        clips = functools.partial(
            clip_dataset,
            videos,
            training=True,
            video_config=model.video_config,
            batch_size=session.part,
            flip=recipe.flip,
            multiscale=recipe.multiscale,
            **session.settings,
        )
        if divided:
            batches = _feature_batches(session, divided.trunk, clips, videos, validation)
        else:
            batches = (
                # A last batch of one or two clips has BN statistics of no use.
                functools.partial(clips, clips_per_video=session.repeats, drop_remainder=True),
                _validation_clips(session, validation),
            )
        with distribute.scope(session.model):
            loss = recipe.loss(videos.labels, len(videos.class_names))
            accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        shape = (2, *session.model.input_shape[1:])
        session.fit(
            *batches,
            example=(np.zeros(shape, "float32"), np.zeros(2, "int32")),
            loss=loss,
            metrics=[accuracy],
        )
    return session.finish(session.run.model_path)


def _feature_batches(session, trunk, clips, videos, validation):
    """The training and validation batches of `Session.fit`, of features that are kept."""
    recipe, config = session.recipe, session.network.video_config
    settings = {
        "flip": recipe.flip,
        "multiscale": recipe.multiscale,
        "seed": session.settings["seed"],
    }
    features = functools.partial(
        cached_features, session.run.folder / "features", verbose=session.verbose
    )
    with session.reading():
        trained = features(
            "train",
            trunk,
            functools.partial(clips, shuffle=False),
            recipe.feature_passes,
            clips_key(videos, config, **settings),
        )
        validated = None
        if validation is not None:
            validated = features(
                "validation",
                trunk,
                functools.partial(_validation_clips, session, validation),
                1,
                clips_key(validation, config),
            )
    batch = {"batch_size": session.part}
    return (
        functools.partial(
            FeatureBatches,
            *trained,
            **batch,
            seed=settings["seed"],
            repeats=session.repeats,
        ),
        validated and FeatureBatches(*validated, **batch),
    )


def _check_model(model, recipe):
    if not ends_in_softmax(model):
        raise ValueError(
            "`model` must end in softmax, since its loss is of probabilities: build it with "
            "classifier_activation='softmax'. Received: a model that ends in logits"
        )
    check_precision(model, recipe)


def _check_validation(model, validation):
    devices = distribute.devices(model)
    if keras.backend.backend() == "jax" and validation is not None and len(validation) % devices:
        raise ValueError(
            f"`validation` must divide evenly among {devices} devices with JAX: hold out another "
            f"number of videos, or set KERAS_BACKEND=tensorflow. Received: {len(validation)}"
        )
    for video in validation or ():
        if video.label is None:
            raise ValueError(
                "`validation` must be videos with labels, since what is measured on them chooses "
                f"the best epoch. Received: {video.name} without one"
            )


def _validation_clips(session, validation, **place):
    if validation is None:
        return None
    size, devices = session.part, distribute.devices(session.model)
    # A last batch that every device has a part of.
    while 0 < len(validation) % size < devices:
        size += devices
    config = session.network.video_config
    return clip_dataset(
        validation, video_config=config, batch_size=size, **session.settings, **place
    )
