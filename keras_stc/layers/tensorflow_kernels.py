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
    known = None not in x.shape[1:]
    if known:  # A fifth as many operations to trace, in every layer of a deep network.
        pictures = tf.reshape(x, (-1, *x.shape[2:]))
    else:
        shape = tf.shape(x)
        pictures = tf.reshape(x, tf.concat([[shape[0] * shape[1]], shape[2:]], axis=0))
        pictures.set_shape((None, *x.shape[2:]))
    mean, variance = statistics or [tf.constant([], tf.float32)] * 2
    made = tf.raw_ops.FusedBatchNormV3(
        x=pictures,
        scale=scale,
        offset=offset,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        is_training=statistics is None,
    )
    y = tf.reshape(made.y, (-1, *x.shape[1:]) if known else shape)
    y.set_shape(x.shape)
    if statistics is not None:
        return y, *statistics
    # `batch_variance` is that of a population of which `x` is a sample; on the CPU this is of `x`.
    return y, made.batch_mean, made.reserve_space_2


def move_average(average, value, momentum):
    """`average = momentum * average + (1 - momentum) * value`, for batch normalisation.

    In one operation where nothing else watches the variable, instead of four: several devices, and
    Keras where it keeps changes apart, have to hear of it.

    Args:
        average: `keras.Variable`.
        value: `tf.Tensor` of its shape and dtype.
        momentum: Number.
    """
    held = tf.convert_to_tensor(average)
    away = held - value
    if on_one_device() and not _is_kept_apart():
        tf.raw_ops.ResourceApplyGradientDescent(
            var=average.value.handle, alpha=1 - momentum, delta=away
        )
    else:
        average.assign(held - away * (1 - momentum))


def _is_kept_apart():
    """Whether changes of variables go into a `keras.StatelessScope`."""
    try:
        from keras.src.backend.common.stateless_scope import in_stateless_scope
    except ImportError:  # Keras has no public name for it, and may move it.
        return True
    return in_stateless_scope()


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
            "TensorFlow's faster CPU kernels (oneDNN) are off, and training is slower without. "
            "TensorFlow was imported first: import keras_stc before it and before "
            "Keras, or set TF_ENABLE_ONEDNN_OPTS=1 (0 keeps this line away)."
        )


def on_one_device():
    """Whether no `tf.distribute` strategy keeps a copy of the variables on several devices."""
    return not tf.distribute.has_strategy()


def momentum_update(variable, velocity, gradient, learning_rate, momentum, nesterov):
    """SGD's update of a variable in one operation, where Keras has a dozen.

    `velocity = momentum * velocity - learning_rate * gradient`; the variable moves by that or, with
    `nesterov`, by `momentum * velocity - learning_rate * gradient`.

    Args:
        variable: `tf.Variable`.
        velocity: `tf.Variable` of its shape.
        gradient: `tf.Tensor` of its shape.
        learning_rate: Scalar.
        momentum: Scalar.
        nesterov: Boolean.
    """
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=velocity.handle,
        lr=tf.cast(learning_rate, variable.dtype),
        grad=tf.cast(gradient, variable.dtype),
        momentum=tf.cast(momentum, variable.dtype),
        use_nesterov=nesterov,
    )
