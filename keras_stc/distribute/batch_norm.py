"""Batch normalisation over the whole batch while it is spread over several devices."""

import contextlib
from collections.abc import Iterator

import keras

from keras_stc.distribute.strategy import devices


@contextlib.contextmanager
def synchronized(model: keras.Model) -> Iterator[None]:
    """Makes a model's batch normalisations see the batches of all devices inside the block.

    The flag is `keras.layers.BatchNormalization(synchronized=True)`, which only TensorFlow has: it
    is off again after the block, so that what is saved then loads on every backend. With JAX the
    whole batch is what these layers see anyway.

    Example:

    ```python
    with keras_stc.distribute.synchronized(model):
        keras_stc.distribute.fit(model, clips)
    model.save("model.keras")
    ```

    Args:
        model: A Keras model.
    """
    layers = []
    if keras.backend.backend() == "tensorflow" and devices(model) > 1:
        layers = [layer for layer in _batch_norms(model) if not layer.synchronized]
    for layer in layers:
        layer.synchronized = True
    try:
        yield
    finally:
        for layer in layers:
            layer.synchronized = False


def _batch_norms(layer):
    if isinstance(layer, keras.layers.BatchNormalization):
        yield layer
    for inner in getattr(layer, "layers", ()):
        yield from _batch_norms(inner)
