"""DenseNet3D: Hara et al. (CVPR 2018)."""

import functools

import torch
import torch.nn.functional as F
from torch import nn

from torch_rivals.parts import Gain, conv


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


MODULES = [
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

NETWORKS = {
    "DenseNet3D121": (functools.partial(DenseNet, (6, 12, 24, 16)), MODULES),
    "DenseNet3D169": (functools.partial(DenseNet, (6, 12, 32, 32)), MODULES),
}
