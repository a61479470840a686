"""What this machine does: steps of a network, clips of a data set, and which waits for which."""

from __future__ import annotations

import dataclasses
import statistics
import time
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_stc.data import clip_dataset
from keras_stc.models.complexity import count_macs

if TYPE_CHECKING:
    from keras_stc.data.sets.video import VideoSet


@dataclasses.dataclass(frozen=True)
class Figures:
    """What `measure` found.

    Args:
        predict_seconds: Of a clip, within a batch; the median of the batches.
        train_seconds: Of a clip, forward, backward and update.
        macs: Multiply-accumulates of a clip, forward.
        read_seconds: Of a clip from the videos, decoded and cut.
    """

    predict_seconds: float
    train_seconds: float
    macs: int
    read_seconds: float

    @property
    def waiting(self) -> float:
        """Least part of the training time, 0 to 1, in which training waits for clips.

        As if reading cost training nothing: what both do on the same cores comes on top.
        """
        return max(0.0, 1 - self.train_seconds / self.read_seconds)


def measure(model: keras.Model, videos: VideoSet, batch_size: int = 4, batches: int = 5) -> Figures:
    """Times a network on random clips, and the clips it would be trained on.

    Example:

    ```python
    figures = measure(keras_stc.STCResNet18(classes=101), videos)
    1 / figures.train_seconds                     # clips a second
    ```

    Args:
        model: A classifier. It is compiled with SGD and trained on noise, so make one for this.
        videos: A `VideoSet` with labels. All are read twice: what is found out about a file when
            it is first opened is not counted.
        batch_size: Clips in a batch.
        batches: How many are timed, after one that is not.

    Returns:
        `Figures`.
    """
    clips = np.random.default_rng(0).integers(0, 256, (batch_size, *model.input_shape[1:]))
    clips, labels = clips.astype("float32"), np.zeros(batch_size, "int32")
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "sparse_categorical_crossentropy")
    predict = _median(lambda: model.predict_on_batch(clips), batches)
    train = _median(lambda: model.train_on_batch(clips, labels), batches)
    read = _read(videos, model.video_config, batch_size)
    return Figures(predict / batch_size, train / batch_size, count_macs(model), read)


def _median(call, times):
    call()  # traces
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _read(videos, video_config, batch_size):
    dataset = clip_dataset(
        videos, video_config=video_config, batch_size=batch_size, training=True, shuffle=False
    )
    for _ in range(2):
        start, count = time.perf_counter(), 0
        for _, labels in dataset:
            count += len(labels)
        seconds = time.perf_counter() - start
    return seconds / count
