"""A training step of Keras' on TensorFlow: traced once, into one graph, and run as traced."""

import functools

import keras
import tensorflow as tf

from keras_stc.layers.tensorflow_kernels import on_one_device


def traced_once(model, function, compared):
    """A training function of Keras' that is traced once, and has no graph inside its graph.

    Keras leaves what metrics and optimizer keep to the first call. TensorFlow traces a function
    that makes variables once more, as if it were another one: the whole of a network, its gradient
    and its update, twice. And Keras traces a step by itself and once more a function around it that
    takes the next batch: every variable enters two graphs, a fifth of what a deep network's first
    step has to build.

    Args:
        model: A compiled model.
        function: Its `train_function`, called with an iterator. It stays what is called for what
            is no iterator of TensorFlow's, as of `train_on_batch`, for several steps a call, with
            XLA and with several devices.
        compared: Function of the labels of a batch, as `keras.KerasTensor` or `None`, that returns
            what losses and metrics compare, of the right shapes: what is wanted and what came out,
            or `None` where that is not known.
    """
    # What is missing from a batch as `None`; Keras has no public name for it, and may move it.
    train_step = getattr(model, "_autoconvert_optionals", lambda step: step)(model.train_step)

    def next_step(iterator):
        return train_step(iterator.get_next())

    has_one_step = model.steps_per_execution == 1 and not model.jit_compile
    one_graph = tf.function(next_step, reduce_retracing=True, autograph=False)
    is_first = True

    @functools.wraps(function)
    def call(iterator):
        nonlocal is_first
        if not on_one_device():
            return function(iterator)
        is_dataset = isinstance(iterator, tf.data.Iterator)
        if is_first:
            is_first = False
            if model.optimizer is not None and not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            if is_dataset:
                _build_metrics(model, iterator.element_spec, compared)
        return (one_graph if is_dataset and has_one_step else function)(iterator)

    return call


def _build_metrics(model, element_spec, compared):
    """Makes the variables of a compiled model's losses and metrics."""
    # Keras has no public names for them.
    parts = [getattr(model, name, None) for name in ("_compile_loss", "_compile_metrics")]
    parts = [part for part in parts if not getattr(part, "built", True)]
    if not parts:
        return
    _, labels, _ = keras.utils.unpack_x_y_sample_weight(element_spec)
    # What is missing from a batch has a spec of its own, without a shape.
    labels = tf.nest.map_structure(
        lambda spec: (
            keras.KerasTensor(spec.shape, spec.dtype.name)
            if isinstance(spec, tf.TensorSpec)
            else None
        ),
        labels,
    )
    pair = compared(labels)
    if pair is not None:
        for part in parts:
            part.build(*pair)


def without_graph_optimizer(function):
    """A `tf.function` that runs as it was traced: TensorFlow's graph optimizer is off in its calls.

    Rewriting a training step of thousands of operations takes seconds in its first call, and the
    step is none the faster for it (`docs/benchmarks.md`). The switch in `tf.config.optimizer` is
    everybody's and stays as it is: what this thread passes along with the call alone is another.
    """
    try:
        from tensorflow.python.eager.context import FunctionCallOptions, context
    except ImportError:  # TensorFlow has no public name for them, and may move them.
        return function
    usual = as_traced = None

    @functools.wraps(function)
    def call(*args, **kwargs):
        nonlocal usual, as_traced
        here = context()
        before = here.function_call_options
        if before is not usual:
            config = tf.compat.v1.ConfigProto.FromString(before.config_proto_serialized)
            config.graph_options.rewrite_options.disable_meta_optimizer = True
            usual = before
            as_traced = FunctionCallOptions(before.executor_type, config)
        here.function_call_options = as_traced
        try:
            return function(*args, **kwargs)
        finally:
            here.function_call_options = before

    return call
