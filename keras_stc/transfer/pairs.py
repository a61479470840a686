"""Which frames go with which clip: negative pairs are of two different videos."""

import keras
from keras import ops

ONE_VIDEO = (
    "A batch must hold clips of at least two videos: negative pairs come from different ones. "
    "Received: a batch of one video"
)


def negative_partners(video):
    """For every place in a batch, the place of a clip of another video.

    Neighbours, 0 and 1, 2 and 3, …, swap their clips. So a batch of which each replica, or each
    accumulated step, holds an even part has the same pairs as one in a single piece. Where two
    neighbours are of one video, or one is left over, the places, ordered by video, are rotated by
    the number of places of the most frequent video. Both are permutations: every clip is in one
    positive and in one negative pair, and nothing but the pairing tells them apart. Only a video
    that fills more than half of the batch makes that impossible.

    Args:
        video: Integers `(B,)`: which video each place holds. The batch is random, so the pairs are.

    Returns:
        int32 `(B,)`.
    """
    count = ops.shape(video)[0]
    place = ops.arange(count, dtype="int32")
    same = video[:, None] == video[None, :]
    first = ops.argmax(same, axis=1)
    rank = ops.argsort(ops.argsort(ops.cast(first, "int32") * count + place))
    most = ops.max(ops.sum(ops.cast(same, "int32"), axis=1))
    distance = (ops.cast(rank[None, :] - rank[:, None], "int32") - most) % count
    rotated = ops.argmin(ops.where(same, count, distance), axis=1)
    neighbour = ops.minimum(place + 1 - 2 * (place % 2), count - 1)
    swap = ops.all(ops.take(video, neighbour) != video)
    return ops.where(swap, neighbour, ops.cast(rotated, "int32"))


def checked(video):
    """`video`, once it is sure that a batch holds more than one.

    Inside compiled functions the error comes from the device, with the same sentence; functions
    that TensorFlow compiles with XLA drop such checks.
    """
    if video.shape[0] == 1:
        raise ValueError(ONE_VIDEO)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        check = tf.debugging.Assert(tf.reduce_any(video != video[0]), [ONE_VIDEO])
        with tf.control_dependencies([check] if check is not None else []):
            return tf.identity(video)
    if backend == "jax":
        import jax

        jax.debug.callback(_check, video)
    elif not video.is_meta:
        _check(video)
    return video


def _check(video):
    if len({int(number) for number in video}) == 1:
        raise ValueError(ONE_VIDEO)
