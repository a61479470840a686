"""The spine of all samples: the plan of an epoch, what reads a row of it, batches of what is read.

`clip_dataset` and `pair_dataset` say which rows an epoch has and how one is read. What is made of
them here depends on the seed, the epoch and the place alone, and is the same as a
`tf.data.Dataset` and, where there is no TensorFlow, as a `keras.utils.PyDataset`.
"""

import collections
import concurrent.futures
import importlib.util
import itertools
import warnings
from typing import NamedTuple

import numpy as np

from keras_stc.data.clips.plan import Epochs, check_share, share_positions
from keras_stc.data.clips.quarantine import Quarantine
from keras_stc.data.cores import available_cores

#: What the samples may come as.
BACKENDS = ("tf.data", "pydataset")

#: Rows whose samples are mixed with one another where one row gives several.
MIXED_ROWS = 16

#: What Keras says of every `tf.data.Dataset` that `fit` gets without `shuffle=False`.
SHUFFLE_WARNING = (
    "`shuffle=True` was passed, but will be ignored since the data `x` was provided as"
)


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

    read: collections.abc.Callable
    dtypes: tuple
    finish: collections.abc.Callable


class Stream:
    """Samples in the order of an epoch, and their division into batches and shares.

    Args:
        plan: Called with the number of an epoch: its rows, int64 `(rows, columns)`.
        read: Called with the numbers of a row: the arrays of a sample, a tuple.
        signature: What a sample is: a tuple or a dictionary of `Array`s, in the order of `read`.
        rows: Rows in an epoch.
        batch_size: Samples in a batch, those of all shares together.
        video_config: The `VideoConfig` of the clips.
        quarantine: A `Quarantine`, or `None` for a new one.
        videos: All videos of the stream, which the quarantine counts.
        share: `(index, count)`: of every batch, only this part.
        drop_remainder: Whether a last batch that is not full is left out.
        least: Samples that a last batch must have at least.
        first_epoch: Number of the first iteration.
        first_batch: Number of the batch with which every iteration begins.
        per_row: Samples that a row gives; their arrays have a first axis of that length then.
        mix: Where a row gives several and their order is random: called with a row and a number
            of samples, the order of those of this row and the ones after it.
        in_graph: An `InGraph`, or `None`.
    """

    def __init__(
        self,
        plan,
        read,
        signature,
        rows,
        batch_size,
        *,
        video_config,
        videos,
        quarantine=None,
        share=(0, 1),
        drop_remainder=False,
        least=1,
        first_epoch=0,
        first_batch=0,
        per_row=1,
        mix=None,
        in_graph=None,
    ):
        check_share(share, batch_size)
        video_config.check_rgb()
        self.read, self.signature, self.in_graph = read, signature, in_graph
        self.per_row, self.mix = per_row, mix
        self.video_config = video_config
        self.quarantine = Quarantine() if quarantine is None else quarantine
        self.quarantine.watch(video.name for video in videos)
        self.epochs = Epochs(first_epoch)
        self.drop_remainder = drop_remainder
        #: Samples in a batch of this share.
        self.batch_size = batch_size // share[1]
        samples = rows * per_row
        positions = share_positions(samples, batch_size, share, drop_remainder)
        if samples % batch_size < least:
            positions = positions[positions < samples - samples % batch_size]
        #: Batches in an epoch, and in an iteration.
        self.batches = len(np.unique(positions // batch_size))
        self.length = max(0, self.batches - first_batch)
        self._plan = plan
        self._positions = positions[positions >= first_batch * batch_size]

    @property
    def arrays(self):
        """The `Array`s of a sample, a tuple."""
        is_dict = isinstance(self.signature, dict)
        return tuple(self.signature.values() if is_dict else self.signature)

    def sample(self, arrays):
        """Arrays in the order of `read`, as the tuple or the dictionary that a sample is."""
        if isinstance(self.signature, dict):
            return dict(zip(self.signature, arrays, strict=True))
        return tuple(arrays)

    def rows(self, epoch):
        """The rows of an iteration, int64 `(rows, columns)`."""
        rows = self._plan(epoch)
        return rows if self.per_row > 1 else rows[self._positions]

    def numpy_batches(self, epoch, parallel, ahead):
        """The batches of an epoch as NumPy arrays, some of them made in advance.

        Args:
            epoch: Its number.
            parallel: Rows read at a time.
            ahead: Batches that are begun before they are asked for.
        """
        pool = concurrent.futures.ThreadPoolExecutor(parallel, "keras_stc clips")
        try:
            samples = self._samples(pool, self.rows(epoch), parallel, ahead)
            for _ in range(self.length):
                batch = list(itertools.islice(samples, self.batch_size))
                yield self.sample(np.stack(part) for part in zip(*batch, strict=True))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _samples(self, pool, rows, parallel, ahead):
        """Tuples of arrays, one sample each, in order."""
        count = max(parallel, -(-(ahead + 1) * self.batch_size // self.per_row))
        if self.per_row == 1:
            yield from read_ahead(pool, self.read, rows.tolist(), count)
            return
        several = read_ahead(pool, self.read, rows.tolist(), max(count, MIXED_ROWS))
        for first in range(0, len(rows), MIXED_ROWS):
            read = zip(*itertools.islice(several, MIXED_ROWS), strict=True)
            arrays = [np.concatenate(part) for part in read]
            order = range(len(arrays[0]))
            if self.mix:
                order = self.mix(rows[first], len(arrays[0]))
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


def dataset(stream, backend=None, num_parallel_calls=None, prefetch=2):
    """The samples of a stream as what `model.fit` takes.

    Args:
        stream: A `Stream`.
        backend: One of `BACKENDS`, or `None` for tf.data where TensorFlow is installed.
        num_parallel_calls: Rows read at a time. Defaults to the number of processor cores.
        prefetch: Batches made in advance.

    Returns:
        A `tf.data.Dataset` or a `ClipSequence`, with the attributes `batches`, `quarantine`,
        `set_epoch` and `video_config`.
    """
    has_tensorflow = importlib.util.find_spec("tensorflow") is not None
    if backend is None:
        backend = "tf.data" if has_tensorflow else "pydataset"
    if backend not in BACKENDS:
        raise ValueError(f"`backend` must be one of {BACKENDS}. Received: backend={backend!r}")
    parallel = num_parallel_calls or available_cores()
    for name, value, least in (
        ("num_parallel_calls", parallel, 1),
        ("prefetch", prefetch, 0),
    ):
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}. Received: {name}={value!r}")
    if backend == "pydataset":
        from keras_stc.data.clips.sequence import ClipSequence

        return ClipSequence(stream, parallel, prefetch)
    if not has_tensorflow:
        raise ImportError("Clips as a tf.data.Dataset need TensorFlow: pip install tensorflow")
    return _tf_dataset(stream, parallel, prefetch)


def _tf_dataset(stream, parallel, prefetch):
    import tensorflow as tf

    read, dtypes, finish = stream.in_graph or (
        stream.read,
        [array.dtype for array in stream.arrays],
        lambda *tensors: tensors,
    )
    dtypes = [tf.as_dtype(dtype) for dtype in dtypes]
    several = () if stream.per_row == 1 else (stream.per_row,)

    def begin():
        return stream.rows(stream.epochs.take())

    def load(row):
        made = tf.numpy_function(lambda row: read(*map(int, row)), [row], dtypes)
        return [
            tf.ensure_shape(tensor, (*several, *array.shape))
            for tensor, array in zip(finish(*made), stream.arrays, strict=True)
        ]

    def mixed(rows, *tensors):
        tensors = [tf.reshape(tensor, (-1, *tensor.shape[2:])) for tensor in tensors]
        order = tf.numpy_function(stream.mix, [rows[0], tf.shape(tensors[0])[0]], tf.int64)
        order = tf.ensure_shape(order, [None])
        return tuple(tf.gather(tensor, order) for tensor in tensors)

    options = {"num_parallel_calls": parallel, "deterministic": True}
    # A plan made anew for every iteration.
    dataset = tf.data.Dataset.from_tensors(0)
    dataset = dataset.map(
        lambda _: tf.ensure_shape(tf.numpy_function(begin, [], tf.int64), (None, None))
    )
    dataset = dataset.flat_map(tf.data.Dataset.from_tensor_slices)
    if stream.per_row == 1:
        dataset = dataset.map(lambda row: stream.sample(load(row)), **options)
    elif stream.mix:
        dataset = dataset.map(lambda row: (row, *load(row)), **options)
        dataset = dataset.batch(MIXED_ROWS).map(mixed).unbatch()
    else:
        dataset = dataset.map(lambda row: tuple(load(row)), **options).unbatch()
    dataset = dataset.batch(stream.batch_size, drop_remainder=stream.drop_remainder)
    # Keras must know where an epoch ends: what it finds out by itself counts for all epochs.
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(stream.length))
    # Without TensorFlow's automatic tuning: nothing is left to be tuned, and the end of an
    # iteration waits for the tuner, up to nine seconds on two busy cores.
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.prefetch(prefetch).with_options(options)
    dataset.batches = stream.batches
    dataset.quarantine = stream.quarantine
    dataset.set_epoch = stream.epochs.set
    dataset.video_config = stream.video_config
    # `fit` shuffles unless told otherwise, and tells everybody that it cannot shuffle these.
    message = rf"{SHUFFLE_WARNING} a tf\.data\.Dataset"
    warnings.filterwarnings("ignore", message, UserWarning)
    return dataset
