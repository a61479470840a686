"""What a teacher says of fixed clips of every video, asked once and kept on disk."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_stc import distribute
from keras_stc.checks import at_least, wrong
from keras_stc.data import clip_dataset
from keras_stc.data.clips import sampling
from keras_stc.training.features import cached_features, videos_key
from keras_stc.transfer.teacher import FrameTeacher

if TYPE_CHECKING:
    from keras_stc.data.clips.quarantine import Quarantine
    from keras_stc.data.clips.stream import Cut
    from keras_stc.data.sets.video import Video, VideoSet
    from keras_stc.training.session import Session
    from keras_stc.transfer.distillation import ClipTeacher
    from keras_stc.video_config import VideoConfig


class Answers:
    """A teacher's answers on `windows` clips of each video, spread evenly over it.

    Args:
        answers: float32 `(videos, windows, classes)`, logarithms of probabilities; `None` of a
            `FrameTeacher`, which knows no classes.
        features: float32 `(videos, windows, D)`, pooled features.
        video_config: The teacher's `VideoConfig`.
    """

    def __init__(
        self, answers: np.ndarray | None, features: np.ndarray, video_config: VideoConfig
    ) -> None:
        self.answers, self.features, self.video_config = answers, features, video_config

    def nearest(
        self, video: int, num_frames: int, fps: float, middle: float
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """What the teacher says of the window whose middle is nearest to a moment.

        Args:
            video: Number of the video.
            num_frames: Its frames.
            fps: Its frames per second.
            middle: A frame number.

        Returns:
            float32 `(classes,)`, or `None`, and `(D,)`.
        """
        config, windows = self.video_config, self.features.shape[1]
        step = config.step(fps)
        starts = sampling.uniform_clips(num_frames, config.frames, step, windows)[:, 0]
        middles = starts + (sampling.touched(config.frames, step) - 1) / 2
        window = np.abs(middles - middle).argmin()
        said = None if self.answers is None else self.answers[video, window]
        return said, self.features[video, window]

    def check_videos(self, videos: Sequence[Video]) -> None:
        """Raises the `ValueError` for answers on other videos than these, by their number."""
        if len(self.features) != len(videos):
            raise ValueError(
                f"`answers` must be of these {len(videos)} videos. "
                f"Received: answers on {len(self.features)}"
            )


def middle_of(cut: Cut, video_config: VideoConfig) -> float:
    """Where the middle of the first clip of a `Cut` lies, a frame number of its video."""
    step = video_config.step(cut.reader.info.fps)
    return cut.clips[0][0] + (sampling.touched(video_config.frames, step) - 1) / 2


def kept_answers(
    teacher: ClipTeacher | FrameTeacher,
    videos: VideoSet,
    folder: str | os.PathLike[str],
    windows: int = 4,
    batch_size: int = 8,
    name: str = "train",
    quarantine: Quarantine | None = None,
    verbose: str | int = "auto",
    video_config: VideoConfig | None = None,
) -> Answers:
    """A teacher's answers on some clips of every video, with centre crops.

    They are kept in `folder` as they come, so that a run that was killed goes on; another teacher,
    other videos or clips take their place. A video that cannot be read gets those of another one,
    and is put down in the quarantine.

    Example:

    ```python
    teacher = keras_stc.transfer.ClipTeacher(keras_stc.InceptionI3D(weights="kinetics400"))
    answers = keras_stc.transfer.kept_answers(teacher, videos, "answers")
    clips = keras_stc.transfer.distillation_dataset(
        videos, student.video_config, teacher.video_config, answers
    )
    ```

    Args:
        teacher: A `ClipTeacher`, or a `FrameTeacher`.
        videos: A `VideoSet`.
        folder: Where to keep them: 4 bytes a class and feature for each clip.
        windows: Clips of every video.
        batch_size: Clips that the teacher sees at once.
        name: What the videos are called in the folder.
        quarantine: A `Quarantine` to share, or `None`.
        verbose: 0 for no progress bar.
        video_config: The `VideoConfig` of the teacher's clips; needed of a `FrameTeacher`, whose
            features are averaged over the frames of each.

    Returns:
        An `Answers`.
    """
    about = {}
    if isinstance(teacher, FrameTeacher):
        if video_config is None:
            raise wrong("a VideoConfig where a FrameTeacher is asked", video_config=video_config)
        config = video_config.replace(class_names=None)
        clip = keras.Input(config.clip_shape)
        asked, classes = keras.Model(clip, FrameFeatures(teacher)(clip)), 0
        # Its weights are none of the model's.
        about["teacher"] = teacher.fingerprint()
    else:
        config = (video_config or teacher.video_config).replace(class_names=None)
        both = keras.layers.Concatenate()(teacher.outputs.outputs)
        asked, classes = keras.Model(teacher.model.input, both), teacher.classes
    clips = functools.partial(
        clip_dataset,
        videos,
        video_config=config,
        batch_size=batch_size,
        clips_per_video=windows,
        quarantine=quarantine,
    )
    rows, _ = cached_features(
        folder,
        name,
        asked,
        clips,
        1,
        {
            "video_config": config.to_dict(),
            "windows": windows,
            # Whether they have labels makes no difference to what it says.
            "videos": videos_key(dataclasses.replace(video, label=None) for video in videos),
            **about,
        },
        verbose=verbose,
    )
    rows = rows.reshape(len(videos), windows, -1)
    answers, features = np.split(rows, [classes], axis=-1)
    return Answers(answers if classes else None, features, config)


def answers_of_run(
    session: Session,
    teacher: ClipTeacher | FrameTeacher,
    videos: VideoSet,
    name: str,
    windows: int,
    video_config: VideoConfig | None = None,
) -> Answers | None:
    """`kept_answers` in the folder of a run; `None` without windows."""
    if not windows:
        return None
    with session.reading():
        return kept_answers(
            *(teacher, videos, session.run.folder / "answers", windows),
            name=name,
            quarantine=session.quarantine,
            verbose=session.verbose,
            video_config=video_config,
        )


def check_windows(model: keras.Model, windows: int) -> None:
    """Raises the `ValueError` for windows where nobody can keep what a teacher says of them."""
    at_least(0, windows=windows)
    if windows and distribute.share(model)[1] > 1:
        raise wrong(
            "0 on several workers, since what the teacher says is kept by one", windows=windows
        )
    if windows and keras.backend.backend() == "jax" and distribute.devices(model) > 1:
        raise wrong("0 on several devices with JAX", windows=windows)


class FrameFeatures(keras.Layer):
    """A `FrameTeacher` in a functional model."""

    def __init__(self, teacher):
        super().__init__(autocast=False)
        self.teacher = teacher

    def call(self, clips):
        return self.teacher(clips)

    def compute_output_shape(self, input_shape):
        return input_shape[0], self.teacher.features
