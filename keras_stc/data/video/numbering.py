"""Which number a decoded frame has: by its time, or counted, or known again from the last count.

Presentation times of an AVI are guesses. Its decode times are not: they number the packets, and a
frame carries that of the packet which made the decoder put it out. So a frame that was counted once
is known again, and others need not be decoded for its sake.
"""

import bisect
import math

import numpy as np

from keras_stc.data.video.frame_index import compact


class TimesLie(Exception):
    """Decoded frames do not carry the times that were announced."""


class ByTime:
    """Frames numbered by their presentation times.

    Args:
        index: The video's `FrameIndex`.
        first: Ordinal of the key frame where decoding begins; frames displayed before it lack
            what they refer to and are left out.
    """

    def __init__(self, index, first=0):
        self._index = index
        self._first = first

    def matters(self, wanted):
        """What `VideoFile.decode` takes, so that the frames of some ordinals are decoded."""
        times = {int(self._index.times[ordinal]) for ordinal in wanted}
        return lambda packet: packet.pts in times

    def number(self, frames):
        """Pairs frames with their ordinals.

        Args:
            frames: Frames in display order.

        Yields:
            `(ordinal, frame)`, ascending.

        Raises:
            TimesLie: If a frame has a time that no packet had, or not a later one than the last.
        """
        last = -1
        for frame in frames:
            if frame.pts is None:
                raise TimesLie
            if frame.pts < self._index.times[0]:
                continue
            ordinal = self._index.ordinal_of(frame.pts)
            if ordinal is None or ordinal <= last:
                raise TimesLie
            last = ordinal
            if ordinal >= self._first:
                yield ordinal, frame


class ByExit:
    """Frames counted from the first one on, and known again by when they left the decoder.

    Args:
        exits: Decode times at which the first frames of the video left the decoder, ascending; as
            many as have been counted. Counting on adds to them.
    """

    def __init__(self, exits=()):
        self._before = len(exits)
        self._exits = [int(time) for time in exits]

    @property
    def learned(self):
        """The exits, in little room, if there are more than at the start; else `None`."""
        return compact(np.array(self._exits)) if len(self._exits) > self._before else None

    def matters(self, wanted):
        """See `ByTime.matters`. Frames that were not counted yet all matter."""
        # A packet of XviD's may hold the frame that leaves with the next one; it is lost where
        # the decoder skips the packet.
        wanted = {o for ordinal in wanted for o in (ordinal - 1, ordinal)}
        times = {self._exits[o] for o in wanted if 0 <= o < len(self._exits)}
        last = self._exits[-1] if self._exits else -math.inf
        return lambda packet: packet.dts is None or packet.dts >= last or packet.dts in times

    def number(self, frames):
        """See `ByTime.number`."""
        exits, last, at_the_end = self._exits, -1, 0
        for frame in frames:
            time = frame.dts
            if time is None:  # what the decoder still held when the packets were at an end
                ordinal = len(exits) + at_the_end
                at_the_end += 1
            elif at_the_end:
                raise TimesLie
            elif not exits or time > exits[-1]:
                ordinal = len(exits)
                exits.append(time)
            else:
                ordinal = bisect.bisect_left(exits, time, lo=last + 1)
                if ordinal == len(exits) or exits[ordinal] != time:
                    raise TimesLie
            last = ordinal
            yield ordinal, frame


class Counting:
    """Frames counted from the first one on, whatever their times."""

    number = staticmethod(enumerate)
