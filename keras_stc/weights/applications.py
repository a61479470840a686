"""Weights of the 2D networks of `keras.applications`, as Keras itself fetches and reads them."""

import contextlib
import sys
import textwrap

from keras_stc.weights.cache import WeightsError
from keras_stc.weights.load import is_keras_2, read_weights_file


def application_layers(name, weights="imagenet"):
    """Arrays of a 2D network by Keras' names of its layers.

    Files of Keras 2's format, such as those that Keras fetches, are loaded into a network that is
    built for it: their layers bear other names, and count by their order.

    Example:

    ```python
    assign_by_name(keras_stc.TSNResNet50(classes=1000), application_layers("ResNet50"), "ImageNet")
    ```

    Args:
        name: Of the constructor in `keras.applications`.
        weights: `"imagenet"`, which Keras fetches once and checks, or the path of an `.h5` file.

    Returns:
        What `keras_stc.weights.load.read_weights_file` returns.

    Raises:
        WeightsError: If the weights cannot be had, or are of another network.
    """
    import keras

    weights = str(weights)
    if weights != "imagenet" and not is_keras_2(weights):
        return read_weights_file(weights)
    top = {}
    if weights != "imagenet":
        *_, last = read_weights_file(weights).values()
        kernel = last[""][0]
        has_top = kernel.ndim == 2
        top = {"include_top": has_top, **({"classes": kernel.shape[-1]} if has_top else {})}
    try:
        # Standard output stays for results.
        with contextlib.redirect_stdout(sys.stderr):
            model = getattr(keras.applications, name)(weights=weights, **top)
    except Exception as error:  # Of downloads, of HDF5, of Keras: many types.
        reason = textwrap.shorten(" ".join(str(error).split()), 200, placeholder=" …")
        raise WeightsError(
            f"The weights {weights} of keras.applications.{name} cannot be had ({reason}): connect "
            "to the network once, or give the path of a file of them."
        ) from error
    return {layer.name: {"": layer.get_weights()} for layer in model.layers if layer.weights}
