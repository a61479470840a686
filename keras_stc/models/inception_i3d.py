"""RGB-I3D: Inception-v1 inflated to three dimensions, with its Kinetics-400 weights.

Source: Carreira & Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics
Dataset", CVPR 2017. Layers, their names and their constants are those of DeepMind's release.
"""

import keras
from keras import ops

from keras_stc.layers.batch_norm import BatchNormalization
from keras_stc.layers.conv import Conv3D, max_pool3d
from keras_stc.models.classifier import activation_name
from keras_stc.models.inputs import (
    asked_config,
    clip_input,
    finish,
    fit_video_config,
    head,
    normalize,
)
from keras_stc.models.pretrained import DEFAULT_CLASSES, build_pretrained
from keras_stc.video_config import VideoConfig

NAME = "inception_i3d"

#: Frames, height, width, channels of the clips it was trained on.
DEFAULT_INPUT_SHAPE = (64, 224, 224, 3)

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


def InceptionI3D(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=DEFAULT_CLASSES,
    classifier_activation="softmax",
    name=NAME,
    *,
    dropout_rate=0.0,
    video_config=None,
):
    """RGB-I3D, Inception-v1 inflated to three dimensions.

    Source: Carreira & Zisserman, Quo Vadis, Action Recognition? A New Model and the Kinetics
    Dataset, CVPR 2017.

    Any number of frames fits any weights. Features are had by the original's names of the end
    points, `"Conv3d_1a_7x7"` to `"Mixed_5c"`.

    Example:

    ```python
    model = keras_stc.InceptionI3D(weights="kinetics400")
    keras_stc.predict_video(model, "x.mp4").top(5)
    features = keras.Model(model.input, model.get_layer("Mixed_4f").output)
    ```

    Args:
        include_top: Whether to put the classifier on.
        weights: `None` for random initialisation; `"kinetics400"`, fetched and kept the first
            time; the path of a `.keras` or `.weights.h5` file or of a run folder; or
            `"hf://owner/repo[@revision]"`.
        input_tensor: Keras tensor of shape `(B, T, H, W, 3)` to start from.
        input_shape: `(T, H, W, C)`, by default `(64, 224, 224, 3)`; at least 8 frames and 32
            pixels high and wide. `T`, `H` and `W` may be `None`.
        pooling: Without the top: `None` for the feature map `(B, T', H', W', 1024)`, `"avg"` or
            `"max"` for `(B, 1024)`.
        classes: Number of classes. With another number than the weights', the classifier starts
            at random.
        classifier_activation: Activation of the classifier; `None` gives logits.
        name: Name of the model.
        dropout_rate: Of the features before the classifier (the original trains with 0.5).
        video_config: A `VideoConfig` the model is to carry, or a dictionary of some of its fields;
            the clip's shape where `input_shape` is not given.

    Returns:
        A `keras_stc.models.VideoModel` that maps clips `(B, T, H, W, 3)`, RGB 0-255, to
        `(B, classes)`.

    Raises:
        ValueError: If an argument is outside its range, or the weights do not fit or cannot be
            had.
    """
    if not 0 <= dropout_rate < 1:
        raise ValueError(
            f"`dropout_rate` must be at least 0 and below 1. Received: dropout_rate={dropout_rate}"
        )
    arguments = {
        "include_top": include_top,
        "input_tensor": input_tensor,
        "input_shape": input_shape,
        "pooling": pooling,
        "classes": classes,
        "classifier_activation": classifier_activation,
        "name": name,
        "dropout_rate": dropout_rate,
        "video_config": video_config,
    }
    return build_pretrained(_build, NAME, weights, arguments, {"dropout_rate": 0.0})


def _build(
    include_top,
    input_tensor,
    input_shape,
    pooling,
    classes,
    classifier_activation,
    name,
    dropout_rate,
    video_config,
):
    config = asked_config(video_config, CONFIG)

    # === Functional model ===
    clip = clip_input(
        input_tensor, input_shape, config.clip_shape, MIN_SIZE, False, min_frames=MIN_FRAMES
    )
    config = fit_video_config(config, clip)
    x = normalize(clip, config)
    for end_point, (kind, *arguments) in END_POINTS.items():
        x = _BUILDERS[kind](x, *arguments, name=end_point)

    def classifier(x, classes, activation):
        return position_classifier(x, classes, activation, dropout_rate)

    outputs = head(x, include_top, pooling, classes, classifier_activation, classifier)

    architecture = {
        "name": NAME,
        "include_top": include_top,
        "input_shape": list(clip.shape[1:]),
        "pooling": pooling,
        "classes": int(classes),
        "classifier_activation": activation_name(classifier_activation),
        "dropout_rate": dropout_rate,
    }
    return finish(clip, outputs, input_tensor, config, name or NAME, architecture)


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
    # Logits and softmax stay in float32 under mixed precision.
    x = keras.layers.Conv3D(classes, 1, dtype="float32", name="predictions")(x)
    x = keras.layers.GlobalAveragePooling3D(dtype="float32", name="Logits")(x)
    return keras.layers.Activation(activation, dtype="float32", name="probabilities")(x)


_BUILDERS = {"conv": _unit, "pool": _max_pool, "mixed": _mixed}
