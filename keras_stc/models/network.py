"""`Network`, a network outside the table of residual ones as data, and its builder."""

import dataclasses
from collections.abc import Callable

import keras

from keras_stc.checks import below_one, one_of, require
from keras_stc.layers.conv import max_pool3d
from keras_stc.layers.stc import BRANCHES, STCBlock, check_branches, check_ratio
from keras_stc.models.classifier import activation_name
from keras_stc.models.inputs import (
    asked_config,
    clip_input,
    dense_classifier,
    finish,
    fit_video_config,
    head,
    normalize,
)
from keras_stc.video_config import VideoConfig

#: Gates of one half times this leave a feature map as it is (our choice).
GAIN = 2.0


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of the zoo: its layers, and what it asks of a clip.

    Attributes:
        name: As `keras_stc.create_model` takes it.
        constructor: Name of the public constructor.
        title: First line of its docstring.
        source: Where it is described, and what the layers' names are.
        features: Function `(x, correlate) -> x`, from normalised clips to the last feature map.
            `correlate(x, name)` puts an STC block behind a module, or nothing.
        config: The `VideoConfig` of its usual clips.
        min_frames: Fewest frames that leave something for the last layers.
        min_size: Fewest pixels of height and width that do.
        classifier: Function `(x, classes, activation, dropout_rate) -> outputs`.
        dropout_rate: The default of the constructor's.
    """

    name: str
    constructor: str
    title: str
    source: str
    features: Callable
    config: VideoConfig = VideoConfig()
    min_frames: int = 1
    min_size: int = 32
    classifier: Callable = dense_classifier
    dropout_rate: float = 0.0


def build_network(
    network,
    include_top=True,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=400,
    classifier_activation="softmax",
    name=None,
    *,
    stc=False,
    stc_placement="module",
    reduction_ratio=4,
    stc_branches=BRANCHES,
    final_endpoint=None,
    dropout_rate=0.0,
    video_config=None,
):
    """Builds a `Network`; the arguments are those of its constructor.

    Returns:
        A `keras_stc.models.VideoModel`.

    Raises:
        ValueError: If an argument is outside its range, or the clip too small for the network.
    """
    branches, ratio = check_branches(stc_branches), check_ratio(reduction_ratio)
    require(lambda value: isinstance(value, bool), "True or False", stc=stc)
    one_of(("module", "last"), stc_placement=stc_placement)
    below_one(dropout_rate=dropout_rate)
    modules = {}

    def correlated(x, name):
        return STCBlock(ratio, branches, gain=GAIN, name=f"{name}_stc")(x)

    def correlate(x, name):
        modules[name] = correlated(x, name) if stc and stc_placement == "module" else x
        return modules[name]

    def classifier(x, classes, activation):
        return network.classifier(x, classes, activation, dropout_rate)

    # === Functional model ===
    config = asked_config(video_config, network.config)
    clip = clip_input(
        input_tensor,
        input_shape,
        config.clip_shape,
        network.min_size,
        stc and "spatial" in branches,
        network.min_frames,
    )
    config = fit_video_config(config, clip)
    x = network.features(normalize(clip, config), correlate)
    if final_endpoint is not None:
        one_of(modules, final_endpoint=final_endpoint)
        x = modules[final_endpoint]  # what comes after it is no part of the model
    if stc and stc_placement == "last":
        x = correlated(x, final_endpoint or list(modules)[-1])
    outputs = head(x, include_top, pooling, classes, classifier_activation, classifier)

    architecture = {
        "name": network.name,
        "include_top": include_top,
        "input_shape": list(clip.shape[1:]),
        "pooling": pooling,
        "classes": int(classes),
        "classifier_activation": activation_name(classifier_activation),
        "stc": stc,
        "stc_placement": stc_placement,
        "reduction_ratio": ratio,
        "stc_branches": list(branches),
        "final_endpoint": final_endpoint,
        "dropout_rate": dropout_rate,
    }
    return finish(clip, outputs, input_tensor, config, name or network.name, architecture)


def halved(x):
    """Window and stride that halve each axis of a map; an axis of one position keeps it.

    So networks made for 16 frames take shorter clips (our choice).
    """
    return tuple(2 if side is None or side > 1 else 1 for side in x.shape[1:4])


def padded_max_pool(x, window, strides, *, name):
    """Max pooling padded by half its window on both sides, of maps that are nowhere negative."""
    padding = tuple(side // 2 for side in window)
    if any(padding):
        x = keras.layers.ZeroPadding3D(padding, name=f"{name}_pad")(x)
    return max_pool3d(x, window, strides, name=name)
