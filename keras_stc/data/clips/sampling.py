"""Clip arithmetic: which frames of a video make a clip. Pure functions of numbers, no video.

A clip of `frames` frames at `stride` *touches* `(frames - 1) * stride + 1` frames of the video,
from its first to its last, and *spans* `frames * stride`: clips that follow one another without
overlap start one span apart. Videos shorter than a clip loop, as in Hara et al. (CVPR 2018).

A stride need not be whole, where clips have a frame rate of their own: a clip then shows, at every
moment, the frame that the video shows.

A stride of `None` makes clips of *segments*: one frame from each of `frames` equal parts of the
whole video (Wang et al., "Temporal Segment Networks", ECCV 2016), whatever its length.
"""

import numpy as np

from keras_stc.checks import at_least, positive

#: Keeps a stride such as 16.65 / 3.33 from falling a frame short by rounding.
EPSILON = 1e-6


def touched(frames, stride):
    """Frames of the video from a clip's first to its last, both included."""
    return int((frames - 1) * stride + EPSILON) + 1


def clip_at(start, num_frames, frames, stride):
    """Indices of the clip that starts at frame `start`; past the end the video loops.

    Returns:
        An int64 array of `frames` indices in `[0, num_frames)`.
    """
    steps = np.floor(stride * np.arange(frames) + EPSILON).astype(np.int64)
    return (start + steps) % num_frames


def training_clip(num_frames, frames, stride, rng):
    """A clip at a random position, uniform over every start at which it fits.

    Args:
        num_frames: Frames in the video.
        frames: Frames in the clip.
        stride: Distance between two frames of the clip, in frames of the video.
        rng: A `numpy.random.Generator`.

    Returns:
        An int64 array of `frames` indices. A video shorter than the clip starts at its first frame
        and loops. Of segments, each frame is uniform over its part.
    """
    _check(num_frames, frames, stride)
    if stride is None:
        begins = np.arange(frames + 1) * num_frames // frames
        return rng.integers(begins[:-1], np.maximum(begins[1:], begins[:-1] + 1))
    start = rng.integers(max(1, num_frames - touched(frames, stride) + 1))
    return clip_at(start, num_frames, frames, stride)


def evaluation_clips(num_frames, frames, stride):
    """The non-overlapping clips that cover a video (paper, section 4.2).

    Clips start at multiples of the span, `frames * stride`. What is left at the end is our choice
    where the paper is silent: a rest shorter than half a span is left out, a longer one gets a
    clip of its own, moved back so that its last frame is the video's last (it overlaps the clip
    before it instead of looping). A video shorter than one span is a single clip, and so is one of
    segments.

    Example:

    ```python
    evaluation_clips(100, frames=16, stride=2)[:, 0]    # starts 0, 32, 64; 4 frames left out
    evaluation_clips(116, frames=16, stride=2)[:, 0]    # starts 0, 32, 64, 85
    ```

    Args:
        num_frames: Frames in the video.
        frames: Frames in a clip.
        stride: Distance between two frames of a clip, in frames of the video.

    Returns:
        An int64 array `(clips, frames)`, at least one clip, starts ascending.
    """
    _check(num_frames, frames, stride)
    if stride is None:
        return uniform_clips(num_frames, frames, stride, 1)
    span = frames * stride
    starts = [int(span * k + EPSILON) for k in range(max(1, int(num_frames / span + EPSILON)))]
    left = num_frames - span * len(starts)
    if left > 0 and 2 * left >= span:
        last = num_frames - touched(frames, stride)
        starts.append(min(int(span * len(starts) + EPSILON), last))
    return np.stack([clip_at(start, num_frames, frames, stride) for start in starts])


def uniform_clips(num_frames, frames, stride, count):
    """`count` clips whose starts are spread evenly from the first that fits to the last.

    Returns:
        An int64 array `(count, frames)`, starts ascending; one clip is the centre clip, with an odd
        rest the earlier of the two middles. Clips overlap, or repeat, where the video is too short
        for `count` different ones, and loop where it is shorter than one. Of segments, one clip has
        the middle of each part, and several the middles of `count` pieces of it.
    """
    _check(num_frames, frames, stride)
    at_least(1, count=count)
    if stride is None:
        middles = (2 * np.arange(frames * count) + 1) * num_frames // (2 * frames * count)
        return middles.reshape(frames, count).T
    last = max(0, num_frames - touched(frames, stride))
    starts = [last // 2] if count == 1 else [k * last // (count - 1) for k in range(count)]
    return np.stack([clip_at(start, num_frames, frames, stride) for start in starts])


def ends(clips, num_frames, frames, stride):
    """Where clips of a video end.

    Args:
        clips: int64 `(clips, frames)`, as the functions above return.
        num_frames: Frames in the video.
        frames: Frames in a clip.
        stride: Distance between two frames of a clip, in frames of the video.

    Returns:
        An int64 array of frame numbers, each behind the last frame that the clip touches; a looped
        clip, and one of segments, ends with its video.
    """
    if stride is None:
        return np.full(len(clips), num_frames)
    return np.minimum(clips[:, 0] + touched(frames, stride), num_frames)


def spread(clips, count):
    """At most `count` of `clips`, one from the middle of each of `count` equal parts.

    Args:
        clips: An array whose first axis is clips.
        count: How many to keep, or `None` for all.
    """
    if count is None or len(clips) <= count:
        return clips
    at_least(1, max_clips=count)
    return clips[(2 * np.arange(count) + 1) * len(clips) // (2 * count)]


def _check(num_frames, frames, stride):
    at_least(1, num_frames=num_frames, frames=frames)
    if stride is not None:
        positive(stride=stride)
