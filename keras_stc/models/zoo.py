"""The public constructors, one for each network, and the functions that find them by name."""

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, cast

import keras

from keras_stc.checks import did_you_mean, one_of
from keras_stc.layers.stc import BRANCHES
from keras_stc.models import c3d, densenet3d, inception_i3d, p3d, s3d, tsn
from keras_stc.models.configs import VARIANTS
from keras_stc.models.network import Network, build_network
from keras_stc.models.pretrained import DEFAULT_CLASSES, build_pretrained
from keras_stc.models.video_model import VideoModel
from keras_stc.models.video_resnet import MIN_SIZE, VideoResNet
from keras_stc.video_config import VideoConfig
from keras_stc.weights import registry

#: The docstring of a constructor; `structure` is of the arguments that not all networks have.
_DOC = """{title}

Source: {source}

Example:

```python
model = keras_stc.{constructor}(classes=101, {example})
model.video_config   # how it wants to be fed
```

Args:
    include_top: Whether to put the classifier on.
    weights: `None` for random initialisation; a tag of `keras_stc.list_weights({name!r})`;
        the path of a `.keras` or `.weights.h5` file, a run folder or a checkpoint that
        `keras-stc convert` reads; or `"hf://owner/repo[@revision]"`.
    input_tensor: Keras tensor of shape `(B, T, H, W, 3)` to start from.
    input_shape: `(T, H, W, 3)`, by default `{shape}`; at least {least} high and wide.
    pooling: Without the top: `None` for the feature map `(B, T', H', W', C)`, `"avg"` or `"max"`
        for `(B, C)`.
    classes: Number of classes; by default that of the weights. With another number than theirs,
        the classifier starts at random.
    classifier_activation: Activation of the classifier; `None` gives logits.
    name: Name of the model.
{structure}
    video_config: A `VideoConfig` the model is to carry, or a dictionary of some of its fields,
        the others following the weights; the clip's shape where `input_shape` is not given.

Returns:
    A `keras_stc.models.VideoModel` that maps clips `(B, T, H, W, 3)`, RGB 0-255, to
    `(B, classes)`.

Raises:
    ValueError: If an argument is outside its range, or the weights do not fit.
"""

_RESIDUAL = """\
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
        of the parameters."""

_OTHERS = """\
    stc: Whether there are STC blocks. On weights without, they start as if they were not there.
    stc_placement: `"module"`, one behind every module, or `"last"`, one behind the last.
    reduction_ratio: Of the STC blocks (paper: 4).
    stc_branches: `("temporal", "spatial")` or one of them.
    final_endpoint: Name of the module that the network ends with, before its classifier, as of
        slim's Inception networks; `None` for the last.
    dropout_rate: Before the classifier."""

Constructor = TypeVar("Constructor", bound=Callable[..., VideoModel])

#: Name of a model -> its constructor; those below, in their order.
CONSTRUCTORS: dict[str, Callable[..., VideoModel]] = {}

#: Networks outside the table of residual ones, by name; likewise.
NETWORKS: dict[str, Network] = {}


def list_models(pattern: str | None = None) -> list[str]:
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


def list_weights(model: str | None = None) -> list[str]:
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
    one_of(CONSTRUCTORS, model=model)
    return registry.tags(model)


def create_model(name: str, **kwargs: Any) -> VideoModel:
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
        known = ", ".join(CONSTRUCTORS)
        raise ValueError(
            f"`name` must be one of {known}.{did_you_mean(key, CONSTRUCTORS)} "
            f"Received: name={name!r}"
        )
    return key


def usual_config(name):
    """The `VideoConfig` of the clips that a model of the zoo takes where nobody says otherwise."""
    return VideoConfig() if name in VARIANTS else NETWORKS[name].config


def completed(architecture, video_config):
    """What a model of an earlier version says of itself, with the defaults of what is new.

    Args:
        architecture: `model.architecture`, perhaps `None`.
        video_config: `model.video_config.to_dict()`.

    Returns:
        Both, of JSON's types.

    Raises:
        ValueError: If a field of `video_config` is of a later version.
    """
    if architecture and architecture.get("name") in CONSTRUCTORS:
        structure = _structure(CONSTRUCTORS[architecture["name"]])
        structure = {k: list(v) if isinstance(v, tuple) else v for k, v in structure.items()}
        architecture = {**structure, **architecture}
    return architecture, VideoConfig.from_dict(video_config).to_dict()


def _structure(constructor):
    """`{name: default}` of its arguments that say how a network is built: those by name alone."""
    return {
        key: parameter.default
        for key, parameter in inspect.signature(constructor).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and key != "video_config"
    }


def _constructor(build, name, constructor_name, **doc):
    """A decorator that makes a constructor of a signature, and puts it into the table.

    Args:
        build: Function `(**arguments) -> VideoModel` of all arguments but `weights`.
        name: Of the network, as `create_model` takes it.
        constructor_name: Of the constructor.
        **doc: What `_DOC` says of this network alone.
    """

    def decorate(signature: Constructor) -> Constructor:
        parameters, structure = inspect.signature(signature), _structure(signature)

        @functools.wraps(signature)
        def constructor(*args, **kwargs):
            try:
                bound = parameters.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{constructor_name}() {error}") from None
            bound.apply_defaults()
            arguments = dict(bound.arguments)
            weights = arguments.pop("weights")
            return build_pretrained(build, name, weights, arguments, structure)

        constructor.__name__ = constructor.__qualname__ = constructor_name
        constructor.__doc__ = _DOC.format(name=name, constructor=constructor_name, **doc)
        CONSTRUCTORS[name] = constructor
        return cast(Constructor, constructor)

    return decorate


def _residual(variant):
    """The constructor of a network of the table of residual ones."""
    spec = VARIANTS[variant]
    layers = sum(spec.units) * (2 if spec.unit == "basic" else 3) + 2

    @_constructor(
        functools.partial(VideoResNet, variant),
        variant,
        spec.constructor,
        title=f"{spec.family} with {layers} layers{' and STC blocks' if spec.stc else ''}.",
        source=spec.source,
        example="input_shape=(16, 112, 112, 3)",
        shape=VideoConfig().clip_shape,
        least=f"{MIN_SIZE} pixels",
        structure=_RESIDUAL,
    )
    def constructor(
        include_top: bool = True,
        weights: str | os.PathLike[str] | None = None,
        input_tensor: keras.KerasTensor | None = None,
        input_shape: Sequence[int | None] | None = None,
        pooling: Literal["avg", "max"] | None = None,
        classes: int = DEFAULT_CLASSES,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        name: str | None = None,
        *,
        reduction_ratio: int = 4,
        stc_placement: Literal["block", "stage"] = "block",
        stc_branches: str | Sequence[str] = BRANCHES,
        shortcut: Literal["projection", "padding"] = "projection",
        stem: str = spec.stem_kind,
        preactivation: bool = spec.preactivation,
        final_norm: bool = True,
        alpha: float = 1.0,
        video_config: VideoConfig | dict[str, Any] | None = None,
    ) -> VideoModel: ...

    return constructor


def _other(network):
    """The constructor of a `Network`."""
    NETWORKS[network.name] = network
    frames = f"{network.min_frames} frames and " if network.min_frames > 1 else ""

    @_constructor(
        functools.partial(build_network, network),
        network.name,
        network.constructor,
        title=network.title,
        source=network.source,
        example="stc=True",
        shape=network.config.clip_shape,
        least=f"{frames}{network.min_size} pixels",
        structure=_OTHERS,
    )
    def constructor(
        include_top: bool = True,
        weights: str | os.PathLike[str] | None = None,
        input_tensor: keras.KerasTensor | None = None,
        input_shape: Sequence[int | None] | None = None,
        pooling: Literal["avg", "max"] | None = None,
        classes: int = DEFAULT_CLASSES,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        name: str | None = None,
        *,
        stc: bool = False,
        stc_placement: Literal["module", "last"] = "module",
        reduction_ratio: int = 4,
        stc_branches: str | Sequence[str] = BRANCHES,
        final_endpoint: str | None = None,
        dropout_rate: float = network.dropout_rate,
        video_config: VideoConfig | dict[str, Any] | None = None,
    ) -> VideoModel: ...

    return constructor


ResNet3D18 = _residual("resnet3d18")
ResNet3D34 = _residual("resnet3d34")
ResNet3D50 = _residual("resnet3d50")
ResNet3D101 = _residual("resnet3d101")
ResNet3D152 = _residual("resnet3d152")
ResNeXt3D50 = _residual("resnext3d50")
ResNeXt3D101 = _residual("resnext3d101")
WideResNet3D50 = _residual("wideresnet3d50")
PreResNet3D200 = _residual("preresnet3d200")
R2Plus1D18 = _residual("r2plus1d18")
MC318 = _residual("mc318")
STCResNet18 = _residual("stc_resnet18")
STCResNet34 = _residual("stc_resnet34")
STCResNet50 = _residual("stc_resnet50")
STCResNet101 = _residual("stc_resnet101")
STCResNet152 = _residual("stc_resnet152")
STCResNeXt50 = _residual("stc_resnext50")
STCResNeXt101 = _residual("stc_resnext101")
STCWideResNet50 = _residual("stc_wideresnet50")
STCPreResNet200 = _residual("stc_preresnet200")
STCR2Plus1D18 = _residual("stc_r2plus1d18")
STCMC318 = _residual("stc_mc318")
InceptionI3D = _other(inception_i3d.INCEPTION_I3D)
S3D = _other(s3d.S3D)
C3D = _other(c3d.C3D)
C3DBN = _other(c3d.C3D_BN)
DenseNet3D121 = _other(densenet3d.DENSENET3D121)
DenseNet3D169 = _other(densenet3d.DENSENET3D169)
P3D199 = _other(p3d.P3D199)
TSNResNet50 = _other(tsn.TSN_RESNET50)
TSNResNet101 = _other(tsn.TSN_RESNET101)
TSNDenseNet121 = _other(tsn.TSN_DENSENET121)
TSNMobileNetV2 = _other(tsn.TSN_MOBILENETV2)
