"""What every decoder offers: frames of a video by number."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_stc.data.geometry import Geometry

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a video is, measured rather than read from its header.

    Args:
        path: The file.
        num_frames: Frames in the file; of a variable rate, at its mean rate.
        fps: Frames per second; of a variable rate, the mean.
        duration: Seconds.
        width: Pixels, as displayed: after rotation.
        height: Pixels, as displayed.
        rotation: Degrees by which stored frames are turned clockwise to stand upright: 0, 90,
            180 or 270.
        codec: FFmpeg's name of the codec, such as `"h264"`.
    """

    path: str
    num_frames: int
    fps: float
    duration: float
    width: int
    height: int
    rotation: int
    codec: str


class FrameReader:
    """Reads frames of a video by number; a context manager.

    Attributes:
        info: A `VideoInfo`.
    """

    info: VideoInfo

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """Closes what is open."""

    def read(
        self, indices: Iterable[int] | np.ndarray, geometry: Geometry | None = None
    ) -> np.ndarray:
        """Frames by number.

        Args:
            indices: T frame numbers in `[0, num_frames)`, in any order, repeated or not.
            geometry: A `Geometry` by which frames are resized, cropped and mirrored, or `None`
                for whole frames.

        Returns:
            A uint8 array `(T, H, W, 3)`, always of as many frames as were asked for.
        """
        return next(self.clips([indices], geometry))

    def clips(
        self, clips: Iterable[Iterable[int] | np.ndarray], geometry: Geometry | None = None
    ) -> Iterator[np.ndarray]:
        """Clips of a video, one after the other, decoding every frame once.

        As long as clips begin in ascending order, memory holds one clip and those that overlap
        with it, whatever the length of the video.

        Args:
            clips: A list of arrays of frame numbers.
            geometry: See `read`.

        Yields:
            uint8 arrays `(T, H, W, 3)`, in the order of `clips`.
        """
        for (pixels,) in self.views(clips, [geometry or Geometry()]):
            yield pixels

    def views(
        self, clips: Iterable[Iterable[int] | np.ndarray], geometries: Sequence[Geometry]
    ) -> Iterator[list[np.ndarray]]:
        """Clips of a video, each cut in several ways, decoding every frame once.

        Args:
            clips: See `clips`.
            geometries: A list of `Geometry`s.

        Yields:
            For each clip a list, for each geometry a uint8 array `(T, H, W, 3)`.
        """
        clips = [self._ordinals(self._checked(clip)) for clip in clips]
        if not clips:
            return
        places = collections.defaultdict(list)  # of a frame: clip, and place in it
        for k, clip in enumerate(clips):
            for place, ordinal in enumerate(clip.tolist()):
                places[ordinal].append((k, place))
        begun, newest = {}, -1
        with contextlib.closing(self._frames(np.array(sorted(places)))) as frames:
            for k, clip in enumerate(clips):
                last = clip.max()
                while newest < last:
                    newest, frame = next(frames)
                    cuts = [self._cut(frame, geometry) for geometry in geometries]
                    for of, place in places.pop(newest):
                        if of not in begun:
                            count, sizes = len(clips[of]), [p[0].shape[:2] for p in cuts]
                            begun[of] = [np.empty((count, *s, 3), np.uint8) for s in sizes]
                        for pixels, parts in zip(begun[of], cuts, strict=True):
                            _paste(parts, pixels[place])
                yield begun.pop(k)

    def _checked(self, indices):
        indices = np.asarray(list(indices) if not isinstance(indices, np.ndarray) else indices)
        count = self.info.num_frames
        if indices.ndim != 1 or not len(indices) or indices.dtype.kind not in "iu":
            raise ValueError(f"`indices` must be a list of frame numbers. Received: {indices!r}")
        if indices.min() < 0 or indices.max() >= count:
            raise ValueError(
                f"`indices` must be frame numbers of {self.info.path}, which has {count} frames, "
                f"from 0 to {count - 1}. Received: {indices.min()} to {indices.max()}"
            )
        return indices

    def _ordinals(self, indices):
        """Frame numbers to what `_frames` counts by."""
        return indices

    def _frames(self, wanted):
        """Yields `(ordinal, frame)` for every ordinal of `wanted`, which ascends.

        A frame is whatever `_cut` takes, valid until the next one is asked for.
        """
        raise NotImplementedError

    def _cut(self, frame, geometry):
        """Pixels of a frame: uint8 arrays `(H, W, channels)`, one of R, G, B or one of each."""
        raise NotImplementedError


def _paste(parts, out):
    """Writes `(H, W, channels)` arrays one after the other into the channels of `out`."""
    if len(parts) == 1 and parts[0].strides[1] != 3:
        # Mirrored or turned: NumPy copies single channels four times as fast.
        parts = [parts[0][..., channel : channel + 1] for channel in range(3)]
    if len(parts) == 1:
        out[...] = parts[0]
        return
    for channel, part in enumerate(parts):
        out[..., channel] = part[..., 0]
