"""Every variant of the zoo, as data."""

import dataclasses
import math

from keras_stc.checks import positive

#: Widths times `alpha` are multiples of this (as keras.applications' MobileNets have it).
DIVISOR = 8

#: Residual units in each of the four stages (Hara et al., CVPR 2018, table 1).
DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}

HARA = (
    "Hara, Kataoka, Satoh, Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and "
    "ImageNet?, CVPR 2018."
)
DIBA = (
    "Diba et al., Spatio-Temporal Channel Correlation Networks for Action Classification, "
    "ECCV 2018."
)
TRAN = (
    "Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR 2018; "
    "layers as torchvision has them."
)


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
        convolutions: What the 3³ convolutions of each stage are, see `residual_unit`.
        stem_kind: The default of `stem`.
        preactivation: The default of `preactivation`.
        family: What a docstring calls it, with its layers behind it.
        source: Where it is described.
        stc: Whether STC blocks are put in.
        stem: Channels of the first convolution.
        base: Name of the network without STC blocks, whose weights it can start from; `None` of
            such a network itself.
    """

    constructor: str
    units: tuple[int, ...]
    unit: str
    widths: tuple[int, ...]
    filters: tuple[int, ...]
    groups: int = 1
    convolutions: tuple[str, ...] = ("3d",) * 4
    stem_kind: str = "resnet3d"
    preactivation: bool = False
    family: str = "3D-ResNet"
    source: str = HARA
    stc: bool = False
    stem: int = 64
    base: str | None = None

    def scaled(self, alpha):
        """The variant with every width times `alpha`.

        Rounded to a multiple of 8, and of the number of groups; a stage puts out as many times its
        width as before.

        Args:
            alpha: Positive number; 1 is the network of the table.

        Returns:
            A `Variant`.

        Raises:
            ValueError: If `alpha` is not a positive number.
        """
        positive("a positive number", alpha=alpha)
        if alpha == 1:
            return self
        divisor = math.lcm(DIVISOR, self.groups)
        widths = tuple(_times(alpha, width, divisor) for width in self.widths)
        expansion = self.filters[0] // self.widths[0]
        return dataclasses.replace(
            self,
            widths=widths,
            filters=tuple(expansion * width for width in widths),
            stem=_times(alpha, self.stem, DIVISOR),
        )


def _times(alpha, width, divisor):
    """The multiple of `divisor` nearest to `alpha * width`, the larger of two; at least one."""
    return max(divisor, int(alpha * width / divisor + 0.5) * divisor)


def _resnet(depth):
    basic = depth < 50
    return Variant(
        constructor=f"ResNet3D{depth}",
        units=DEPTHS[depth],
        unit="basic" if basic else "bottleneck",
        widths=(64, 128, 256, 512),
        filters=(64, 128, 256, 512) if basic else (256, 512, 1024, 2048),
    )


def _wide(constructor, depth, groups, family):
    # ResNeXt: 32x4d; wide: twice as wide. Both with expansion 2 (Hara et al., section 3.2).
    return Variant(
        constructor=constructor,
        units=DEPTHS[depth],
        unit="bottleneck",
        widths=(128, 256, 512, 1024),
        filters=(256, 512, 1024, 2048),
        groups=groups,
        family=family,
    )


def _factorised(constructor, convolutions, stem_kind, family):
    return dataclasses.replace(
        _resnet(18),
        constructor=constructor,
        convolutions=convolutions,
        stem_kind=stem_kind,
        family=family,
        source=TRAN,
    )


def _with_stc(base):
    variant = _BASES[base]
    constructor = f"STC{variant.constructor.replace('3D', '')}"
    source = DIBA if variant.source == HARA else f"{DIBA} The network: {variant.source}"
    return dataclasses.replace(variant, constructor=constructor, stc=True, base=base, source=source)


_BASES = {
    **{f"resnet3d{depth}": _resnet(depth) for depth in (18, 34, 50, 101, 152)},
    **{
        f"resnext3d{depth}": _wide(f"ResNeXt3D{depth}", depth, 32, "3D-ResNeXt")
        for depth in (50, 101)
    },
    "wideresnet3d50": _wide("WideResNet3D50", 50, 1, "Wide 3D-ResNet"),
    "preresnet3d200": dataclasses.replace(
        _resnet(200),
        constructor="PreResNet3D200",
        preactivation=True,
        family="Pre-activation 3D-ResNet",
    ),
    "r2plus1d18": _factorised("R2Plus1D18", ("2plus1d",) * 4, "r2plus1d", "R(2+1)D"),
    "mc318": _factorised("MC318", ("3d", "2d", "2d", "2d"), "r3d", "MC3"),
}

#: Name of a model, as `keras_stc.create_model` and the command line take it -> its variant.
VARIANTS = {
    **_BASES,
    # STC-ResNet18 of 3D-ResNet18: "stc_resnet18" of "resnet3d18".
    **{f"stc_{base.replace('3d', '')}": _with_stc(base) for base in _BASES},
}


def takes_weights_of(name, other):
    """Whether weights of the network `other` go into the network `name`: its own, or its base's."""
    return other == name or (name in VARIANTS and VARIANTS[name].base == other)
