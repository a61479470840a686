"""Cross-entropy of integer labels with label smoothing and class weights."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_stc")
class SparseCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels with label smoothing and class weights.

    Keras smooths one-hot labels, and its `class_weight` weighs the loss of training alone. Here it
    is that of validation too, by which plateaus and the early stop are decided.

    Args:
        classes: Number of classes.
        label_smoothing: Probability spread evenly over the classes.
        class_weights: Factor of a clip's loss by its class, or `None`.
    """

    def __init__(
        self,
        classes,
        label_smoothing=0.0,
        class_weights=None,
        name="sparse_crossentropy",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights

    def call(self, y_true, y_pred):
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        losses = keras.losses.categorical_crossentropy(
            ops.one_hot(labels, self.classes, dtype=y_pred.dtype),
            y_pred,
            label_smoothing=self.label_smoothing,
        )
        if self.class_weights is None:
            return losses
        return losses * ops.take(ops.convert_to_tensor(self.class_weights, losses.dtype), labels)

    def get_config(self):
        return {
            **super().get_config(),
            "classes": self.classes,
            "label_smoothing": self.label_smoothing,
            "class_weights": self.class_weights,
        }
