"""Videos to clips with labels, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.checks import wrong
from keras_stc.data.clips.backends import dataset
from keras_stc.data.clips.crops import Crops, RandomCrops, chosen_crops
from keras_stc.data.clips.quarantine import Quarantine
from keras_stc.data.clips.stream import Array, InGraph, Stream
from keras_stc.data.errors import VideoError
from keras_stc.data.sets.video import Video
from keras_stc.data.video.shard import clip_of_jpegs, is_packed_video, open_shard
from keras_stc.video_config import VideoConfig

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_stc.data.clips.sequence import ClipSequence


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
        RGB 0-255, or `(B, T, H, W, 2)` of optical flow (`video_config.flow`), and int32 `(B,)`, -1
        where a video has no label; with the attributes `batches`, their number in an epoch,
        `quarantine`, `set_epoch` and `video_config`.

    Raises:
        ValueError: If an argument is out of range.
        VideoError: If there are no videos, or no labels to train on.
    """
    if clips_per_decode < 1 or clips_per_video % clips_per_decode:
        raise ValueError(
            "`clips_per_decode` must divide `clips_per_video`. Received: "
            f"clips_per_decode={clips_per_decode!r}, clips_per_video={clips_per_video!r}"
        )
    if video_config is not None and fps is not None:
        raise wrong("None with `video_config`, whose own counts", fps=fps)
    config = video_config or VideoConfig(frames, stride, size, resize, fps=fps)
    clips = Clips(
        videos,
        config,
        batch_size,
        training=training,
        drop_remainder=drop_remainder,
        clips_per_video=clips_per_video,
        seed=seed,
        first_epoch=first_epoch,
        first_batch=first_batch,
        share=share,
        quarantine=quarantine,
        num_parallel_calls=num_parallel_calls,
        prefetch=prefetch,
        decoder=decoder,
        isolate=isolate,
        crops=chosen_crops(
            crops,
            training,
            config,
            flip=flip,
            multiscale=multiscale,
            when_smaller=resize_when_smaller,
        ),
        backend=backend,
    )
    clips.shuffle = training if shuffle is None else shuffle
    clips.per_row = clips_per_decode
    if clips_per_decode > 1 and (share[1] > 1 or first_batch):
        raise ValueError(
            "`clips_per_decode` must be 1 where only a part of an epoch is decoded, by `share` or "
            f"`first_batch`. Received: clips_per_decode={clips_per_decode!r}"
        )
    for video in clips.videos:
        if training and video.label is None:
            raise VideoError(f"{video.path} has no label; training needs one for every video.")
    return dataset(clips)


class Clips(Stream):
    """Clips with labels, and what a subclass says of each of them."""

    takes_flow = True

    @property
    def signature(self) -> tuple[Array, ...] | dict[str, Array]:
        return Array("uint8", self.video_config.clip_shape), Array("int32", ())

    def read(self, *row):
        """The clips of a row, what there is to say of them, and their labels."""

        def pixels(cut):
            clips = cut.reader.clips([cut.first + clip for clip in cut.clips], cut.geometry)
            made = [self.changed(clip, row, 1 + k) for k, clip in enumerate(clips)]
            return made[0] if self.per_row == 1 else np.stack(made), *self.said(cut)

        video, made = self.usable(row, pixels)
        label = label_of(video)
        return *made, label if self.per_row == 1 else np.full(self.per_row, label)

    def said(self, cut) -> tuple[np.ndarray, ...]:
        """Arrays of a sample between its clip and its label; none where a row gives several."""
        return ()

    def in_graph(self) -> InGraph | None:
        """JPEG frames of shards are decoded in TensorFlow's graph, where they are only cut."""
        if self.per_row > 1 or self.video_config.flow or not self._are_cut_alone():
            return None
        return InGraph(
            self._read_jpegs,
            ["string", "int32", "bool", *(array.dtype for array in self.arrays[1:])],
            lambda jpegs, window, flip, *rest: (
                clip_of_jpegs(jpegs, window, flip, self.video_config.frames),
                *rest,
            ),
        )

    def _read_jpegs(self, *row):
        """What `clip_of_jpegs` makes a clip of, in the place of the clip."""

        def jpegs(cut):
            info, geometry = cut.reader.info, cut.geometry
            window = np.int32([*geometry.window(info.height, info.width), *geometry.crop])
            encoded = np.array(cut.reader.encoded(cut.first + cut.clips[0]), object)
            return encoded, window, np.bool_(geometry.flip), *self.said(cut)

        video, made = self.usable(row, jpegs)
        return *made, label_of(video)

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
        geometry = self.crops.geometry(self.video_config, np.random.default_rng(0))
        return all(geometry.frame_size(*size) == size for size in sizes)


def label_of(video):
    """A video's label as it stands in a batch."""
    return np.int32(-1 if video.label is None else video.label)
