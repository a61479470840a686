"""What a `Distillation` is trained and measured by: the losses and metrics of its outputs."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_stc")
class SoftenedDivergence(keras.losses.Loss):
    """T² KL(teacher || student) of softmaxes at temperature T (Hinton et al. 2015, section 2.1).

    T² keeps the gradient's size whatever the temperature. Both arguments are logits, or logarithms
    of probabilities, which differ from logits by a constant.
    """

    def __init__(self, temperature, name="softened_divergence", **kwargs):
        super().__init__(name=name, **kwargs)
        self.temperature = temperature

    def call(self, y_true, y_pred):
        wanted = ops.log_softmax(y_true / self.temperature, axis=-1)
        got = ops.log_softmax(y_pred / self.temperature, axis=-1)
        return self.temperature**2 * ops.sum(ops.exp(wanted) * (wanted - got), axis=-1)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable("keras_stc")
class CosineDistance(keras.losses.Loss):
    """One minus the cosine of the angle between two vectors: 0 for the same direction."""

    def call(self, y_true, y_pred):
        return 1 + keras.losses.cosine_similarity(y_true, y_pred)


@keras.saving.register_keras_serializable("keras_stc")
class LabelEntropy(keras.losses.Loss):
    """Cross-entropy with integer labels, 0 for -1, which is none.

    The mean is that of all clips, so that those of a part of a batch, on a device or in an
    accumulated step, weigh the same whatever else has a label.
    """

    def call(self, y_true, y_pred):
        labelled = ops.cast(ops.greater_equal(y_true, 0), "float32")
        return labelled * keras.losses.sparse_categorical_crossentropy(
            ops.maximum(y_true, 0), y_pred, from_logits=True
        )


@keras.saving.register_keras_serializable("keras_stc")
class LabelAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """Accuracy of those that have a label: -1 is none."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        labelled = ops.cast(ops.greater_equal(y_true, 0), "float32")
        if sample_weight is not None:
            labelled = labelled * ops.cast(sample_weight, "float32")
        return super().update_state(ops.maximum(y_true, 0), y_pred, labelled)


@keras.saving.register_keras_serializable("keras_stc")
def agreement(answers, predictions):
    """1 where the likeliest class is the same."""
    same = ops.equal(ops.argmax(answers, axis=-1), ops.argmax(predictions, axis=-1))
    return ops.cast(same, "float32")
