"""Activation of a classifier: its name, and whether outputs are probabilities or logits."""

import keras


def activation_name(activation):
    """The name of a classifier's activation, as files keep it; `None` of `None`."""
    return keras.activations.serialize(activation) if callable(activation) else activation


def ends_in_softmax(model):
    """Whether a classifier puts out probabilities; otherwise it puts out logits.

    Raises:
        ValueError: If it ends in another activation.
    """
    last = model.layers[-1]
    activation = getattr(last, "activation", keras.activations.linear)
    if isinstance(last, keras.layers.Softmax) or activation is keras.activations.softmax:
        return True
    if activation in (None, keras.activations.linear):
        return False
    raise ValueError(
        "`model` must end in softmax or in logits, since classes exclude one another here: build "
        f"it with classifier_activation='softmax' or None. Received: {activation.__name__}"
    )
