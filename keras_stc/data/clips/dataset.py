"""Videos to clips with labels, batch by batch."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.data.clips import sampling
from keras_stc.data.clips.crops import Crops, RandomCrops, changed_pixels, chosen_crops
from keras_stc.data.clips.plan import check_share
from keras_stc.data.clips.quarantine import Quarantine
from keras_stc.data.clips.stream import Array, InGraph, Stream, dataset
from keras_stc.data.errors import VideoError
from keras_stc.data.geometry import generator
from keras_stc.data.sets.video import Video, checked_videos
from keras_stc.data.video.isolated import open_isolated
from keras_stc.data.video.open import check_decoder, open_video
from keras_stc.data.video.shard import clip_of_jpegs, is_packed_video, open_shard
from keras_stc.deprecated import renamed
from keras_stc.video_config import VideoConfig

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_stc.data.clips.sequence import ClipSequence


@renamed(shard="share")
def clip_dataset(
    videos: Sequence[Video],
    frames: int = 16,
    stride: int = 2,
    size: int | tuple[int, int] = 112,
    batch_size: int = 8,
    *,
    training: bool = False,
    video_config: VideoConfig | None = None,
    resize: int | tuple[int, int] | None = None,
    resize_when_smaller: bool = False,
    flip: bool = True,
    multiscale: bool = False,
    clips_per_video: int = 1,
    shuffle: bool | None = None,
    seed: int = 0,
    first_epoch: int = 0,
    first_batch: int = 0,
    share: tuple[int, int] = (0, 1),
    drop_remainder: bool = False,
    quarantine: Quarantine | None = None,
    num_parallel_calls: int | None = None,
    prefetch: int = 2,
    fps: float | None = None,
    clips_per_decode: int = 1,
    decoder: str = "pyav",
    isolate: bool = True,
    crops: Crops | None = None,
    backend: str | None = None,
) -> tf.data.Dataset | ClipSequence:
    """Clips of videos, with labels, ready for `model.fit`, `evaluate` and `predict`.

    In training, a clip lies anywhere in its video and is cropped at one of five positions and
    mirrored at random; otherwise it is the centre clip with the centre crop (paper, section 4.2).

    The same arguments give the same clips, however many are decoded at once. Iteration number k
    over the dataset is epoch `first_epoch + k`, with an order and with clips of its own.
    `dataset.set_epoch(e)` makes the next iteration epoch e: call it at the start of every epoch
    where somebody else iterates too (`fit` looks at one batch before its first epoch).

    A video that cannot be used is replaced by the next one in the list that can, and put down in
    `dataset.quarantine`; with more than half of them bad, iterating fails with one sentence (see
    `find_video_error`).

    Videos in packed shards are read several times as fast as video files, most of all where
    `resize` is the short side they were packed at.

    Example:

    ```python
    train, held_out = keras_stc.data.VideoFolder("actions").split(0.2)
    clips = keras_stc.data.clip_dataset(train, frames=16, stride=2, size=112, training=True)
    model.fit(clips, validation_data=keras_stc.data.clip_dataset(held_out))
    ```

    Args:
        videos: A `VideoSet`, or a list of `Video`s.
        frames: Frames in a clip.
        stride: Distance between two frames of a clip, in frames of the video.
        size: Side of the square crop in pixels, or `(height, width)`.
        batch_size: Clips in a batch, those of all shares together.
        training: Whether clips and crops are random; needs labels.
        video_config: A model's `VideoConfig`; replaces `frames`, `stride`, `size`, `resize`.
        resize: Pixels on the frame's short side before the crop. Defaults to 122/112 of the
            crop's.
        resize_when_smaller: In training, whether larger frames keep their size.
        flip: In training, whether half of the clips are mirrored. Switch it off where left and
            right are the classes.
        multiscale: In training, Hara et al.'s multi-scale corner crop.
        clips_per_video: Clips of every video in an epoch; spread evenly where not in training.
        shuffle: Whether every epoch has a random order. Defaults to `training`.
        seed: A non-negative integer; chooses all that is random.
        first_epoch: Number of the first iteration, for a training that goes on.
        first_batch: Number of the batch with which every iteration begins: the dataset is the rest
            of an epoch, and nothing before it is decoded.
        share: `(index, count)`: of every batch, only part number `index` of `count` equal ones.
            Together the `count` datasets have the clips of the one with `(0, 1)`. A last batch that
            is not full is divided as evenly as it can be.
        drop_remainder: Whether a last batch that is not full is left out.
        quarantine: A `Quarantine` to share, or `None` for a new one.
        num_parallel_calls: Clips decoded at a time. Defaults to the number of processor cores.
        prefetch: Batches made in advance.
        fps: Frames of a clip per second of video; replaces `stride`.
        clips_per_decode: Clips that are cut out of a video each time it is decoded; divides
            `clips_per_video`. Decoding costs less so, and clips of one video lie closer together:
            in training they share crop and mirroring and are mixed with those of fifteen other
            videos.
        decoder: What decodes video files; see `open_video`.
        isolate: Whether video files are decoded in helper processes, so that one that crashes or
            hangs its decoder is put aside like others that cannot be used.
        crops: A `Crops`, such as `RandomCrops(flip=False)` or an augmentation of your own, in the
            place of `flip`, `multiscale` and `resize_when_smaller`.
        backend: `"tf.data"`, or `"pydataset"` for a `ClipSequence`, which needs no TensorFlow and
            has the same clips. Defaults to tf.data where TensorFlow is installed.

    Returns:
        A `tf.data.Dataset`, or a `ClipSequence`, of `(clips, labels)`: uint8 `(B, T, H, W, 3)`,
        RGB 0-255, and int32 `(B,)`, -1 where a video has no label; with the attributes `batches`,
        their number in an epoch, `quarantine`, `set_epoch` and `video_config`.

    Raises:
        ValueError: If an argument is out of range.
        VideoError: If there are no videos, or no labels to train on.
    """
    config = video_config or VideoConfig(frames, stride, size, resize, fps=fps)
    for name, value in (("batch_size", batch_size), ("clips_per_video", clips_per_video)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value!r}")
    if clips_per_decode < 1 or clips_per_video % clips_per_decode:
        raise ValueError(
            "`clips_per_decode` must divide `clips_per_video`. Received: "
            f"clips_per_decode={clips_per_decode!r}, clips_per_video={clips_per_video!r}"
        )
    for name, value in (("seed", seed), ("first_epoch", first_epoch), ("first_batch", first_batch)):
        if value < 0:
            raise ValueError(f"`{name}` must not be negative. Received: {name}={value!r}")
    if clips_per_decode > 1 and (share[1] > 1 or first_batch):
        raise ValueError(
            "`clips_per_decode` must be 1 where only a part of an epoch is decoded, by `share` or "
            f"`first_batch`. Received: clips_per_decode={clips_per_decode!r}"
        )
    check_share(share, batch_size)
    videos = checked_videos(videos)
    check_decoder(decoder)
    _check_videos(videos, training)
    shuffle = training if shuffle is None else shuffle
    crops = chosen_crops(
        crops,
        training,
        config,
        flip=flip,
        multiscale=multiscale,
        when_smaller=resize_when_smaller,
    )
    quarantine = Quarantine() if quarantine is None else quarantine
    opened = functools.partial(open_isolated if isolate else open_video, decoder=decoder)
    clips = _Clips(
        videos,
        config,
        crops,
        quarantine,
        opened,
        training=training,
        shuffle=shuffle,
        seed=seed,
        per_video=clips_per_video,
        per_decode=clips_per_decode,
    )
    return dataset(
        Stream(
            clips.plan,
            clips.read,
            (Array("uint8", config.clip_shape), Array("int32", ())),
            clips.rows,
            batch_size,
            video_config=config,
            videos=videos,
            quarantine=quarantine,
            share=share,
            drop_remainder=drop_remainder,
            first_epoch=first_epoch,
            first_batch=first_batch,
            per_row=clips_per_decode,
            mix=clips.mixed if shuffle else None,
            in_graph=clips.in_graph(),
        ),
        backend,
        num_parallel_calls,
        prefetch,
    )


class _Clips:
    """The rows of an epoch, and what reads the clips of one.

    A row is epoch, place in the epoch, video, and number of its first clip among the video's.
    """

    def __init__(
        self,
        videos,
        config,
        crops,
        quarantine,
        opened,
        *,
        training,
        shuffle,
        seed,
        per_video,
        per_decode,
    ):
        self.videos, self.config, self.crops = videos, config, crops
        self.quarantine, self.opened = quarantine, opened
        self.training, self.shuffle, self.seed = training, shuffle, seed
        self.per_video, self.per_decode = per_video, per_decode
        self.rows = len(videos) * per_video // per_decode

    def plan(self, epoch):
        order = np.arange(self.rows)
        if self.shuffle:
            order = generator(self.seed, epoch, 0).permutation(self.rows)
        chosen, number = np.divmod(order * self.per_decode, self.per_video)
        return np.stack([np.full(self.rows, epoch), np.arange(self.rows), chosen, number], axis=1)

    def read(self, epoch, position, chosen, number):
        """`(clips, labels)` of a row; of a single clip without the axis of clips."""

        def pixels(reader, clips, geometry):
            made = [
                changed_pixels(self.crops, clip, generator(self.seed, epoch, 1 + position, 1 + k))
                for k, clip in enumerate(reader.clips(clips, geometry))
            ]
            return made[0] if self.per_decode == 1 else np.stack(made)

        made, label = self._first_usable(pixels, epoch, position, chosen, number)
        if self.per_decode == 1:
            return made, label
        return made, np.full(self.per_decode, label)

    def read_jpegs(self, epoch, position, chosen, number):
        """What `clip_of_jpegs` makes a clip of, and the label."""

        def jpegs(reader, clips, geometry):
            info = reader.info
            window = np.int32([*geometry.window(info.height, info.width), *geometry.crop])
            return np.array(reader.encoded(clips[0]), object), window, np.bool_(geometry.flip)

        made, label = self._first_usable(jpegs, epoch, position, chosen, number)
        return *made, label

    def _first_usable(self, read, epoch, position, chosen, number):
        # A replacement draws the same random numbers, so that who comes first to a bad video makes
        # no difference.
        video, made = self.quarantine.first_usable(
            self.videos,
            chosen,
            lambda video: self._cut(video, number, generator(self.seed, epoch, 1 + position), read),
        )
        return made, np.int32(-1 if video.label is None else video.label)

    def _cut(self, video, number, rng, read):
        """What `read` makes of the clips that a video is asked for."""
        config, numbers = self.config, range(number, number + self.per_decode)
        with self.opened(video.path, threads=1) as reader:
            first, count = video.frame_range(reader.info)
            step = config.step(reader.info.fps)
            if self.training:
                clips = [sampling.training_clip(count, config.frames, step, rng) for _ in numbers]
                clips.sort(key=lambda clip: clip[0])
            else:
                clips = sampling.uniform_clips(count, config.frames, step, self.per_video)[numbers]
            geometry = self.crops.geometry(config, rng)
            return read(reader, [first + clip for clip in clips], geometry)

    def mixed(self, row, count):
        """The clips of some videos, in an order that depends on seed and epoch alone."""
        epoch, position = row[:2]
        return generator(self.seed, epoch, 1 + position, 0).permutation(count)

    def in_graph(self):
        """How TensorFlow's graph makes clips of the JPEG frames of shards, where it can."""
        if self.per_decode > 1 or not self._are_cut_alone():
            return None
        return InGraph(
            self.read_jpegs,
            ("string", "int32", "bool", "int32"),
            lambda *made: (clip_of_jpegs(*made[:3], self.config.frames), made[3]),
        )

    def _are_cut_alone(self):
        """Whether videos are JPEG frames of which only a part is cut, without resizing."""
        if type(self.crops) not in (Crops, RandomCrops) or getattr(self.crops, "multiscale", False):
            return False
        if not all(is_packed_video(video.path) for video in self.videos):
            return False
        sizes = set()
        for shard in {video.path.rpartition("#")[0] for video in self.videos}:
            with contextlib.suppress(VideoError):  # its videos are put aside when their turn comes
                sizes.update(
                    (video["height"], video["width"]) for video in open_shard(shard).videos
                )
        geometry = self.crops.geometry(self.config, np.random.default_rng(0))
        return all(geometry.frame_size(*size) == size for size in sizes)


def _check_videos(videos, training):
    if not videos:
        raise VideoError("`videos` holds no video; expected at least one.")
    for video in videos:
        if training and video.label is None:
            raise VideoError(f"{video.path} has no label; training needs one for every video.")
