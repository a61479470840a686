"""Videos to clips for a student, with what its teacher sees or says of the same moment."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.data import Video
from keras_stc.data.clips import sampling
from keras_stc.data.clips.backends import dataset
from keras_stc.data.clips.dataset import Clips, label_of
from keras_stc.data.clips.stream import Array, Options, Stream, check_options
from keras_stc.transfer.answers import middle_of

if TYPE_CHECKING:
    import tensorflow as tf
    from typing_extensions import Unpack

    from keras_stc.data import ClipSequence
    from keras_stc.transfer.answers import Answers
    from keras_stc.video_config import VideoConfig


def distillation_dataset(
    videos: Sequence[Video],
    video_config: VideoConfig,
    teacher_config: VideoConfig,
    answers: Answers | None = None,
    batch_size: int = 32,
    *,
    training: bool = True,
    **options: Unpack[Options],
) -> tf.data.Dataset | ClipSequence:
    """Clips for `Distillation.fit`.

    Without `answers`, the teacher's clip has the middle, the crop and the mirroring of the
    student's, at its own frames, stride and size; every frame is decoded once. With them, the
    student's clip comes with what the teacher said of the window nearest to it, and its crop is
    the student's affair alone.

    Clips, their order and what becomes of bad videos are as in `keras_stc.data.clip_dataset`.
    Labels are not needed.

    Args:
        videos: A `VideoSet`, or a list of `Video`s.
        video_config: The student's `VideoConfig`.
        teacher_config: The teacher's `VideoConfig`.
        answers: An `Answers` of these videos, or `None` for clips for the teacher.
        batch_size: Clips in a batch, those of all shares together.
        training: Whether clips, crops and their order are random.
        **options: Those of `pair_dataset`; `drop_remainder` defaults to `training`.

    Returns:
        A `tf.data.Dataset`, or a `keras_stc.data.ClipSequence`, of dictionaries: `"clip"`, uint8
        `(B, T, H, W, 3)`, RGB 0-255; `"teacher_clip"` likewise, or `"answers"`, float32
        `(B, classes)`, unless they are a `FrameTeacher`'s, and `"features"`, float32 `(B, D)`; and
        `"label"`, int32 `(B,)`, -1 where a video has none. It has the attributes `batches`,
        `quarantine`, `set_epoch` and `video_config`.

    Raises:
        ValueError: If an argument is out of range.
        VideoError: If there are no videos.
    """
    check_options("distillation_dataset", options)
    for config in (video_config, teacher_config):
        config.check_moment()
    if answers is None:
        clips = _Shown(videos, video_config, batch_size, training=training, **options)
        clips.teacher_config = teacher_config
        return dataset(clips)
    clips = _Told(videos, video_config, batch_size, training=training, **options)
    clips.answers = answers
    answers.check_videos(clips.videos)
    return dataset(clips)


class _Told(Clips):
    """Clips with what a teacher said of the window nearest to each."""

    answers: Answers

    @property
    def signature(self):
        said = {"answers": self.answers.answers, "features": self.answers.features}
        return {
            "clip": Array("uint8", self.video_config.clip_shape),
            **{
                name: Array("float32", values.shape[2:])
                for name, values in said.items()
                if values is not None
            },
            "label": Array("int32", ()),
        }

    @functools.cached_property
    def _numbers(self):
        return {video: number for number, video in enumerate(self.videos)}

    def said(self, cut):
        """The teacher's answers, if it knows classes, and features."""
        number, fps = self._numbers[cut.video], cut.reader.info.fps
        found = self.answers.nearest(number, cut.count, fps, middle_of(cut, self.video_config))
        return tuple(values for values in found if values is not None)


class _Shown(Stream):
    """Clips with their teacher's, of the same crop at the same moment."""

    teacher_config: VideoConfig

    @property
    def signature(self):
        return {
            "clip": Array("uint8", self.video_config.clip_shape),
            "teacher_clip": Array("uint8", self.teacher_config.clip_shape),
            "label": Array("int32", ()),
        }

    def read(self, *row):
        """The two clips of a row, and the label."""

        def both(cut):
            (own,) = cut.clips
            middle = middle_of(cut, self.video_config)
            theirs = _around(middle, cut.count, self.teacher_config, cut.reader.info.fps)
            needed = np.unique([*own, *theirs])
            views = [cut.geometry, cut.geometry.for_crop(self.teacher_config.crop)]
            pixels = next(cut.reader.views([cut.first + needed], views))
            return [
                self.changed(frames[np.searchsorted(needed, clip)], row)
                for frames, clip in zip(pixels, (own, theirs), strict=True)
            ]

        video, made = self.usable(row, both)
        return *made, label_of(video)


def _around(middle, num_frames, config, fps):
    """The frames of a clip with its middle at a moment, as far as the video reaches."""
    step = config.step(fps)
    touched = sampling.touched(config.frames, step)
    start = round(middle - (touched - 1) / 2)
    start = min(max(0, start), max(0, num_frames - touched))
    return sampling.clip_at(start, num_frames, config.frames, step)
