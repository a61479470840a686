"""S3D: Xie et al. (ECCV 2018), as torchvision has it."""

import torch
import torch.nn.functional as F
from torch import nn

from torch_rivals.parts import Gain, conv


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


_PLACES = [*("Conv3d_1a_7x7", "pool", "Conv3d_2b_1x1", "Conv3d_2c_3x3", "pool")]
_PLACES += ["Mixed_3b", "Mixed_3c", "pool", *(f"Mixed_4{letter}" for letter in "bcdef")]
_PLACES += ["pool", "Mixed_5b", "Mixed_5c"]


def _module(layer):
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


NETWORKS = {"S3D": (S3D, [(r"(.*)", lambda m: _module(m[1]))])}
