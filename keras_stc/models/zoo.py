"""The public constructors, one for each network, and the functions that find them by name."""

import difflib
import functools
import inspect

from keras_stc.layers.stc import BRANCHES
from keras_stc.models import c3d, densenet3d, inception_i3d, p3d, s3d
from keras_stc.models.configs import VARIANTS
from keras_stc.models.network import build_network
from keras_stc.models.pretrained import DEFAULT_CLASSES, build_pretrained
from keras_stc.models.video_resnet import VideoResNet
from keras_stc.video_config import VideoConfig
from keras_stc.weights import registry

_DOC = """{title}

Source: {source}

Example:

```python
model = keras_stc.{constructor}(classes=101, input_shape=(16, 112, 112, 3))
model.video_config   # how it wants to be fed
```

Args:
    include_top: Whether to put the classifier on.
    weights: `None` for random initialisation; a tag of `keras_stc.list_weights({variant!r})`,
        such as `"imagenet"`; the path of a `.keras` or `.weights.h5` file, a run folder or a
        checkpoint that `keras-stc convert` reads; or `"hf://owner/repo[@revision]"`.
    input_tensor: Keras tensor of shape `(B, T, H, W, 3)` to start from.
    input_shape: `(T, H, W, 3)`, by default `(16, 112, 112, 3)`; at least 32 pixels high and wide.
    pooling: Without the top: `None` for the feature map `(B, T', H', W', C)`, `"avg"` or `"max"`
        for `(B, C)`.
    classes: Number of classes; by default that of the weights. With another number than theirs,
        the classifier starts at random.
    classifier_activation: Activation of the classifier; `None` gives logits.
    name: Name of the model.
    reduction_ratio: Of the STC blocks (paper: 4).
    stc_placement: `"block"`, an STC block in every residual unit, or `"stage"`, one after each
        of the four stages.
    stc_branches: `("temporal", "spatial")` or one of them.
    shortcut: `"projection"` or `"padding"`.
    stem: `"resnet3d"`, `"table1"`, `"r3d"` or `"r2plus1d"`; see `keras_stc.models.VideoResNet`.
    preactivation: Whether BN and ReLU stand before the convolutions.
    final_norm: Whether, then, there are BN and ReLU after the last stage.
    alpha: Width of the network, as of keras.applications' MobileNets: all channels are multiplied
        by it and rounded to a multiple of 8 and of the number of groups. `alpha=0.5` has a quarter
        of the parameters.
    video_config: A `VideoConfig` the model is to carry, or a dictionary of some of its fields,
        the others following the weights; the clip's shape where `input_shape` is not given.

Returns:
    A `keras_stc.models.VideoModel` that maps clips `(B, T, H, W, 3)`, RGB 0-255, to
    `(B, classes)`.

Raises:
    ValueError: If an argument is outside its range, or the weights do not fit.
"""

_NETWORK_DOC = """{title}

Source: {source}

Example:

```python
model = keras_stc.{constructor}(classes=101, stc=True)
model.video_config   # how it wants to be fed
```

Args:
    include_top: Whether to put the classifier on.
    weights: `None` for random initialisation; a tag of `keras_stc.list_weights`; the path of a
        `.keras` or `.weights.h5` file or of a run folder; or `"hf://owner/repo[@revision]"`.
    input_tensor: Keras tensor of shape `(B, T, H, W, 3)` to start from.
    input_shape: `(T, H, W, 3)`, by default `{shape}`; at least {least} high and wide.
    pooling: Without the top: `None` for the feature map `(B, T', H', W', C)`, `"avg"` or `"max"`
        for `(B, C)`.
    classes: Number of classes; by default that of the weights. With another number than theirs,
        the classifier starts at random.
    classifier_activation: Activation of the classifier; `None` gives logits.
    name: Name of the model.
    stc: Whether an STC block stands behind every module. On weights without, it starts as if it
        were not there.
    reduction_ratio: Of the STC blocks (paper: 4).
    stc_branches: `("temporal", "spatial")` or one of them.
    dropout_rate: Before the classifier.
    video_config: A `VideoConfig` the model is to carry, or a dictionary of some of its fields,
        the others following the weights; the clip's shape where `input_shape` is not given.

Returns:
    A `keras_stc.models.VideoModel` that maps clips `(B, T, H, W, 3)`, RGB 0-255, to
    `(B, classes)`.

Raises:
    ValueError: If an argument is outside its range, or the weights do not fit.
"""


def list_models(pattern=None):
    """Names of the models of the zoo.

    Example:

    ```python
    keras_stc.list_models("stc")   # ["stc_resnet18", ...]
    ```

    Args:
        pattern: Only names that contain this text; all of them without.

    Returns:
        List of names for `create_model`.
    """
    return [name for name in CONSTRUCTORS if pattern is None or pattern.lower() in name]


def list_weights(model=None):
    """Weights that can be had today.

    Example:

    ```python
    keras_stc.list_weights("stc_resnext101")  # ["imagenet"]
    keras_stc.list_weights()  # ["resnet3d18.imagenet", ...]
    ```

    Args:
        model: Name of a network; with it, the tags its `weights=` takes.

    Returns:
        List of tags, or without `model` of names `"arch.tag"`.

    Raises:
        ValueError: If no network has that name.
    """
    if model is None:
        return [record.name for record in registry.records()]
    if model not in CONSTRUCTORS:
        raise ValueError(
            f"`model` must be one of {', '.join(CONSTRUCTORS)}. Received: model={model!r}"
        )
    return registry.tags(model)


def create_model(name, **kwargs):
    """Builds a model of the zoo by its name.

    Example:

    ```python
    model = keras_stc.create_model("stc_resnet18", classes=3)
    ```

    Args:
        name: One of `list_models()`, or a constructor's name.
        **kwargs: Arguments of the constructor.

    Returns:
        A `keras_stc.models.VideoModel`.

    Raises:
        ValueError: If there is no such model.
    """
    return CONSTRUCTORS[model_name(name)](**kwargs)


def model_name(name):
    """The name in `list_models()` of a model that is given by it, or by its constructor's.

    Example:

    ```python
    model_name("STCResNet18")  # "stc_resnet18"
    ```

    Raises:
        ValueError: If there is no such model.
    """
    by_constructor = {function.__name__.lower(): key for key, function in CONSTRUCTORS.items()}
    key = str(name).lower()
    key = by_constructor.get(key, key)
    if key not in CONSTRUCTORS:
        close = difflib.get_close_matches(key, CONSTRUCTORS, n=3)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"`name` must be one of {', '.join(CONSTRUCTORS)}.{hint} Received: name={name!r}"
        )
    return key


def usual_config(name):
    """The `VideoConfig` of the clips that a model of the zoo takes where nobody says otherwise."""
    return VideoConfig() if name in VARIANTS else NETWORKS[name].config


def structure_defaults(name):
    """How a network is built where nobody says otherwise, as its `architecture` holds it.

    Args:
        name: One of `list_models()`.

    Returns:
        Dictionary of JSON's types; empty of an unknown network.
    """
    structure = _structure(CONSTRUCTORS[name]) if name in CONSTRUCTORS else {}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in structure.items()}


def _constructor(variant):
    spec = VARIANTS[variant]

    def constructor(
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=DEFAULT_CLASSES,
        classifier_activation="softmax",
        name=None,
        *,
        reduction_ratio=4,
        stc_placement="block",
        stc_branches=BRANCHES,
        shortcut="projection",
        stem=spec.stem_kind,
        preactivation=spec.preactivation,
        final_norm=True,
        alpha=1.0,
        video_config=None,
    ):
        arguments = {
            "include_top": include_top,
            "input_tensor": input_tensor,
            "input_shape": input_shape,
            "pooling": pooling,
            "classes": classes,
            "classifier_activation": classifier_activation,
            "name": name,
            "reduction_ratio": reduction_ratio,
            "stc_placement": stc_placement,
            "stc_branches": stc_branches,
            "shortcut": shortcut,
            "stem": stem,
            "preactivation": preactivation,
            "final_norm": final_norm,
            "alpha": alpha,
            "video_config": video_config,
        }
        build = functools.partial(VideoResNet, variant)
        return build_pretrained(build, variant, weights, arguments, structure)

    structure = _structure(constructor)
    layers = sum(spec.units) * (2 if spec.unit == "basic" else 3) + 2
    blocks = " and STC blocks" if spec.stc else ""
    constructor.__name__ = constructor.__qualname__ = spec.constructor
    constructor.__doc__ = inspect.cleandoc(_DOC).format(
        title=f"{spec.family} with {layers} layers{blocks}.",
        source=spec.source,
        constructor=spec.constructor,
        variant=variant,
    )
    return constructor


def _structure(constructor):
    """`{name: default}` of its arguments that say how a network is built: those by name alone."""
    return {
        key: parameter.default
        for key, parameter in inspect.signature(constructor).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and key != "video_config"
    }


def _network_constructor(network):
    def constructor(
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=DEFAULT_CLASSES,
        classifier_activation="softmax",
        name=None,
        *,
        stc=False,
        reduction_ratio=4,
        stc_branches=BRANCHES,
        dropout_rate=network.dropout_rate,
        video_config=None,
    ):
        arguments = {
            "include_top": include_top,
            "input_tensor": input_tensor,
            "input_shape": input_shape,
            "pooling": pooling,
            "classes": classes,
            "classifier_activation": classifier_activation,
            "name": name,
            "stc": stc,
            "reduction_ratio": reduction_ratio,
            "stc_branches": stc_branches,
            "dropout_rate": dropout_rate,
            "video_config": video_config,
        }
        build = functools.partial(build_network, network)
        return build_pretrained(build, network.name, weights, arguments, structure)

    structure = _structure(constructor)
    constructor.__name__ = constructor.__qualname__ = network.constructor
    constructor.__doc__ = inspect.cleandoc(_NETWORK_DOC).format(
        title=network.title,
        source=network.source,
        constructor=network.constructor,
        shape=network.config.clip_shape,
        least=f"{network.min_frames} frames and {network.min_size} pixels"
        if network.min_frames > 1
        else f"{network.min_size} pixels",
    )
    return constructor


ResNet3D18 = _constructor("resnet3d18")
ResNet3D34 = _constructor("resnet3d34")
ResNet3D50 = _constructor("resnet3d50")
ResNet3D101 = _constructor("resnet3d101")
ResNet3D152 = _constructor("resnet3d152")
ResNeXt3D50 = _constructor("resnext3d50")
ResNeXt3D101 = _constructor("resnext3d101")
WideResNet3D50 = _constructor("wideresnet3d50")
PreResNet3D200 = _constructor("preresnet3d200")
R2Plus1D18 = _constructor("r2plus1d18")
MC318 = _constructor("mc318")
STCResNet18 = _constructor("stc_resnet18")
STCResNet34 = _constructor("stc_resnet34")
STCResNet50 = _constructor("stc_resnet50")
STCResNet101 = _constructor("stc_resnet101")
STCResNet152 = _constructor("stc_resnet152")
STCResNeXt50 = _constructor("stc_resnext50")
STCResNeXt101 = _constructor("stc_resnext101")
STCWideResNet50 = _constructor("stc_wideresnet50")
STCPreResNet200 = _constructor("stc_preresnet200")
STCR2Plus1D18 = _constructor("stc_r2plus1d18")
STCMC318 = _constructor("stc_mc318")
InceptionI3D = _network_constructor(inception_i3d.INCEPTION_I3D)
S3D = _network_constructor(s3d.S3D)
C3D = _network_constructor(c3d.C3D)
C3DBN = _network_constructor(c3d.C3D_BN)
DenseNet3D121 = _network_constructor(densenet3d.DENSENET3D121)
DenseNet3D169 = _network_constructor(densenet3d.DENSENET3D169)
P3D199 = _network_constructor(p3d.P3D199)

#: Networks outside the table of residual ones, by name.
NETWORKS = {
    network.name: network
    for network in (
        inception_i3d.INCEPTION_I3D,
        s3d.S3D,
        c3d.C3D,
        c3d.C3D_BN,
        densenet3d.DENSENET3D121,
        densenet3d.DENSENET3D169,
        p3d.P3D199,
    )
}

#: Name of a model -> its constructor.
CONSTRUCTORS = {
    "resnet3d18": ResNet3D18,
    "resnet3d34": ResNet3D34,
    "resnet3d50": ResNet3D50,
    "resnet3d101": ResNet3D101,
    "resnet3d152": ResNet3D152,
    "resnext3d50": ResNeXt3D50,
    "resnext3d101": ResNeXt3D101,
    "wideresnet3d50": WideResNet3D50,
    "preresnet3d200": PreResNet3D200,
    "r2plus1d18": R2Plus1D18,
    "mc318": MC318,
    "stc_resnet18": STCResNet18,
    "stc_resnet34": STCResNet34,
    "stc_resnet50": STCResNet50,
    "stc_resnet101": STCResNet101,
    "stc_resnet152": STCResNet152,
    "stc_resnext50": STCResNeXt50,
    "stc_resnext101": STCResNeXt101,
    "stc_wideresnet50": STCWideResNet50,
    "stc_preresnet200": STCPreResNet200,
    "stc_r2plus1d18": STCR2Plus1D18,
    "stc_mc318": STCMC318,
    "inception_i3d": InceptionI3D,
    "s3d": S3D,
    "c3d": C3D,
    "c3d_bn": C3DBN,
    "densenet3d121": DenseNet3D121,
    "densenet3d169": DenseNet3D169,
    "p3d199": P3D199,
}
