"""Grad-CAM over time and space: which parts of a clip speak for a class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from keras import ops

from keras_stc.checks import wrong
from keras_stc.explain.gradients import scores_and_gradients, split_at

if TYPE_CHECKING:
    import keras

#: Positions in time and space that a map should tell apart (our choice): the last one of a network
#: for small clips has one moment and a handful of places.
POSITIONS = 64


def grad_cam(
    model: keras.Model, clips: np.ndarray, label: int, layer: str | None = None
) -> np.ndarray:
    """Where in clips a network sees a class.

    A layer's channels, weighted by how much the class's score would rise with each, averaged over
    time and space; what speaks against the class is left out.

    Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", ICCV 2017, with time as a third axis.

    Example:

    ```python
    maps = keras_stc.explain.grad_cam(model, clips, label=3)
    heat = keras_stc.explain.upsampled(maps, clips.shape[1:4])
    ```

    Args:
        model: A `keras_stc.VideoModel` with a classifier.
        clips: `(B, T, H, W, 3)`, RGB 0-255.
        label: Index of the class.
        layer: Name of the layer whose features are looked at; see `feature_layer`.

    Returns:
        float32 array `(B, T', H', W')` of the layer's own resolution, not negative.

    Raises:
        ValueError: If there is no such class or layer, or the layer has no feature map.
    """
    return GradCAM(model, layer)(clips, label)


class GradCAM:
    """`grad_cam` of one network, for many clips.

    Args:
        model: As of `grad_cam`.
        layer: As of `grad_cam`.
    """

    def __init__(self, model, layer=None):
        self.classes = model.output_shape[-1]
        self.features, self.scores = split_at(model, feature_layer(model, layer))

    def __call__(self, clips, label):
        """Maps of clips: what `grad_cam` takes and returns."""
        if not 0 <= label < self.classes:
            raise wrong(f"from 0 to {self.classes - 1}", label=label)
        maps = []
        for clip in clips:  # one by one: features of a long clip fill a memory
            features = self.features.predict_on_batch(clip[None])
            features = ops.convert_to_numpy(ops.cast(features, "float32"))
            _, gradients = scores_and_gradients(self.scores, features, label)
            weights = gradients.mean(axis=(1, 2, 3), keepdims=True)
            maps.append(np.maximum(0, (weights * features).sum(axis=-1))[0])
        return np.stack(maps)


def feature_layer(model: keras.Model, name: str | None = None) -> keras.Layer:
    """The layer of a name, or the one whose features `grad_cam` looks at.

    Args:
        model: A `keras_stc.VideoModel`.
        name: Of a layer; `None` for the last one through which everything goes and whose feature
            map has at least 64 positions, or the last one of all where none has.

    Raises:
        ValueError: If there is none, or it has no feature map `(B, T, H, W, C)`.
    """
    maps = [layer for layer in model.layers[1:] if _is_map(layer)]
    if name is None:
        if not maps:
            raise ValueError("`model` must have a feature map (B, T, H, W, C). Received: none")
        fine = (layer for layer in reversed(maps) if _positions(layer) >= POSITIONS)
        return next((layer for layer in fine if _takes_all(model, layer)), maps[-1])
    for layer in maps:
        if layer.name == name:
            return layer
    ends = [layer.name for layer in maps if layer.name.count("_") < 2][-8:] or [maps[-1].name]
    raise wrong(f"a layer with a feature map, such as {', '.join(ends)}", layer=name)


def upsampled(maps: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    """Maps at the resolution of their clips, by linear interpolation along each axis.

    Args:
        maps: `(B, T', H', W')`.
        size: `(T, H, W)`.

    Returns:
        float32 array `(B, T, H, W)`.
    """
    time, height, width = (
        _interpolation(old, new) for old, new in zip(maps.shape[1:], size, strict=True)
    )
    return np.einsum("at,bh,cw,nthw->nabc", time, height, width, maps, optimize=True)


def _interpolation(old, new):
    """Matrix `(new, old)` that places positions by their centres and keeps the ends."""
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.minimum(places.astype(int), max(0, old - 2))
    matrix = np.zeros((new, old), "float32")
    rows = np.arange(new)
    matrix[rows, low] = 1 - (places - low)
    matrix[rows, np.minimum(low + 1, old - 1)] += places - low
    return matrix


def _positions(layer):
    """Of its feature map; of one of any size, enough."""
    return math.prod(side or POSITIONS for side in layer.output.shape[1:4])


def _takes_all(model, layer):
    try:
        split_at(model, layer)
    except ValueError:
        return False
    return True


def _is_map(layer):
    output = getattr(layer, "output", None)
    shape = getattr(output, "shape", ())
    return len(shape) == 5 and shape[2] != 1 and shape[3] != 1
