"""Samples as a `keras.utils.PyDataset`, for Keras on JAX or PyTorch without TensorFlow."""

from __future__ import annotations

import contextlib
import itertools
import numbers
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    from keras_stc.data.clips.stream import Stream


class ClipSequence(keras.utils.PyDataset):
    """Batches of clips that need no TensorFlow; made by `keras_stc.data.clip_dataset`.

    The batches are those of the `tf.data.Dataset`, for the same arguments. Iterating over it, by
    `for` or in `fit`, begins an epoch: its clips are read by threads ahead of the step that needs
    them. `sequence[i]` is batch `i` of the epoch that begins next.

    While `fit`, `evaluate` or `predict` iterate, batches come in their own order whatever number
    is asked for, since `fit` would shuffle the numbers, and an epoch that goes on in the middle
    must have the order with which it began.

    Example:

    ```python
    clips = keras_stc.data.clip_dataset(videos, training=True, backend="pydataset")
    model.fit(clips, epochs=10)
    ```

    Args:
        stream: A `keras_stc.data.clips.stream.Stream`.

    Attributes:
        batches: Batches in an epoch.
        quarantine: The `Quarantine` of videos that could not be used.
        set_epoch: Called with a number: the next iteration is that epoch.
        video_config: The `VideoConfig` of the clips.
        element_spec: A `keras.KerasTensor` for each array of a batch.
    """

    def __init__(self, stream: Stream) -> None:
        # One worker: Keras' own queue hands batches of one epoch on to the next.
        super().__init__(workers=1)
        self._stream = stream
        self._lock = threading.Lock()
        self._running = None
        self.batches = stream.batches
        self.quarantine = stream.quarantine
        self.set_epoch = stream.epochs.set
        self.video_config = stream.video_config

    def __len__(self) -> int:
        return self._stream.length

    @property
    def element_spec(self) -> Any:
        size = self._stream.batch_size if self._stream.drop_remainder else None
        return self._stream.sample(
            keras.KerasTensor((size, *array.shape), array.dtype) for array in self._stream.arrays
        )

    def __iter__(self) -> Generator[Any, None, None]:
        return self._batches(self._stream.epochs.take(), self._stream.prefetch)

    def __getitem__(self, index: int) -> Any:
        with self._lock:
            if self._running is not None:
                batch = next(self._running, None)
                if batch is None:
                    raise IndexError(f"This iteration has no more than {len(self)} batches.")
                return batch
        if not isinstance(index, numbers.Integral) or not 0 <= index < len(self):
            raise IndexError(
                f"`index` must be the number of a batch, from 0 to {len(self) - 1}. "
                f"Received: index={index!r}"
            )
        with contextlib.closing(self._batches(self._stream.epochs.next, 0)) as batches:
            return next(itertools.islice(batches, index, None))

    def on_epoch_begin(self) -> None:
        self.on_epoch_end()
        self._running = iter(self)

    def on_epoch_end(self) -> None:
        with self._lock:
            if self._running is not None:
                self._running.close()
            self._running = None

    def _batches(self, epoch, ahead):
        return self._stream.numpy_batches(epoch, ahead)
