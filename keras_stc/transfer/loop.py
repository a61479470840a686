"""`train_transfer`: a transfer in a run folder that a killed one resumes from."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_stc.training import TrainingError
from keras_stc.training.fits import check_batches, check_precision, check_student, check_unused
from keras_stc.training.session import Session
from keras_stc.transfer.answers import answers_of_run, check_windows
from keras_stc.transfer.dataset import config_of_frames, pair_dataset
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
    windows: int = 0,
    validation_freq: int = 1,
) -> list[dict[str, Any]]:
    """Trains a student on videos; run again with the same arguments, it goes on where it was.

    Epochs end in a checkpoint of student, heads, optimizer and history; the teacher is not in it,
    only its fingerprint in `config.json`, and another teacher is refused. In the end the student
    alone stays, as `student.keras`.

    With `windows`, the teacher is asked once, of the frames of so many clips of every video, before
    the first epoch; what it says is kept in `out/answers`, and the student's clip goes with the
    nearest of them, whatever its own crop and mirroring are. Without, as in the paper, it sees the
    very frames and crop that the student sees, in every step, which costs a pass of it.

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
        validation: Another `VideoSet`, of other videos, or `None`.
        frame_size: Side of the teacher's frames in pixels.
        windows: Clips of every video that the teacher is asked of; 0 for those of every step.

    The other arguments are those of `keras_stc.training.train`.

    Returns:
        The history: a list with a dictionary of figures for each epoch.

    Raises:
        ValueError: If a batch has not two videos for every part of it.
        RunError: If the folder holds another run.
        TrainingError: If the loss is no longer a number.
        VideoError: If there are fewer than two videos, or more than half of them cannot be read.
    """
    student, teacher = transfer.student, transfer.teacher
    check_student(transfer=transfer)
    teacher.check_frame_size(frame_size)
    why = ", since a transfer looks at no labels"
    check_precision(student, recipe, "The student", "student")
    check_unused(recipe, why, label_smoothing=0.0, class_weights="none")
    check_unused(recipe, " in a transfer", feature_passes=0)
    check_batches(transfer, recipe, videos, validation, fewest=2)
    check_windows(transfer, windows)
    config = student.video_config
    shown = config_of_frames(config, frame_size)
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
                "windows": windows,
            }
        },
        verbose=verbose,
        save_every=save_every,
        save_steps=save_steps,
        validation_freq=validation_freq,
    )
    with session, _pairs_needed():

        def dataset(videos, name):
            return functools.partial(
                pair_dataset,
                videos,
                video_config=config,
                frame_size=frame_size,
                answers=answers_of_run(session, teacher, videos, name, windows, shown),
                **session.settings,
            )

        pairs = functools.partial(
            dataset(videos, "train"),
            batch_size=session.part,
            flip=recipe.flip,
            multiscale=recipe.multiscale,
            clips_per_video=session.repeats,
            drop_remainder=True,
        )
        session.fit(
            pairs,
            validation
            and dataset(validation, "validation")(**session.validation_batches(validation)),
            example=(_example(pairs().element_spec),),
        )
    return session.finish(session.run.student_path)


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
