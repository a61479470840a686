"""Every variant of the zoo, as data."""

import dataclasses
import math

#: Widths times `alpha` are multiples of this (as keras.applications' MobileNets have it).
DIVISOR = 8

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
        number = isinstance(alpha, (int, float)) and not isinstance(alpha, bool)
        if not number or not 0 < alpha < math.inf:
            raise ValueError(f"`alpha` must be a positive number. Received: alpha={alpha!r}")
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


def _resnet(depth, stc):
    basic = depth < 50
    return Variant(
        constructor=f"STCResNet{depth}" if stc else f"ResNet3D{depth}",
        units=DEPTHS[depth],
        unit="basic" if basic else "bottleneck",
        widths=(64, 128, 256, 512),
        filters=(64, 128, 256, 512) if basic else (256, 512, 1024, 2048),
        stc=stc,
        base=f"resnet3d{depth}" if stc else None,
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
        base=f"resnext3d{depth}" if stc else None,
    )


def takes_weights_of(name, other):
    """Whether weights of the network `other` go into the network `name`: its own, or its base's."""
    return other == name or (name in VARIANTS and VARIANTS[name].base == other)


#: Name of a model, as `keras_stc.create_model` and the command line take it -> its variant.
VARIANTS = {
    **{f"resnet3d{depth}": _resnet(depth, stc=False) for depth in (18, 34, 50, 101, 152)},
    **{f"resnext3d{depth}": _resnext(depth, stc=False) for depth in (50, 101)},
    **{f"stc_resnet{depth}": _resnet(depth, stc=True) for depth in (18, 34, 50, 101, 152)},
    **{f"stc_resnext{depth}": _resnext(depth, stc=True) for depth in (50, 101)},
}
