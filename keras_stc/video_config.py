"""How a model wants to be fed: the contract between `models` and `data`."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

from keras_stc.checks import one_of, positive, positive_integer, require, wrong

#: Mean of Kinetics' RGB values, 0-255, as Hara et al. (CVPR 2018) subtract it; no division.
KINETICS_MEAN = (114.7748, 107.7354, 99.4750)

#: Ways to compute optical flow: what `VideoConfig(flow=...)` takes, and what they are called.
FLOWS = {"tvl1": "TV-L1", "farneback": "Farnebäck's method"}

#: The paper resizes the short side to 122 pixels around a crop of 112.
SHORT_SIDE_PER_CROP = 122 / 112


def resized_for(
    crop: tuple[int, int], resize: int | tuple[int, int], old: tuple[int, int]
) -> int | tuple[int, int]:
    """What frames are resized to for a crop that shows what another one shows of them.

    Args:
        crop: `(height, width)` in pixels.
        resize: The short side, or `(height, width)`, to which they are resized for the other one.
        old: `(height, width)` of that.
    """
    if isinstance(resize, tuple):
        sides = zip(resize, crop, old, strict=True)
        height, width = (round(new * side / was) for side, new, was in sides)
        return height, width
    return round(min(crop) * resize / min(old))


@dataclasses.dataclass(frozen=True)
class VideoConfig:
    """What a clip has to look like before a model sees it.

    Pixels are RGB, 0-255, in any dtype, or optical flow on that scale: models subtract `mean` and
    divide by `std` themselves, in their first layer, so that the same clips fit every model.

    Example:

    ```python
    model = keras_stc.STCResNet18(input_shape=(16, 112, 112, 3))
    model.video_config.frames                     # 16
    model.video_config.replace(class_names=("walk", "run"))
    ```

    Args:
        frames: Frames in a clip.
        stride: Distance between two frames of a clip, in frames of the video (paper, table 6: 2).
        size: Side of the square crop in pixels, or `(height, width)`.
        resize: Short side in pixels to which a frame is resized before the crop, or `(height,
            width)` to which it is stretched, whatever its proportions, as torchvision does.
            Defaults to 122/112 of the crop's shorter side (paper, section 4.2).
        mean: Per-channel mean that the model subtracts, on the scale 0-255.
        std: Per-channel value that the model divides by after that, on the scale 0-255.
        channel_order: Order of the channels in a clip; always `"RGB"` where they are three.
        class_names: Names of the classes in the order of the model's outputs, or `None`.
        fps: Frames of a clip per second of video, whatever the video's own rate; `stride` does
            not count then. `None` for `stride`.
        channels: Channels of a clip: 3, 2 where `flow` is given, or another number for grey clips
            (1) and the like, which the caller makes: videos are read as RGB.
        segments: Whether a clip is one frame from each of `frames` equal parts of the whole video
            (Wang et al., "Temporal Segment Networks", ECCV 2016): anywhere in its part in training,
            its middle otherwise. `stride` and `fps` do not count then.
        flow: `"tvl1"` or `"farneback"`: clips are the optical flow of a video by that method,
            horizontal and vertical, from -20 to 20 pixels as 0 to 255 (Carreira & Zisserman, CVPR
            2017, whose networks take TV-L1). `None` for frames.

    Raises:
        ValueError: If a value is outside its range.
    """

    frames: int = 16
    stride: int = 2
    size: int | tuple[int, int] = 112
    resize: int | tuple[int, int] | None = None
    mean: tuple[float, ...] = KINETICS_MEAN
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channel_order: str = "RGB"
    class_names: tuple[str, ...] | None = None
    fps: float | None = None
    channels: int = 3
    segments: bool = False
    flow: str | None = None

    def __post_init__(self):
        size = self.size
        if isinstance(size, (tuple, list)):
            size = tuple(size)
            if len(size) == 2 and size[0] == size[1]:
                size = size[0]
        sides = size if isinstance(size, tuple) and len(size) == 2 else (size,)
        if not all(isinstance(side, numbers.Integral) and side >= 1 for side in sides):
            raise wrong("a positive integer or two, (height, width), in pixels", size=self.size)
        size = int(size) if len(sides) == 1 else tuple(map(int, size))
        object.__setattr__(self, "size", size)
        if self.flow is not None:
            one_of(FLOWS, flow=self.flow)
            if self.channels == 3:  # the default
                object.__setattr__(self, "channels", 2)
            require(lambda count: count == 2, "2 with `flow`", channels=self.channels)
        for name in ("frames", "stride", "channels"):
            positive_integer(**{name: getattr(self, name)})
            object.__setattr__(self, name, int(getattr(self, name)))
        height, width = self.crop
        if self.resize is None:
            short = round(min(height, width) * SHORT_SIDE_PER_CROP)
            object.__setattr__(self, "resize", short)
        resize: Any = self.resize
        is_pair = isinstance(resize, (tuple, list))
        sides = tuple(resize) if is_pair else (resize,)
        least = self.crop if is_pair else (min(height, width),)
        if len(sides) != len(least) or not all(
            isinstance(side, numbers.Integral) and side >= end
            for side, end in zip(sides, least, strict=True)
        ):
            raise ValueError(
                "`resize`, the short side before the crop, must be an integer of at least the "
                "crop's shorter side, or two, (height, width), of at least the crop's. "
                f"Received: resize={self.resize!r}, size={self.size!r}"
            )
        resize = tuple(map(int, sides)) if is_pair else int(resize)
        object.__setattr__(self, "resize", resize)
        for name in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, name))
            if len(values) not in (3, self.channels) or (name == "std" and min(values) <= 0):
                which = "R, G, B" if self.channels == 3 else f"{self.channels} channels"
                count = "three numbers" if self.channels == 3 else f"{self.channels} numbers"
                raise ValueError(
                    f"`{name}` must hold {count}, one for each of {which}"
                    f"{', all positive' if name == 'std' else ''}. Received: {name}={values!r}"
                )
            object.__setattr__(self, name, values)
        if self.fps is not None:
            positive("positive, or None", fps=self.fps)
            object.__setattr__(self, "fps", float(self.fps))
        require(lambda value: isinstance(value, bool), "True or False", segments=self.segments)
        if self.channel_order != "RGB":
            raise wrong('"RGB"', channel_order=self.channel_order)
        if self.class_names is not None:
            object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))

    def step(self, video_fps: float) -> float | None:
        """How far apart two frames of a clip are in a video.

        Args:
            video_fps: Frames per second of the video.

        Returns:
            A number of the video's frames, not always whole; `None` of segments.
        """
        if self.segments:
            return None
        return self.stride if self.fps is None else video_fps / self.fps

    @property
    def crop(self) -> tuple[int, int]:
        """`(height, width)` of the crop in pixels."""
        return self.size if isinstance(self.size, tuple) else (self.size, self.size)

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """`(T, H, W, C)` of one clip."""
        return (self.frames, *self.crop, self.channels)

    def resize_for(self, crop: tuple[int, int]) -> int | tuple[int, int]:
        """`resize` for a crop of another size, which keeps its share of the frame.

        Args:
            crop: `(height, width)` in pixels.
        """
        resize: Any = self.resize  # which is a number or two, once it was checked
        return resized_for(crop, resize, self.crop)

    def check_rgb(self, or_flow: bool = False) -> None:
        """Raises the `ValueError` for clips that videos cannot give, which are read as RGB.

        Args:
            or_flow: Whether optical flow is computed where it is asked for.
        """
        if self.flow is not None and not or_flow:
            raise ValueError(
                "`video_config` must describe RGB clips here: optical flow is for training, "
                f"evaluation and prediction of files. Received: flow={self.flow!r}"
            )
        if self.channels != 3 and self.flow is None:
            raise ValueError(
                "`video_config` must describe RGB clips, since videos are read as RGB, or name the "
                "`flow` that two channels are: make clips of other channels yourself, and give "
                "them to `fit`, `evaluate` and `predict`. "
                f"Received: channels={self.channels}"
            )

    def check_moment(self) -> None:
        """Raises the `ValueError` for clips that show a whole video instead of a moment of it."""
        if self.segments:
            raise ValueError(
                "`video_config` must describe clips of a moment here, and not of segments of a "
                "whole video: give the model another one first, such as "
                "model.video_config.replace(segments=False, fps=3). Received: segments=True"
            )

    def replace(self, **changes: Any) -> VideoConfig:
        """A copy with some fields changed.

        Args:
            **changes: Fields by name. A new `size` brings its own `resize` where none is given, and
                a new `stride` takes the place of `fps`.

        Returns:
            A `VideoConfig`.

        Raises:
            ValueError: If a value is outside its range.
        """
        if "size" in changes and "resize" not in changes:
            changes["resize"] = None
        if "stride" in changes and "fps" not in changes:
            changes["fps"] = None
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `VideoConfig.from_dict` reads them back."""
        config = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> VideoConfig:
        """What `to_dict` gave, or a file of it held, as a `VideoConfig`.

        Args:
            config: A dictionary of fields.

        Returns:
            A `VideoConfig`.

        Raises:
            ValueError: If there is a field that this version does not know, or a value is outside
                its range.
        """
        if unknown := sorted(set(config) - {field.name for field in dataclasses.fields(cls)}):
            raise ValueError(
                f"VideoConfig has no {', '.join(unknown)}: what says so was written by another "
                "version of keras-stc."
            )
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in config.items()
        }
        return cls(**fields)
