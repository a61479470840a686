"""What several of the networks are made of."""

from torch import nn
from torch_reference import STCBlock

#: Our names of a residual unit's layers begin so.
UNIT = r"layer(\d)_block(\d+)_"


def conv(inputs, outputs, kernel, stride=1, bias=False):
    """A convolution padded by half its kernel."""
    kernel = (kernel,) * 3 if isinstance(kernel, int) else kernel
    return nn.Conv3d(
        inputs, outputs, kernel, stride, padding=tuple(k // 2 for k in kernel), bias=bias
    )


class Gain(nn.Module):
    """An STC block behind a module: twice its gates, so that gates of one half change nothing."""

    def __init__(self, channels, frames):
        super().__init__()
        self.stc = STCBlock(channels, frames)

    def forward(self, x):
        return 2 * self.stc(x)
