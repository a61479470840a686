"""Batch normalisation of videos that is fast on the CPU with TensorFlow."""

from typing import Any

import keras

from keras_stc.layers.conv import on_tensorflow_cpu

#: Dtypes of the kernel, whose statistics are float32 in any case.
FUSED = ("float32", "bfloat16", "float16")


@keras.saving.register_keras_serializable("keras_stc")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, in one kernel on TensorFlow's CPU.

    Keras composes the normalisation of feature maps with five axes from a dozen operations there.
    This layer runs TensorFlow's fused kernel on them (`benchmarks/model_steps.py`). Elsewhere, for
    maps of other axes, and where the statistics are those of several devices (`synchronized`), it
    is Keras' layer. Variables, configuration and results are those of Keras' layer, the moving
    statistics and what `trainable=False` means included; a saved model names this class, so that
    loading it needs `keras_stc`.

    Example:

    ```python
    features = keras.Input((8, 28, 28, 64))
    keras_stc.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(features)
    ```

    Args:
        *args: As `keras.layers.BatchNormalization`.
        **kwargs: As `keras.layers.BatchNormalization`.

    Call arguments:
        inputs: Tensor of shape `(B, T, H, W, C)`.
        training: Whether to normalise by the batch.

    Returns:
        Tensor of the shape of `inputs`.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is not None or not self._is_fused(inputs):
            return super().call(inputs, training=training, mask=mask)
        from keras_stc.layers.tensorflow_kernels import batch_norm, move_average

        learns = bool(training and self.trainable)
        tensor, shape = keras.ops.convert_to_tensor, self.moving_mean.shape
        outputs, mean, variance = batch_norm(
            inputs,
            tensor(self.gamma) if self.scale else keras.ops.ones(shape),
            tensor(self.beta) if self.center else keras.ops.zeros(shape),
            None if learns else (tensor(self.moving_mean), tensor(self.moving_variance)),
            self.epsilon,
        )
        if learns:
            for kept, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
                move_average(kept, now, self.momentum)
        return keras.ops.cast(outputs, self.compute_dtype)

    def _is_fused(self, inputs):
        return (
            len(inputs.shape) == 5
            and self.axis in (-1, 4)
            and not self.synchronized
            and not getattr(self, "renorm", False)
            and self.moving_mean.dtype == "float32"
            and keras.backend.standardize_dtype(inputs.dtype) in FUSED
            and on_tensorflow_cpu()
        )
