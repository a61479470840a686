"""S3D: Inception-v1 whose convolutions over time stand apart from those over space.

Source: Xie et al., "Rethinking Spatiotemporal Feature Learning", ECCV 2018, as torchvision has it.
"""

import keras

from keras_stc.layers.batch_norm import BatchNormalization
from keras_stc.layers.conv import max_pool3d
from keras_stc.layers.residual import conv3d
from keras_stc.models import inception_i3d as i3d
from keras_stc.models.network import Network, padded_max_pool
from keras_stc.video_config import VideoConfig
from keras_stc.weights.foreign import NORMALIZATIONS

#: torchvision's normalisation of Kinetics and its resize; 64 frames as in the paper.
MEAN, STD = NORMALIZATIONS["torchvision"]
CONFIG = VideoConfig(frames=64, stride=1, size=224, resize=256, mean=MEAN, std=STD)


def features(x, correlate):
    """The end points are those of I3D, and torchvision's `features.0` to `features.15` in order.

    `F` being the number of an end point, `E` its name, `B` 1 or 2; each convolution `…_conv` is
    followed by its normalisation, `…_bn`, whose module is `.1` where the convolution's is `.0`:

    | module | layer |
    |---|---|
    | `features.F.0.0`, `features.F.1.0` (separated) | `E_spatial_conv`, `E_temporal_conv` |
    | `features.2.0` | `Conv3d_2b_1x1_conv` |
    | `features.F.branch0.0` | `E_branch0_conv` |
    | `features.F.branchB.0.0` | `E_branchB_reduce_conv` |
    | `features.F.branchB.1.0.0`, `.1.1.0` | `E_branchB_spatial_conv`, `E_branchB_temporal_conv` |
    | `features.F.branch3.1.0` | `E_branch3_conv` |
    | `classifier.1` | `predictions` |
    """
    return i3d.end_points(x, correlate, conv=_separated, pool=_max_pool, mixed=_mixed)


def _unit(x, filters, kernel, strides=1, *, name):
    x = conv3d(x, filters, kernel, strides, name=f"{name}_conv")
    # torchvision's: `BatchNorm3d(eps=0.001, momentum=0.001)`.
    norm = {"epsilon": i3d.BN_EPSILON, "momentum": i3d.BN_MOMENTUM}
    x = BatchNormalization(**norm, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=name)(x)


def _separated(x, filters, kernel, strides=1, *, name):
    if kernel == 1:
        return _unit(x, filters, 1, strides, name=name)
    x = _unit(x, filters, (1, kernel, kernel), (1, strides, strides), name=f"{name}_spatial")
    return _unit(x, filters, (kernel, 1, 1), (strides, 1, 1), name=f"{name}_temporal")


def _max_pool(x, window, strides, *, name):
    if max(window) == 2:  # Not padded, unlike windows of three.
        return max_pool3d(x, window, strides, name=name)
    return padded_max_pool(x, window, strides, name=name)


def _mixed(x, b0, b1_reduce, b1, b2_reduce, b2, b3, *, name):
    branch1 = _unit(x, b1_reduce, 1, name=f"{name}_branch1_reduce")
    branch2 = _unit(x, b2_reduce, 1, name=f"{name}_branch2_reduce")
    branch3 = padded_max_pool(x, (3, 3, 3), 1, name=f"{name}_branch3_pool")
    branches = [
        _unit(x, b0, 1, name=f"{name}_branch0"),
        _separated(branch1, b1, 3, name=f"{name}_branch1"),
        _separated(branch2, b2, 3, name=f"{name}_branch2"),
        _unit(branch3, b3, 1, name=f"{name}_branch3"),
    ]
    return keras.layers.Concatenate(name=name)(branches)


S3D = Network(
    name="s3d",
    constructor="S3D",
    title="S3D, Inception-v1 with convolutions over time apart from those over space.",
    source="Xie et al., Rethinking Spatiotemporal Feature Learning, ECCV 2018; layers as "
    "torchvision has them, whose modules `keras_stc.models.s3d.features` names. Where the last map "
    "is not of 7x7 positions, the mean is over all of them.",
    features=features,
    config=CONFIG,
    min_frames=8,
    classifier=i3d.position_classifier,
)
