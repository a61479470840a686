"""Where in the frame a clip is cut: resize, crop and mirror, decided before anything is decoded.

A `Geometry` goes to the decoder, which resizes while it converts the colours and hands out
pixels of the crop alone. One geometry serves a whole clip: all its frames are cut alike.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_stc.checks import one_of, wrong
from keras_stc.video_config import resized_for

#: The five positions of a training crop (paper, section 4.2), as fractions of the free space
#: above and to the left of the crop.
POSITIONS = {
    "centre": (0.5, 0.5),
    "top_left": (0.0, 0.0),
    "top_right": (0.0, 1.0),
    "bottom_left": (1.0, 0.0),
    "bottom_right": (1.0, 1.0),
}

#: Sides of Hara et al.'s multi-scale crop, relative to the frame's short side: 2 ** (-k / 4).
MULTI_SCALES = (1.0, 0.841, 0.707, 0.595, 0.5)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Resize, crop and mirror of one clip.

    The frame keeps its proportions, unless it is stretched to a size that is given, and never
    becomes smaller than the crop on either side.

    Example:

    ```python
    geometry = Geometry(crop=(112, 112), short_side=122)
    geometry.frame_size(240, 320)     # (122, 163): what the decoder resizes to
    geometry.window(122, 163)         # (5, 25): top and left of the crop
    ```

    Args:
        crop: `(height, width)` of the crop in pixels, or `None` for the whole frame.
        short_side: Pixels on the frame's short side before the crop; `(height, width)` to which
            it is stretched; or `None` to keep the frame's own size.
        when_smaller: Resize to `short_side` only frames which are smaller.
        position: Where the crop lies, one of `POSITIONS`.
        flip: Whether the crop is mirrored left to right.
    """

    crop: tuple[int, int] | None = None
    short_side: int | tuple[int, int] | None = None
    when_smaller: bool = False
    position: str = "centre"
    flip: bool = False

    def __post_init__(self):
        if self.crop is not None:
            crop = (self.crop, self.crop) if isinstance(self.crop, int) else tuple(self.crop)
            object.__setattr__(self, "crop", crop)
            if len(crop) != 2 or min(crop) < 1:
                raise wrong("(height, width) in pixels", crop=self.crop)
        sides = self.short_side if isinstance(self.short_side, tuple) else (self.short_side,)
        if self.short_side is not None and (len(sides) > 2 or min(sides) < 1):
            raise wrong("a positive number of pixels, or two", short_side=self.short_side)
        one_of(POSITIONS, position=self.position)

    def frame_size(self, height: int, width: int) -> tuple[int, int]:
        """`(height, width)` to which an upright frame of this size is resized."""
        if isinstance(self.short_side, tuple):
            crop = self.crop or (1, 1)
            return max(crop[0], self.short_side[0]), max(crop[1], self.short_side[1])
        short = min(height, width)
        scale = 1.0 if self.short_side is None else self.short_side / short
        if self.when_smaller:
            scale = max(1.0, scale)
        crop = self.crop or (1, 1)
        scale = max(scale, crop[0] / height, crop[1] / width)
        return max(crop[0], round(height * scale)), max(crop[1], round(width * scale))

    def window(self, height: int, width: int) -> tuple[int, int]:
        """`(top, left)` of the crop in a resized frame."""
        if self.crop is None:
            return 0, 0
        down, right = POSITIONS[self.position]
        return int((height - self.crop[0]) * down), int((width - self.crop[1]) * right)

    def for_crop(self, crop: tuple[int, int]) -> Geometry:
        """The same part of the frames in a crop of another size, to which they are resized.

        Args:
            crop: `(height, width)` in pixels.

        Raises:
            ValueError: If this one has no crop, or leaves the frames at their own size.
        """
        if self.crop is None or self.short_side is None:
            raise ValueError(
                "`crops` must cut clips from frames that are resized, since two networks see one "
                f"crop at two sizes. Received: {self!r}"
            )
        short_side = resized_for(crop, self.short_side, self.crop)
        return dataclasses.replace(self, crop=crop, short_side=short_side)

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """Crops and mirrors frames which are already resized; no copy.

        Args:
            pixels: An array `(..., H, W, C)`.

        Returns:
            A view `(..., crop height, crop width, C)`.
        """
        if self.crop is not None:
            top, left = self.window(*pixels.shape[-3:-1])
            pixels = pixels[..., top : top + self.crop[0], left : left + self.crop[1], :]
        return pixels[..., ::-1, :] if self.flip else pixels


def training_geometry(
    crop: tuple[int, int],
    short_side: int | tuple[int, int] | None,
    rng: np.random.Generator,
    *,
    when_smaller: bool = False,
    flip: bool = True,
    positions: bool = True,
    multiscale: bool = False,
) -> Geometry:
    """A random crop for training (paper, section 4.2): one of five positions, mirrored or not.

    Args:
        crop: `(height, width)` of the crop in pixels.
        short_side: Pixels on the frame's short side before the crop, the paper's 122 for 112; or
            `(height, width)`, as of `Geometry`.
        rng: A `numpy.random.Generator`.
        when_smaller: Read the paper's words literally, "short side to at least 122 when smaller":
            larger frames keep their size, and the crop shows a smaller part of them. Resizing
            always, so that training and evaluation see things at one scale, is our choice.
        flip: Whether to mirror every other clip. Switch it off where left and right are the
            classes.
        positions: Whether to use all five positions; otherwise the centre.
        multiscale: Hara et al.'s multi-scale corner crop instead of `short_side`: the crop is
            1, 0.841, 0.707, 0.595 or 0.5 of the frame's short side.

    Returns:
        A `Geometry`.
    """
    # Always three draws, in one order: switching one option leaves the other choices as they are.
    position, mirrored, scale = rng.integers(len(POSITIONS)), rng.random() < 0.5, rng.integers(5)
    if multiscale:
        short_side, when_smaller = round(min(crop) / MULTI_SCALES[scale]), False
    return Geometry(
        crop=crop,
        short_side=short_side,
        when_smaller=when_smaller,
        position=list(POSITIONS)[position] if positions else "centre",
        flip=bool(flip and mirrored),
    )


def evaluation_geometry(
    crop: tuple[int, int] | None, short_side: int | tuple[int, int] | None
) -> Geometry:
    """Short side resized, centre crop, nothing random (paper, section 4.2)."""
    return Geometry(crop=crop, short_side=short_side)


def evaluation_views(crop, short_side, crops):
    """How frames are decoded for one or three crops of a clip, and how the crops are cut from them.

    Args:
        crop: `(height, width)` of the crop in pixels; square where there are three.
        short_side: Pixels on the frame's short side before the centre crop.
        crops: 1 for the centre crop, or 3 along the frame's longer side, as SlowFast networks are
            tested (arXiv 1812.03982): its shorter side is resized to the crop's.

    Returns:
        `(geometry to decode with, tuple of geometries to cut with)`.
    """
    if crops == 1:
        return evaluation_geometry(crop, short_side), (Geometry(),)
    if crops != 3 or crop[0] != crop[1]:
        raise ValueError(
            "`crops` must be 1, or 3 of a square crop. "
            f"Received: crops={crops!r}, crop={tuple(crop)}"
        )
    # Where nothing is free on the shorter side, corners are ends of the longer one.
    positions = ("top_left", "centre", "bottom_right")
    return (
        Geometry(short_side=crop[0]),
        tuple(Geometry(crop=crop, position=position) for position in positions),
    )


def generator(*key):
    """The random numbers that belong to a key, such as (seed, epoch, position) of a sample.

    Every sample draws from its own generator, so that what it gets depends neither on how many
    are decoded at once nor on where a training was resumed.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
