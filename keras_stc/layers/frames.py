"""Frames of clips as single pictures, for networks that see one at a time, and back."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_stc")
class FoldFrames(keras.layers.Layer):
    """Makes a batch of frames of a batch of clips.

    Example:

    ```python
    clip = keras.Input((8, 224, 224, 3))
    frames = keras_stc.layers.FoldFrames()(clip)
    maps = keras.applications.ResNet50(include_top=False, input_tensor=frames).output
    maps = keras_stc.layers.UnfoldFrames()([maps, clip])  # (B, 8, 7, 7, 2048)
    ```

    Args:
        reverse_channels: Whether the order of the channels is turned round, RGB to BGR.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, T, H, W, C)`.

    Returns:
        Tensor of shape `(B * T, H, W, C)`.
    """

    def __init__(self, reverse_channels: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reverse_channels = reverse_channels

    def call(self, inputs: Any) -> Any:
        x = ops.reshape(inputs, (-1, *ops.shape(inputs)[2:]))
        return ops.flip(x, axis=-1) if self.reverse_channels else x

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        batch, frames, *frame = input_shape
        known = batch is not None and frames is not None
        return (batch * frames if known else None, *frame)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reverse_channels": self.reverse_channels}


@keras.saving.register_keras_serializable("keras_stc")
class UnfoldFrames(keras.layers.Layer):
    """Puts what was made of frames together by clips again; see `FoldFrames`.

    Call arguments:
        inputs: Tensor of shape `(B * T, ...)`, and the clips `(B, T, H, W, C)`.

    Returns:
        Tensor of shape `(B, T, ...)`.
    """

    def call(self, inputs: Any) -> Any:
        x, clips = inputs
        return ops.reshape(x, (-1, ops.shape(clips)[1], *ops.shape(x)[1:]))

    def compute_output_shape(
        self, input_shape: Sequence[Sequence[int | None]]
    ) -> tuple[int | None, ...]:
        x, clips = input_shape
        return (*clips[:2], *x[1:])


@keras.saving.register_keras_serializable("keras_stc")
class MiddleFrame(keras.layers.Layer):
    """Puts a clip's middle frame in the place of all of its frames: the same clip without motion.

    What a network reaches on such clips needs no motion (a single-frame control).

    Example:

    ```python
    clip = keras.Input((16, 112, 112, 3))
    control = keras_stc.STCResNet18(input_tensor=keras_stc.layers.MiddleFrame()(clip), classes=35)
    ```

    Call arguments:
        inputs: Tensor of shape `(B, T, H, W, C)`; of an even number of frames, the middle one is
            that of index `T // 2`.

    Returns:
        Tensor of the same shape.
    """

    def call(self, inputs: Any) -> Any:
        frames = ops.shape(inputs)[1]
        middle = frames // 2
        return ops.repeat(inputs[:, middle : middle + 1], frames, axis=1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)
