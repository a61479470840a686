"""`train_distillation`: a distillation in a run folder that a killed one resumes from."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_stc.checks import wrong
from keras_stc.training.fits import check_batches, check_precision, check_student, check_unused
from keras_stc.training.session import Session
from keras_stc.transfer.answers import answers_of_run, check_windows
from keras_stc.transfer.distillation_dataset import distillation_dataset

if TYPE_CHECKING:
    from keras_stc.data.sets.video import VideoSet
    from keras_stc.training.recipe import Recipe
    from keras_stc.transfer.distillation import Distillation


def train_distillation(
    distillation: Distillation,
    videos: VideoSet,
    recipe: Recipe,
    out: str | os.PathLike[str],
    validation: VideoSet | None = None,
    windows: int = 4,
    seed: int = 0,
    data: Any = None,
    verbose: str | int = "auto",
    save_every: int = 1,
    save_steps: int | None = None,
    validation_freq: int = 1,
    frame_size: int = 224,
) -> list[dict[str, Any]]:
    """Trains a student on what its teacher says; run again with the same arguments, it goes on.

    With `windows`, the teacher is asked once, of so many clips of every video, before the first
    epoch; what it says is kept in `out/answers`, and the student learns in each step from the
    nearest one. Without, it sees the very clip and crop that the student sees, in every step, which
    is the better lesson (Beyer et al. 2022, arXiv 2106.05237) and costs a pass of the teacher.

    Epochs end in a checkpoint of student, projection, optimizer and history; the teacher is not in
    it, only its fingerprint in `config.json`, and another teacher is refused. In the end the
    student stays, as `model.keras`, or without a classifier as `student.keras`.

    Example:

    ```python
    videos = keras_stc.data.open_unlabelled("videos")
    train_distillation(distillation, videos, RECIPES["default"], out="runs/d")
    # then: keras-stc predict x.mp4 --model runs/d
    ```

    Args:
        distillation: A `Distillation` whose student is a `keras_stc.VideoModel`.
        videos: `keras_stc.data.VideoSet`, with labels where they count.
        recipe: A `keras_stc.training.Recipe`.
        validation: Another `VideoSet`, of other videos, or `None`.
        windows: Clips of every video that the teacher is asked of; 0 for those of every step.
        frame_size: Shorter side in pixels of the frames of a `FrameTeacher`, which sees those of
            the student's clips.

    The other arguments are those of `keras_stc.training.train`.

    Returns:
        The history: a list with a dictionary of figures for each epoch.

    Raises:
        ValueError: If the recipe or its batches do not fit, or labels are to count and there are
            none.
        RunError: If the folder holds another run.
        TrainingError: If the loss is no longer a number.
        VideoError: If there are no videos, or more than half of them cannot be read.
    """
    student, teacher = distillation.student, distillation.teacher
    check_student(distillation=distillation)
    teacher_config = distillation.config_of_teacher(frame_size)
    _check(distillation, teacher_config, recipe, videos, windows)
    check_batches(distillation, recipe, videos, validation)
    session = Session(
        *(distillation, recipe, out, videos, validation),
        network=student,
        seed=seed,
        data=data,
        about={
            "teacher": {
                "name": teacher.model.name,
                "weights": teacher.fingerprint(),
                "video_config": teacher_config.to_dict(),
            },
            "distillation": {
                "temperature": distillation.temperature,
                "label_weight": distillation.label_weight,
                "feature_weight": distillation.feature_weight,
                "windows": windows,
            },
        },
        verbose=verbose,
        save_every=save_every,
        save_steps=save_steps,
        validation_freq=validation_freq,
    )
    with session:

        def dataset(videos, name, **options):
            answers = answers_of_run(session, teacher, videos, name, windows, teacher_config)
            return functools.partial(
                distillation_dataset,
                *(videos, student.video_config, teacher_config, answers),
                **session.settings,
                **options,
            )

        clips = dataset(
            videos,
            "train",
            batch_size=session.part,
            flip=recipe.flip,
            multiscale=recipe.multiscale,
            clips_per_video=session.repeats,
            drop_remainder=True,
        )
        measured = (
            validation
            and dataset(validation, "validation", **session.validation_batches(validation))()
        )
        session.fit(clips, measured, example=(_example(distillation, teacher_config, windows),))
    named = teacher.classes or distillation.label_weight
    return session.finish(session.run.model_path if named else session.run.student_path)


def _example(distillation, teacher_config, windows):
    """Two clips of any values."""
    student, teacher = distillation.student, distillation.teacher
    example = {"clip": np.zeros((2, *student.video_config.clip_shape), "uint8")}
    if windows:
        if teacher.classes:
            example["answers"] = np.zeros((2, teacher.classes), "float32")
        example["features"] = np.zeros((2, teacher.features), "float32")
    else:
        example["teacher_clip"] = np.zeros((2, *teacher_config.clip_shape), "uint8")
    return {**example, "label": np.zeros(2, "int32")}


def _check(distillation, teacher_config, recipe, videos, windows):
    for config in (distillation.student.video_config, teacher_config):
        config.check_moment()
    check_precision(distillation.student, recipe, "The student", "student")
    unused = {"label_smoothing": 0.0, "class_weights": "none", "feature_passes": 0}
    check_unused(recipe, " in a distillation", **unused, recompute="none")
    check_windows(distillation, windows)
    if distillation.label_weight and all(video.label is None for video in videos):
        raise wrong("0 for videos without labels", label_weight=distillation.label_weight)
