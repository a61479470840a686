"""Videos to pairs of frames and clip: what a teacher and its student see of the same moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.data import Quarantine, VideoError, open_video
from keras_stc.data.clips import sampling
from keras_stc.data.clips.crops import Crops, changed_pixels, chosen_crops
from keras_stc.data.clips.plan import check_share
from keras_stc.data.clips.stream import Array, Stream, dataset
from keras_stc.data.geometry import generator
from keras_stc.data.sets.video import Video, checked_videos
from keras_stc.data.video.isolated import open_isolated
from keras_stc.deprecated import renamed
from keras_stc.video_config import VideoConfig

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_stc.data.clips.sequence import ClipSequence


@renamed(shard="share")
def pair_dataset(
    videos: Sequence[Video],
    frames: int = 16,
    stride: int = 2,
    size: int | tuple[int, int] = 112,
    batch_size: int = 32,
    *,
    frame_size: int = 224,
    training: bool = True,
    video_config: VideoConfig | None = None,
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
    """Frames for a teacher and a clip for its student, for `CorrespondenceTransfer.fit`.

    Both show the same frames of the video in the same crop, mirrored or not, at two sizes; every
    frame is decoded once. No labels are needed. Videos are files, folders of frames or packed; of
    packed ones, the frames should be as large as the teacher's (`keras-stc pack --short-side`).

    In training, clips lie anywhere in their videos and crops are random, as in
    `keras_stc.data.clip_dataset`. Otherwise clips are spread evenly, the crop is the centre's, and
    the order is random but always the same one, so that neighbours, which make the negative pairs,
    are not neighbours in a folder.

    The same arguments give the same pairs, however many are decoded at once; iteration number k is
    epoch `first_epoch + k`, and `dataset.set_epoch(e)` makes the next one epoch e. The clips of a
    video are spread over an epoch, so that a batch is never of one video alone unless most clips
    are. A video that cannot be used is replaced by another one and put down in
    `dataset.quarantine`; with more than half of them bad, iterating fails with one sentence.

    Example:

    ```python
    videos = keras_stc.data.open_unlabelled("videos")
    pairs = keras_stc.transfer.pair_dataset(videos, batch_size=32)
    transfer.fit(pairs, epochs=10)
    ```

    Args:
        videos: A `VideoSet`, or a list of `Video`s; with or without labels.
        frames: Frames in a clip.
        stride: Distance between two frames of a clip, in frames of the video.
        size: Side of the student's square crop in pixels, or `(height, width)`.
        batch_size: Videos in a batch, at least 2.
        frame_size: Shorter side of the teacher's crop in pixels.
        training: Whether clips and crops are random.
        video_config: The student's `VideoConfig`; replaces `frames`, `stride` and `size`.
        flip: In training, whether half of the clips are mirrored.
        multiscale: In training, Hara et al.'s multi-scale corner crop.
        clips_per_video: Clips of every video in an epoch.
        seed: A non-negative integer; chooses all that is random.
        first_epoch: Number of the first iteration, for a training that goes on.
        first_batch: Number of the batch with which every iteration begins.
        share: `(index, count)`: of every batch, only part number `index` of `count` equal ones, as
            in `keras_stc.data.clip_dataset`.
        drop_remainder: Whether a last batch that is not full is left out; one of a single clip
            always is. Defaults to `training`. Strategies need full batches.
        quarantine: A `keras_stc.data.Quarantine` to share, or `None` for a new one.
        num_parallel_calls: Clips decoded at a time. Defaults to the number of processor cores.
        prefetch: Batches made in advance.
        isolate: Whether video files are decoded in helper processes, as in
            `keras_stc.data.clip_dataset`.
        crops: A `keras_stc.data.Crops`, in the place of `flip` and `multiscale`.
        backend: What the pairs come as; see `keras_stc.data.clip_dataset`.

    Returns:
        A `tf.data.Dataset`, or a `keras_stc.data.ClipSequence`, of dictionaries: `"frames"`, uint8
        `(B, T, frame_size, frame_size, 3)`, `"clip"`, uint8 `(B, T, size, size, 3)`, both RGB
        0-255, and `"video"`, int32 `(B,)`, the number of the video; pieces of one file have one
        number. It has the attributes `batches`, their number in an epoch, `quarantine`,
        `set_epoch` and `video_config`.

    Raises:
        ValueError: If an argument is out of range.
        VideoError: If there are fewer than two videos.
    """
    config = video_config or VideoConfig(frames, stride, size)
    for name, value, least in (
        ("batch_size", batch_size, 2),
        ("frame_size", frame_size, 1),
        ("clips_per_video", clips_per_video, 1),
        ("seed", seed, 0),
        ("first_epoch", first_epoch, 0),
        ("first_batch", first_batch, 0),
    ):
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}. Received: {name}={value!r}")
    check_share(share, batch_size)
    videos = checked_videos(videos)
    quarantine = Quarantine() if quarantine is None else quarantine
    crops = chosen_crops(crops, training, config, flip=flip, multiscale=multiscale)
    pairs = _Pairs(
        videos,
        config,
        crops,
        quarantine,
        open_isolated if isolate else open_video,
        frame_size=frame_size,
        training=training,
        seed=seed,
        rounds=clips_per_video,
        batch_size=batch_size,
    )
    drop_remainder = training if drop_remainder is None else drop_remainder
    if drop_remainder and pairs.rows < batch_size:
        raise ValueError(
            f"`batch_size` must not be above the number of clips in an epoch, {pairs.rows}. "
            f"Received: batch_size={batch_size}"
        )
    return dataset(
        Stream(
            pairs.plan,
            pairs.read,
            {
                "frames": Array("uint8", (config.frames, *pairs.crop, 3)),
                "clip": Array("uint8", config.clip_shape),
                "video": Array("int32", ()),
            },
            pairs.rows,
            batch_size,
            video_config=config,
            videos=videos,
            quarantine=quarantine,
            share=share,
            drop_remainder=drop_remainder,
            least=2,
            first_epoch=first_epoch,
            first_batch=first_batch,
        ),
        backend,
        num_parallel_calls,
        prefetch,
    )


class _Pairs:
    """The rows of an epoch, which are epoch and place in it, and what reads the pair of one."""

    def __init__(
        self,
        videos,
        config,
        crops,
        quarantine,
        opened,
        *,
        frame_size,
        training,
        seed,
        rounds,
        batch_size,
    ):
        self.videos, self.config, self.crops = videos, config, crops
        self.quarantine, self.opened = quarantine, opened
        self.training, self.seed, self.rounds = training, seed, rounds
        self.batch_size, self.rows = batch_size, len(videos) * rounds
        files = dict.fromkeys(video.file for video in videos)
        self.numbers = {file: i for i, file in enumerate(files)}
        if len(self.numbers) < 2:
            raise VideoError(
                "`videos` must hold at least two different videos, since negative pairs are of "
                f"two. Received: {len(self.numbers)}"
            )
        self.scale = frame_size / min(config.crop)
        #: `(height, width)` of the teacher's crop.
        self.crop = tuple(round(side * self.scale) for side in config.crop)
        self.orders = {}

    def plan(self, epoch):
        rng = generator(self.seed, epoch if self.training else 0, 0)
        self.orders[epoch] = _order(rng, self.videos, self.rounds)
        self.orders.pop(epoch - 2, None)
        return np.stack([np.full(self.rows, epoch), np.arange(self.rows)], axis=1)

    def read(self, epoch, position):
        """`(frames, clip, number of the video)` of a row."""
        videos, order = self.videos, self.orders[epoch]
        start = position - position % self.batch_size
        batch = order[start : start + self.batch_size]
        # A replacement is another video than those in the batch, whose pairs are of two videos,
        # and than that of its neighbour, with which it swaps clips.
        avoid = {videos[index].file for index in batch}
        video, pair = self._first_usable(order, epoch, position, avoid)
        if (position - start) % 2 and video.file not in avoid:
            beside, _ = self._first_usable(order, epoch, position - 1, avoid)
            if beside.file == video.file:
                avoid = {*avoid, beside.file}
                video, pair = self._first_usable(order, epoch, position, avoid)
        return *pair, np.int32(self.numbers[video.file])

    def _first_usable(self, order, epoch, position, avoid):
        """The video of a place and what is read of it, or of the next that can be used."""
        # A replacement draws the same random numbers, so that who comes first to a bad video makes
        # no difference.
        return self.quarantine.first_usable(
            self.videos, order[position], lambda video: self._pair(video, epoch, position), avoid
        )

    def _pair(self, video, epoch, position):
        rng, config = generator(self.seed, epoch, 1 + position), self.config
        with self.opened(video.path, threads=1) as reader:
            first, count = video.frame_range(reader.info)
            step = config.step(reader.info.fps)
            if self.training:
                indices = sampling.training_clip(count, config.frames, step, rng)
            else:
                clips = sampling.uniform_clips(count, config.frames, step, self.rounds)
                indices = clips[position // len(self.videos)]
            pair = next(reader.views([first + indices], self._geometries(rng)))
        return [
            changed_pixels(self.crops, pixels, generator(self.seed, epoch, 1 + position, 1))
            for pixels in pair
        ]

    def _geometries(self, rng):
        """Of the teacher's frames and of the student's clip."""
        small = self.crops.geometry(self.config, rng)
        if small.short_side is None:
            raise ValueError(
                "`crops` must cut pairs from frames that are resized, to two sizes. Received: "
                f"{small!r} without a short side"
            )
        short_side = round(small.short_side * self.scale)
        return dataclasses.replace(small, crop=self.crop, short_side=short_side), small


def _order(rng, videos, rounds):
    """Indices of videos, each once a round in random order, no file twice in a row if possible."""
    order = np.concatenate([rng.permutation(len(videos)) for _ in range(rounds)])
    for line in (order, order[::-1]):  # what the end could not part, the beginning can
        for place in range(1, len(line)):
            before = videos[line[place - 1]].file
            others = (k for k in range(place, len(line)) if videos[line[k]].file != before)
            k = next(others, place)
            line[place : k + 1] = np.roll(line[place : k + 1], 1)
    return order
