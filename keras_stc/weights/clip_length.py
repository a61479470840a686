"""Weights of an STC block's spatial branch for another number of time steps.

Its two dense layers are tied to the clip: T*C inputs, T*C/r hidden units, C gates. Weights for
another T are resampled (our choice; the paper trains each length by itself).
"""

import logging

import numpy as np

logger = logging.getLogger("keras_stc")

SQUEEZE, EXCITE = "spatial_squeeze", "spatial_excite"


def fit_clip_length(layer, arrays):
    """Resamples the arrays of an STC block to the time steps of a layer; leaves others alone.

    The first dense layer is interpolated along the time steps it looks at, and both are scaled by
    T_old / T_new so that sums over time keep their size. Hidden units have no order in time: each
    is repeated, or some are left out. A video that stands still gets the gates it had, where T_new
    is a multiple of T_old.

    Args:
        layer: A built layer of a model.
        arrays: `{path of the variables below the layer: [arrays]}` of that layer.

    Returns:
        `arrays`, or a copy with the two dense layers resampled.
    """
    squeeze = getattr(layer, SQUEEZE, None)
    if squeeze is None or len(arrays.get(SQUEEZE, ())) != 2 or len(arrays.get(EXCITE, ())) != 2:
        return arrays
    kernel, bias = arrays[SQUEEZE]
    excite_kernel, excite_bias = arrays[EXCITE]
    channels = excite_bias.shape[0]
    rows, hidden = squeeze.kernel.shape
    old, new = kernel.shape[0] // channels, rows // channels
    if old == new or (rows % channels, kernel.shape[0] % channels) != (0, 0):
        return arrays
    if kernel.shape[1] * new != hidden * old:
        return arrays  # Another reduction ratio: for the caller to refuse.
    logger.info(
        "%s: weights for %d time steps resampled to %d; fine-tune before use", layer.name, old, new
    )
    scale = old / new
    width = kernel.shape[1] // old
    nearest = np.floor((np.arange(new) + 0.5) * old / new).astype(int)
    unit = (nearest[:, None] * width + np.arange(width)).reshape(-1)
    kernel = np.tensordot(_resampling(old, new), kernel.reshape(old, channels, -1), 1)
    kernel = kernel.reshape(rows, -1).astype(bias.dtype)
    return {
        **arrays,
        SQUEEZE: [scale * kernel[:, unit], bias[unit]],
        EXCITE: [scale * excite_kernel[unit], excite_bias],
    }


def _resampling(old, new):
    """`(new, old)` matrix: linear to more time steps, means of the intervals to fewer."""
    if new >= old:
        positions = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        return np.maximum(1 - np.abs(positions[:, None] - np.arange(old)), 0)
    edges = np.arange(new + 1) * old / new
    start, end = np.arange(old), np.arange(old) + 1
    overlap = np.minimum(edges[1:, None], end) - np.maximum(edges[:-1, None], start)
    return np.maximum(overlap, 0) * new / old
