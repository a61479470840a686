"""Every variant of the zoo, as data."""

import dataclasses

#: Residual units in each of the four stages (Hara et al., CVPR 2018, table 1).
DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """What distinguishes one network of the zoo from another.

    Attributes:
        constructor: Name of the public constructor, `"STCResNet18"`.
        units: Number of residual units in each stage.
        unit: `"basic"` or `"bottleneck"`.
        widths: Channels of the inner convolutions in each stage.
        filters: Channels each stage puts out.
        groups: Groups of the bottleneck's 3³ convolution.
        stc: Whether STC blocks are put in.
    """

    constructor: str
    units: tuple[int, ...]
    unit: str
    widths: tuple[int, ...]
    filters: tuple[int, ...]
    groups: int = 1
    stc: bool = False


def _resnet(depth, stc):
    basic = depth < 50
    return Variant(
        constructor=f"STCResNet{depth}" if stc else f"ResNet3D{depth}",
        units=DEPTHS[depth],
        unit="basic" if basic else "bottleneck",
        widths=(64, 128, 256, 512),
        filters=(64, 128, 256, 512) if basic else (256, 512, 1024, 2048),
        stc=stc,
    )


def _resnext(depth, stc):
    # 32x4d, expansion 2 (Hara et al., section 3.2).
    return Variant(
        constructor=f"STCResNeXt{depth}" if stc else f"ResNeXt3D{depth}",
        units=DEPTHS[depth],
        unit="bottleneck",
        widths=(128, 256, 512, 1024),
        filters=(256, 512, 1024, 2048),
        groups=32,
        stc=stc,
    )


#: Name of a model, as `keras_stc.create_model` and the command line take it -> its variant.
VARIANTS = {
    **{f"resnet3d{depth}": _resnet(depth, stc=False) for depth in (18, 34, 50, 101, 152)},
    **{f"resnext3d{depth}": _resnext(depth, stc=False) for depth in (50, 101)},
    **{f"stc_resnet{depth}": _resnet(depth, stc=True) for depth in (18, 34, 50, 101, 152)},
    **{f"stc_resnext{depth}": _resnext(depth, stc=True) for depth in (50, 101)},
}
