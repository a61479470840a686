"""Augmentations: where clips are cut, and what becomes of their pixels."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.checks import wrong
from keras_stc.data.geometry import Geometry, evaluation_geometry, training_geometry

if TYPE_CHECKING:
    from keras_stc.video_config import VideoConfig


class Crops:
    """How a clip is cut and changed before it is a sample: at the centre, and not at all.

    The base of augmentations: what `crops=` of `clip_dataset` and `pair_dataset` takes is one of
    these. `geometry` decides where clips are cut before anything is decoded, `pixels` may change
    what was decoded. Both draw from the generator they are given, and from nothing else, so that
    the same seed gives the same clips.

    Example:

    ```python
    class Brightness(keras_stc.data.RandomCrops):
        def pixels(self, clip, rng):
            return np.clip(clip * rng.uniform(0.7, 1.3), 0, 255).astype("uint8")

    clips = keras_stc.data.clip_dataset(videos, training=True, crops=Brightness(flip=False))
    ```
    """

    def geometry(self, video_config: VideoConfig, rng: np.random.Generator) -> Geometry:
        """The `Geometry` of one clip.

        Args:
            video_config: The `VideoConfig` of the clips; the geometry's crop must be its crop.
            rng: A `numpy.random.Generator`.
        """
        return evaluation_geometry(video_config.crop, video_config.resize)

    def pixels(self, clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A decoded clip, changed or not: uint8 `(T, H, W, 3)`, RGB 0-255, as it came.

        Of optical flow it is `(T, H, W, 2)`, 127.5 standing still.

        Of a pair, it is called with the teacher's frames and with the student's clip, and with
        generators of one state.

        Args:
            clip: The clip; not to be changed in its place.
            rng: A `numpy.random.Generator`.
        """
        return clip


@dataclasses.dataclass(frozen=True)
class RandomCrops(Crops):
    """Random crops for training (paper, section 4.2); see `training_geometry`.

    Args:
        flip: Whether half of the clips are mirrored. Switch it off where left and right are the
            classes.
        multiscale: Hara et al.'s multi-scale corner crop.
        when_smaller: Whether frames that are larger than the short side before the crop keep
            their size.
        positions: Whether crops lie at five positions; otherwise at the centre.
    """

    flip: bool = True
    multiscale: bool = False
    when_smaller: bool = False
    positions: bool = True

    def geometry(self, video_config: VideoConfig, rng: np.random.Generator) -> Geometry:
        """See `Crops.geometry`."""
        return training_geometry(
            video_config.crop, video_config.resize, rng, **dataclasses.asdict(self)
        )


def chosen_crops(crops, training, video_config, **options):
    """The `Crops` that arguments of a dataset mean.

    Args:
        crops: A `Crops`, or `None` for random ones in training and the centre otherwise.
        training: Whether clips are random.
        video_config: A `VideoConfig`, whose crop they must have.
        **options: Arguments of `RandomCrops` that came by themselves.
    """
    if crops is None:
        return RandomCrops(**options) if training else Crops()
    if not isinstance(crops, Crops):
        raise wrong("a `keras_stc.data.Crops`, such as `RandomCrops(flip=False)`", crops=crops)
    plain = RandomCrops()
    for name, value in options.items():
        if value != getattr(plain, name):
            raise ValueError(
                f"`crops` must be left out where `{name}` is given, since it says so itself. "
                f"Received: crops={crops!r}, {name}={value!r}"
            )
    crop = getattr(crops.geometry(video_config, np.random.default_rng(0)), "crop", None)
    if crop != video_config.crop:
        raise ValueError(
            f"`crops` must cut crops of {video_config.crop}, as the clips are. Received: "
            f"crops={crops!r}, which cuts {crop}"
        )
    return crops


def changed_pixels(crops, clip, rng):
    """What `crops.pixels` makes of a clip, once it is sure that it is a clip of that kind."""
    made = crops.pixels(clip, rng)
    shape, dtype = getattr(made, "shape", None), getattr(made, "dtype", type(made).__name__)
    if made is clip or (shape == clip.shape and dtype == clip.dtype):
        return made
    raise ValueError(
        f"`crops.pixels` must return uint8 pixels of shape {clip.shape}, as it gets. "
        f"Received: {dtype} of shape {shape}"
    )
