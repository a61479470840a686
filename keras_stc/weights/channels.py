"""Weights of a network for RGB clips in one for clips of other channels."""

import logging

import numpy as np

logger = logging.getLogger("keras_stc")

#: Channels that published networks see.
RGB = 3


def fit_channels(layer, arrays):
    """Averages the first kernel over the colours; leaves other arrays alone.

    Every new channel gets the mean of the kernel over R, G and B, times 3 over the number of new
    channels, so that a clip whose channels are all alike is answered as the RGB clip of the same
    values, where all channels have one mean and std; where those of R, G and B differ, nearly so
    (what timm does, `adapt_input_conv`; Wang et al., TSN, ECCV 2016, for flow).

    Args:
        layer: A built layer of a model.
        arrays: `{path of the variables below the layer: [arrays]}` of that layer.

    Returns:
        `arrays`, or a copy with the kernel averaged.
    """
    kernel, direct = getattr(layer, "kernel", None), arrays.get("")
    if kernel is None or not direct or len(kernel.shape) != direct[0].ndim or direct[0].ndim < 3:
        return arrays
    channels = kernel.shape[-2]
    expected = (*kernel.shape[:-2], RGB, kernel.shape[-1])
    if channels == RGB or direct[0].shape != expected:
        return arrays
    logger.info("%s: weights for RGB averaged for %d channels", layer.name, channels)
    mean = direct[0].mean(axis=-2, keepdims=True) * np.float32(RGB / channels)
    return {**arrays, "": [np.repeat(mean, channels, axis=-2).astype(direct[0].dtype), *direct[1:]]}
