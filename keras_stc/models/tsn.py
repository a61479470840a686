"""Temporal segment networks: a 2D network on one frame of each part of a video, and a consensus.

Source: Wang et al., "Temporal Segment Networks: Towards Good Practices for Deep Action
Recognition", ECCV 2016, with average consensus; 2D networks of `keras.applications`.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_stc.layers.frames import FoldFrames, UnfoldFrames
from keras_stc.models.inputs import full_precision
from keras_stc.models.network import Network
from keras_stc.video_config import VideoConfig
from keras_stc.weights.foreign import NORMALIZATIONS

#: Parts of a video. The paper trains on 3 and tests on 25; here a clip has as many in both (our
#: choice between them). Weights fit any number.
SEGMENTS = 8

#: Of the paper's spatial stream (section 3.2).
DROPOUT = 0.8


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A 2D network.

    Attributes:
        application: Name of its constructor in `keras.applications`.
        title: What it is called.
        mode: How `keras.applications` scales its pixels: `"caffe"`, `"torch"` or `"tf"`.
    """

    application: str
    title: str
    mode: str


BACKBONES = (
    Backbone("ResNet50", "ResNet-50", "caffe"),
    Backbone("ResNet101", "ResNet-101", "caffe"),
    Backbone("DenseNet121", "DenseNet-121", "torch"),
    Backbone("MobileNetV2", "MobileNetV2", "tf"),
)

#: `keras.applications.imagenet_utils.preprocess_input`, for RGB 0-255.
MODES = {
    "caffe": NORMALIZATIONS["caffe"],
    "torch": NORMALIZATIONS["imagenet"],
    "tf": ((127.5,) * 3, (127.5,) * 3),
}


def features(x, correlate, backbone):
    """The last maps of all frames, `(B, T, H', W', C)`; layers bear Keras' own names."""
    # Caffe's weights want blue first.
    reverse = backbone.mode == "caffe" and x.shape[-1] == 3
    frames = FoldFrames(reverse_channels=reverse, name="fold_frames")(x)
    build = getattr(keras.applications, backbone.application)
    maps = build(include_top=False, weights=None, input_tensor=frames).output
    return correlate(UnfoldFrames(name="unfold_frames")([maps, x]), "frames")


def consensus(x, classes, activation, dropout_rate):
    """Logits of each frame, their mean, and only then the activation (the paper's section 3.1)."""
    x = FramePooling(name="avg_pool")(x)
    if dropout_rate:
        x = keras.layers.Dropout(dropout_rate, name="dropout")(x)
    dtype = full_precision()
    x = keras.layers.Dense(classes, dtype=dtype, name="predictions")(x)
    x = keras.layers.GlobalAveragePooling1D(dtype=dtype, name="consensus")(x)
    return keras.layers.Activation(activation, dtype=dtype, name="probabilities")(x)


@keras.saving.register_keras_serializable("keras_stc")
class FramePooling(keras.layers.Layer):
    """Mean over height and width of every frame.

    Call arguments:
        inputs: Tensor of shape `(B, T, H, W, C)`.

    Returns:
        Tensor of shape `(B, T, C)`.
    """

    def call(self, inputs: Any) -> Any:
        return ops.mean(inputs, axis=(2, 3))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:2], input_shape[-1])


def _tsn(backbone):
    mean, std = MODES[backbone.mode]
    return Network(
        name=f"tsn_{backbone.application.lower()}",
        constructor=f"TSN{backbone.application}",
        title=f"Temporal segment network with {backbone.title} on every frame.",
        source="Wang et al., Temporal Segment Networks: Towards Good Practices for Deep Action "
        f"Recognition, ECCV 2016; `keras.applications.{backbone.application}`, whose layers keep "
        "their names and whose ImageNet weights go in as they are. A clip is one frame from each "
        "of T equal parts of a video (`video_config.segments`); the logits of the frames are "
        "averaged. `stc=True` puts one STC block behind the last maps of all frames.",
        features=functools.partial(features, backbone=backbone),
        config=VideoConfig(
            frames=SEGMENTS, stride=1, size=224, resize=256, mean=mean, std=std, segments=True
        ),
        classifier=consensus,
        dropout_rate=DROPOUT,
    )


TSN_RESNET50, TSN_RESNET101, TSN_DENSENET121, TSN_MOBILENETV2 = map(_tsn, BACKBONES)
