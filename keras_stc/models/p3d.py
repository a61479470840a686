"""P3D ResNet: residual units whose convolution over time stands behind, beside or across.

Source: Qiu, Yao, Mei, "Learning Spatio-Temporal Representation with Pseudo-3D Residual Networks",
ICCV 2017, section 3; strides and poolings of the authors' Caffe network as Zhang's PyTorch code
(qijiezhao/pseudo-3d-pytorch) has them.
"""

import keras

from keras_stc.layers.conv import max_pool3d
from keras_stc.layers.residual import batch_norm, conv3d
from keras_stc.models.network import Network
from keras_stc.video_config import VideoConfig

#: Residual units in each stage, as of ResNet-152: 47 of four convolutions, and 3 of three.
UNITS = (3, 8, 36, 3)

#: A stage puts out this many times its width.
EXPANSION = 4

#: The kinds of units, which follow one another (section 3.2).
KINDS = "ABC"

#: 16 frames of 160x160 from 182x242 (section 4.1); ImageNet's mean and deviation.
CONFIG = VideoConfig(
    size=160, resize=182, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
)


def features(x, correlate):
    """Four stages, of which the last has no time.

    Zhang's modules `layerS.U.convN` and `.bnN` are `layerS_blockV_convN` and `_bnN`, with units
    counted from 1; `conv_normal` of the last stage is `conv2`, and `conv1_custom` is `conv1`.
    """
    x = conv3d(x, 64, (1, 7, 7), (1, 2, 2), name="conv1")
    x = keras.layers.ReLU(name="conv1_relu")(batch_norm(x, "conv1_bn"))
    x = keras.layers.ZeroPadding3D((0, 1, 1), name="pool1_pad")(x)
    x = max_pool3d(x, (_two(x), 3, 3), (_two(x), 2, 2), name="pool1")
    place = 0
    for stage, units in enumerate(UNITS, start=1):
        flat = stage == len(UNITS)
        for unit in range(1, units + 1):
            kind = None if flat else KINDS[place % len(KINDS)]
            strides = (1, 2, 2) if stage > 1 and unit == 1 else 1
            name = f"layer{stage}_block{unit}"
            x = _unit(x, 64 * 2 ** (stage - 1), strides, kind, correlate, name)
            place += 1
        if not flat:
            window = (_two(x), 1, 1)
            x = max_pool3d(x, window, window, name=f"pool{stage + 1}")
    return x


def _unit(x, width, strides, kind, correlate, name):
    """`kind` is "A", "B" or "C", figure 3, or `None` for a unit without time."""
    filters = EXPANSION * width
    skip = x
    if x.shape[-1] != filters:
        skip = conv3d(x, filters, 1, strides, name=f"{name}_shortcut_conv")
        skip = batch_norm(skip, f"{name}_shortcut_bn")
    x = _convolved(x, width, 1, strides, 1, name)
    spatial = _convolved(x, width, (1, 3, 3), 1, 2, name)
    if kind is None:
        x = spatial
    else:
        # A: behind one another; B: side by side; C: behind, and past it too.
        temporal = _convolved(x if kind == "B" else spatial, width, (3, 1, 1), 1, 3, name)
        x = temporal
        if kind != "A":
            x = keras.layers.Add(name=f"{name}_both")([temporal, spatial])
    x = conv3d(x, filters, 1, name=f"{name}_conv4")
    x = correlate(batch_norm(x, f"{name}_bn4"), name)
    x = keras.layers.Add(name=f"{name}_add")([skip, x])
    return keras.layers.ReLU(name=f"{name}_out")(x)


def _convolved(x, filters, kernel, strides, number, name):
    x = conv3d(x, filters, kernel, strides, name=f"{name}_conv{number}")
    x = batch_norm(x, f"{name}_bn{number}")
    return keras.layers.ReLU(name=f"{name}_relu{number}")(x)


def _two(x):
    """Frames that a pooling takes together: two, of a map that has them."""
    return 1 if x.shape[1] == 1 else 2


P3D199 = Network(
    name="p3d199",
    constructor="P3D199",
    title="P3D ResNet with 199 layers.",
    source="Qiu, Yao, Mei, Learning Spatio-Temporal Representation with Pseudo-3D Residual "
    "Networks, ICCV 2017.",
    features=features,
    config=CONFIG,
    dropout_rate=0.5,
)
