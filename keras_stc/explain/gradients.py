"""Gradients of class scores by a layer's features, on all three backends."""

import keras
import numpy as np
from keras import ops

from keras_stc.models.classifier import ends_in_softmax


def split_at(model, layer):
    """The network as two: clips to a layer's features, and these to the scores of the classes.

    Scores are logits, before the softmax, as Grad-CAM needs them.

    Args:
        model: A `keras_stc.VideoModel` with a classifier.
        layer: One of its layers, through which everything goes.

    Returns:
        A pair of models that share the weights of `model`.

    Raises:
        ValueError: If something goes past the layer.
    """
    features = keras.Model(model.input, layer.output)
    try:
        return features, keras.Model(layer.output, logits(model))
    except ValueError as error:
        raise ValueError(
            f"`layer` must be one through which everything goes, and something goes past "
            f"{layer.name!r}: choose the end of a residual unit or of an inception module."
        ) from error


def logits(model):
    """The symbolic scores of a classifier before its softmax, `(B, classes)`."""
    if not ends_in_softmax(model):
        return model.output
    last = model.layers[-1]
    if not last.weights:  # a layer that is the softmax alone
        return last.input
    linear = type(last).from_config({**last.get_config(), "activation": "linear"})
    scores = linear(last.input)
    linear.set_weights(last.get_weights())
    return scores


def scores_and_gradients(scores, features, label):
    """Scores of a class, and how each feature would change them.

    Args:
        scores: A model from features to `(B, classes)`.
        features: Array `(B, T, H, W, C)`.
        label: Index of the class.

    Returns:
        Two NumPy arrays: scores `(B,)`, gradients `(B, T, H, W, C)`.
    """
    by_backend = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    values, gradients = by_backend[keras.backend.backend()](
        lambda x: scores(x, training=False)[:, label], ops.convert_to_tensor(features)
    )
    return (
        np.asarray(ops.convert_to_numpy(values), "float32"),
        np.asarray(ops.convert_to_numpy(gradients), "float32"),
    )


def _tensorflow(score, x):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        scores = score(x)
    return scores, tape.gradient(scores, x)


def _jax(score, x):
    import jax

    def total(x):
        scores = score(x)
        return scores.sum(), scores

    gradients, scores = jax.grad(total, has_aux=True)(x)
    return scores, gradients


def _torch(score, x):
    import torch

    x = x.detach().requires_grad_()
    with torch.enable_grad():
        scores = score(x)
        (gradients,) = torch.autograd.grad(scores.sum(), x)
    return scores.detach(), gradients
