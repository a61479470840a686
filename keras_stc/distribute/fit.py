"""`fit`: `keras.Model.fit`, or the same loop in public calls on several devices or workers."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_stc.distribute.strategy import connected, devices, scope, share


def fit(
    model: keras.Model,
    data: Any,
    validation_data: Any = None,
    *,
    epochs: int = 1,
    initial_epoch: int = 0,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
    validation_freq: int | Sequence[int] = 1,
) -> None:
    """Trains a compiled model on the devices of the strategy it was built with.

    On one device, and with JAX on several, it is `model.fit`. On several devices with TensorFlow
    it is a loop of `strategy.run(model.train_step)`: Keras' own fails with several workers. Loss
    and metrics of an epoch are those of the whole data, over all devices.

    Example:

    ```python
    share = keras_stc.distribute.share(model)
    clips = keras_stc.data.clip_dataset(videos, batch_size=64, share=share, training=True)
    keras_stc.distribute.fit(model, clips, epochs=10)
    ```

    Args:
        model: A compiled model, built and compiled in the strategy's scope.
        data: A `tf.data.Dataset`: this worker's share of every batch, which must divide evenly
            among all devices for the losses of the devices to weigh the same.
        validation_data: The same; its batches need not divide evenly, but must have at least an
            element for every device.
        epochs: As `keras.Model.fit`.
        initial_epoch: As `keras.Model.fit`.
        callbacks: As `keras.Model.fit`.
        verbose: As `keras.Model.fit`.
        validation_freq: As `keras.Model.fit`.

    Raises:
        DistributionError: If another worker is lost.
    """
    if keras.backend.backend() != "tensorflow" or devices(model) == 1:
        with scope(model):
            model.fit(
                data,
                validation_data=validation_data,
                epochs=epochs,
                initial_epoch=initial_epoch,
                callbacks=list(callbacks),
                shuffle=False,
                verbose=verbose,
                validation_freq=validation_freq,
            )
        return
    steps = int(data.cardinality())
    callback_list = keras.callbacks.CallbackList(
        list(callbacks),
        add_history=True,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=steps if steps > 0 else None,
        model=model,
    )
    with connected(model):
        _fit(
            model,
            data,
            validation_data,
            range(initial_epoch, epochs),
            callback_list,
            validation_freq,
        )


def _fit(model, data, validation_data, epochs, callbacks, validation_freq):
    import tensorflow as tf

    train_data, train_step = _distributed(model, data), _step(model, model.train_step)
    valid_data = None if validation_data is None else _distributed(model, validation_data)
    test_step = _step(model, model.test_step)
    with scope(model):
        # Makes the variables of metrics, which must not be made on every device by itself, and
        # which callbacks may want to restore; traced and not run.
        with keras.StatelessScope():
            tf.function(model.test_step).get_concrete_function(data.element_spec)
        train_step.get_concrete_function(train_data.element_spec)
    # Callbacks run outside of the scope: when one worker saves, Keras makes variables of its own,
    # and in the scope every worker would have to make them.
    model.stop_training = False
    callbacks.on_train_begin()
    logs = None
    for epoch in epochs:
        model.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        for number, batch in enumerate(train_data):
            callbacks.on_train_batch_begin(number)
            callbacks.on_train_batch_end(number, _numbers(train_step(batch)))
            if model.stop_training:
                break
        logs = _numbers(model.get_metrics_result())
        if valid_data is not None and _is_validated(epoch + 1, validation_freq):
            model.reset_metrics()
            callbacks.on_test_begin()
            for number, batch in enumerate(valid_data):
                callbacks.on_test_batch_begin(number)
                callbacks.on_test_batch_end(number, _numbers(test_step(batch)))
            result = _numbers(model.get_metrics_result())
            callbacks.on_test_end(result)
            logs.update({f"val_{name}": value for name, value in result.items()})
        callbacks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    with scope(model):
        model.optimizer.finalize_variable_values(model.trainable_variables)
    callbacks.on_train_end(logs)


def _is_validated(epoch, validation_freq):
    """Whether an epoch, counted from 1, ends in a validation, as Keras decides it."""
    if isinstance(validation_freq, int):
        return epoch % validation_freq == 0
    return epoch in validation_freq


def _step(model, function):
    """One step on all devices; the mean of what they report, for the progress bar."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def step(batch):
        logs = model.distribute_strategy.run(function, args=(batch,))
        return {
            name: model.distribute_strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
            for name, value in logs.items()
        }

    return step


def _distributed(model, data):
    """A worker's batches, each cut into a part for each of its devices."""
    import tensorflow as tf

    local = devices(model) // share(model)[1]

    def cut(*batch):
        if not isinstance(data.element_spec, tuple):
            (batch,) = batch
        size = tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]
        return tf.data.Dataset.range(local).map(
            lambda i: tf.nest.map_structure(
                lambda part: part[i * size // local : (i + 1) * size // local], batch
            )
        )

    return model.distribute_strategy.distribute_datasets_from_function(
        lambda context: data.flat_map(cut).prefetch(local)
    )


def _numbers(logs):
    return {name: float(value) for name, value in logs.items()}
