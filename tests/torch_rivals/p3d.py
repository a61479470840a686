"""P3D: Qiu et al. (ICCV 2017)."""

import torch.nn.functional as F
from torch import nn

from torch_rivals.parts import UNIT, Gain, conv


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


MODULES = [
    (r"conv1", lambda m: "conv1"),
    (r"conv1_bn", lambda m: "bn1"),
    (UNIT + r"((conv|bn)\d)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.{m[3]}"),
    (UNIT + r"shortcut_conv", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.0"),
    (UNIT + r"shortcut_bn", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.1"),
    (UNIT + r"stc", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.stc.stc"),
    (r"predictions", lambda m: "fc"),
]

NETWORKS = {"P3D199": (P3D, MODULES)}
