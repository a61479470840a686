"""Cameras and streams to labels: a sliding window, answered as fast as the machine can."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.checks import at_least, positive
from keras_stc.models.fold import for_inference
from keras_stc.predict.classify import class_names, classify, model_config
from keras_stc.predict.feed import Feed

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class StreamPrediction:
    """What a stream shows at a moment.

    Attributes:
        time: Of the newest frame, in seconds since the first one.
        class_names: Names of the classes.
        probabilities: Array `(classes,)`, smoothed over time.
        window_probabilities: Array `(classes,)` of the newest window alone.
        window: Seconds that a window spans.
        rate: Answers a second, lately; 0 for the first one.
        delay: Seconds from the arrival of the newest frame to the answer.
    """

    time: float
    class_names: tuple[str, ...]
    probabilities: np.ndarray
    window_probabilities: np.ndarray
    window: float
    rate: float
    delay: float

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """`[(name, probability), ...]` of the most probable classes, best first."""
        best = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.class_names[i], float(self.probabilities[i])) for i in best]


def predict_stream(
    model: keras.Model,
    source: int | str | os.PathLike[str],
    smoothing: float = 1.0,
    every: float | None = None,
    live: bool = True,
) -> Generator[StreamPrediction, None, None]:
    """Says what a camera or a stream shows, again and again.

    A window of the model's clip length slides over the newest frames. Live, frames that come while
    the model works are not queued: the next answer is of the newest window there is.

    Example:

    ```python
    for answer in keras_stc.predict_stream(model, 0):  # the first camera
        print(f"{answer.time:.1f} s", answer.top(1), f"{answer.rate:.1f} answers/s")
    ```

    Args:
        model: A `keras_stc.VideoModel` with a classifier.
        source: The number of a camera, a video file, or an address such as `rtsp://…`.
        smoothing: Seconds over which answers are averaged, older ones ever less (an exponential
            mean); 0 for each window alone.
        every: Seconds of the stream between two answers, at least; `None` for as many as the
            machine can give, or, not live, for half a window.
        live: Whether time passes as it does for people: a file is played at its own speed then.
            Otherwise every frame of a file is waited for, and the answers are the same each time.

    Yields:
        `StreamPrediction`s, until the source ends. A source shorter than a window gives one answer,
        of its frames looped.

    Raises:
        ValueError: If the model has no classifier or takes segments of a whole video, or a number
            is out of range.
        VideoError: If the source cannot be opened or has no pictures; of a camera or an address
            also if it stops sending, or sends nothing for a quarter of a minute.
    """
    config, names = model_config(model), class_names(model)
    config.check_rgb()
    config.check_moment()
    at_least(0, smoothing=smoothing)
    if every is not None:
        positive("positive, or None", every=every)
    # What is compiled at the first call is compiled before anybody waits for an answer.
    classify(model, np.zeros((1, *config.clip_shape), "uint8"))
    feed = Feed(source, config, live)
    windows = feed.newest(every) if live else feed.each(every)
    smoothed, last, answered = None, None, collections.deque(maxlen=10)
    folding, pool = None, concurrent.futures.ThreadPoolExecutor(1)
    with contextlib.closing(feed), contextlib.ExitStack() as stack:
        stack.callback(pool.shutdown, wait=False)
        for clip, at, arrived in windows:
            # Folding takes seconds: live, answers go on meanwhile; otherwise they are the same each
            # time.
            if answered:
                folding = folding or pool.submit(_folded, model)
                if folding.done() or not live:
                    model = folding.result()
            probabilities = classify(model, clip[None])[0]
            if smoothed is None or not smoothing:
                smoothed = probabilities
            else:
                old = math.exp(-max(0.0, at - last) / smoothing)
                smoothed = old * smoothed + (1 - old) * probabilities
            last = at
            now = time.monotonic()
            answered.append(now)
            span = now - answered[0]
            yield StreamPrediction(
                time=at,
                class_names=names,
                probabilities=smoothed,
                window_probabilities=probabilities,
                window=feed.window,
                rate=(len(answered) - 1) / span if span else 0.0,
                delay=now - arrived,
            )


def _folded(model):
    """The network as `for_inference` has it, compiled."""
    folded = for_inference(model)
    if folded is not model:
        classify(folded, np.zeros((1, *model.video_config.clip_shape), "uint8"))
    return folded
