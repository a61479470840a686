"""SGD with the weight decay of the paper's time."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_stc")
class SGD(keras.optimizers.SGD):
    """`keras.optimizers.SGD` with an L2 penalty on kernels, added to their gradients.

    It is what PyTorch's `SGD(weight_decay=...)` does to them, and what [4] and the paper trained
    with: the penalty passes through the momentum. Keras' own `weight_decay` is decoupled from the
    gradient, with a tenth of the effect under a momentum of 0.9. Biases and BN's scale and offset
    are left alone (our choice; the paper is silent).

    Example:

    ```python
    model.compile(keras_stc.training.SGD(0.1, momentum=0.9, nesterov=True, l2=1e-4), "mse")
    ```

    Args:
        learning_rate: As `keras.optimizers.SGD`.
        l2: Factor of the kernels in their gradient.
        **kwargs: As `keras.optimizers.SGD`.
    """

    def __init__(self, learning_rate=0.01, l2=0.0, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        # TensorFlow hands over its own variable, which has no path. The penalty belongs here and
        # not before, where each replica would add it to a gradient that is then summed.
        path = self._trainable_variables[self._get_variable_index(variable)].path
        if self.l2 and path.endswith("kernel"):
            gradient = gradient + ops.cast(variable, gradient.dtype) * self.l2
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}
