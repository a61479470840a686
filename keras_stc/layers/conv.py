"""A Conv3D whose gradient is right in bfloat16 on short clips, on TensorFlow's CPU too."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_stc")
class Conv3D(keras.layers.Conv3D):
    """`keras.layers.Conv3D`, safe to train in bfloat16.

    oneDNN's bfloat16 kernel for the gradient of a 3D kernel reads memory that nobody has written
    where a clip is padded in time and has more than one frame, but fewer than the kernel is long:
    two frames under 3x3x3, which is the third stage of a network of 16 frames. The gradient is then
    any number, or NaN (TensorFlow 2.21, AVX-512 with bfloat16; `tests/layers/test_conv.py`). There,
    this layer pads with zeros first and convolves without padding, which is the same sum.

    The stored variables are those of `keras.layers.Conv3D`, so weights pass between the two.

    Example:

    ```python
    clip_features = keras.Input((2, 14, 14, 256))
    keras_stc.layers.Conv3D(256, 3, padding="same", dtype="mixed_bfloat16")(clip_features)
    ```

    Args:
        *args: As `keras.layers.Conv3D`.
        **kwargs: As `keras.layers.Conv3D`.

    Call arguments:
        inputs: Tensor of shape `(B, T, H, W, C)`.

    Returns:
        Tensor of shape `(B, T', H', W', filters)`.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Keras' hook. Layers that convolve in a way of their own override `_convolve`."""
        if keras.backend.standardize_dtype(inputs.dtype) == "float16" and on_tensorflow_cpu():
            # The processor has no fast kernels for it: the sums are made in float32, the same to
            # the last digit of float16 in a hundredth of the time.
            inputs, kernel = ops.cast(inputs, "float32"), ops.cast(kernel, "float32")
            return ops.cast(self._convolve(inputs, kernel), "float16")
        return self._convolve(inputs, kernel)

    def _convolve(self, inputs, kernel):
        if not needs_padding_first(self, inputs):
            return super().convolution_op(inputs, kernel)
        return convolve(self, inputs, kernel)


def convolve(layer, inputs, kernel):
    """One dense convolution with a layer's strides, padding and dilation."""
    padding = layer.padding
    if needs_padding_first(layer, inputs):
        inputs, padding = padded(layer, inputs, kernel.shape[:3]), "valid"
    return ops.conv(
        inputs,
        kernel,
        strides=list(layer.strides),
        padding=padding,
        dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
    )


def needs_padding_first(layer, inputs):
    """Whether the layer would be padded where oneDNN's bfloat16 gradient is wrong."""
    frames = inputs.shape[1]
    return (
        layer.padding == "same"
        and keras.backend.standardize_dtype(inputs.dtype) == "bfloat16"
        and layer.data_format == "channels_last"
        and None not in inputs.shape[1:4]
        and 1 < frames < (layer.kernel_size[0] - 1) * layer.dilation_rate[0] + 1
        and on_tensorflow_cpu()
    )


def padded(layer, inputs, kernel_size):
    """Zeros around time, height and width, as many as "same" puts there."""
    amounts = [(0, 0)]
    sizes = zip(inputs.shape[1:4], kernel_size, layer.strides, layer.dilation_rate, strict=True)
    for size, kernel, stride, dilation in sizes:
        reach = (kernel - 1) * dilation + 1
        missing = max(0, (-(-size // stride) - 1) * stride + reach - size)
        amounts.append((missing // 2, missing - missing // 2))
    return ops.pad(inputs, [*amounts, (0, 0)])


def on_tensorflow_cpu():
    """Whether convolutions run where TensorFlow's slow or wrong paths have to be gone around."""
    return keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices("gpu")


def has_onednn():
    """Whether TensorFlow's convolutions are oneDNN's; to be asked where TensorFlow runs."""
    from keras_stc.layers import tensorflow_kernels

    return tensorflow_kernels.has_onednn()


def max_pool3d(x, window, strides, padding="valid", *, name):
    """Max pooling; in float32 where float16 has no kernel, on TensorFlow's CPU: the same values."""
    options = {}
    if keras.config.dtype_policy().compute_dtype == "float16" and on_tensorflow_cpu():
        options["dtype"] = "float32"
    return keras.layers.MaxPooling3D(window, strides, padding=padding, name=name, **options)(x)
