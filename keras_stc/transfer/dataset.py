"""Videos to pairs of frames and clip: what a teacher and its student see of the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.checks import at_least
from keras_stc.data import Video, VideoError
from keras_stc.data.clips.backends import dataset
from keras_stc.data.clips.stream import Array, Options, Stream, check_options
from keras_stc.data.geometry import generator
from keras_stc.transfer.answers import middle_of
from keras_stc.video_config import VideoConfig

if TYPE_CHECKING:
    import tensorflow as tf
    from typing_extensions import Unpack

    from keras_stc.data import ClipSequence
    from keras_stc.transfer.answers import Answers


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
    answers: Answers | None = None,
    **options: Unpack[Options],
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
    are. With `answers`, no frames are made for the teacher: the student's clip comes with the
    features that the teacher gave of the window nearest to it, and its crop is the student's
    affair alone. A video that cannot be used is replaced by another one and put down in
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
        answers: An `Answers` of these videos, or `None` for frames for the teacher.
        **options: `flip`, `multiscale`, `crops`, `clips_per_video`, `seed`, `first_epoch`,
            `first_batch`, `share`, `drop_remainder`, `quarantine`, `num_parallel_calls`,
            `prefetch`, `decoder`, `isolate` and `backend`, as in `keras_stc.data.clip_dataset`; but
            `drop_remainder` defaults to `training`, and a last batch of a single clip is always
            left out. Strategies need full batches.

    Returns:
        A `tf.data.Dataset`, or a `keras_stc.data.ClipSequence`, of dictionaries: `"frames"`, uint8
        `(B, T, frame_size, frame_size, 3)`, `"clip"`, uint8 `(B, T, size, size, 3)`, both RGB
        0-255, and `"video"`, int32 `(B,)`, the number of the video; pieces of one file have one
        number. With `answers`, `"frame_features"`, float32 `(B, D)`, takes the place of
        `"frames"`. It has the attributes `batches`, their number in an epoch, `quarantine`,
        `set_epoch` and `video_config`.

    Raises:
        ValueError: If an argument is out of range.
        VideoError: If there are fewer than two videos.
    """
    check_options("pair_dataset", options)
    config = video_config or VideoConfig(frames, stride, size)
    pairs = _Pairs(videos, config, batch_size, frame_size, training=training, **options)
    if answers is not None:
        config.check_moment()
        answers.check_videos(pairs.videos)
        pairs.answers = answers
    return dataset(pairs)


class _Pairs(Stream):
    """Frames and clips of videos, in an order in which neighbours are of two files."""

    least = 2
    answers: Answers | None = None

    def __init__(self, videos, config, batch_size, frame_size, **options):
        at_least(1, frame_size=frame_size)
        super().__init__(videos, config, batch_size, **options)
        files = dict.fromkeys(video.file for video in self.videos)
        self.numbers = {file: i for i, file in enumerate(files)}
        if len(self.numbers) < 2:
            raise VideoError(
                "`videos` must hold at least two different videos, since negative pairs are of "
                f"two. Received: {len(self.numbers)}"
            )
        rows = len(self.videos) * self.clips_per_video
        if self.drop_remainder and rows < batch_size:
            raise ValueError(
                f"`batch_size` must not be above the number of clips in an epoch, {rows}. "
                f"Received: batch_size={batch_size}"
            )
        self.whole_batch = batch_size
        #: `(height, width)` of the teacher's crop.
        self.crop = config_of_frames(config, frame_size).crop
        self.plans = {}
        self.places = {video: place for place, video in enumerate(self.videos)}

    @property
    def signature(self):
        if self.answers is not None:
            first = {"frame_features": Array("float32", self.answers.features.shape[2:])}
        else:
            first = {"frames": Array("uint8", (self.video_config.frames, *self.crop, 3))}
        return {
            **first,
            "clip": Array("uint8", self.video_config.clip_shape),
            "video": Array("int32", ()),
        }

    def plan(self, epoch):
        """See `Stream.plan`; every round has each video once."""
        rng = generator(self.seed, epoch if self.training else 0, 0)
        chosen = _order(rng, self.videos, self.clips_per_video)
        places = np.arange(len(chosen))
        number = places // len(self.videos)
        plan = np.stack([np.full(len(chosen), epoch), places, chosen, number], axis=1)
        self.plans[epoch] = plan
        self.plans.pop(epoch - 2, None)
        return plan

    def read(self, *row):
        """`(frames or their features, clip, number of the video)` of a row."""
        epoch, position = row[:2]
        start = position - position % self.whole_batch
        batch = self.plans[epoch][start : start + self.whole_batch]
        # A replacement is another video than those in the batch, whose pairs are of two videos,
        # and than that of its neighbour, with which it swaps clips.
        avoid = {self.videos[chosen].file for chosen in batch[:, 2]}
        video, pair = self._pair(row, avoid)
        if (position - start) % 2 and video.file not in avoid:
            beside, _ = self._pair(batch[position - start - 1], avoid)
            if beside.file == video.file:
                video, pair = self._pair(row, {*avoid, beside.file})
        return *pair, np.int32(self.numbers[video.file])

    def _pair(self, row, avoid):
        def told(cut):
            clips = cut.reader.clips([cut.first + clip for clip in cut.clips], cut.geometry)
            middle = middle_of(cut, self.video_config)
            place, info = self.places[cut.video], cut.reader.info
            _, features = self.answers.nearest(place, cut.count, info.fps, middle)
            return features, self.changed(next(iter(clips)), row)

        def both(cut):
            clips = [cut.first + clip for clip in cut.clips]
            views = [cut.geometry.for_crop(self.crop), cut.geometry]
            pair = next(cut.reader.views(clips, views))
            return [self.changed(pixels, row) for pixels in pair]

        return self.usable(row, both if self.answers is None else told, avoid)


def config_of_frames(config, frame_size):
    """The `VideoConfig` of a student's clips with crops whose shorter side is `frame_size`."""
    crop = tuple(round(side * frame_size / min(config.crop)) for side in config.crop)
    return config.replace(size=crop, resize=config.resize_for(crop))


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
