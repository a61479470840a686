"""R3D, MC and R(2+1)D: Tran et al. (CVPR 2018)."""

import functools

import torch.nn.functional as F
from torch import nn
from torch_reference import BRANCHES, STCBlock

from torch_rivals.parts import UNIT, conv


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


MODULES = [
    (r"conv1(_spatial)?", lambda m: "stem.0"),
    (r"conv1_spatial_bn", lambda m: "stem.1"),
    (r"conv1_temporal", lambda m: "stem.3"),
    (UNIT + r"(conv\d)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.{m[3]}.0"),
    (UNIT + r"(conv\d)_spatial", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.{m[3]}.0.0"),
    (UNIT + r"(conv\d)_spatial_bn", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.{m[3]}.0.1"),
    (UNIT + r"(conv\d)_temporal", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.{m[3]}.0.3"),
    (UNIT + r"bn(\d)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.conv{m[3]}.1"),
    (UNIT + r"shortcut_conv", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.0"),
    (UNIT + r"shortcut_bn", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.1"),
    (UNIT + r"stc", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.stc"),
    (r"layer(\d)_stc", lambda m: f"layer{m[1]}_stc"),
    (r"predictions", lambda m: "fc"),
]

NETWORKS = {
    name: (
        functools.partial(TranResNet, kinds),
        [(r"conv1_bn", lambda m, norm=norm: norm), *MODULES],
    )
    for name, kinds, norm in (
        ("R3D18", ("3d",) * 4, "stem.1"),
        ("MC318", ("3d", "2d", "2d", "2d"), "stem.1"),
        ("R2Plus1D18", ("2plus1d",) * 4, "stem.4"),
    )
}
