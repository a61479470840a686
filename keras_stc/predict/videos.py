"""A file to labels: all clips of a video, their probabilities averaged."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.checks import wrong
from keras_stc.predict.classify import class_names, classify, model_config, network_for
from keras_stc.predict.result import VideoPrediction

if TYPE_CHECKING:
    import keras

    from keras_stc.data.errors import VideoError
    from keras_stc.data.sets.video import Video


def predict_video(
    model: keras.Model,
    video: str | os.PathLike[str] | Video,
    batch_size: int | None = None,
    max_clips: int | None = None,
) -> VideoPrediction:
    """Classifies a whole video.

    Non-overlapping clips cover it from start to end, each cropped at its centre; their softmax
    probabilities are averaged (paper, section 4.2). Memory holds a few batches of clips at a time.

    Example:

    ```python
    model = keras_stc.load_model("runs/a")
    keras_stc.predict_video(model, "x.mp4").top(5)
    ```

    Args:
        model: A `keras_stc.VideoModel` with a classifier.
        video: Path of a video, or a `keras_stc.data.Video`.
        batch_size: Clips in a batch; by default 8, or fewer of large clips.
        max_clips: Most clips to look at, spread evenly; `None` for all.

    Returns:
        A `VideoPrediction`.

    Raises:
        ValueError: If the model carries no `video_config` or has no classifier.
        VideoError: If the video cannot be read.
    """
    (prediction,) = predict_videos(model, [video], batch_size, max_clips)
    if isinstance(prediction, ValueError):
        raise prediction
    return prediction


def predict_videos(
    model: keras.Model,
    videos: Iterable[str | os.PathLike[str] | Video],
    batch_size: int | None = None,
    max_clips: int | None = None,
) -> Iterator[VideoPrediction | VideoError]:
    """Classifies whole videos, one after the other, as `predict_video` does.

    Clips of several videos share a batch, and the next videos are decoded while the model works:
    many short videos take hardly longer than one that is as long as all of them.

    Example:

    ```python
    for prediction in keras_stc.predict_videos(model, ["a.mp4", "b.mp4"]):
        print(prediction if isinstance(prediction, ValueError) else prediction.top(1))
    ```

    Args:
        videos: A list of paths or of `keras_stc.data.Video`s.

    The other arguments are those of `predict_video`.

    Yields:
        For each video, in order and as soon as it is known, a `VideoPrediction`; or the
        `VideoError` because of which there is none.

    Raises:
        ValueError: If the model carries no `video_config` or has no classifier, or `videos` is a
            single one.
    """
    from keras_stc.data import Video, VideoError
    from keras_stc.data.clips.whole_video import shared_batches

    if isinstance(videos, (str, bytes, os.PathLike)):
        raise wrong("a list of videos; `predict_video` takes a single one", videos=videos)
    videos = list(videos)
    config, names = model_config(model), class_names(model)
    model = network_for(model, len(videos))
    if batch_size is None:
        batch_size = _batch_size(config)
    ends, rows, following = {}, collections.defaultdict(list), 0
    for batch in shared_batches(videos, config, batch_size=batch_size, max_clips=max_clips):
        ends.update(batch.ended)
        if batch.clips is not None:
            clips = batch.clips
            probabilities = classify(model, clips.clips)
            for i, *row in zip(batch.owners, probabilities, clips.start, clips.end, strict=True):
                rows[i].append(row)
        # A video may end with this batch, or be known to have ended while clips of it are to come.
        while following in ends:
            end = ends[following]
            if not isinstance(end, VideoError):
                if len(rows[following]) < end:
                    break
                probabilities, starts, stops = zip(*rows.pop(following), strict=True)
                video = videos[following]
                end = VideoPrediction(
                    path=video.path if isinstance(video, Video) else os.fspath(video),
                    class_names=names,
                    clip_probabilities=np.stack(probabilities),
                    clip_times=np.stack([starts, stops], axis=1),
                    video=video if isinstance(video, Video) else None,
                )
            following += 1
            yield end


def _batch_size(config):
    """8 clips, or as many as have the pixels of 8 clips of 32 frames at 112x112, at least one."""
    frames, height, width, _ = config.clip_shape
    return max(1, min(8, 8 * 32 * 112 * 112 // (frames * height * width)))
