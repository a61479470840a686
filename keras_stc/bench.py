"""What this machine does: steps of networks, clips of a data set, and which waits for which."""

from __future__ import annotations

import concurrent.futures.process
import dataclasses
import multiprocessing
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_stc.checks import one_of
from keras_stc.data import clip_dataset
from keras_stc.models import create_model
from keras_stc.models.complexity import count_macs

if TYPE_CHECKING:
    from keras_stc.data.sets.video import VideoSet

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class Steps:
    """What `measure_network` found.

    Args:
        predict_seconds: Of a clip, within a batch; the median of the batches.
        train_seconds: Of a clip, forward, backward and update; the median.
        macs: Multiply-accumulates of a clip, forward.
        first_step_seconds: From `fit` to the end of its first step.
        peak_memory: Most bytes of main memory that the process had so far, Keras and what it ran
            before included; `None` where the system does not say.
    """

    predict_seconds: float
    train_seconds: float
    macs: int
    first_step_seconds: float
    peak_memory: int | None


@dataclasses.dataclass(frozen=True)
class Figures(Steps):
    """What `measure` found.

    Args:
        predict_seconds: As `Steps`.
        train_seconds: As `Steps`.
        macs: As `Steps`.
        first_step_seconds: As `Steps`.
        peak_memory: As `Steps`.
        read_seconds: Of a clip from the videos, decoded and cut.
    """

    read_seconds: float

    @property
    def waiting(self) -> float:
        """Least part of the training time, 0 to 1, in which training waits for clips.

        As if reading cost training nothing: what both do on the same cores comes on top.
        """
        return waiting(self, self.read_seconds)


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
    steps = measure_network(model, batch_size, batches)
    read = measure_reading(videos, model.video_config, batch_size)
    return Figures(**vars(steps), read_seconds=read)


def measure_network(model: keras.Model, batch_size: int = 4, batches: int = 5) -> Steps:
    """Times a network on random clips; arguments as of `measure`.

    Returns:
        `Steps`.
    """
    clips = np.random.default_rng(0).integers(0, 256, (batch_size, *model.input_shape[1:]))
    clips, labels = clips.astype("float32"), np.zeros(batch_size, "int32")
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "sparse_categorical_crossentropy")
    model.predict_on_batch(clips)  # traces
    predict = [_seconds(lambda: model.predict_on_batch(clips)) for _ in range(batches)]
    ends = [time.perf_counter()]

    def end(batch, logs):
        float(logs["loss"])  # is waited for
        ends.append(time.perf_counter())

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=end)
    same = ((clips, labels) for _ in range(1 + batches))
    model.fit(same, steps_per_epoch=1 + batches, verbose=0, callbacks=[callback])
    first, *train = np.diff(ends).tolist()
    return Steps(
        predict_seconds=statistics.median(predict) / batch_size,
        train_seconds=statistics.median(train) / batch_size,
        macs=count_macs(model),
        first_step_seconds=first,
        peak_memory=_peak_memory(),
    )


def measure_named(
    name: str,
    precision: str = "float32",
    batch_size: int = 4,
    batches: int = 5,
    apart: bool = True,
    **arguments: Any,
) -> Steps:
    """Times a network of the zoo.

    Args:
        name: As for `keras_stc.create_model`.
        precision: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"`.
        batch_size: As of `measure`.
        batches: As of `measure`.
        apart: Whether in a process of its own, so that the peak of memory is this network's.
        **arguments: As for `keras_stc.create_model`.

    Returns:
        `Steps`.

    Raises:
        RuntimeError: If the process dies, as of too little memory.
    """
    one_of(PRECISIONS, precision=precision)
    arguments = (name, precision, batch_size, batches, arguments)
    if not apart:
        return _built_and_measured(*arguments)
    try:
        return _in_own_process(_built_and_measured, *arguments)
    except concurrent.futures.process.BrokenProcessPool as error:
        raise RuntimeError(
            f"The process that measured {name} in {precision} was ended by the system, most often "
            f"for want of memory: take fewer than {batch_size} clips in a batch, or smaller ones."
        ) from error


def _in_own_process(function, *arguments):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def _built_and_measured(name, precision, batch_size, batches, arguments):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return measure_network(create_model(name, **arguments), batch_size, batches)
    finally:
        keras.config.set_dtype_policy(before)


def measure_reading(videos: VideoSet, video_config: Any, batch_size: int = 4) -> float:
    """Seconds of a clip from the videos, decoded and cut; arguments as of `measure`."""
    dataset = clip_dataset(
        videos, video_config=video_config, batch_size=batch_size, training=True, shuffle=False
    )
    for _ in range(2):
        start, count = time.perf_counter(), 0
        for _, labels in dataset:
            count += len(labels)
        seconds = time.perf_counter() - start
    return seconds / count


def waiting(steps: Steps, read_seconds: float) -> float:
    """As `Figures.waiting`, of a network and of clips that were timed apart."""
    return max(0.0, 1 - steps.train_seconds / read_seconds)


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _peak_memory():
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
