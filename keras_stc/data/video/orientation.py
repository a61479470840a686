"""How stored frames are turned to stand upright, from the display matrix in a file's metadata."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Orientation:
    """One of the eight ways to turn and mirror a picture by right angles.

    Args:
        transpose: Whether rows become columns, before anything is mirrored.
        mirror: Whether left and right are swapped after that.
        upside_down: Whether top and bottom are.
        degrees: The rotation among it, clockwise: 0, 90, 180 or 270.
    """

    transpose: bool = False
    mirror: bool = False
    upside_down: bool = False
    degrees: int = 0

    @classmethod
    def of(cls, frame):
        """The orientation of a decoded frame; other angles go to the nearest right one."""
        side_data = frame.side_data.get("DISPLAYMATRIX")
        if side_data is None:
            return cls()
        # x' = a x + c y, y' = b x + d y, with y downwards.
        a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5].astype(int)
        degrees = int(round(np.degrees(np.arctan2(b, a)) / 90)) * 90 % 360
        if abs(b) > abs(a):
            return cls(True, bool(c < 0), bool(b < 0), degrees)
        return cls(False, bool(a < 0), bool(d < 0), degrees)

    def upright_size(self, height, width):
        """Stored `(height, width)` to upright, and back."""
        return (width, height) if self.transpose else (height, width)

    def turn(self, pixels):
        """A view of stored pixels `(h, w, 3)`, upright."""
        if self.transpose:
            pixels = pixels.swapaxes(0, 1)
        if self.mirror:
            pixels = pixels[:, ::-1]
        return pixels[::-1] if self.upside_down else pixels
