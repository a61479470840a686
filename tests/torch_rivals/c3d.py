"""C3D: Tran et al. (ICCV 2015)."""

import functools

import torch.nn.functional as F
from torch import nn

from torch_rivals.parts import Gain, conv


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


MODULES = [
    (r"(conv\d[ab](_bn)?|fc\d)", lambda m: m[1]),
    (r"(conv\d_stc)", lambda m: f"{m[1]}.stc"),
    (r"predictions", lambda m: "fc8"),
]

NETWORKS = {"C3D": (C3D, MODULES), "C3DBN": (functools.partial(C3D, True), MODULES)}
