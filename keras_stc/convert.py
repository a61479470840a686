"""Other libraries' checkpoints into `.keras` files: Hara et al.'s, torchvision's, ImageNet's."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from keras_stc.checks import one_of
from keras_stc.models import VideoModel, create_model
from keras_stc.models.configs import VARIANTS, takes_weights_of
from keras_stc.models.densenet3d import DEPTHS as DENSE_DEPTHS
from keras_stc.weights.cache import WeightsError
from keras_stc.weights.foreign import NORMALIZATIONS, Foreign, read_foreign


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes:
        model: The `VideoModel`.
        arch: Its name in the zoo.
        inflated: Whether 2D kernels were repeated over time.
        used: Number of the checkpoint's arrays that went into the model.
        unused: Names of those that did not.
        normalization: Which of `keras_stc.weights.foreign.NORMALIZATIONS` the model carries.
    """

    model: VideoModel
    arch: str
    inflated: bool
    used: int
    unused: tuple[str, ...]
    normalization: str


def convert_checkpoint(
    source: str | os.PathLike[str],
    arch: str | None = None,
    input_shape: Sequence[int | None] | None = None,
    class_names: Sequence[str] | None = None,
    normalization: str | None = None,
    video_config: Mapping[str, Any] | None = None,
) -> Conversion:
    """Builds the network of a checkpoint and puts its weights into it.

    Example:

    ```python
    done = keras_stc.convert_checkpoint("resnet-50-kinetics.pth", class_names=names)
    done.model.save("resnet3d50.keras")
    ```

    Args:
        source: Path of a checkpoint; see `keras_stc.weights.foreign` for those that are read.
        arch: Name of the network in the zoo; by default the one that the checkpoint is of, without
            STC blocks. The same network with STC blocks takes it too: they start neutral.
        input_shape: `(T, H, W, C)`, where `video_config` does not say.
        class_names: Names of the classes in the order of the checkpoint's outputs.
        normalization: Key of `NORMALIZATIONS`, where the checkpoint was trained with another than
            its kind usually is.
        video_config: Fields of the `VideoConfig` of its clips, such as `{"frames": 32}`. By default
            as its kind was trained: 16 frames at 112x112, 64 at 224x224 of I3D, 128 of S3D.

    Returns:
        A `Conversion`.

    Raises:
        ValueError: If the checkpoint cannot be read, is of a network outside the zoo, or the
            arguments do not fit it.
    """
    foreign = read_foreign(source)
    found = identify(foreign, source)
    arch = arch or found
    if normalization is not None:
        one_of(NORMALIZATIONS, normalization=normalization)
    classes = foreign.arguments.get("classes")
    if class_names is not None and classes is None:
        raise ValueError(
            f"{source} has no classifier, whose outputs `class_names` could name: leave them out."
        )
    if class_names is not None and len(class_names) != classes:
        raise ValueError(
            f"`class_names` must name the {classes} outputs of {source}. "
            f"Received: {len(class_names)} names"
        )
    if not takes_weights_of(arch, found):
        raise WeightsError(f"{source} holds a {found}, which cannot become a {arch}.")
    foreign = dataclasses.replace(foreign, normalization=normalization or foreign.normalization)
    model = create_model(
        arch,
        weights=foreign,
        input_shape=input_shape,
        video_config=video_config,
        include_top=classes is not None,
    )
    if class_names is not None:
        model.video_config = model.video_config.replace(class_names=tuple(class_names))
    return Conversion(
        model=model,
        arch=arch,
        inflated=foreign.dimensions == 2,
        used=sum(len(groups[""]) for groups in foreign.layers.values()),
        unused=foreign.unused,
        normalization=foreign.normalization,
    )


def identify(foreign: Foreign, source: str | os.PathLike[str]) -> str:
    """Name of the network without STC blocks that a `Foreign` checkpoint is of.

    Raises:
        WeightsError: If it is none of the zoo.
    """
    if foreign.family == "densenet3d":
        return _dense(foreign, source)
    if foreign.family in ("s3d", "inception_i3d"):
        return foreign.family
    units = _counted(foreign, "layer{}_", "_conv1", "_conv1_temporal")
    unit = "bottleneck" if "layer1_block1_conv3" in foreign.layers else "basic"
    convolutions = tuple(
        _convolution(foreign, f"layer{stage}_block1_conv2") for stage in range(1, 5)
    )
    factorised = convolutions[0] == "2plus1d"
    kernel = foreign.layers["layer1_block1_conv2" + ("_temporal" if factorised else "")][""][0]
    groups = 1 if factorised else kernel.shape[-1] // kernel.shape[-2]
    shape = (units, unit, groups, kernel.shape[-1], convolutions)
    for name, spec in VARIANTS.items():
        own = (spec.units, spec.unit, spec.groups, spec.widths[0], spec.convolutions)
        if not spec.stc and own == shape:
            return name
    raise WeightsError(
        f"{pathlib.Path(source)} holds a network with {'-'.join(map(str, units))} {unit} units of "
        f"{shape[3]} channels in {shape[2]} groups, and no network of the zoo has those."
    )


def _convolution(foreign, name):
    """What stands in the place of a 3x3x3 convolution; 2D networks are inflated to such."""
    if f"{name}_spatial" in foreign.layers:
        return "2plus1d"
    is_flat = name in foreign.layers and foreign.layers[name][""][0].shape[0] == 1
    return "2d" if is_flat and foreign.dimensions == 3 else "3d"


def _counted(foreign, start, *ends):
    """How many layers of each of four stages have names that begin and end so."""
    return tuple(
        sum(name.startswith(start.format(stage)) and name.endswith(ends) for name in foreign.layers)
        for stage in (1, 2, 3, 4)
    )


def _dense(foreign, source):
    count = _counted(foreign, "dense{}_layer", "_conv2")
    for depth, layers in DENSE_DEPTHS.items():
        if layers == count:
            return f"densenet3d{depth}"
    raise WeightsError(
        f"{pathlib.Path(source)} holds a DenseNet with {'-'.join(map(str, count))} layers, and no "
        "network of the zoo has those."
    )
