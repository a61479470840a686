"""Residual units of Hara et al.'s 3D networks, with the place where an STC block sits.

Source: Hara, Kataoka, Satoh, "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and
ImageNet?", CVPR 2018, section 3.2.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_stc.checks import one_of
from keras_stc.layers.batch_norm import BatchNormalization
from keras_stc.layers.conv import Conv3D
from keras_stc.layers.grouped_conv import GroupedConv3D
from keras_stc.layers.stc import STCBlock
from keras_stc.layers.strided_conv import StridedConv3D

UNITS = ("basic", "bottleneck")
SHORTCUTS = ("projection", "padding")

#: What stands in the place of a 3³ convolution.
CONVOLUTIONS = ("3d", "2plus1d", "2d")

#: PyTorch's defaults, which Hara et al. trained with: epsilon, and 1 - its momentum of 0.1.
BN_EPSILON = 1e-5
BN_MOMENTUM = 0.9

#: Below this many input channels a strided convolution is a stem.
FEW_CHANNELS = 16


def residual_unit(
    x: Any,
    unit: str,
    width: int,
    filters: int,
    strides: int = 1,
    groups: int = 1,
    shortcut: str = "projection",
    preactivation: bool = False,
    stc: dict[str, Any] | None = None,
    convolution: str = "3d",
    name: str | None = None,
) -> Any:
    """One residual unit, built from named layers.

    Post-activation: `ReLU(shortcut + STC(last BN))`, the convolutions being Conv-BN-ReLU.
    Pre-activation: `shortcut + STC(last convolution)`, the convolutions being BN-ReLU-Conv; the
    shortcut starts at the unit's raw input, as in Hara et al.

    Example:

    ```python
    x = keras.Input((8, 28, 28, 64))
    x = residual_unit(x, "bottleneck", width=64, filters=256, stc={}, name="layer1_block1")
    ```

    Args:
        x: Tensor of shape `(B, T, H, W, C)`.
        unit: `"basic"` (3³, 3³; stride on the first) or `"bottleneck"` (1³, 3³, 1³; stride on 3³).
        width: Channels of the inner convolutions.
        filters: Channels of the unit's output.
        strides: Stride in time, height and width; a `"2d"` unit leaves time alone.
        groups: Groups of the bottleneck's 3³ convolution (ResNeXt: 32).
        shortcut: `"projection"` (strided 1³ convolution and BN) or `"padding"` (subsample, append
            zero channels), where the shapes differ; the identity elsewhere.
        preactivation: Whether BN and ReLU stand before the convolutions.
        stc: `None`, or the arguments of an `STCBlock` put on the residual branch.
        convolution: `"3d"`; `"2plus1d"`, 1x3x3 and then 3x1x1 with BN and ReLU between them and as
            many channels there as give both the weights of the 3³ one; or `"2d"`, 1x3x3 (Tran et
            al., A Closer Look at Spatiotemporal Convolutions, CVPR 2018, section 3).
        name: Prefix of the layers' names.

    Returns:
        Tensor of shape `(B, T', H', W', filters)`.
    """
    one_of(CONVOLUTIONS, convolution=convolution)
    one_of(UNITS, unit=unit)
    # (kernel, channels, strides, groups) of each convolution.
    steps = (1, strides, strides) if convolution == "2d" else strides
    # As torchvision has it: of a unit's input and width, for both convolutions of a basic unit.
    middle = 27 * x.shape[-1] * width // (9 * x.shape[-1] + 3 * width)
    if unit == "basic":
        plan = [(3, width, steps, 1), (3, filters, 1, 1)]
    else:
        plan = [(1, width, 1, 1), (3, width, steps, groups), (1, filters, 1, 1)]

    skip = _shortcut(x, filters, steps, shortcut, name)
    for i, (kernel, channels, stride, conv_groups) in enumerate(plan, start=1):
        if preactivation:
            x = batch_norm(x, f"{name}_bn{i}")
            x = keras.layers.ReLU(name=f"{name}_relu{i}")(x)
        if kernel == 3 and convolution == "2plus1d":
            x = conv2plus1d(x, channels, middle, kernel, stride, name=f"{name}_conv{i}")
        else:
            kernel = (1, 3, 3) if kernel == 3 and convolution == "2d" else kernel
            x = conv3d(x, channels, kernel, stride, conv_groups, name=f"{name}_conv{i}")
        if not preactivation:
            x = batch_norm(x, f"{name}_bn{i}")
            if i < len(plan):
                x = keras.layers.ReLU(name=f"{name}_relu{i}")(x)
    if stc is not None:
        x = STCBlock(**stc, name=f"{name}_stc")(x)
    x = keras.layers.Add(name=f"{name}_add")([skip, x])
    return x if preactivation else keras.layers.ReLU(name=f"{name}_out")(x)


def conv3d(x, filters, kernel, strides: int | Sequence[int] = 1, groups=1, *, name):
    """A convolution without bias, padded symmetrically by half its kernel.

    Under strides Keras' "same" pads even sizes on one side only, which shifts every feature map
    against the PyTorch networks whose weights these must fit; there the padding is explicit.
    """
    strides, kernel = _three(strides), _three(kernel)
    padding = "same"
    if max(strides) > 1:
        padding = "valid"
        if max(kernel) > 1:
            x = keras.layers.ZeroPadding3D([k // 2 for k in kernel], name=f"{name}_pad")(x)
    convolution = Conv3D
    if groups > 1:
        convolution = GroupedConv3D
    elif max(strides) > 1 and x.shape[-1] < FEW_CHANNELS:
        convolution = StridedConv3D
    return convolution(
        filters,
        kernel,
        strides=strides,
        padding=padding,
        groups=groups,
        use_bias=False,
        # He-normal over the outputs, as Hara et al. do (PyTorch's kaiming_normal_, fan_out).
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=name,
    )(x)


def conv2plus1d(x, filters, middle, kernel, strides=1, *, name):
    """A convolution over space, BN, ReLU, and one over time; strides are divided between them.

    Its layers are `{name}_spatial`, `{name}_spatial_bn` and `{name}_temporal`.

    Args:
        x: Tensor of shape `(B, T, H, W, C)`.
        filters: Channels of the output.
        middle: Channels between the two.
        kernel: Side of the kernel, or `(time, side)`.
        strides: Stride of all axes, or `(time, side)`.
        name: Prefix of the layers' names.
    """
    length, side = (kernel,) * 2 if isinstance(kernel, int) else kernel
    time, space = (strides,) * 2 if isinstance(strides, int) else strides
    x = conv3d(x, middle, (1, side, side), (1, space, space), name=f"{name}_spatial")
    x = batch_norm(x, f"{name}_spatial_bn")
    x = keras.layers.ReLU(name=f"{name}_spatial_relu")(x)
    return conv3d(x, filters, (length, 1, 1), (time, 1, 1), name=f"{name}_temporal")


def batch_norm(x, name):
    return BatchNormalization(momentum=BN_MOMENTUM, epsilon=BN_EPSILON, name=name)(x)


@keras.saving.register_keras_serializable("keras_stc")
class PaddingShortcut(keras.layers.Layer):
    """Subsamples a feature map and appends zero channels: a shortcut without weights.

    Hara et al.'s published 18- and 34-layer Kinetics checkpoints use it ("shortcut type A").

    Args:
        filters: Channels of the output; not fewer than the input's.
        strides: Keeps every `strides`-th position in time, height and width, or one number each.

    Call arguments:
        inputs: Tensor of shape `(B, T, H, W, C)`.

    Returns:
        Tensor of shape `(B, ceil(T/s), ceil(H/s), ceil(W/s), filters)`, `s` being each axis' own.
    """

    def __init__(self, filters: int, strides: int | Sequence[int] = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides

    def build(self, input_shape: Any) -> None:
        if input_shape[-1] > self.filters:
            raise ValueError(
                "`filters` must not be below the number of input channels, "
                f"{input_shape[-1]}. Received: filters={self.filters}"
            )

    def call(self, inputs: Any) -> Any:
        t, h, w = _three(self.strides)
        missing = self.filters - inputs.shape[-1]
        return ops.pad(inputs[:, ::t, ::h, ::w], [(0, 0)] * 4 + [(0, missing)])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        batch, *positions, _ = input_shape
        strides = _three(self.strides)
        positions = (n and -(-n // s) for n, s in zip(positions, strides, strict=True))
        return (batch, *positions, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}


def _three(number):
    """One number for each of time, height and width."""
    return (number,) * 3 if isinstance(number, int) else tuple(number)


def _shortcut(x, filters, strides, kind, name):
    one_of(SHORTCUTS, shortcut=kind)
    if max(_three(strides)) == 1 and x.shape[-1] == filters:
        return x
    if kind == "padding":
        return PaddingShortcut(filters, strides, name=f"{name}_shortcut")(x)
    x = conv3d(x, filters, 1, strides, name=f"{name}_shortcut_conv")
    return batch_norm(x, f"{name}_shortcut_bn")
