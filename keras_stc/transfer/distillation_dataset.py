"""Videos to clips for a student, with what its teacher sees or says of the same moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.data import Quarantine, open_video
from keras_stc.data.clips import sampling
from keras_stc.data.clips.crops import Crops, changed_pixels, chosen_crops
from keras_stc.data.clips.plan import check_share
from keras_stc.data.clips.stream import Array, Stream, dataset
from keras_stc.data.geometry import generator
from keras_stc.data.sets.video import Video, checked_videos
from keras_stc.data.video.isolated import open_isolated

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_stc.data.clips.sequence import ClipSequence
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
    flip: bool = True,
    multiscale: bool = False,
    clips_per_video: int = 1,
    seed: int = 0,
    first_epoch: int = 0,
    first_batch: int = 0,
    share: tuple[int, int] = (0, 1),
    drop_remainder: bool | None = None,
    quarantine: Quarantine | None = None,
    num_parallel_calls: int | None = None,
    prefetch: int = 2,
    isolate: bool = True,
    crops: Crops | None = None,
    backend: str | None = None,
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
        flip: In training, whether half of the clips are mirrored.
        multiscale: In training, Hara et al.'s multi-scale corner crop.
        clips_per_video: Clips of every video in an epoch.
        seed: A non-negative integer; chooses all that is random.
        first_epoch: Number of the first iteration, for a training that goes on.
        first_batch: Number of the batch with which every iteration begins.
        share: `(index, count)`: of every batch, only part number `index` of `count` equal ones.
        drop_remainder: Whether a last batch that is not full is left out. Defaults to `training`.
        quarantine: A `keras_stc.data.Quarantine` to share, or `None` for a new one.
        num_parallel_calls: Clips decoded at a time. Defaults to the number of processor cores.
        prefetch: Batches made in advance.
        isolate: Whether video files are decoded in helper processes.
        crops: A `keras_stc.data.Crops`, in the place of `flip` and `multiscale`.
        backend: What the clips come as; see `keras_stc.data.clip_dataset`.

    Returns:
        A `tf.data.Dataset`, or a `keras_stc.data.ClipSequence`, of dictionaries: `"clip"`, uint8
        `(B, T, H, W, 3)`, RGB 0-255; `"teacher_clip"` likewise, or `"answers"`, float32
        `(B, classes)`, and `"features"`, float32 `(B, D)`; and `"label"`, int32 `(B,)`, -1 where a
        video has none. It has the attributes `batches`, `quarantine`, `set_epoch` and
        `video_config`.

    Raises:
        ValueError: If an argument is out of range.
        VideoError: If there are no videos.
    """
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("clips_per_video", clips_per_video, 1),
        ("seed", seed, 0),
        ("first_epoch", first_epoch, 0),
        ("first_batch", first_batch, 0),
    ):
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}. Received: {name}={value!r}")
    check_share(share, batch_size)
    for config in (video_config, teacher_config):
        config.check_moment()
    videos = checked_videos(videos)
    if answers is not None and len(answers.answers) != len(videos):
        raise ValueError(
            f"`answers` must be of these {len(videos)} videos. "
            f"Received: answers on {len(answers.answers)}"
        )
    quarantine = Quarantine() if quarantine is None else quarantine
    taught = _Taught(
        videos,
        video_config,
        teacher_config,
        answers,
        chosen_crops(crops, training, video_config, flip=flip, multiscale=multiscale),
        quarantine,
        open_isolated if isolate else open_video,
        training=training,
        seed=seed,
        per_video=clips_per_video,
    )
    return dataset(
        Stream(
            taught.plan,
            taught.read,
            taught.signature(),
            taught.rows,
            batch_size,
            video_config=video_config,
            videos=videos,
            quarantine=quarantine,
            share=share,
            drop_remainder=training if drop_remainder is None else drop_remainder,
            first_epoch=first_epoch,
            first_batch=first_batch,
        ),
        backend,
        num_parallel_calls,
        prefetch,
    )


class _Taught:
    """The rows of an epoch, and what reads one.

    A row is epoch, place in the epoch, video, and number of the clip among the video's.
    """

    def __init__(
        self,
        videos,
        config,
        teacher_config,
        answers,
        crops,
        quarantine,
        opened,
        *,
        training,
        seed,
        per_video,
    ):
        self.videos, self.config, self.teacher_config = videos, config, teacher_config
        self.answers, self.crops = answers, crops
        self.quarantine, self.opened = quarantine, opened
        self.training, self.seed, self.per_video = training, seed, per_video
        self.rows = len(videos) * per_video
        self.numbers = {video: number for number, video in enumerate(videos)}

    def signature(self):
        """What a sample is, as a `Stream` takes it."""
        clip = {"clip": Array("uint8", self.config.clip_shape)}
        if self.answers is None:
            said = {"teacher_clip": Array("uint8", self.teacher_config.clip_shape)}
        else:
            said = {
                "answers": Array("float32", self.answers.answers.shape[2:]),
                "features": Array("float32", self.answers.features.shape[2:]),
            }
        return {**clip, **said, "label": Array("int32", ())}

    def plan(self, epoch):
        order = np.arange(self.rows)
        if self.training:
            order = generator(self.seed, epoch, 0).permutation(self.rows)
        chosen, number = np.divmod(order, self.per_video)
        return np.stack([np.full(self.rows, epoch), np.arange(self.rows), chosen, number], axis=1)

    def read(self, epoch, position, chosen, number):
        """The arrays of a row, in the order of `signature`."""
        # A replacement draws the same random numbers, so that who comes first to a bad video makes
        # no difference.
        video, made = self.quarantine.first_usable(
            self.videos, chosen, lambda video: self._cut(video, epoch, position, number)
        )
        return *made, np.int32(-1 if video.label is None else video.label)

    def _cut(self, video, epoch, position, number):
        rng, config = generator(self.seed, epoch, 1 + position), self.config
        with self.opened(video.path, threads=1) as reader:
            first, count = video.frame_range(reader.info)
            fps = reader.info.fps
            step = config.step(fps)
            if self.training:
                clip = sampling.training_clip(count, config.frames, step, rng)
            else:
                clip = sampling.uniform_clips(count, config.frames, step, self.per_video)[number]
            geometry = self.crops.geometry(config, rng)
            middle = clip[0] + (sampling.touched(config.frames, step) - 1) / 2
            key = (self.seed, epoch, 1 + position, 1)
            if self.answers is not None:
                pixels = reader.read(first + clip, geometry)
                said = self.answers.nearest(self.numbers[video], count, fps, middle)
                return changed_pixels(self.crops, pixels, generator(*key)), *said
            theirs = _around(middle, count, self.teacher_config, fps)
            needed = np.unique([*clip, *theirs])
            views = [geometry, self._teacher_geometry(geometry)]
            cut = next(reader.views([first + needed], views))
        return [
            changed_pixels(self.crops, pixels[np.searchsorted(needed, frames)], generator(*key))
            for pixels, frames in zip(cut, (clip, theirs), strict=True)
        ]

    def _teacher_geometry(self, geometry):
        """The same part of the frame, at the teacher's size."""
        if not isinstance(geometry.short_side, int):
            raise ValueError(
                "`crops` must cut clips from frames whose short side is resized, for student and "
                f"teacher see one crop at two sizes. Received: {geometry!r}"
            )
        crop = self.teacher_config.crop
        scale = min(crop) / min(geometry.crop)
        short_side = round(geometry.short_side * scale)
        return dataclasses.replace(geometry, crop=crop, short_side=short_side)


def _around(middle, num_frames, config, fps):
    """The frames of a clip with its middle at a moment, as far as the video reaches."""
    step = config.step(fps)
    touched = sampling.touched(config.frames, step)
    start = round(middle - (touched - 1) / 2)
    start = min(max(0, start), max(0, num_frames - touched))
    return sampling.clip_at(start, num_frames, config.frames, step)
