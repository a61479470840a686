"""Which frame of a video is number i: from the time stamps of its packets, before decoding.

A frame's place in display order is its *ordinal*. Two ways of knowing it:

- by time, where packets carry presentation times that make sense: a frame's ordinal is the rank
  of its time, so that decoding can begin at any key frame;
- by counting, where they do not (AVI knows no presentation times, raw streams know none at all,
  and some MP4 files have the same time on every frame): decoding begins at the first frame.
"""

import dataclasses

import numpy as np

#: Decoders reorder over at most 16 frames (H.264's and H.265's largest picture buffer); times that
#: move a frame further than twice that come from a break in the clock.
FURTHEST_REORDER = 32

#: Share of the intervals that are about the median one where a rate counts as constant with gaps;
#: our choice.
MOSTLY_CONSTANT = 0.75

#: Frames per second where a file does not say; FFmpeg's own default.
UNKNOWN_RATE = 25.0


@dataclasses.dataclass(frozen=True)
class FrameIndex:
    """The frames of a video.

    Args:
        num_frames: How many frames there are, at that rate.
        fps: Frames per second; of a variable rate, the mean.
        times: Presentation times, ascending, in units of the stream's time base: int64, or a
            `range` where they are regular; `None` where frames have to be counted.
        key_frames: Ordinals of the frames at which decoding can begin, ascending.
        display: Ordinal of the frame that frame number i of the video shows, or `None` where
            that is i itself.
    """

    num_frames: int
    fps: float
    times: np.ndarray | range | None = None
    key_frames: np.ndarray | None = None
    display: np.ndarray | None = None

    @property
    def nbytes(self):
        """Bytes of its arrays."""
        arrays = (self.times, self.key_frames, self.display)
        return sum(getattr(array, "nbytes", 0) for array in arrays)

    def ordinal_of(self, time):
        """The ordinal of the frame displayed at exactly `time`, or `None`."""
        if isinstance(self.times, range):
            return self.times.index(time) if time in self.times else None
        place = int(np.searchsorted(self.times, time))
        return place if place < len(self.times) and self.times[place] == time else None

    def key_frame_before(self, ordinal):
        """Ordinal of the last key frame at or before `ordinal`; 0 where there is none."""
        if self.times is None:
            return 0
        place = np.searchsorted(self.key_frames, ordinal, side="right") - 1
        return int(self.key_frames[place]) if place >= 0 else 0


def by_counting(num_frames, rate):
    """An index of frames whose times are unknown: numbered as they leave the decoder."""
    return FrameIndex(num_frames, rate if 0.01 <= rate <= 1000 else UNKNOWN_RATE)


def by_time(times, keys, last_duration, time_base, rate):
    """An index from presentation times, or by counting where the times make no sense.

    A variable rate is sampled and held at its mean rate, like FFmpeg's `fps` filter: number i
    shows the last frame that began before the middle of its interval, (i + 1/2) / rate. At a
    constant rate, rounded times included, that is frame i. A constant rate from which a few frames
    are missing stays what it is, and the gaps show the frame before them.

    Args:
        times: Presentation time of every packet in the order of the file, in time base units.
        keys: Whether the packet is a key frame, for every packet.
        last_duration: Duration of the frame displayed last, in time base units, 0 if unknown.
        time_base: Seconds in a unit.
        rate: Frames per second by the file's header, for a video without usable times.

    Returns:
        A `FrameIndex`.
    """
    times, keys = np.asarray(times, np.int64), np.asarray(keys, bool)
    count = len(times)
    order = np.argsort(times, kind="stable")
    times, keys = times[order], keys[order]
    gaps = np.diff(times)
    if count > 1 and (gaps.min() <= 0 or np.abs(order - np.arange(count)).max() > FURTHEST_REORDER):
        return by_counting(count, rate)
    usual = float(np.median(gaps)) if count > 1 else 1 / rate / time_base
    if last_duration < usual / 2:  # unknown, or a placeholder: some encoders write one unit
        last_duration = usual
    span = float(times[-1] - times[0] + last_duration)
    frames_per_unit, display = count / span, None
    if np.abs((times - times[0]) * frames_per_unit - np.arange(count)).max() >= 0.5:
        near = gaps[np.abs(gaps - usual) < usual / 2]
        if len(near) >= MOSTLY_CONSTANT * len(gaps) and span <= 2 * count * near.mean():
            frames_per_unit = 1 / near.mean()
            count = round(span * frames_per_unit)
        middles = (np.arange(count) + 0.5) / frames_per_unit
        display = np.searchsorted(times - times[0], middles, side="left") - 1
    return FrameIndex(
        num_frames=count,
        fps=float(frames_per_unit / time_base),
        times=compact(times),
        key_frames=np.flatnonzero(keys),
        display=display,
    )


def compact(times):
    """Ascending times as a `range` where they are regular."""
    first, last = int(times[0]), int(times[-1])
    step = int(times[1]) - first if len(times) > 1 else 1
    regular = range(first, last + 1, step)
    return regular if np.array_equal(times, regular) else times
