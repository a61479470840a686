"""Whether a map depends on what the network learned: the test of Adebayo et al.

Source: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: a map that stays as it is
when the weights are random shows the picture, not the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_stc.checks import one_of

if TYPE_CHECKING:
    import keras

#: Which weights are shuffled, from the output down.
PARTS = ("classifier", "whole network")


def randomized(model: keras.Model, part: str = "whole network", seed: int = 0) -> keras.Model:
    """A copy of a network whose kernels are shuffled, each within itself.

    Their scale stays, and with it that of the features, which batch normalisation expects (our
    choice; Adebayo et al. draw new ones).

    Args:
        model: A `keras_stc.VideoModel`.
        part: `"classifier"` or `"whole network"`.
        seed: Of the order.

    Returns:
        A `keras_stc.VideoModel`.

    Raises:
        ValueError: If there is no such part.
    """
    one_of(PARTS, part=part)
    rng = np.random.default_rng(seed)
    copy = type(model).from_config(model.get_config())
    layers = [layer for layer in copy.layers if layer.weights]
    if part == "classifier":
        layers = layers[-1:]
    copy.set_weights(model.get_weights())
    for layer in layers:
        weights = [
            rng.permutation(array.ravel()).reshape(array.shape) if array.ndim > 1 else array
            for array in layer.get_weights()
        ]
        layer.set_weights(weights)
    return copy


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays of one shape, by which Adebayo et al. compare maps.

    Returns:
        From -1 to 1; 0 where one of them is the same everywhere.
    """
    ranks = [_ranks(np.asarray(each).ravel()) for each in (first, second)]
    a, b = (each - each.mean() for each in ranks)
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size else 0.0


def _ranks(values):
    """Ranks from 0; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[places]
