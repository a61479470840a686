"""DenseNet in three dimensions.

Source: Hara, Kataoka, Satoh, "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and
ImageNet?", CVPR 2018, table 1, and their code; Huang et al., "Densely Connected Convolutional
Networks", CVPR 2017 (DenseNet-BC).
"""

import functools

import keras

from keras_stc.layers.conv import max_pool3d
from keras_stc.layers.residual import batch_norm, conv3d
from keras_stc.models.configs import HARA
from keras_stc.models.network import Network, halved

#: Layers in each of the four dense blocks.
DEPTHS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32)}

#: Channels that a layer adds, and how many times as many its 1x1x1 convolution has.
GROWTH = 32
BOTTLENECK = 4

#: Channels of the first convolution.
STEM = 64


def features(x, correlate, depth):
    """Up to the last batch normalisation and its ReLU. Hara et al.'s modules:

    | module | layer |
    |---|---|
    | `features.conv0`, `features.norm0` | `conv1`, `conv1_bn` |
    | `features.denseblockB.denselayerL.norm.N` | `denseB_layerL_bnN` |
    | `features.denseblockB.denselayerL.conv.N` | `denseB_layerL_convN` |
    | `features.transitionB.norm`, `.conv` | `transitionB_bn`, `transitionB_conv` |
    | `features.norm5`, `classifier` | `final_bn`, `predictions` |
    """
    layers = DEPTHS[depth]
    x = conv3d(x, STEM, 7, (1, 2, 2), name="conv1")
    x = _normalized(x, "conv1_bn", "conv1_relu")
    x = keras.layers.ZeroPadding3D(1, name="pool1_pad")(x)
    x = max_pool3d(x, 3, 2, name="pool1")
    for block, count in enumerate(layers, start=1):
        for layer in range(1, count + 1):
            x = _dense_layer(x, f"dense{block}_layer{layer}")
        x = correlate(x, f"dense{block}")
        if block < len(layers):
            name = f"transition{block}"
            x = _normalized(x, f"{name}_bn", f"{name}_relu")
            x = conv3d(x, x.shape[-1] // 2, 1, name=f"{name}_conv")
            window = halved(x)
            x = keras.layers.AveragePooling3D(window, window, name=f"{name}_pool")(x)
    return _normalized(x, "final_bn", "final_relu")


def _dense_layer(x, name):
    new = _normalized(x, f"{name}_bn1", f"{name}_relu1")
    new = conv3d(new, BOTTLENECK * GROWTH, 1, name=f"{name}_conv1")
    new = _normalized(new, f"{name}_bn2", f"{name}_relu2")
    new = conv3d(new, GROWTH, 3, name=f"{name}_conv2")
    return keras.layers.Concatenate(name=name)([x, new])


def _normalized(x, norm, relu):
    return keras.layers.ReLU(name=relu)(batch_norm(x, norm))


def _densenet(depth):
    return Network(
        name=f"densenet3d{depth}",
        constructor=f"DenseNet3D{depth}",
        title=f"3D-DenseNet with {depth} layers.",
        source=HARA,
        features=functools.partial(features, depth=depth),
    )


DENSENET3D121, DENSENET3D169 = _densenet(121), _densenet(169)
