"""What a video teacher says of fixed clips of every video, asked once and kept on disk."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_stc.data import clip_dataset
from keras_stc.data.clips import sampling
from keras_stc.training.features import cached_features, videos_key

if TYPE_CHECKING:
    from keras_stc.data.clips.quarantine import Quarantine
    from keras_stc.data.sets.video import VideoSet
    from keras_stc.transfer.distillation import ClipTeacher
    from keras_stc.video_config import VideoConfig


class Answers:
    """A teacher's answers on `windows` clips of each video, spread evenly over it.

    Args:
        answers: float32 `(videos, windows, classes)`, logarithms of probabilities.
        features: float32 `(videos, windows, D)`, pooled features.
        video_config: The teacher's `VideoConfig`.
    """

    def __init__(
        self, answers: np.ndarray, features: np.ndarray, video_config: VideoConfig
    ) -> None:
        self.answers, self.features, self.video_config = answers, features, video_config

    def nearest(
        self, video: int, num_frames: int, fps: float, middle: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the teacher says of the window whose middle is nearest to a moment.

        Args:
            video: Number of the video.
            num_frames: Its frames.
            fps: Its frames per second.
            middle: A frame number.

        Returns:
            float32 `(classes,)` and `(D,)`.
        """
        config, windows = self.video_config, self.answers.shape[1]
        step = config.step(fps)
        starts = sampling.uniform_clips(num_frames, config.frames, step, windows)[:, 0]
        middles = starts + (sampling.touched(config.frames, step) - 1) / 2
        window = np.abs(middles - middle).argmin()
        return self.answers[video, window], self.features[video, window]


def kept_answers(
    teacher: ClipTeacher,
    videos: VideoSet,
    folder: str | os.PathLike[str],
    windows: int = 4,
    batch_size: int = 8,
    name: str = "train",
    quarantine: Quarantine | None = None,
    verbose: str | int = "auto",
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
        teacher: A `ClipTeacher`.
        videos: A `VideoSet`.
        folder: Where to keep them: 4 bytes a class and feature for each clip.
        windows: Clips of every video.
        batch_size: Clips that the teacher sees at once.
        name: What the videos are called in the folder.
        quarantine: A `Quarantine` to share, or `None`.
        verbose: 0 for no progress bar.

    Returns:
        An `Answers`.
    """
    config = teacher.video_config.replace(class_names=None)
    clips = functools.partial(
        clip_dataset,
        videos,
        video_config=config,
        batch_size=batch_size,
        clips_per_video=windows,
        quarantine=quarantine,
    )
    both = keras.layers.Concatenate()(teacher.outputs.outputs)
    rows, _ = cached_features(
        folder,
        name,
        keras.Model(teacher.model.input, both),
        clips,
        1,
        {"video_config": config.to_dict(), "windows": windows, "videos": videos_key(videos)},
        verbose=verbose,
    )
    rows = rows.reshape(len(videos), windows, -1)
    answers, features = np.split(rows, [teacher.classes], axis=-1)
    return Answers(answers, features, config)
