"""RGB-I3D: Inception-v1 inflated to three dimensions, with its Kinetics-400 weights.

Source: Carreira & Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics
Dataset", CVPR 2017. Layers, their names and their constants are those of DeepMind's release.
"""

import keras
from keras import ops

from keras_stc.layers.batch_norm import BatchNormalization
from keras_stc.layers.conv import Conv3D, max_pool3d
from keras_stc.models.inputs import full_precision
from keras_stc.models.network import Network
from keras_stc.video_config import VideoConfig

#: The network strides 8 times in time and 32 times in height and width.
MIN_FRAMES = 8
MIN_SIZE = 32

#: Sonnet's batch normalisation, which the weights were trained with; it has no scale.
BN_EPSILON = 1e-3
BN_MOMENTUM = 0.999

#: Every end point in order. A convolution: channels, kernel, stride. A pooling: window, stride.
#: An inception module: channels of 1x1; 1x1, 3x3; 1x1, 3x3; 1x1 behind the pooling.
END_POINTS = {
    "Conv3d_1a_7x7": ("conv", 64, 7, 2),
    "MaxPool3d_2a_3x3": ("pool", (1, 3, 3), (1, 2, 2)),
    "Conv3d_2b_1x1": ("conv", 64, 1, 1),
    "Conv3d_2c_3x3": ("conv", 192, 3, 1),
    "MaxPool3d_3a_3x3": ("pool", (1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ("mixed", 64, 96, 128, 16, 32, 32),
    "Mixed_3c": ("mixed", 128, 128, 192, 32, 96, 64),
    "MaxPool3d_4a_3x3": ("pool", (3, 3, 3), (2, 2, 2)),
    "Mixed_4b": ("mixed", 192, 96, 208, 16, 48, 64),
    "Mixed_4c": ("mixed", 160, 112, 224, 24, 64, 64),
    "Mixed_4d": ("mixed", 128, 128, 256, 24, 64, 64),
    "Mixed_4e": ("mixed", 112, 144, 288, 32, 64, 64),
    "Mixed_4f": ("mixed", 256, 160, 320, 32, 128, 128),
    "MaxPool3d_5a_2x2": ("pool", (2, 2, 2), (2, 2, 2)),
    "Mixed_5b": ("mixed", 256, 160, 320, 32, 128, 128),
    "Mixed_5c": ("mixed", 384, 192, 384, 48, 128, 128),
}

#: How DeepMind's release feeds it: 25 frames a second, short side 256, pixels from -1 to 1.
CONFIG = VideoConfig(frames=64, stride=1, size=224, resize=256, mean=(127.5,) * 3, std=(127.5,) * 3)


def features(x, correlate):
    """Every end point, under the original's name."""
    return end_points(x, correlate, conv=_unit, pool=_max_pool, mixed=_mixed)


def end_points(x, correlate, **builders):
    """Every end point by the builder of its kind; an STC block follows each Inception module."""
    for name, (kind, *arguments) in END_POINTS.items():
        x = builders[kind](x, *arguments, name=name)
        if kind == "mixed":
            x = correlate(x, name)
    return x


@keras.saving.register_keras_serializable("keras_stc")
class PositionPooling(keras.layers.Layer):
    """Mean over the whole of height and width and over each two neighbours in time.

    The original's average pooling of 2x7x7 with stride 1, for feature maps of any size; a map
    with one position in time keeps it.

    Call arguments:
        inputs: Tensor of shape `(B, T, H, W, C)`.

    Returns:
        Tensor of shape `(B, max(T - 1, 1), 1, 1, C)`.
    """

    def call(self, inputs):
        x = ops.mean(inputs, axis=(2, 3), keepdims=True)
        positions = ops.shape(x)[1]
        static = isinstance(positions, int)
        count = max(positions - 1, 1) if static else ops.maximum(positions - 1, 1)
        return (x[:, :count] + x[:, -count:]) / 2

    def compute_output_shape(self, input_shape):
        batch, positions, _, _, channels = input_shape
        positions = None if positions is None else max(positions - 1, 1)
        return (batch, positions, 1, 1, channels)


def _unit(x, filters, kernel, strides=1, *, name):
    """Convolution, batch normalisation, ReLU; the last one bears the name."""
    x = Conv3D(filters, kernel, strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = BatchNormalization(
        scale=False, epsilon=BN_EPSILON, momentum=BN_MOMENTUM, name=f"{name}_bn"
    )(x)
    return keras.layers.ReLU(name=name)(x)


def _max_pool(x, window, strides, *, name):
    return max_pool3d(x, window, strides, "same", name=name)


def _mixed(x, b0, b1_reduce, b1, b2_reduce, b2, b3, *, name):
    """An inception module: four branches, put side by side."""
    branch = f"{name}_Branch_"
    branch1 = _unit(x, b1_reduce, 1, name=f"{branch}1_Conv3d_0a_1x1")
    branch2 = _unit(x, b2_reduce, 1, name=f"{branch}2_Conv3d_0a_1x1")
    branch3 = _max_pool(x, 3, 1, name=f"{branch}3_MaxPool3d_0a_3x3")
    branches = [
        _unit(x, b0, 1, name=f"{branch}0_Conv3d_0a_1x1"),
        _unit(branch1, b1, 3, name=f"{branch}1_Conv3d_0b_3x3"),
        _unit(branch2, b2, 3, name=f"{branch}2_Conv3d_0b_3x3"),
        _unit(branch3, b3, 1, name=f"{branch}3_Conv3d_0b_1x1"),
    ]
    return keras.layers.Concatenate(name=name)(branches)


def position_classifier(x, classes, activation, dropout_rate):
    """Logits at each position in time, their mean, and only then the activation."""
    x = PositionPooling(name="avg_pool")(x)
    if dropout_rate:
        x = keras.layers.Dropout(dropout_rate, name="dropout")(x)
    dtype = full_precision()
    x = keras.layers.Conv3D(classes, 1, dtype=dtype, name="predictions")(x)
    x = keras.layers.GlobalAveragePooling3D(dtype=dtype, name="Logits")(x)
    return keras.layers.Activation(activation, dtype=dtype, name="probabilities")(x)


INCEPTION_I3D = Network(
    name="inception_i3d",
    constructor="InceptionI3D",
    title="RGB-I3D, Inception-v1 inflated to three dimensions.",
    source="Carreira & Zisserman, Quo Vadis, Action Recognition? A New Model and the Kinetics "
    "Dataset, CVPR 2017. DeepMind's weights are fetched and kept the first time, and fit any "
    "number of frames; they were trained with `dropout_rate=0.5`. Features are had by the "
    'original\'s names of the end points, `model.get_layer("Mixed_4f").output`.',
    features=features,
    config=CONFIG,
    min_frames=MIN_FRAMES,
    min_size=MIN_SIZE,
    classifier=position_classifier,
)
