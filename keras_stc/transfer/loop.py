"""`train_transfer`: a transfer in a run folder that a killed one resumes from."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_stc import distribute
from keras_stc.models import VideoModel
from keras_stc.training import TrainingError
from keras_stc.training.session import Session
from keras_stc.transfer.dataset import pair_dataset
from keras_stc.transfer.pairs import ONE_VIDEO

if TYPE_CHECKING:
    from keras_stc.data.sets.video import VideoSet
    from keras_stc.training.recipe import Recipe
    from keras_stc.transfer.model import CorrespondenceTransfer


def train_transfer(
    transfer: CorrespondenceTransfer,
    videos: VideoSet,
    recipe: Recipe,
    out: str | os.PathLike[str],
    validation: VideoSet | None = None,
    seed: int = 0,
    frame_size: int = 224,
    data: Any = None,
    verbose: str | int = "auto",
    save_every: int = 1,
    save_steps: int | None = None,
) -> list[dict[str, Any]]:
    """Trains a student on videos; run again with the same arguments, it goes on where it was.

    Epochs end in a checkpoint of student, heads, optimizer and history; the teacher is not in it,
    only its fingerprint in `config.json`, and another teacher is refused. In the end the student
    alone stays, as `student.keras`.

    A model made by `create_transfer`, or in the scope of `keras_stc.distribute.strategy()`, trains
    on all devices and workers, as in `keras_stc.training.train`; negative pairs are made within the
    part of a device, and where parts are even they are the pairs of one device.

    Example:

    ```python
    videos = keras_stc.data.open_unlabelled("videos")
    train_transfer(transfer, videos, RECIPES["default"], out="runs/t")
    # then: keras-stc train DATA --model stc_resnet18 --weights runs/t
    ```

    Args:
        transfer: A `CorrespondenceTransfer` whose student is a `keras_stc.VideoModel`.
        videos: `keras_stc.data.VideoSet`; labels are not looked at.
        recipe: A `Recipe`, such as those of `keras_stc.transfer.RECIPES`.
        out: Path of the run folder.
        validation: Another `VideoSet`, of other videos, or `None`.
        seed: Of the order, the clips and the crops.
        frame_size: Side of the teacher's frames in pixels.
        data: What the run's `config.json` is to say of the data's origin.
        verbose: As `keras.Model.fit`.
        save_every: Epochs from one checkpoint to the next.
        save_steps: Steps from one checkpoint to the next within an epoch, or `None` for none.

    Returns:
        The history: a list with a dictionary of figures for each epoch.

    Raises:
        ValueError: If a batch has not two videos for every part of it.
        RunError: If the folder holds another run.
        TrainingError: If the loss is no longer a number.
        VideoError: If there are fewer than two videos, or more than half of them cannot be read.
    """
    _check_networks(transfer, frame_size)
    _check_recipe(transfer, recipe, videos, validation)
    student, teacher = transfer.student, transfer.teacher
    session = Session(
        *(transfer, recipe, out, videos, validation),
        network=student,
        seed=seed,
        data=data,
        about={
            "teacher": {
                "name": teacher.model.name,
                "weights": teacher.fingerprint(),
                "frame_size": frame_size,
            }
        },
        verbose=verbose,
        save_every=save_every,
        save_steps=save_steps,
    )
    with session, _pairs_needed():
        dataset = functools.partial(
            pair_dataset,
            video_config=student.video_config,
            frame_size=frame_size,
            **session.settings,
        )
        pairs = functools.partial(
            dataset,
            videos,
            batch_size=session.part,
            flip=recipe.flip,
            multiscale=recipe.multiscale,
            clips_per_video=session.repeats,
            drop_remainder=True,
        )
        session.fit(
            pairs,
            _validation_pairs(session, validation, dataset),
            example=(_example(pairs().element_spec),),
        )
    return session.finish(session.run.student_path)


def _validation_pairs(session, validation, dataset):
    if validation is None:
        return None
    devices = distribute.devices(session.model)
    return dataset(
        validation,
        batch_size=min(session.part, len(validation) - len(validation) % devices),
        training=False,
        # Several devices need a part of every batch, of two videos at least.
        drop_remainder=devices > 1,
    )


def _example(spec):
    """Two pairs of two videos."""
    example = {
        name: np.zeros((2, *part.shape[1:]), keras.backend.standardize_dtype(part.dtype))
        for name, part in spec.items()
    }
    return {**example, "video": np.arange(2, dtype="int32")}


@contextlib.contextmanager
def _pairs_needed():
    """Turns what a device says of a batch of one video into a `TrainingError`."""
    try:
        yield
    except Exception as error:  # As a device raises it, of many types.
        if ONE_VIDEO not in str(error):
            raise
        raise TrainingError(
            f"{ONE_VIDEO}: give more videos, or larger batches to fewer devices."
        ) from error


def _check_networks(transfer, frame_size):
    """The student can be kept, and the teacher can see frames of this size."""
    if not isinstance(transfer.student, VideoModel):
        raise ValueError(
            "`transfer` must have a keras_stc.VideoModel as its student, which says how to feed "
            f"it. Received: a {type(transfer.student).__name__}"
        )
    teacher = transfer.teacher.model
    try:
        teacher.compute_output_shape((1, frame_size, frame_size, 3))
    except ValueError as error:
        raise ValueError(
            f"`frame_size` must be a size that the teacher {teacher.name} can see: its last layers "
            f"have nothing left of smaller frames. Received: frame_size={frame_size}"
        ) from error


def _check_recipe(transfer, recipe, videos, validation):
    """Every part of a batch has to hold two videos; what they show is not asked."""
    for name, none in (("label_smoothing", 0.0), ("class_weights", "none")):
        if getattr(recipe, name) != none:
            raise ValueError(
                f"`{name}` must be {none!r}, since a transfer looks at no labels. "
                f"Received: {name}={getattr(recipe, name)!r}"
            )
    devices = distribute.devices(transfer)
    parts = devices * recipe.accumulation
    if recipe.batch_size % parts or recipe.batch_size < 2 * parts:
        raise ValueError(
            f"`batch_size` must divide evenly into {parts} parts of at least two videos, one for "
            f"each of {devices} devices and {recipe.accumulation} steps of accumulation. "
            f"Received: batch_size={recipe.batch_size}"
        )
    for name, given, least in (("videos", videos, parts), ("validation", validation, devices)):
        if given is not None and len(given) < 2 * least:
            raise ValueError(
                f"`{name}` must be at least {2 * least} videos, two for each part of a batch. "
                f"Received: {len(given)}"
            )
