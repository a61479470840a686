"""Conv3D residual networks with and without STC blocks, built from a variant of the table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras

from keras_stc.checks import one_of
from keras_stc.layers.conv import max_pool3d
from keras_stc.layers.residual import (
    SHORTCUTS,
    batch_norm,
    conv2plus1d,
    conv3d,
    residual_unit,
)
from keras_stc.layers.stc import BRANCHES, STCBlock, check_branches, check_ratio
from keras_stc.models.classifier import activation_name
from keras_stc.models.configs import VARIANTS
from keras_stc.models.inputs import (
    asked_config,
    clip_input,
    finish,
    fit_video_config,
    head,
    normalize,
)
from keras_stc.video_config import VideoConfig

if TYPE_CHECKING:
    from keras_stc.models.video_model import VideoModel

STEMS = ("resnet3d", "table1", "r3d", "r2plus1d")
PLACEMENTS = ("block", "stage")

#: The network strides 32 times in height and width.
MIN_SIZE = 32


def VideoResNet(
    variant: str,
    include_top: bool = True,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int = 400,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    name: str | None = None,
    *,
    reduction_ratio: int = 4,
    stc_placement: Literal["block", "stage"] = "block",
    stc_branches: str | Sequence[str] = BRANCHES,
    shortcut: Literal["projection", "padding"] = "projection",
    stem: str | None = None,
    preactivation: bool | None = None,
    final_norm: bool = True,
    alpha: float = 1.0,
    video_config: VideoConfig | dict[str, Any] | None = None,
) -> VideoModel:
    """Builds a network of the table `keras_stc.models.configs.VARIANTS`.

    Layers are named after their place, `layer3_block12_conv2`, with stages and units counted
    from 1. The model takes RGB clips, 0-255, and normalises them itself.

    torchvision's `r3d_18` is `"resnet3d18"` with `stem="r3d"`, `mc3_18` is `"mc318"` and
    `r2plus1d_18` is `"r2plus1d18"`, each with projections. Their modules are these layers, `S`
    being a stage, `U` a unit counted from 0 (and `V` the same from 1), `N` a convolution:

    | module | layer |
    |---|---|
    | `stem.0`, `stem.1` | `conv1`, `conv1_bn` |
    | the same of `r2plus1d_18` | `conv1_spatial`, `conv1_spatial_bn` |
    | `stem.3`, `stem.4` of `r2plus1d_18` | `conv1_temporal`, `conv1_bn` |
    | `layerS.U.convN.0` | `layerS_blockV_convN` |
    | `layerS.U.convN.0.0` of `r2plus1d_18` | `layerS_blockV_convN_spatial` |
    | `layerS.U.convN.0.1` | `layerS_blockV_convN_spatial_bn` |
    | `layerS.U.convN.0.3` | `layerS_blockV_convN_temporal` |
    | `layerS.U.convN.1` | `layerS_blockV_bnN` |
    | `layerS.U.downsample.0`, `.1` | `layerS_blockV_shortcut_conv`, `..._shortcut_bn` |
    | `fc` | `predictions` |

    Args:
        variant: Name of the variant, such as `"stc_resnet18"`.
        input_shape: `(T, H, W, 3)`; `T` is fixed for networks with STC blocks.
        stc_placement: `"block"` puts an STC block into every residual unit, on the residual branch
            before the addition; `"stage"` puts one after each of the four stages, y = X + STC(X).
        stc_branches: `("temporal", "spatial")` or one of them (paper, table 5).
        shortcut: `"projection"` or `"padding"` where the shapes of a unit's ends differ.
        stem: `"resnet3d"` (Hara et al.: conv1 keeps time, the pooling halves it) or `"table1"`
            (paper, table 1: conv1 strides all three axes, the pooling none) or `"r3d"`
            (torchvision's `r3d_18`: conv1 is 3x7x7, and there is no pooling) or `"r2plus1d"`
            (torchvision's `r2plus1d_18`: 1x7x7 and 3x1x1, no pooling). `None` for the variant's.
        preactivation: Whether BN and ReLU stand before the convolutions; `None` for the variant's.
            Hara et al.'s arrangement, and one BN and ReLU after the last stage (He et al. 2016b;
            our choice).
        final_norm: Whether they are there; Hara et al.'s checkpoints are of networks without.

    The other arguments are those of the constructors, such as `keras_stc.STCResNet18`.

    Returns:
        A `keras_stc.models.VideoModel`.

    Raises:
        ValueError: If an argument is outside its range, or the clip too small for the network.
    """
    spec = VARIANTS[variant].scaled(alpha)
    stem = spec.stem_kind if stem is None else stem
    preactivation = spec.preactivation if preactivation is None else preactivation
    one_of(PLACEMENTS, stc_placement=stc_placement)
    one_of(SHORTCUTS, shortcut=shortcut)
    one_of(STEMS, stem=stem)
    stc = {
        "reduction_ratio": check_ratio(reduction_ratio),
        "branches": check_branches(stc_branches),
    }
    common = math.gcd(*spec.filters)
    if spec.stc and common % reduction_ratio:
        fitting = [str(n) for n in range(1, common + 1) if common % n == 0]
        raise ValueError(
            "`reduction_ratio` must divide the channels of every stage: "
            f"{', '.join(fitting[:-1])} or {fitting[-1]}. "
            f"Received: reduction_ratio={reduction_ratio}"
        )
    fixed_frames = spec.stc and "spatial" in stc["branches"]

    # === Functional model ===
    config = asked_config(video_config, VideoConfig())
    clip = clip_input(input_tensor, input_shape, config.clip_shape, MIN_SIZE, fixed_frames)
    config = fit_video_config(config, clip)
    x = normalize(clip, config)
    x = _stem(x, stem, spec.stem)
    for stage, units in enumerate(spec.units, start=1):
        for unit in range(1, units + 1):
            x = residual_unit(
                x,
                spec.unit,
                width=spec.widths[stage - 1],
                filters=spec.filters[stage - 1],
                strides=2 if stage > 1 and unit == 1 else 1,
                groups=spec.groups,
                shortcut=shortcut,
                preactivation=preactivation,
                stc=stc if spec.stc and stc_placement == "block" else None,
                convolution=spec.convolutions[stage - 1],
                name=f"layer{stage}_block{unit}",
            )
        if spec.stc and stc_placement == "stage":
            correlated = STCBlock(**stc, name=f"layer{stage}_stc")(x)
            x = keras.layers.Add(name=f"layer{stage}_stc_add")([x, correlated])
    if preactivation and final_norm:
        x = batch_norm(x, "final_bn")
        x = keras.layers.ReLU(name="final_relu")(x)
    outputs = head(x, include_top, pooling, classes, classifier_activation)

    architecture = {
        "name": variant,
        "include_top": include_top,
        "input_shape": list(clip.shape[1:]),
        "pooling": pooling,
        "classes": int(classes),
        "classifier_activation": activation_name(classifier_activation),
        "reduction_ratio": int(reduction_ratio),
        "stc_placement": stc_placement,
        "stc_branches": list(stc["branches"]),
        "shortcut": shortcut,
        "stem": stem,
        "preactivation": preactivation,
        "final_norm": bool(final_norm),
        "alpha": float(alpha),
    }
    return finish(clip, outputs, input_tensor, config, name or variant, architecture)


def _stem(x, stem, filters):
    kernel, strides, pool_strides = {
        "resnet3d": (7, (1, 2, 2), 2),
        "table1": (7, (2, 2, 2), 1),
        "r3d": ((3, 7, 7), (1, 2, 2), None),
        "r2plus1d": ((3, 7), (1, 2), None),
    }[stem]
    if stem == "r2plus1d":
        # torchvision has 45 channels between the two for 64.
        x = conv2plus1d(x, filters, 45 * filters // 64, kernel, strides, name="conv1")
    else:
        x = conv3d(x, filters, kernel, strides, name="conv1")
    x = batch_norm(x, "conv1_bn")
    x = keras.layers.ReLU(name="conv1_relu")(x)
    if pool_strides is None:
        return x
    # Zeros pad as well as minus infinity would: nothing after the ReLU is below zero.
    x = keras.layers.ZeroPadding3D(1, name="pool1_pad")(x)
    return max_pool3d(x, 3, pool_strides, name="pool1")
