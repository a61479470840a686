"""Kernels that only TensorFlow has, for layers that run them on its CPU."""

import tensorflow as tf


def batch_norm(x, scale, offset, mean, variance, epsilon, training):
    """Batch normalisation of `(B, T, H, W, C)` in one pass.

    The kernel is that of pictures: time goes into the batch, which is no change to means over all
    positions.

    Args:
        x: float32, bfloat16 or float16 `(B, T, H, W, C)`.
        scale: float32 `(C,)`.
        offset: float32 `(C,)`.
        mean: float32 `(C,)`, used where it is not training.
        variance: float32 `(C,)`, likewise.
        epsilon: Added to the variance.
        training: Whether to normalise by the statistics of `x`.

    Returns:
        The map in the dtype of `x`; the mean and the variance it was normalised by.
    """
    shape = tf.shape(x)
    pictures = tf.reshape(x, tf.concat([[shape[0] * shape[1]], shape[2:]], axis=0))
    pictures.set_shape((None, *x.shape[2:]))
    made = tf.raw_ops.FusedBatchNormV3(
        x=pictures,
        scale=scale,
        offset=offset,
        mean=tf.zeros([0]) if training else mean,
        variance=tf.zeros([0]) if training else variance,
        epsilon=epsilon,
        is_training=training,
    )
    y = tf.ensure_shape(tf.reshape(made.y, shape), x.shape)
    if not training:
        return y, mean, variance
    # The kernel gives the variance of a population of which `x` is a sample.
    count = tf.cast(tf.size(pictures) // shape[-1], tf.float32)
    return y, made.batch_mean, made.batch_variance * ((count - 1) / count)
