"""Kernels that only TensorFlow has, for layers that run them on its CPU; is oneDNN on?"""

import functools
import logging
import os
import platform

import tensorflow as tf

logger = logging.getLogger(__name__)


def batch_norm(x, scale, offset, statistics, epsilon):
    """Batch normalisation of `(B, T, H, W, C)` in one pass.

    The kernel is that of pictures: time goes into the batch, which is no change to means over all
    positions.

    Args:
        x: float32, bfloat16 or float16 `(B, T, H, W, C)`.
        scale: float32 `(C,)`.
        offset: float32 `(C,)`.
        statistics: Mean and variance to normalise by, float32 `(C,)` each, or `None` for those of
            `x`.
        epsilon: Added to the variance.

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
        mean=[] if statistics is None else statistics[0],
        variance=[] if statistics is None else statistics[1],
        epsilon=epsilon,
        is_training=statistics is None,
    )
    y = tf.ensure_shape(tf.reshape(made.y, shape), x.shape)
    if statistics is not None:
        return y, *statistics
    # The kernel gives the variance of a population of which `x` is a sample.
    count = tf.cast(tf.size(pictures) // shape[-1], tf.float32)
    return y, made.batch_mean, made.batch_variance * ((count - 1) / count)


@functools.cache
def has_onednn():
    """Whether TensorFlow runs oneDNN's kernels, which is decided while it is imported."""
    try:
        from tensorflow.python.util import _pywrap_util_port
    except ImportError:  # TensorFlow keeps it to itself, and may move it.
        return os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"
    return _pywrap_util_port.IsMklEnabled()


@functools.cache
def warn_without_onednn():
    """Says once that training is slow, where TensorFlow was imported before `keras_stc`."""
    is_in_wheel = platform.machine() in ("x86_64", "AMD64") and platform.system() != "Darwin"
    if is_in_wheel and not has_onednn() and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0":
        logger.warning(
            "TensorFlow's faster CPU kernels (oneDNN) are off; training takes about three times as "
            "long without. TensorFlow was imported first: import keras_stc before it and before "
            "Keras, or set TF_ENABLE_ONEDNN_OPTS=1 (0 keeps this line away)."
        )
