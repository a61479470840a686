"""Batch normalisation folded into the convolutions before it, for inference."""

import collections

import keras
import numpy as np

from keras_stc.models.video_model import VideoModel


def fold_batch_norm(model: VideoModel) -> VideoModel:
    """A copy of a network for inference, without the batch normalisations that a kernel can hold.

    In inference a batch normalisation multiplies and shifts every channel by constants. Where a
    `Conv3D` stands before it and nothing else reads that, the factors go into its kernel and the
    rest into its bias: `kernel * gamma / sqrt(variance + epsilon)` and `beta + (bias - mean) *
    gamma / sqrt(variance + epsilon)`. Others, such as those before the convolutions of
    pre-activation and dense networks, stay. What the network puts out differs by rounding alone.

    The copy has weights of its own: the network is left as it is, and what it learns later is not
    in the copy. It is not for training, nor for weights of the network, whose layers it lacks.

    Example:

    ```python
    fast = keras_stc.models.fold_batch_norm(keras_stc.load_model("runs/a"))
    probabilities = fast.predict(clips)
    ```

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", CVPR 2018, section 3.2.

    Args:
        model: A `keras_stc.VideoModel`.

    Returns:
        A `keras_stc.VideoModel` with the `video_config` of `model`, not compiled, whose layers have
        the same names.

    Raises:
        ValueError: If `model` is another kind of model.
    """
    if not isinstance(model, VideoModel):
        raise ValueError(
            f"`model` must be a keras_stc.VideoModel. Received: a {type(model).__name__}"
        )
    norms = _foldable(model)
    convolutions = {convolution: norm for norm, convolution in norms.items()}

    def clone(layer):
        if layer.name in norms:
            return layer  # is not called
        # Its weights come later.
        config = {
            key: "zeros" if key.endswith("_initializer") else value
            for key, value in layer.get_config().items()
        }
        if layer.name in convolutions:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in norms else layer(*args, **kwargs)

    # Of a plain model, which has no optimizer to be copied.
    plain = keras.Model(model.input, model.output, name=model.name)
    copy = keras.models.clone_model(plain, clone_function=clone, call_function=call)
    own = {layer.name: layer for layer in model.layers}
    for layer in copy.layers:
        if layer.name in convolutions:
            layer.set_weights(_folded(own[layer.name], own[convolutions[layer.name]]))
        elif layer.weights:
            layer.set_weights(own[layer.name].get_weights())
    folded = VideoModel(copy.input, copy.output, name=model.name, video_config=model.video_config)
    folded.trainable = False
    return folded


def for_inference(model: keras.Model) -> keras.Model:
    """`fold_batch_norm` of the zoo's networks where there is something to fold; others as they are.

    Layers of others may not be what their `get_config` says.
    """
    ours = isinstance(model, VideoModel) and model.architecture is not None
    return fold_batch_norm(model) if ours and _foldable(model) else model


def _foldable(model):
    """`{name of a batch normalisation: name of the convolution it goes into}`."""
    config = model.get_config()
    reads = {each["name"]: list(_read(each["inbound_nodes"])) for each in config["layers"]}
    calls = {each["name"]: len(each["inbound_nodes"]) for each in config["layers"]}
    readers = collections.Counter(name for names in reads.values() for name in names)
    # Outputs are read by whoever calls the model.
    readers.update(keras.tree.flatten(config["output_layers"]))
    layers = {layer.name: layer for layer in model.layers}
    pairs = {}
    for norm, names in reads.items():
        if len(names) == calls[norm] == 1 and readers[names[0]] == calls[names[0]] == 1:
            if _fits(layers.get(names[0]), layers.get(norm)):
                pairs[norm] = names[0]
    return pairs


def _read(nodes):
    """Names of the layers that the calls of a layer, as `get_config` has them, take tensors of."""
    if isinstance(nodes, dict):
        if "keras_history" in nodes:
            yield nodes["keras_history"][0]
        nodes = nodes.values()
    if not isinstance(nodes, str):
        for node in nodes if isinstance(nodes, collections.abc.Iterable) else ():
            yield from _read(node)


def _fits(convolution, norm):
    return (
        isinstance(convolution, keras.layers.Conv3D)
        and isinstance(norm, keras.layers.BatchNormalization)
        and convolution.data_format == "channels_last"
        and convolution.activation is keras.activations.linear
        and norm.axis in (-1, 4)
    )


def _folded(convolution, norm):
    """Kernel and bias of the convolution with the normalisation in them."""
    # Summed up in float64, so that rounding is that of the result alone.
    kernel, bias, mean, variance, gamma, beta = (
        np.asarray(keras.ops.convert_to_numpy(value), "float64") if value is not None else default
        for value, default in (
            (convolution.kernel, None),
            (convolution.bias, 0.0),
            (norm.moving_mean, None),
            (norm.moving_variance, None),
            (norm.gamma if norm.scale else None, 1.0),
            (norm.beta if norm.center else None, 0.0),
        )
    )
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return [kernel * factor, beta + (bias - mean) * factor]
