"""All clips of one video, batch by batch, with their times: what prediction and evaluation read."""

import os
from typing import NamedTuple

import numpy as np

from keras_stc.data.clips import sampling
from keras_stc.data.geometry import evaluation_views
from keras_stc.data.sets.video import Video
from keras_stc.data.video.isolated import open_isolated
from keras_stc.video_config import VideoConfig


class ClipBatch(NamedTuple):
    """Some clips of a video.

    Args:
        clips: uint8 `(B, T, H, W, 3)`, RGB 0-255.
        first_frames: int64 `(B,)`: frame number at which each clip begins.
        start: float64 `(B,)`: when it begins, in seconds.
        end: float64 `(B,)`: when its last frame ends, in seconds; a looped clip ends with its
            video.
    """

    clips: np.ndarray
    first_frames: np.ndarray
    start: np.ndarray
    end: np.ndarray


def video_clips(
    video,
    video_config=None,
    *,
    batch_size=8,
    max_clips=None,
    uniform=None,
    crops=1,
    threads=None,
):
    """The evaluation clips of a video: non-overlapping, centre crop (paper, section 4.2).

    The video is decoded once, and memory holds one batch of clips however long it is.

    Example:

    ```python
    for batch in video_clips("x.mp4", model.video_config, max_clips=20):
        probabilities = model.predict_on_batch(batch.clips)
    ```

    Args:
        video: What `open_video` opens, or a `Video`, of which the piece from `start` to `end`
            is taken.
        video_config: A model's `VideoConfig`, or `None` for the default one.
        batch_size: Clips in a batch.
        max_clips: Most clips to read, spread evenly over the video, or `None` for all.
        uniform: So many clips spread evenly over the video, overlapping or not, instead of the
            non-overlapping ones.
        crops: 1 for the centre crop; 3 for every clip three times, with crops at the start, the
            centre and the end of the frame's longer side, whose shorter side is resized to that of
            the crop.
        threads: Threads to decode with, or `None` for FFmpeg's choice.

    Yields:
        `ClipBatch`es, in the order of time; the last may be smaller.

    Raises:
        VideoError: If the video cannot be used.
    """
    config = video_config or VideoConfig()
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size!r}")
    video = video if isinstance(video, Video) else Video(os.fspath(video))
    frame, views = evaluation_views(config.crop, config.resize, crops)
    with open_isolated(video.path, threads) as reader:
        first, count = video.frame_range(reader.info)
        step = config.step(reader.info.fps)
        if uniform is None:
            clips = sampling.evaluation_clips(count, config.frames, step)
            clips = sampling.spread(clips, max_clips) + first
        else:
            clips = sampling.uniform_clips(count, config.frames, step, uniform) + first
        last = clips[:, 0] + sampling.touched(config.frames, step)
        last = np.minimum(last, first + count)
        pixels = reader.clips(list(clips), frame)
        for k in range(0, len(clips), batch_size):
            part = slice(k, k + batch_size)
            yield ClipBatch(
                np.stack([view.cut(clip) for clip in _take(pixels, clips[part]) for view in views]),
                np.repeat(clips[part, 0], crops),
                np.repeat(clips[part, 0] / reader.info.fps, crops),
                np.repeat(last[part] / reader.info.fps, crops),
            )


def _take(iterator, like):
    return (next(iterator) for _ in like)
