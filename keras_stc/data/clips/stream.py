"""The spine of all samples: the plan of an epoch, what reads a row of it, batches of what is read.

`clip_dataset`, `pair_dataset` and `distillation_dataset` say what a sample is and how one is read.
What is made of them here depends on the seed, the epoch and the place alone, and is the same as a
`tf.data.Dataset` and, where there is no TensorFlow, as a `keras.utils.PyDataset`.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypedDict

import numpy as np

from keras_stc.checks import at_least
from keras_stc.data.clips import sampling
from keras_stc.data.clips.crops import Crops, changed_pixels, chosen_crops
from keras_stc.data.clips.plan import Epochs, check_share, share_positions
from keras_stc.data.clips.quarantine import Quarantine
from keras_stc.data.cores import available_cores
from keras_stc.data.errors import VideoError
from keras_stc.data.geometry import Geometry, generator
from keras_stc.data.sets.video import Video, checked_videos
from keras_stc.data.video.flow import flow_method, with_flow
from keras_stc.data.video.isolated import open_isolated
from keras_stc.data.video.open import check_decoder, open_video
from keras_stc.data.video.reader import FrameReader
from keras_stc.data.video.shard import is_packed_video

#: Rows whose samples are mixed with one another where one row gives several.
MIXED_ROWS = 16


class Options(TypedDict, total=False):
    """What all datasets of clips take; `clip_dataset` says what it means."""

    flip: bool
    multiscale: bool
    clips_per_video: int
    seed: int
    first_epoch: int
    first_batch: int
    share: tuple[int, int]
    drop_remainder: bool | None
    quarantine: Quarantine | None
    num_parallel_calls: int | None
    prefetch: int
    decoder: str
    isolate: bool
    crops: Crops | None
    backend: str | None


def check_options(function, options):
    """Raises the `TypeError` for an option that datasets do not have, of the function called."""
    for name in options:
        if name not in Options.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


class Array(NamedTuple):
    """One array of a sample."""

    dtype: str
    shape: tuple


class InGraph(NamedTuple):
    """How a sample is made where TensorFlow's graph does a part of it.

    Args:
        read: In the place of the stream's.
        dtypes: Of the arrays it returns.
        finish: Called with them as tensors; returns a sample's arrays as tensors.
    """

    read: Callable
    dtypes: Sequence[str]
    finish: Callable


@dataclasses.dataclass(frozen=True)
class Cut:
    """Clips of an open video, chosen and not yet read.

    Args:
        video: The `Video`.
        reader: It, open.
        first: Frame of the file with which the video begins.
        count: Its frames.
        clips: A list of arrays of frame numbers of the video.
        geometry: The `Geometry` of them all.
    """

    video: Video
    reader: FrameReader
    first: int
    count: int
    clips: list[np.ndarray]
    geometry: Geometry


class Stream:
    """Samples in the order of an epoch, and their division into batches and shares.

    A subclass says what a sample is, by `signature`, and how it is read, by `read`. A row of an
    epoch is its number, the place in it, the video, and which of the video's clips is the first.

    Args:
        videos: A `VideoSet`, or a list of `Video`s.
        video_config: The `VideoConfig` of the clips.
        batch_size: Samples in a batch, those of all shares together.
        training: Whether clips and crops are random.
        drop_remainder: Whether a last batch that is not full is left out. Defaults to `training`.

    The other arguments are those of `keras_stc.data.clip_dataset`.

    Attributes:
        least: Samples that a batch must have at least.
        shuffle: Whether every epoch has a random order; from the start, as `training`.
        per_row: Samples that a row gives; their arrays have a first axis of that length then.
        takes_flow: Whether clips may be optical flow.
    """

    least = per_row = 1
    takes_flow = False

    def __init__(
        self,
        videos,
        video_config,
        batch_size,
        *,
        training,
        drop_remainder=None,
        clips_per_video=1,
        seed=0,
        first_epoch=0,
        first_batch=0,
        share=(0, 1),
        quarantine=None,
        num_parallel_calls=None,
        prefetch=2,
        decoder="pyav",
        isolate=True,
        crops=None,
        flip=True,
        multiscale=False,
        backend=None,
    ):
        self.parallel = num_parallel_calls or available_cores()
        at_least(self.least, batch_size=batch_size)
        at_least(1, clips_per_video=clips_per_video, num_parallel_calls=self.parallel)
        at_least(0, seed=seed, first_epoch=first_epoch, first_batch=first_batch, prefetch=prefetch)
        check_share(share, batch_size)
        check_decoder(decoder)
        video_config.check_rgb(self.takes_flow)
        self.videos = checked_videos(videos)
        if not self.videos:
            raise VideoError("`videos` holds no video; expected at least one.")
        if video_config.flow and not all(is_packed_video(video.path) for video in self.videos):
            flow_method(video_config.flow)  # what is missing is said before a video is read
        self.video_config = video_config
        self.crops = chosen_crops(crops, training, video_config, flip=flip, multiscale=multiscale)
        self.training, self.shuffle, self.seed = training, training, seed
        self.clips_per_video = clips_per_video
        self.backend, self.prefetch = backend, prefetch
        self._open = functools.partial(open_isolated if isolate else open_video, decoder=decoder)
        self.quarantine = Quarantine() if quarantine is None else quarantine
        self.quarantine.watch(video.name for video in self.videos)
        self.epochs = Epochs(first_epoch)
        self.drop_remainder = training if drop_remainder is None else drop_remainder
        #: Samples in a batch of this share.
        self.batch_size = batch_size // share[1]
        samples = len(self.videos) * clips_per_video
        positions = share_positions(samples, batch_size, share, self.drop_remainder)
        if samples % batch_size < self.least:
            positions = positions[positions < samples - samples % batch_size]
        #: Batches in an epoch, and in an iteration.
        self.batches = len(np.unique(positions // batch_size))
        self.length = max(0, self.batches - first_batch)
        self._positions = positions[positions >= first_batch * batch_size]

    @property
    def signature(self) -> tuple[Array, ...] | dict[str, Array]:
        """What a sample is, in the order of `read`."""
        raise NotImplementedError

    def read(self, *row):
        """The arrays of a row's sample, a tuple."""
        raise NotImplementedError

    def plan(self, epoch):
        """All rows of an epoch, int64 `(rows, 4)`."""
        count = len(self.videos) * self.clips_per_video // self.per_row
        order = np.arange(count)
        if self.shuffle:
            order = generator(self.seed, epoch, 0).permutation(count)
        chosen, number = np.divmod(order * self.per_row, self.clips_per_video)
        return np.stack([np.full(count, epoch), np.arange(count), chosen, number], axis=1)

    def in_graph(self) -> InGraph | None:
        """An `InGraph`, or `None` where TensorFlow's graph has no part in it."""
        return None

    def usable(self, row, read, avoid=()):
        """The video of a row, or the next one that can be used, and what is read of it.

        Args:
            row: Its four numbers.
            read: Called with a `Cut`.
            avoid: As `Quarantine.first_usable`.
        """
        _, _, chosen, number = row

        # A replacement draws the same random numbers, so that who comes first to a bad video makes
        # no difference.
        def cut(video):
            rng, config = self.generator(row), self.video_config
            numbers = range(number, number + self.per_row)
            with with_flow(self._open(video.path, threads=1), config.flow) as reader:
                first, count = video.frame_range(reader.info)
                span = (count, config.frames, config.step(reader.info.fps))
                if self.training:
                    clips = [sampling.training_clip(*span, rng) for _ in numbers]
                    clips.sort(key=lambda clip: clip[0])
                else:
                    clips = list(sampling.uniform_clips(*span, self.clips_per_video)[numbers])
                geometry = self.crops.geometry(config, rng)
                return read(Cut(video, reader, first, count, clips, geometry))

        return self.quarantine.first_usable(self.videos, chosen, cut, avoid)

    def generator(self, row, *more):
        """What all that is random of a row is drawn from."""
        return generator(self.seed, row[0], 1 + row[1], *more)

    def changed(self, pixels, row, number=1):
        """What the `Crops` make of pixels that were read."""
        return changed_pixels(self.crops, pixels, self.generator(row, number))

    def mixed(self, row, count):
        """The samples of some rows, in an order that depends on seed and epoch alone."""
        return self.generator(row, 0).permutation(count)

    @property
    def arrays(self):
        """The `Array`s of a sample, a tuple."""
        signature = self.signature
        return tuple(signature.values() if isinstance(signature, dict) else signature)

    def sample(self, arrays):
        """Arrays in the order of `read`, as the tuple or the dictionary that a sample is."""
        if isinstance(self.signature, dict):
            return dict(zip(self.signature, arrays, strict=True))
        return tuple(arrays)

    def rows(self, epoch):
        """The rows of an iteration, int64 `(rows, columns)`."""
        rows = self.plan(epoch)
        return rows if self.per_row > 1 else rows[self._positions]

    def numpy_batches(self, epoch, ahead):
        """The batches of an epoch as NumPy arrays, some of them made in advance.

        Args:
            epoch: Its number.
            ahead: Batches that are begun before they are asked for.
        """
        pool = concurrent.futures.ThreadPoolExecutor(self.parallel, "keras_stc clips")
        try:
            samples = self._samples(pool, self.rows(epoch), ahead)
            for _ in range(self.length):
                batch = list(itertools.islice(samples, self.batch_size))
                yield self.sample(np.stack(part) for part in zip(*batch, strict=True))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _samples(self, pool, rows, ahead):
        """Tuples of arrays, one sample each, in order."""
        count = max(self.parallel, -(-(ahead + 1) * self.batch_size // self.per_row))
        if self.per_row == 1:
            yield from read_ahead(pool, self.read, rows.tolist(), count)
            return
        several = read_ahead(pool, self.read, rows.tolist(), max(count, MIXED_ROWS))
        for first in range(0, len(rows), MIXED_ROWS):
            read = zip(*itertools.islice(several, MIXED_ROWS), strict=True)
            arrays = [np.concatenate(part) for part in read]
            order = range(len(arrays[0]))
            if self.shuffle:
                order = self.mixed(rows[first], len(arrays[0]))
            for place in order:
                yield tuple(array[place] for array in arrays)


def read_ahead(pool, read, rows, count):
    """`read(*row)` of every row, in order, `count` of them begun before they are asked for."""
    running = collections.deque()
    for row in rows:
        running.append(pool.submit(read, *row))
        if len(running) > count:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()
