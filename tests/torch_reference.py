"""The networks again, in plain PyTorch and straight from the papers, to check ours against.

Nothing here is shared with `keras_stc`: blocks follow Diba et al. (ECCV 2018, section 3.1) and
backbones Hara et al. (CVPR 2018), and modules carry the names of Hara et al.'s checkpoints
(`conv1`, `bn1`, `layer1.0.conv1`, `layer1.0.downsample.0`, ..., `fc`). Clips are
`(B, C, T, H, W)` and already normalised.
"""

import functools
import re

import torch
import torch.nn.functional as F
from torch import nn

#: name -> (unit, units in each of the four stages)
NETWORKS = {
    "ResNet3D18": ("basic", (2, 2, 2, 2)),
    "ResNet3D34": ("basic", (3, 4, 6, 3)),
    "ResNet3D50": ("bottleneck", (3, 4, 6, 3)),
    "ResNet3D101": ("bottleneck", (3, 4, 23, 3)),
    "ResNet3D152": ("bottleneck", (3, 8, 36, 3)),
    "ResNeXt3D50": ("grouped", (3, 4, 6, 3)),
    "ResNeXt3D101": ("grouped", (3, 4, 23, 3)),
    "WideResNet3D50": ("wide", (3, 4, 6, 3)),
    "PreResNet3D200": ("bottleneck", (3, 24, 36, 3)),
}

BRANCHES = ("temporal", "spatial")


class STCBlock(nn.Module):
    """Mean of the gated outputs of the temporal and the spatial correlation branch."""

    def __init__(self, channels, frames, reduction_ratio=4, branches=BRANCHES):
        super().__init__()
        self.branches = tuple(branches)
        if "temporal" in self.branches:
            hidden = channels // reduction_ratio
            self.fc_temporal1 = nn.Linear(channels, hidden)
            self.fc_temporal2 = nn.Linear(hidden, channels)
        if "spatial" in self.branches:
            hidden = frames * channels // reduction_ratio
            self.fc_spatial1 = nn.Linear(frames * channels, hidden)
            self.fc_spatial2 = nn.Linear(hidden, channels)

    def forward(self, x):
        outputs = []
        if "temporal" in self.branches:
            squeezed = x.mean(dim=(2, 3, 4))
            gate = self.fc_temporal2(F.relu(self.fc_temporal1(squeezed)))
            outputs.append(x * torch.sigmoid(gate)[:, :, None, None, None])
        if "spatial" in self.branches:
            # (B, C, T) -> (B, T, C): the vector runs over frames first, channels inside a frame.
            squeezed = x.mean(dim=(3, 4)).transpose(1, 2).flatten(1)
            gate = self.fc_spatial2(F.relu(self.fc_spatial1(squeezed)))
            outputs.append(x * torch.sigmoid(gate)[:, :, None, None, None])
        return sum(outputs) / len(outputs)


class PaddingShortcut(nn.Module):
    """Hara et al.'s shortcut "A": every second position, missing channels are zeros."""

    def __init__(self, channels, stride):
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x):
        x = x[:, :, :: self.stride, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, 0, 0, self.channels - x.shape[1]))


class Unit(nn.Module):
    """One residual unit: a chain of convolutions, the STC block if any, and the shortcut."""

    def __init__(self, convs, in_channels, stride, shortcut, preactivation, stc):
        """`convs`: a list of `nn.Conv3d`; `stc`: a module or `None`."""
        super().__init__()
        self.depth = len(convs)
        self.preactivation = preactivation
        width = in_channels
        for k, conv in enumerate(convs, start=1):
            setattr(self, f"conv{k}", conv)
            setattr(self, f"bn{k}", nn.BatchNorm3d(width if preactivation else conv.out_channels))
            width = conv.out_channels
        self.downsample = None
        if stride != 1 or in_channels != width:
            if shortcut == "padding":
                self.downsample = PaddingShortcut(width, stride)
            else:
                self.downsample = nn.Sequential(
                    nn.Conv3d(in_channels, width, 1, stride=stride, bias=False),
                    nn.BatchNorm3d(width),
                )
        self.stc = stc

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        out = x
        for k in range(1, self.depth + 1):
            conv, bn = getattr(self, f"conv{k}"), getattr(self, f"bn{k}")
            if self.preactivation:
                out = conv(F.relu(bn(out)))
            else:
                out = bn(conv(out))
                out = F.relu(out) if k < self.depth else out
        if self.stc is not None:
            out = self.stc(out)
        out = shortcut + out
        return out if self.preactivation else F.relu(out)


def basic_convs(in_channels, stage, stride, alpha):
    width = int(64 * alpha) * 2**stage
    return [
        nn.Conv3d(in_channels, width, 3, stride=stride, padding=1, bias=False),
        nn.Conv3d(width, width, 3, padding=1, bias=False),
    ]


def bottleneck_convs(in_channels, stage, stride, alpha):
    middle, out = (int(n * alpha) * 2**stage for n in (64, 256))
    return [
        nn.Conv3d(in_channels, middle, 1, bias=False),
        nn.Conv3d(middle, middle, 3, stride=stride, padding=1, bias=False),
        nn.Conv3d(middle, out, 1, bias=False),
    ]


def grouped_convs(in_channels, stage, stride, alpha, groups=32):
    middle, out = (int(n * alpha) * 2**stage for n in (128, 256))
    return [
        nn.Conv3d(in_channels, middle, 1, bias=False),
        nn.Conv3d(middle, middle, 3, stride=stride, padding=1, groups=groups, bias=False),
        nn.Conv3d(middle, out, 1, bias=False),
    ]


UNITS = {
    "basic": basic_convs,
    "bottleneck": bottleneck_convs,
    "grouped": grouped_convs,
    "wide": functools.partial(grouped_convs, groups=1),
}


class VideoResNet(nn.Module):
    """3D-ResNet and 3D-ResNeXt, with or without STC blocks; returns logits."""

    def __init__(
        self,
        unit,
        units,
        frames=16,
        classes=400,
        stc=False,
        stc_placement="block",
        stc_branches=BRANCHES,
        reduction_ratio=4,
        shortcut="projection",
        stem="resnet3d",
        preactivation=False,
        alpha=1.0,
    ):
        super().__init__()
        self.preactivation = preactivation
        halve = lambda length: (length - 1) // 2 + 1  # noqa: E731 (stride 2, symmetric padding)
        temporal_stride, pool_stride = {"resnet3d": (1, 2), "table1": (2, 1)}[stem]
        width = int(64 * alpha)
        self.conv1 = nn.Conv3d(3, width, 7, stride=(temporal_stride, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.maxpool = nn.MaxPool3d(3, stride=pool_stride, padding=1)
        frames = halve(frames)  # in either stem one of the two layers halves it

        for stage, count in enumerate(units):
            modules = []
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                frames = halve(frames) if stride == 2 else frames
                convs = UNITS[unit](width, stage, stride, alpha)
                out = convs[-1].out_channels
                block = None
                if stc and stc_placement == "block":
                    block = STCBlock(out, frames, reduction_ratio, stc_branches)
                modules.append(Unit(convs, width, stride, shortcut, preactivation, block))
                width = out
            setattr(self, f"layer{stage + 1}", nn.Sequential(*modules))
            if stc and stc_placement == "stage":
                block = STCBlock(width, frames, reduction_ratio, stc_branches)
                setattr(self, f"layer{stage + 1}_stc", block)
        if preactivation:
            self.bn_last = nn.BatchNorm3d(width)
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            stc = getattr(self, f"layer{stage}_stc", None)
            if stc is not None:
                x = x + stc(x)
        if self.preactivation:
            x = F.relu(self.bn_last(x))
        return self.fc(x.mean(dim=(2, 3, 4)))


def create(name, units=None, **kwargs):
    """`create("STCResNet18", frames=16, classes=400, ...)`, named like our constructors.

    `units` replaces the network's number of units in each stage.
    """
    stc = name.startswith("STC")
    base = re.sub(r"STC(\D*Res\D+)", r"\g<1>3D", name)
    unit, default = NETWORKS[base]
    if base.startswith("Pre"):
        kwargs = {"preactivation": True, **kwargs}
    return VideoResNet(unit, units or default, stc=stc, **kwargs)


def count_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model, frames=16, size=112):
    """Multiply-accumulates of convolutions and dense layers for one clip.

    The model may live on the meta device: only shapes are looked at.
    """
    total = 0

    def count(module, inputs, output):
        nonlocal total
        per_output = module.weight[0].numel()
        total += output.numel() * per_output

    hooks = [
        module.register_forward_hook(count)
        for module in model.modules()
        if isinstance(module, (nn.Conv3d, nn.Linear))
    ]
    device = next(model.parameters()).device
    model.eval()(torch.zeros(1, 3, frames, size, size, device=device))
    for hook in hooks:
        hook.remove()
    return total
