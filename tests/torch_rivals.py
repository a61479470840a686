"""The networks that STC is compared with, in plain PyTorch, to check ours against.

Nothing here is shared with `keras_stc`. Modules carry the names of the published checkpoints, and
`MODULES` says which of our layers each is. Clips are `(B, C, T, H, W)` and already normalised.
"""

import functools
import re

import torch
import torch.nn.functional as F
from torch import nn
from torch_reference import BRANCHES, STCBlock


def conv(inputs, outputs, kernel, stride=1, bias=False):
    """A convolution padded by half its kernel."""
    kernel = (kernel,) * 3 if isinstance(kernel, int) else kernel
    return nn.Conv3d(
        inputs, outputs, kernel, stride, padding=tuple(k // 2 for k in kernel), bias=bias
    )


def factorised(kind, inputs, outputs, middle, stride):
    """Tran et al. (CVPR 2018), section 3: R3D, MC and R(2+1)D."""
    if kind == "3d":
        return conv(inputs, outputs, 3, stride)
    if kind == "2d":
        return conv(inputs, outputs, (1, 3, 3), (1, stride, stride))
    return nn.Sequential(
        conv(inputs, middle, (1, 3, 3), (1, stride, stride)),
        nn.BatchNorm3d(middle),
        nn.ReLU(),
        conv(middle, outputs, (3, 1, 1), (stride, 1, 1)),
    )


class TranUnit(nn.Module):
    def __init__(self, kind, inputs, outputs, stride, stc):
        super().__init__()
        # As many weights in the two convolutions as in the one of 3x3x3.
        middle = (inputs * outputs * 27) // (inputs * 9 + 3 * outputs)
        self.conv1 = nn.Sequential(
            factorised(kind, inputs, outputs, middle, stride), nn.BatchNorm3d(outputs), nn.ReLU()
        )
        self.conv2 = nn.Sequential(
            factorised(kind, outputs, outputs, middle, 1), nn.BatchNorm3d(outputs)
        )
        self.downsample = None
        if stride > 1 or inputs != outputs:
            strides = (1 if kind == "2d" else stride, stride, stride)
            self.downsample = nn.Sequential(
                nn.Conv3d(inputs, outputs, 1, strides, bias=False), nn.BatchNorm3d(outputs)
            )
        self.stc = stc

    def forward(self, x):
        out = self.conv2(self.conv1(x))
        if self.stc is not None:
            out = self.stc(out)
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class TranResNet(nn.Module):
    """18 layers, as torchvision has them."""

    def __init__(
        self, kinds, frames=16, classes=400, stc=False, stc_placement="block", stc_branches=BRANCHES
    ):
        super().__init__()
        if kinds[0] == "2plus1d":
            stem = [conv(3, 45, (1, 7, 7), (1, 2, 2)), nn.BatchNorm3d(45), nn.ReLU()]
            stem += [conv(45, 64, (3, 1, 1)), nn.BatchNorm3d(64), nn.ReLU()]
        else:
            stem = [conv(3, 64, (3, 7, 7), (1, 2, 2)), nn.BatchNorm3d(64), nn.ReLU()]
        self.stem = nn.Sequential(*stem)
        inputs = 64
        for stage, kind in enumerate(kinds):
            outputs, units = 64 * 2**stage, []
            for index in range(2):
                stride = 2 if stage and not index else 1
                if stride == 2 and kind != "2d":
                    frames = (frames + 1) // 2
                block = None
                if stc and stc_placement == "block":
                    block = STCBlock(outputs, frames, branches=stc_branches)
                units.append(TranUnit(kind, inputs, outputs, stride, block))
                inputs = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*units))
            if stc and stc_placement == "stage":
                block = STCBlock(outputs, frames, branches=stc_branches)
                setattr(self, f"layer{stage + 1}_stc", block)
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = self.stem(x)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            if hasattr(self, f"layer{stage}_stc"):
                x = x + getattr(self, f"layer{stage}_stc")(x)
        return self.fc(x.mean(dim=(2, 3, 4)))


TRAN = {
    "R3D18": ("3d",) * 4,
    "MC318": ("3d", "2d", "2d", "2d"),
    "R2Plus1D18": ("2plus1d",) * 4,
}

_UNIT = r"layer(\d)_block(\d+)_"

#: Pattern of our layer's name -> module; a function makes one of the match.
TRAN_MODULES = [
    (r"conv1(_spatial)?", lambda m: "stem.0"),
    (r"conv1_spatial_bn", lambda m: "stem.1"),
    (r"conv1_temporal", lambda m: "stem.3"),
    (_UNIT + r"(conv\d)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.{m[3]}.0"),
    (_UNIT + r"(conv\d)_spatial", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.{m[3]}.0.0"),
    (_UNIT + r"(conv\d)_spatial_bn", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.{m[3]}.0.1"),
    (_UNIT + r"(conv\d)_temporal", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.{m[3]}.0.3"),
    (_UNIT + r"bn(\d)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.conv{m[3]}.1"),
    (_UNIT + r"shortcut_conv", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.0"),
    (_UNIT + r"shortcut_bn", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.1"),
    (_UNIT + r"stc", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.stc"),
    (r"layer(\d)_stc", lambda m: f"layer{m[1]}_stc"),
    (r"predictions", lambda m: "fc"),
]


class Gain(nn.Module):
    """An STC block behind a module: twice its gates, so that gates of one half change nothing."""

    def __init__(self, channels, frames):
        super().__init__()
        self.stc = STCBlock(channels, frames)

    def forward(self, x):
        return 2 * self.stc(x)


def normalized(*args, **kwargs):
    """Convolution, batch normalisation, ReLU: torchvision's Conv3dNormActivation in S3D."""
    outputs = args[1]
    return nn.Sequential(
        conv(*args, **kwargs), nn.BatchNorm3d(outputs, eps=1e-3, momentum=1e-3), nn.ReLU()
    )


def separated(inputs, outputs, kernel, stride=1):
    return nn.Sequential(
        normalized(inputs, outputs, (1, kernel, kernel), (1, stride, stride)),
        normalized(outputs, outputs, (kernel, 1, 1), (stride, 1, 1)),
    )


class Inception(nn.Module):
    def __init__(self, inputs, b0, b1_mid, b1, b2_mid, b2, b3):
        super().__init__()
        self.branch0 = normalized(inputs, b0, 1)
        self.branch1 = nn.Sequential(normalized(inputs, b1_mid, 1), separated(b1_mid, b1, 3))
        self.branch2 = nn.Sequential(normalized(inputs, b2_mid, 1), separated(b2_mid, b2, 3))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, padding=1), normalized(inputs, b3, 1))
        self.stc = None

    def forward(self, x):
        branches = [self.branch0, self.branch1, self.branch2, self.branch3]
        x = torch.cat([branch(x) for branch in branches], 1)
        return x if self.stc is None else self.stc(x)


#: Szegedy et al. (CVPR 2015), table 1: 1x1, 3x3 reduce, 3x3, "5x5" reduce, "5x5", pool proj.
INCEPTION = [
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    "pool",
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    "pool2",
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
]


class S3D(nn.Module):
    """Inputs whose last map is 7x7, as torchvision's average pooling wants them, or smaller."""

    def __init__(self, frames=64, classes=400, stc=False):
        super().__init__()
        layers = [
            separated(3, 64, 7, 2),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1)),
            normalized(64, 64, 1),
            separated(64, 192, 3),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1)),
        ]
        inputs, frames = 192, (frames + 1) // 2
        for row in INCEPTION:
            if row == "pool":
                layers.append(nn.MaxPool3d(3, 2, padding=1))
                frames = (frames + 1) // 2
            elif row == "pool2":
                layers.append(nn.MaxPool3d(2, 2))
                frames //= 2
            else:
                layers.append(Inception(inputs, *row))
                inputs = row[0] + row[2] + row[4] + row[5]
                if stc:
                    layers[-1].stc = Gain(inputs, frames)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Conv3d(1024, classes, 1))

    def forward(self, x):
        x = self.features(x)
        time = min(2, x.shape[2])
        x = F.avg_pool3d(x, (time, *x.shape[3:]), 1)
        return self.classifier(x).mean(dim=(2, 3, 4))


class C3D(nn.Module):
    """Tran et al. (ICCV 2015), figure 3."""

    def __init__(self, norm=False, frames=16, size=112, classes=400, stc=False):
        super().__init__()
        inputs, self.norm = 3, norm
        for stage, channels in enumerate([[64], [128], [256] * 2, [512] * 2, [512] * 2], 1):
            for letter, outputs in zip("ab", channels, strict=False):
                setattr(self, f"conv{stage}{letter}", conv(inputs, outputs, 3, bias=not norm))
                if norm:
                    setattr(self, f"conv{stage}{letter}_bn", nn.BatchNorm3d(outputs))
                inputs = outputs
            if stc:
                setattr(self, f"conv{stage}_stc", Gain(inputs, frames))
            if stage > 1:
                frames //= 2
        side = size // 16 // 2 + 1 if size // 16 % 2 else size // 32 + (size % 32 == 0)
        self.fc6 = nn.Linear(512 * max(frames, 1) * side * side, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, classes)

    def forward(self, x):
        for stage in range(1, 6):
            for letter in "ab":
                if hasattr(self, f"conv{stage}{letter}"):
                    x = getattr(self, f"conv{stage}{letter}")(x)
                    x = F.relu(getattr(self, f"conv{stage}{letter}_bn")(x) if self.norm else x)
            if hasattr(self, f"conv{stage}_stc"):
                x = getattr(self, f"conv{stage}_stc")(x)
            x = F.max_pool3d(
                x, (1 if stage == 1 else 2, 2, 2), padding=(0, 1, 1) if stage == 5 else 0
            )
        # Keras flattens with the channels last.
        x = x.permute(0, 2, 3, 4, 1).flatten(1)
        return self.fc8(F.relu(self.fc7(F.relu(self.fc6(x)))))


class DenseLayer(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.add_module("norm1", nn.BatchNorm3d(inputs))
        self.add_module("conv1", conv(inputs, 4 * 32, 1))
        self.add_module("norm2", nn.BatchNorm3d(4 * 32))
        self.add_module("conv2", conv(4 * 32, 32, 3))

    def forward(self, x):
        new = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
        return torch.cat([x, new], 1)


class DenseNet(nn.Module):
    """Hara et al. (CVPR 2018), DenseNet-BC with growth 32."""

    def __init__(self, layers, frames=16, classes=400, stc=False):
        super().__init__()
        self.conv0, self.norm0 = conv(3, 64, 7, (1, 2, 2)), nn.BatchNorm3d(64)
        inputs, frames = 64, (frames + 1) // 2
        for block, count in enumerate(layers, 1):
            parts = []
            for _ in range(count):
                parts.append(DenseLayer(inputs))
                inputs += 32
            setattr(self, f"denseblock{block}", nn.Sequential(*parts))
            if stc:
                setattr(self, f"stc{block}", Gain(inputs, frames))
            if block < 4:
                setattr(self, f"norm_t{block}", nn.BatchNorm3d(inputs))
                setattr(self, f"conv_t{block}", conv(inputs, inputs // 2, 1))
                inputs //= 2
                frames = max(1, frames // 2)
        self.norm5, self.classifier = nn.BatchNorm3d(inputs), nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.max_pool3d(F.relu(self.norm0(self.conv0(x))), 3, 2, padding=1)
        for block in range(1, 5):
            x = getattr(self, f"denseblock{block}")(x)
            if hasattr(self, f"stc{block}"):
                x = getattr(self, f"stc{block}")(x)
            if block < 4:
                x = getattr(self, f"conv_t{block}")(F.relu(getattr(self, f"norm_t{block}")(x)))
                x = F.avg_pool3d(x, (min(2, x.shape[2]), 2, 2))
        return self.classifier(F.relu(self.norm5(x)).mean(dim=(2, 3, 4)))


class PseudoUnit(nn.Module):
    """Qiu et al. (ICCV 2017), figure 3."""

    def __init__(self, inputs, width, stride, kind, stc):
        super().__init__()
        strides, self.kind, self.stc = (1, stride, stride), kind, stc
        self.conv1, self.bn1 = conv(inputs, width, 1, strides), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = conv(width, width, (1, 3, 3)), nn.BatchNorm3d(width)
        if kind:
            self.conv3, self.bn3 = conv(width, width, (3, 1, 1)), nn.BatchNorm3d(width)
        self.conv4, self.bn4 = conv(width, 4 * width, 1), nn.BatchNorm3d(4 * width)
        self.downsample = None
        if inputs != 4 * width:
            self.downsample = nn.Sequential(
                conv(inputs, 4 * width, 1, strides), nn.BatchNorm3d(4 * width)
            )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        space = lambda x: F.relu(self.bn2(self.conv2(x)))  # noqa: E731
        time = lambda x: F.relu(self.bn3(self.conv3(x)))  # noqa: E731
        if self.kind is None:
            out = space(out)
        elif self.kind == "A":
            out = time(space(out))
        elif self.kind == "B":
            out = space(out) + time(out)
        else:
            out = space(out)
            out = out + time(out)
        out = self.bn4(self.conv4(out))
        out = out if self.stc is None else self.stc(out)
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class P3D(nn.Module):
    def __init__(self, frames=16, classes=400, stc=False):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, (1, 7, 7), (1, 2, 2)), nn.BatchNorm3d(64)
        inputs, place, frames = 64, 0, frames // 2
        for stage, count in enumerate([3, 8, 36, 3]):
            units, width = [], 64 * 2**stage
            for index in range(count):
                kind = None if stage == 3 else "ABC"[place % 3]
                block = Gain(4 * width, frames) if stc else None
                units.append(
                    PseudoUnit(inputs, width, 2 if stage and not index else 1, kind, block)
                )
                inputs, place = 4 * width, place + 1
            setattr(self, f"layer{stage + 1}", nn.Sequential(*units))
            frames = max(1, frames // 2)
        self.fc = nn.Linear(2048, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool3d(x, (2, 3, 3), 2, padding=(0, 1, 1))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            if stage < 4:
                time = min(2, x.shape[2])
                x = F.max_pool3d(x, (time, 1, 1), (time, 1, 1))
        return self.fc(x.mean(dim=(2, 3, 4)))


_PLACES = [*("Conv3d_1a_7x7", "pool", "Conv3d_2b_1x1", "Conv3d_2c_3x3", "pool")]
_PLACES += ["Mixed_3b", "Mixed_3c", "pool", *(f"Mixed_4{letter}" for letter in "bcdef")]
_PLACES += ["pool", "Mixed_5b", "Mixed_5c"]


def _s3d_module(layer):
    if layer == "predictions":
        return "classifier.1"
    place = next(place for place in _PLACES if layer.startswith(place))
    rest, prefix = layer.removeprefix(place), f"features.{_PLACES.index(place)}"
    if rest == "_stc":
        return f"{prefix}.stc.stc"
    part = rest.rpartition("_")[0]
    number = {"conv": 0, "bn": 1}[rest.rpartition("_")[2]]
    inner = {"_spatial": ".0", "_temporal": ".1", "": "", "_branch0": ".branch0"}
    inner["_branch3"] = ".branch3.1"
    for branch in (1, 2):
        inner[f"_branch{branch}_reduce"] = f".branch{branch}.0"
        inner[f"_branch{branch}_spatial"] = f".branch{branch}.1.0"
        inner[f"_branch{branch}_temporal"] = f".branch{branch}.1.1"
    return f"{prefix}{inner[part]}.{number}"


DENSE_MODULES = [
    (r"conv1", lambda m: "conv0"),
    (r"conv1_bn", lambda m: "norm0"),
    (r"dense(\d)_layer(\d+)_conv(\d)", lambda m: f"denseblock{m[1]}.{int(m[2]) - 1}.conv{m[3]}"),
    (r"dense(\d)_layer(\d+)_bn(\d)", lambda m: f"denseblock{m[1]}.{int(m[2]) - 1}.norm{m[3]}"),
    (r"dense(\d)_stc", lambda m: f"stc{m[1]}.stc"),
    (r"transition(\d)_bn", lambda m: f"norm_t{m[1]}"),
    (r"transition(\d)_conv", lambda m: f"conv_t{m[1]}"),
    (r"final_bn", lambda m: "norm5"),
    (r"predictions", lambda m: "classifier"),
]
C3D_MODULES = [
    (r"(conv\d[ab](_bn)?|fc\d)", lambda m: m[1]),
    (r"(conv\d_stc)", lambda m: f"{m[1]}.stc"),
    (r"predictions", lambda m: "fc8"),
]
P3D_MODULES = [
    (r"conv1", lambda m: "conv1"),
    (r"conv1_bn", lambda m: "bn1"),
    (_UNIT + r"((conv|bn)\d)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.{m[3]}"),
    (_UNIT + r"shortcut_conv", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.0"),
    (_UNIT + r"shortcut_bn", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.1"),
    (_UNIT + r"stc", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.stc.stc"),
    (r"predictions", lambda m: "fc"),
]

OTHERS = {
    "S3D": (S3D, [(r"(.*)", lambda m: _s3d_module(m[1]))]),
    "C3D": (C3D, C3D_MODULES),
    "C3DBN": (functools.partial(C3D, True), C3D_MODULES),
    "DenseNet3D121": (functools.partial(DenseNet, (6, 12, 24, 16)), DENSE_MODULES),
    "DenseNet3D169": (functools.partial(DenseNet, (6, 12, 32, 32)), DENSE_MODULES),
    "P3D199": (P3D, P3D_MODULES),
}
NETWORKS = (*TRAN, *OTHERS)


def create(name, **options):
    """`create("STCMC318", frames=16, classes=400, ...)`, named like our constructors."""
    if name in OTHERS:
        return OTHERS[name][0](**options)
    base = name.removeprefix("STC")
    return TranResNet(TRAN[base], stc=name != base, **options)


def module_of(layer, network):
    """The module of a network that one of our layers is."""
    if network in OTHERS:
        patterns = OTHERS[network][1]
    else:
        norm = "stem.4" if network == "R2Plus1D18" else "stem.1"
        patterns = [(r"conv1_bn", lambda m: norm), *TRAN_MODULES]
    for pattern, module in patterns:
        if match := re.fullmatch(pattern, layer):
            return module(match)
    raise AssertionError(f"A layer that the reference does not have: {layer}")
