"""C3D: eight convolutions of 3x3x3 and two wide dense layers.

Source: Tran et al., "Learning Spatiotemporal Features with 3D Convolutional Networks", ICCV 2015,
figure 3; the last pooling is padded by one in height and width, as mmaction2's C3D has it.
"""

import functools

import keras

from keras_stc.layers.batch_norm import BatchNormalization
from keras_stc.layers.conv import Conv3D, max_pool3d
from keras_stc.layers.residual import BN_EPSILON, BN_MOMENTUM
from keras_stc.models.inputs import full_precision
from keras_stc.models.network import Network, halved
from keras_stc.video_config import KINETICS_MEAN, VideoConfig

#: Channels of the convolutions in each stage, which a pooling ends.
STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))

#: Units of the two dense layers.
DENSE = 4096

#: 128x171 and a crop of 112, 16 frames that follow one another (section 3.2). Divided by ImageNet's
#: deviation, since no normalisation brings pixels to order 1 (our choice).
CONFIG = VideoConfig(stride=1, resize=128, mean=KINETICS_MEAN, std=(58.395, 57.12, 57.375))


def features(x, correlate, batch_norm=False):
    """The last pooling's map; `convSL` is convolution L, a letter, of stage S."""
    for stage, channels in enumerate(STAGES, start=1):
        for letter, filters in zip("ab", channels, strict=False):
            name = f"conv{stage}{letter}"
            x = Conv3D(
                filters,
                3,
                padding="same",
                use_bias=not batch_norm,
                kernel_initializer="he_normal",
                name=name,
            )(x)
            if batch_norm:
                x = BatchNormalization(epsilon=BN_EPSILON, momentum=BN_MOMENTUM, name=f"{name}_bn")(
                    x
                )
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
        x = correlate(x, f"conv{stage}")
        if stage == len(STAGES):
            x = keras.layers.ZeroPadding3D((0, 1, 1), name=f"pool{stage}_pad")(x)
        window = (1, 2, 2) if stage == 1 else halved(x)
        x = max_pool3d(x, window, window, name=f"pool{stage}")
    return x


def classifier(x, classes, activation, dropout_rate):
    """`fc6`, `fc7` and the classes, dropout after each of the first two."""
    if None in x.shape[1:]:
        raise ValueError(
            "`input_shape` must fix frames, height and width, because the first dense layer of C3D "
            "has a weight for every position; include_top=False takes any clip. "
            f"Received: a last feature map of shape {x.shape[1:]}"
        )
    x = keras.layers.Flatten(name="flatten")(x)
    for name in ("fc6", "fc7"):
        x = keras.layers.Dense(DENSE, "relu", kernel_initializer="he_normal", name=name)(x)
        if dropout_rate:
            x = keras.layers.Dropout(dropout_rate, name=f"{name}_dropout")(x)
    dtype = full_precision()
    return keras.layers.Dense(classes, activation, dtype=dtype, name="predictions")(x)


def _c3d(name, constructor, batch_norm):
    return Network(
        name=name,
        constructor=constructor,
        title="C3D, eight convolutions"
        + (" with batch normalisation" if batch_norm else "")
        + " and two dense layers.",
        source="Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, ICCV "
        "2015. The top wants a fixed clip.",
        features=functools.partial(features, batch_norm=batch_norm),
        config=CONFIG,
        classifier=classifier,
        dropout_rate=0.5,
    )


C3D = _c3d("c3d", "C3D", batch_norm=False)
C3D_BN = _c3d("c3d_bn", "C3DBN", batch_norm=True)
