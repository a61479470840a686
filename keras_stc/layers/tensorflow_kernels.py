"""Kernels that only TensorFlow has, for layers that run them on its CPU; is oneDNN on?"""

import functools
import logging
import os
import platform

import keras
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
            "TensorFlow's faster CPU kernels (oneDNN) are off; training takes about three times as "
            "long without. TensorFlow was imported first: import keras_stc before it and before "
            "Keras, or set TF_ENABLE_ONEDNN_OPTS=1 (0 keeps this line away)."
        )


def without_graph_optimizer(function):
    """A `tf.function` that runs as it was traced: TensorFlow's graph optimizer is off in its calls.

    Rewriting a training step of thousands of operations takes seconds in its first call, and the
    step is none the faster for it (`docs/benchmarks.md`). The switch in `tf.config.optimizer` is
    everybody's and stays as it is: what this thread passes along with the call alone is another.
    """
    from tensorflow.python.eager import context  # TensorFlow has no public name for it.

    usual = as_traced = None

    @functools.wraps(function)
    def call(*args, **kwargs):
        nonlocal usual, as_traced
        here = context.context()
        before = here.function_call_options
        if before is not usual:
            config = tf.compat.v1.ConfigProto.FromString(before.config_proto_serialized)
            config.graph_options.rewrite_options.disable_meta_optimizer = True
            usual = before
            as_traced = context.FunctionCallOptions(before.executor_type, config)
        here.function_call_options = as_traced
        try:
            return function(*args, **kwargs)
        finally:
            here.function_call_options = before

    return call


def traced_once(model, function):
    """A training function of Keras' which makes no variables, and so is not traced twice.

    Keras leaves what metrics and optimizer keep to the first call. TensorFlow traces a function
    that makes variables once more, as if it were another one: the whole of a network, its gradient
    and its update, twice.

    Args:
        model: A compiled functional model.
        function: Its `train_function`, called with an iterator.
    """
    is_first = True

    @functools.wraps(function)
    def call(iterator):
        nonlocal is_first
        if is_first and on_one_device():
            is_first = False
            if model.optimizer is not None and not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            metrics = getattr(model, "_compile_metrics", None)  # Keras has no public name for them.
            if isinstance(iterator, tf.data.Iterator) and not getattr(metrics, "built", True):
                _, labels, _ = keras.utils.unpack_x_y_sample_weight(iterator.element_spec)
                if labels is not None:
                    labels = tf.nest.map_structure(
                        lambda spec: keras.KerasTensor(spec.shape, spec.dtype.name), labels
                    )
                    metrics.build(labels, model.output)
        return function(iterator)

    return call


def in_one_graph(model, function):
    """A training function of Keras' without a graph inside its graph, for one step a call.

    Keras traces the step by itself and once more a function around it that takes the next batch:
    every variable enters two graphs, a fifth of what a deep network's first step has to build.

    Args:
        model: A compiled model.
        function: Its `train_function`, called with an iterator. It stays what is called for what
            is no iterator of TensorFlow's, as of `train_on_batch`, or with several devices.
    """
    if model.steps_per_execution != 1 or model.jit_compile:
        return function
    # What is missing from a batch as `None`; Keras has no public name for it, and may move it.
    train_step = getattr(model, "_autoconvert_optionals", lambda step: step)(model.train_step)

    def step(iterator):
        return train_step(iterator.get_next())

    step = tf.function(step, reduce_retracing=True, autograph=False)

    @functools.wraps(function)
    def call(iterator):
        is_ours = isinstance(iterator, tf.data.Iterator) and on_one_device()
        return (step if is_ours else function)(iterator)

    return call


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
