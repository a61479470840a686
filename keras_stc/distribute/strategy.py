"""Which devices train together: found out from the machine and from TF_CONFIG, once a process."""

import contextlib
import functools
import json
import multiprocessing.pool
import os
import traceback
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


class DistributionError(RuntimeError):
    """One sentence about devices or workers that cannot train together."""


@functools.cache
def strategy() -> Any:
    """The way this process trains: the same line for one device and for many.

    With TensorFlow it is the default strategy on one device, `tf.distribute.MirroredStrategy` on
    several GPUs (or several logical CPU devices), and `tf.distribute.MultiWorkerMirroredStrategy`
    where the environment variable TF_CONFIG names several workers. With JAX it is
    `keras.distribution.DataParallel` on several devices. Elsewhere its scope does nothing.

    Ask for it before anything else touches TensorFlow: workers have to find one another first.
    TensorFlow supports one strategy in a process, so every call returns the same one.

    Example:

    ```python
    with keras_stc.distribute.strategy().scope():
        model = keras_stc.STCResNet18(classes=3)
    keras_stc.training.train(model, videos, recipe, out="runs/a")
    ```

    Returns:
        An object with a method `scope()`.

    Raises:
        DistributionError: If TF_CONFIG cannot be understood, or names several workers where the
            backend is not TensorFlow.
    """
    count = len(_cluster()[0])
    backend = keras.backend.backend()
    if count > 1 and backend != "tensorflow":
        raise DistributionError(
            f"TF_CONFIG names {count} workers, and the {backend} backend trains on one machine: "
            "set KERAS_BACKEND=tensorflow, or unset TF_CONFIG."
        )
    if backend == "tensorflow":
        return _tensorflow_strategy(count)
    if backend == "jax" and len(keras.distribution.list_devices()) > 1:
        # Every process of ours has all of the data it trains on.
        return keras.distribution.DataParallel(auto_shard_dataset=False)
    return _OneDevice()


def devices(model: keras.Model) -> int:
    """On how many devices a batch of the model is computed.

    Args:
        model: A Keras model; the scope it was built in counts.

    Returns:
        Integer, the devices of all workers together.
    """
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.num_replicas_in_sync
    if keras.backend.backend() == "jax" and model.variables:
        return len(model.variables[0].value.sharding.device_set)
    return 1


def share(model: keras.Model) -> tuple[int, int]:
    """Which part of every batch of a model this process reads.

    Args:
        model: A Keras model. One that was built outside the scope trains by itself.

    Returns:
        `(index, count)`, as `clip_dataset(share=...)` takes it. The process with index 0 is the one
        that writes files and prints.
    """
    names, this = _cluster()
    if len(names) < 2 or devices(model) == 1:
        return 0, 1
    return names.index(this), len(names)


def scope(model: keras.Model) -> contextlib.AbstractContextManager[Any]:
    """Where a model's optimizer and metrics are made, and where it trains.

    Args:
        model: A Keras model.

    Returns:
        A context manager.
    """
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.scope()
    return strategy().scope() if devices(model) > 1 else contextlib.nullcontext()


def worker_count() -> int:
    """How many workers TF_CONFIG names; 1 without it."""
    return max(1, len(_cluster()[0]))


def is_chief() -> bool:
    """Whether this process is the only one, or the first worker of TF_CONFIG."""
    names, this = _cluster()
    return len(names) < 2 or this == names[0]


@contextlib.contextmanager
def connected(model: keras.Model) -> Iterator[None]:
    """Turns the loss of another worker into a `DistributionError` of one sentence."""
    index, count = share(model)
    if count == 1:
        yield
        return
    import tensorflow as tf

    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        _close_pools(error)
        raise DistributionError(
            f"Worker {index} of {count} lost the connection to another one: see what that one "
            "says, then start all of them again with the same lines; they go on from the last "
            "checkpoint."
        ) from error


def _close_pools(error):
    """Closes the thread pools in the frames that an error passed through.

    TensorFlow reduces with one, and leaves it open when reducing fails. Python then collects it
    with its pipes, in any order, and complains on standard error after our sentence.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, multiprocessing.pool.Pool):
                value.close()


def from_chief(model: keras.Model, value: Any) -> Any:
    """What the first worker says, on every worker; all of them have to ask.

    Args:
        model: A model built in the strategy's scope.
        value: Of plain JSON types, or a NumPy array of the same shape everywhere.

    Returns:
        The first worker's value.
    """
    if share(model)[1] == 1:
        return value
    if isinstance(value, np.ndarray):
        return _sum(value).astype(value.dtype)
    text = json.dumps(value).encode() if is_chief() else b""
    size = int(_sum(np.array([len(text)])).item())
    text = np.frombuffer(text.ljust(size), "uint8")[:size]
    return json.loads(_sum(text).astype("uint8").tobytes())


def _sum(array):
    """Sum over the workers of what the first one says and of zeros of the others."""
    import tensorflow as tf

    # Collective operations know few types.
    array = np.asarray(array).astype("float64" if array.dtype.kind == "f" else "int64")
    values = strategy().experimental_distribute_values_from_function(
        lambda context: tf.constant(
            array if context.replica_id_in_sync_group == 0 else np.zeros_like(array)
        )
    )
    return strategy().reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy()


def _tensorflow_strategy(count):
    import tensorflow as tf

    if count > 1:
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except RuntimeError as error:
            raise DistributionError(
                "The workers that TF_CONFIG names cannot be joined any more: call "
                "keras_stc.distribute.strategy() before anything else that uses TensorFlow."
            ) from error
    # Listing devices is what settles them: not before workers have been looked for.
    for kind in ("GPU", "CPU"):
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        if len(names) > 1:
            return tf.distribute.MirroredStrategy(names)
        if names:
            break
    return tf.distribute.get_strategy()


class _OneDevice:
    """A strategy that changes nothing, where the backend has none."""

    num_replicas_in_sync = 1

    def scope(self):
        return contextlib.nullcontext()


def _cluster():
    """`(names of the workers, this one's name)` by TF_CONFIG, the chief first."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        return [], None
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        names = [
            (kind, index)
            for kind in ("chief", "worker")
            for index in range(len(cluster.get(kind, ())))
        ]
        this = (task.get("type", "worker"), int(task.get("index", 0)))
    except (ValueError, AttributeError, TypeError) as error:
        raise DistributionError(f"{_EXPECTED} It cannot be read: {error}") from error
    if len(names) > 1 and this not in names:
        raise DistributionError(
            f"{_EXPECTED} Its task, {this[0]} {this[1]}, is none of its {len(names)} workers."
        )
    return names, this


_EXPECTED = (
    'TF_CONFIG must look like {"cluster": {"worker": ["host:port", ...]}, '
    '"task": {"type": "worker", "index": 0}}.'
)
