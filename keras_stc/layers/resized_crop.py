"""Frames of any size to the crop that a network takes, within the network."""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("keras_stc")
class ResizedCrop(keras.layers.Layer):
    """Resizes frames by their shorter side and cuts the centre out, as videos are read here.

    What `keras_stc.data` does to the frames of a video before a network sees them, as a layer of
    `keras.ops`: sizes are not known before the frames are. The filter is swscale's bilinear one, a
    triangle that widens when it shrinks a picture, so that nothing aliases; values are rounded to
    whole levels. Videos are resized in the colours of their file, before they become RGB, so that
    pixels differ a little: see docs/weights.md.

    Example:

    ```python
    frames = keras.Input((16, None, None, 3), dtype="uint8")
    clip = keras_stc.layers.ResizedCrop((112, 112), resize=122)(frames)
    ```

    Args:
        crop: `(height, width)` of the crop in pixels.
        resize: Pixels on the frame's shorter side before the crop, or `(height, width)` to
            which frames are stretched. Frames never become smaller than the crop.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, H, W, C)`, 0-255, of any dtype and size.

    Returns:
        float32 `(B, T, crop height, crop width, C)`, whole numbers of 0-255.

    Raises:
        ValueError: If `crop` or `resize` is not positive.
    """

    def __init__(self, crop: tuple[int, int], resize: int | tuple[int, int], **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.crop = tuple(map(int, crop))
        sides = tuple(int(side) for side in np.atleast_1d(resize))
        self.resize = sides[0] if np.ndim(resize) == 0 else sides
        if len(self.crop) != 2 or len(sides) > 2 or min(*self.crop, *sides) < 1:
            raise ValueError(
                "`crop` must be (height, width), and `resize` a number or (height, width), in "
                f"pixels. Received: crop={crop!r}, resize={resize!r}"
            )
        # Bytes stay bytes: a cast to the layer's dtype before the call would be one of all frames.
        self.autocast = False

    def call(self, inputs: Any) -> Any:
        shape = ops.shape(inputs)
        length, channels = shape[1], shape[-1]
        height, width = (ops.cast(side, "float32") for side in shape[2:4])
        size = self.resize
        if isinstance(size, int):
            scale = ops.maximum(
                size / ops.minimum(height, width),
                ops.maximum(self.crop[0] / height, self.crop[1] / width),
            )
            size = (ops.round(height * scale), ops.round(width * scale))
        rows = _filter(height, size[0], self.crop[0])
        columns = _filter(width, size[1], self.crop[1])
        # Frames of all clips, their rows, then their columns: two products of matrices.
        x = ops.reshape(ops.cast(inputs, "float32"), (-1, shape[2], shape[3] * channels))
        x = ops.reshape(ops.matmul(rows, x), (-1, shape[3], channels))
        x = ops.round(ops.matmul(columns, x))
        return ops.reshape(x, (-1, length, *self.crop, channels))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:2], *self.crop, input_shape[-1])

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "crop": self.crop, "resize": self.resize}


def _filter(side, resized, crop):
    """What each pixel of the crop takes of each along one side: `(crop, side)`, rows sum to 1."""
    resized = ops.maximum(ops.cast(resized, "float32"), crop)
    first = ops.floor((resized - crop) / 2)
    ratio = side / resized
    centres = (ops.arange(crop, dtype="float32") + first + 0.5) * ratio - 0.5
    places = ops.arange(ops.cast(side, "int32"), dtype="int32")
    distances = ops.abs(centres[:, None] - ops.cast(places, "float32")[None, :])
    weights = ops.relu(1 - distances / ops.maximum(ratio, 1.0))
    return weights / ops.sum(weights, axis=1, keepdims=True)
