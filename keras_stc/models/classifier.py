"""Activation of a classifier: its name, and whether outputs are probabilities or logits."""

import keras


def activation_name(activation):
    """The name of a classifier's activation, as files keep it; `None` of `None`."""
    return keras.activations.serialize(activation) if callable(activation) else activation


def check_classifier(model, why=""):
    """Raises the `ValueError` for a model that names no classes.

    Args:
        model: A Keras model.
        why: What needs one, a clause before the sentence.
    """
    has_top = (getattr(model, "architecture", None) or {}).get("include_top", True)
    if len(model.output_shape) != 2 or not has_top:
        raise ValueError(
            f"{why}`model` must have a classifier (include_top=True). "
            f"Received: a model with outputs of shape {model.output_shape}"
        )


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
