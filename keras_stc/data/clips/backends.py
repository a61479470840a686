"""What samples come as: a `tf.data.Dataset` or a `ClipSequence`."""

import importlib.util
import warnings

from keras_stc.checks import one_of
from keras_stc.data.clips.stream import MIXED_ROWS

#: What the samples may come as.
BACKENDS = ("tf.data", "pydataset")

#: What Keras says of every `tf.data.Dataset` that `fit` gets without `shuffle=False`.
SHUFFLE_WARNING = (
    r"`shuffle=True` was passed, but will be ignored since the data `x` was provided as a "
    r"tf\.data\.Dataset"
)


def dataset(stream):
    """The samples of a `Stream` as what `model.fit` takes.

    Returns:
        A `tf.data.Dataset` or a `ClipSequence`, with the attributes `batches`, `quarantine`,
        `set_epoch` and `video_config`.
    """
    has_tensorflow = importlib.util.find_spec("tensorflow") is not None
    backend = stream.backend or ("tf.data" if has_tensorflow else "pydataset")
    one_of(BACKENDS, backend=backend)
    if backend == "pydataset":
        from keras_stc.data.clips.sequence import ClipSequence

        return ClipSequence(stream)
    if not has_tensorflow:
        raise ImportError("Clips as a tf.data.Dataset need TensorFlow: pip install tensorflow")
    return _tf_dataset(stream)


def _tf_dataset(stream):
    import tensorflow as tf

    read, dtypes, finish = stream.in_graph() or (
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
        order = tf.numpy_function(stream.mixed, [rows[0], tf.shape(tensors[0])[0]], tf.int64)
        order = tf.ensure_shape(order, [None])
        return tuple(tf.gather(tensor, order) for tensor in tensors)

    options = {"num_parallel_calls": stream.parallel, "deterministic": True}
    # A plan made anew for every iteration.
    dataset = tf.data.Dataset.from_tensors(0)
    dataset = dataset.map(
        lambda _: tf.ensure_shape(tf.numpy_function(begin, [], tf.int64), (None, None))
    )
    dataset = dataset.flat_map(tf.data.Dataset.from_tensor_slices)
    if stream.per_row == 1:
        dataset = dataset.map(lambda row: stream.sample(load(row)), **options)
    elif stream.shuffle:
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
    dataset = dataset.prefetch(stream.prefetch).with_options(options)
    dataset.batches = stream.batches
    dataset.quarantine = stream.quarantine
    dataset.set_epoch = stream.epochs.set
    dataset.video_config = stream.video_config
    # `fit` shuffles unless told otherwise, and tells everybody that it cannot shuffle these.
    message = SHUFFLE_WARNING
    warnings.filterwarnings("ignore", message, UserWarning)
    return dataset
