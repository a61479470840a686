"""A video file to frames: exact frame numbers, upright, RGB, resized by the decoder.

FFmpeg decodes, through PyAV, which is imported when the first file is opened.
"""

import dataclasses
import enum
import os

import numpy as np

from keras_stc.data.errors import VideoError
from keras_stc.data.video import cache, frame_index, numbering, video_file
from keras_stc.data.video.orientation import Orientation
from keras_stc.data.video.reader import FrameReader, VideoInfo

#: A jump to a key frame empties the decoder; below this many frames, decoding on is as fast.
SHORTEST_JUMP = 16


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Reads what a video is: its packets, and its first frame.

    Example:

    ```python
    info = keras_stc.data.probe("x.mp4")
    info.num_frames, info.fps, info.height, info.width
    ```

    Args:
        path: A video file, or an `fsspec` URL.

    Returns:
        A `VideoInfo`.

    Raises:
        VideoError: If the file is not a video of which at least one frame decodes.
    """
    with VideoReader(path) as reader:
        return reader.info


class VideoReader(FrameReader):
    """Reads frames of a video by number; a context manager.

    Frame 0 is the first one displayed. Frames of a variable rate are numbered at the mean rate,
    each showing what is displayed at its time. Frames are upright (rotation and mirroring in the
    metadata are applied), RGB in 0-255 by FFmpeg's rules for the file's colour space and range,
    without alpha; sample aspect ratios are ignored, as FFmpeg's raw output ignores them. Resizing
    is swscale's bilinear filter, which widens when it shrinks a picture, so that nothing aliases.

    A file whose end is missing or damaged has the frames that decode: later numbers show the last
    of them.

    Example:

    ```python
    with VideoReader("x.mp4") as reader:
        clip = reader.read(range(0, 32, 2), Geometry(crop=(112, 112), short_side=122))
        clip.shape                                    # (16, 112, 112, 3)
    ```

    Args:
        path: A video file, or an `fsspec` URL.
        threads: Threads to decode with, or `None` for FFmpeg's choice. Use 1 where many readers
            work at a time.

    Raises:
        VideoError: If the file is not a video of which at least one frame decodes.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int | None = None) -> None:
        self._file = video_file.VideoFile(path, threads)
        self._key = cache.file_key(self._file.path)
        self.known = cache.KNOWN_FILES.get(self._key)
        if self.known is None:
            try:
                self._examine()
            except BaseException:
                self._file.close()
                raise
        self.info = self.known.info

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _ordinals(self, indices):
        display = self.known.index.display
        return indices if display is None else display[indices]

    def _examine(self):
        first, index = self._file.scan()
        orientation = Orientation.of(first)
        height, width = orientation.upright_size(first.height, first.width)
        info = VideoInfo(
            path=self._file.path,
            num_frames=index.num_frames,
            fps=index.fps,
            duration=index.num_frames / index.fps,
            width=width,
            height=height,
            rotation=orientation.degrees,
            codec=self._file.codec,
        )
        trust = Trust.RECOGNISING if index.times is None else Trust.SKIPPING
        self._remember(Known(info, index, orientation, trust))

    def _remember(self, known):
        self.known = known
        cache.KNOWN_FILES.put(self._key, known, known.nbytes)

    def _cut(self, frame, geometry):
        orientation = self.known.orientation
        size = geometry.frame_size(self.info.height, self.info.width)
        parts = self._file.to_rgb(frame, *orientation.upright_size(*size))
        return [geometry.cut(orientation.turn(part)) for part in parts]

    def _frames(self, wanted):
        run = None
        try:
            for place, ordinal in enumerate(map(int, wanted)):
                while True:
                    run = self._run_to(ordinal, run, wanted[place:])
                    frame, trust = self._frame_at(ordinal, run)
                    if trust is None:
                        break
                    self._remember(dataclasses.replace(self.known, trust=trust))
                    run = None
                frame = frame or run.ahead
                if frame is None:
                    raise VideoError(
                        f"{self.info.path} no longer decodes; it changed while it was read."
                    )
                yield ordinal, frame
        finally:
            self._learn(run)

    def _run_to(self, ordinal, run, wanted):
        """The run to read a frame from: the one there is, or a new one."""
        if run is not None and ordinal <= run.position + SHORTEST_JUMP:
            return run
        jumps = self.known.trust >= Trust.JUMPING
        key = self.known.index.key_frame_before(ordinal) if jumps else 0
        if run is not None and key <= run.position + SHORTEST_JUMP:
            return run
        return self._run(key, wanted)

    def _frame_at(self, ordinal, run):
        """The frame, and `None`; or what trust is left where it cannot be the right one."""
        trust = self.known.trust
        try:
            frame = run.frame_at(ordinal)
        except numbering.TimesLie:
            return None, WITHOUT_SKIPPING.get(trust, Trust.COUNTING)
        if frame is None and run.key:  # it was none, or the jump went too far
            return None, Trust.TIMES
        if run.position != ordinal and trust in WITHOUT_SKIPPING:  # damage, perhaps by that
            return None, WITHOUT_SKIPPING[trust]
        return frame, None

    def _run(self, key, wanted):
        trust = self.known.trust
        if key and not self._file.jump(int(self.known.index.times[key])):
            key = 0
        if not key:
            self._file.rewind()
        if trust == Trust.COUNTING:
            numbers = numbering.Counting()
        elif trust == Trust.RECOGNISING:
            numbers = numbering.ByExit(self.known.exits)
        else:
            numbers = numbering.ByTime(self.known.index, key)
        matters = numbers.matters(wanted) if trust in WITHOUT_SKIPPING else None
        return _Run(numbers, self._file.decode(matters), key)

    def _learn(self, run):
        if run is not None and self.known.trust == Trust.RECOGNISING:
            if (exits := run.numbers.learned) is not None:
                self._remember(dataclasses.replace(self.known, exits=exits))


class Trust(enum.IntEnum):
    """How far the times in a file have proved right; what is found out lowers it."""

    COUNTING = 0  #: Frames are numbered as they leave the decoder.
    RECOGNISING = 1  #: So they are, and of those counted before, what nobody wants is not decoded.
    TIMES = 2  #: Frames are numbered by their times, from the file's first one on.
    JUMPING = 3  #: Decoding begins at the key frame before.
    SKIPPING = 4  #: Frames that nobody wants and no frame refers to are not decoded.


#: Where frames are skipped: what is left when that goes wrong.
WITHOUT_SKIPPING = {Trust.SKIPPING: Trust.JUMPING, Trust.RECOGNISING: Trust.COUNTING}


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of a video once it was read; of what is no file of packets, `info` alone."""

    info: VideoInfo
    index: frame_index.FrameIndex | None = None
    orientation: Orientation | None = None
    trust: Trust | None = None
    exits: np.ndarray | range = ()  #: See `numbering.ByExit`.

    @property
    def nbytes(self):
        """Bytes of its arrays."""
        return self.index.nbytes + getattr(self.exits, "nbytes", 0)


class _Run:
    """Frames decoded one after the other from a key frame on, each shown until the next."""

    def __init__(self, numbers, frames, key):
        self.numbers = numbers
        self.key = key
        self.position = key
        self.ahead = None
        self._frames = numbers.number(frames)
        self._ahead_ordinal = None
        self._shown = None

    def frame_at(self, ordinal):
        """The last frame at or before `ordinal`, or `None` if the first one comes later."""
        while self._shown is None or self.position < ordinal:
            if self.ahead is None:
                self._ahead_ordinal, self.ahead = next(self._frames, (None, None))
            if self.ahead is None or self._ahead_ordinal > ordinal:
                break
            self.position, self._shown = self._ahead_ordinal, self.ahead
            self.ahead = None
        return self._shown
