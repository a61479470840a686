"""All clips of videos, batch by batch, with their times: what prediction and evaluation read."""

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from keras_stc.checks import at_least
from keras_stc.data.clips import sampling
from keras_stc.data.clips.background import Background, one_after_the_other
from keras_stc.data.cores import available_cores
from keras_stc.data.errors import VideoError
from keras_stc.data.geometry import evaluation_views
from keras_stc.data.sets.video import Video
from keras_stc.data.video.flow import with_flow
from keras_stc.data.video.isolated import open_isolated
from keras_stc.video_config import VideoConfig


class ClipBatch(NamedTuple):
    """Some clips of a video.

    Args:
        clips: uint8 `(B, T, H, W, 3)`, RGB 0-255; of optical flow `(B, T, H, W, 2)`.
        first_frames: int64 `(B,)`: frame number at which each clip begins; of segments, the
            video's first.
        start: float64 `(B,)`: when it begins, in seconds.
        end: float64 `(B,)`: when its last frame ends, in seconds; a looped clip, and one of
            segments, ends with its video.
    """

    clips: np.ndarray
    first_frames: np.ndarray
    start: np.ndarray
    end: np.ndarray


def video_clips(
    video: str | os.PathLike[str] | Video,
    video_config: VideoConfig | None = None,
    *,
    batch_size: int = 8,
    max_clips: int | None = None,
    uniform: int | None = None,
    crops: int = 1,
    threads: int | None = None,
) -> Iterator[ClipBatch]:
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
    config.check_rgb(or_flow=True)
    at_least(1, batch_size=batch_size)
    video = video if isinstance(video, Video) else Video(os.fspath(video))
    frame, views = evaluation_views(config.crop, config.resize, crops)
    with with_flow(open_isolated(video.path, threads), config.flow) as reader:
        first, count = video.frame_range(reader.info)
        step = config.step(reader.info.fps)
        if uniform is None:
            clips = sampling.evaluation_clips(count, config.frames, step)
            clips = sampling.spread(clips, max_clips)
        else:
            clips = sampling.uniform_clips(count, config.frames, step, uniform)
        starts = clips[:, 0] if step is not None else np.zeros(len(clips), clips.dtype)
        last = first + sampling.ends(clips, count, config.frames, step)
        clips, starts = first + clips, first + starts
        pixels = reader.clips(list(clips), frame)
        for k in range(0, len(clips), batch_size):
            part = slice(k, k + batch_size)
            yield ClipBatch(
                np.stack([view.cut(clip) for clip in _take(pixels, clips[part]) for view in views]),
                np.repeat(starts[part], crops),
                np.repeat(starts[part] / reader.info.fps, crops),
                np.repeat(last[part] / reader.info.fps, crops),
            )


class SharedBatch(NamedTuple):
    """Some clips, which may be of several videos.

    Args:
        owners: int64 `(B,)`: of which video each clip is, by its place in the list.
        clips: Their `ClipBatch`; `None` where there are none left and only `ended` has news.
        ended: For each video that has been read to its end since the batch before, the number of
            its clips, or the `VideoError` because of which there are no more.
    """

    owners: np.ndarray
    clips: ClipBatch | None
    ended: dict


def shared_batches(videos, video_config, *, batch_size=8, parallel=None, **options):
    """The evaluation clips of many videos, in batches that are full whatever the videos' lengths.

    The next videos are decoded, several at a time, and the next batches made while the caller
    works on one. Memory holds some batches of clips, however many and however long videos are.

    Example:

    ```python
    for batch in shared_batches(["a.mp4", "b.mp4"], model.video_config):
        probabilities = model.predict_on_batch(batch.clips.clips)
    ```

    Args:
        videos: A list of what `video_clips` takes.
        video_config: A model's `VideoConfig`.
        batch_size: Clips in a batch.
        parallel: Videos decoded at a time. Defaults to the number of processor cores.
        **options: `max_clips`, `uniform` and `crops` of `video_clips`.

    Yields:
        `SharedBatch`es, clips in the order of videos and time; the last one may be smaller.
    """
    at_least(1, batch_size=batch_size)
    cores = available_cores()
    parallel = max(1, min(parallel or cores, len(videos)))
    options["threads"] = None if parallel == 1 else max(1, cores // parallel)
    clips = one_after_the_other(
        (_clips_and_end(i, video, video_config, options) for i, video in enumerate(videos)),
        parallel,
        max(1, 4 * batch_size // parallel),
    )
    batches = Background(_batches(clips, batch_size), 2)
    try:
        yield from batches
    finally:
        batches.close()


def _clips_and_end(number, video, video_config, options):
    """`(number, ClipBatch)` for each clip, then `(number, how many or a VideoError)`."""
    count = 0
    try:
        for batch in video_clips(video, video_config, batch_size=1, **options):
            count += len(batch.clips)
            yield number, batch
    except VideoError as error:
        yield number, error
    else:
        yield number, count


def _batches(clips, batch_size):
    owners, parts, ended = [], [], {}
    for number, item in clips:
        if not isinstance(item, ClipBatch):
            ended[number] = item
            continue
        owners += [number] * len(item.clips)
        parts.append(item)
        if len(owners) < batch_size:
            continue
        made = ClipBatch(*map(np.concatenate, zip(*parts, strict=True)))
        while len(owners) >= batch_size:
            full = ClipBatch(*(part[:batch_size] for part in made))
            yield SharedBatch(np.array(owners[:batch_size]), full, ended)
            made, ended = ClipBatch(*(part[batch_size:] for part in made)), {}
            del owners[:batch_size]
        parts = [made] if owners else []
    if owners or ended:
        made = ClipBatch(*map(np.concatenate, zip(*parts, strict=True))) if owners else None
        yield SharedBatch(np.array(owners, int), made, ended)


def _take(iterator, like):
    return (next(iterator) for _ in like)
