"""SGD with L2 weight decay on kernels and with gradient accumulation."""

from typing import Any

import keras
from keras import ops

from keras_stc.checks import at_least, positive_integer, wrong


@keras.saving.register_keras_serializable("keras_stc")
class SGD(keras.optimizers.SGD):
    """`keras.optimizers.SGD` with an L2 penalty on kernels, added to their gradients.

    It is what PyTorch's `SGD(weight_decay=...)` does to them, and what Hara et al. and the paper
    trained with: the penalty passes through the momentum. Keras' own `weight_decay` is decoupled
    from the gradient, with a tenth of the effect under a momentum of 0.9. Biases and BN's scale and
    offset are left alone (our choice; the paper is silent).

    With `accumulation` it updates once in so many steps, with the mean of their gradients. Keras'
    own `gradient_accumulation_steps` does the same on one device and fails on several.

    Example:

    ```python
    model.compile(keras_stc.training.SGD(0.1, momentum=0.9, nesterov=True, l2=1e-4), "mse")
    ```

    Args:
        learning_rate: As `keras.optimizers.SGD`; a schedule counts steps, not updates.
        momentum: As `keras.optimizers.SGD`.
        nesterov: As `keras.optimizers.SGD`.
        l2: Factor of the kernels in their gradient.
        accumulation: Steps to one update.
        **kwargs: As `keras.optimizers.SGD`; with `accumulation`, no decay and clipping of Keras'.

    Raises:
        ValueError: If an argument is out of range, or does not go with `accumulation`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        l2: float = 0.0,
        accumulation: int = 1,
        **kwargs: Any,
    ) -> None:
        at_least(0, l2=l2)
        positive_integer(accumulation=accumulation)
        super().__init__(learning_rate, momentum, nesterov, **kwargs)
        if accumulation > 1:
            _only_each_update(self)
        self.l2 = l2
        self.accumulation = accumulation

    def build(self, variables: Any) -> None:
        super().build(variables)
        self.sums = []
        if self.accumulation > 1:
            self.sums = self.add_optimizer_variables(variables, "gradient_sum")

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if not _on_one_device_of_tensorflow():
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        # Constants of the graph once, and not for each of hundreds of variables; rounded as
        # Keras rounds them, so that several devices compute the same.
        dtype = trainable_variables[0].dtype
        numbers = [ops.cast(number, dtype) for number in (self.l2, self.momentum)]
        # Not through `tf.distribute`, where gradients wait for one another.
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            held = variable.value if isinstance(variable, keras.Variable) else variable
            self._step(gradient, held, learning_rate, *numbers)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self._step(gradient, variable, learning_rate, self.l2, self.momentum)

    def _step(self, gradient, variable, learning_rate, l2, momentum):
        index = self._get_variable_index(variable)
        if self.accumulation > 1:
            total = ops.add(self.sums[index], gradient)
            is_last = ops.equal((self.iterations + 1) % self.accumulation, 0)
            held = [variable] + ([self.momentums[index]] if self.momentum else [])
            before = [ops.convert_to_tensor(each) + 0 for each in held]
            self._update(total / self.accumulation, variable, learning_rate, index, l2, momentum)
            # Chosen and not branched on: devices may not exchange anything inside a branch.
            for each, old in zip(held, before, strict=True):
                self.assign(each, ops.where(is_last, ops.convert_to_tensor(each), old))
            self.assign(self.sums[index], ops.where(is_last, ops.zeros_like(total), total))
        else:
            self._update(gradient, variable, learning_rate, index, l2, momentum)

    def _update(self, gradient, variable, learning_rate, index, l2, momentum):
        # TensorFlow hands over its own variable, which has no path. The penalty belongs here and
        # not before, where each replica would add it to a gradient that is then summed.
        if self.l2 and self._trainable_variables[index].path.endswith("kernel"):
            kernel = ops.cast(variable, gradient.dtype)
            gradient = gradient + kernel * ops.cast(l2, gradient.dtype)
        if self.momentum and _on_one_device_of_tensorflow():
            from keras_stc.layers.tensorflow_kernels import momentum_update

            # One operation instead of a dozen: less to trace and to run.
            velocity = self.momentums[index].value
            return momentum_update(
                variable, velocity, gradient, learning_rate, momentum, self.nesterov
            )
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2, "accumulation": self.accumulation}


def _only_each_update(optimizer):
    """Refuses what Keras would do to the gradient of each step, or in each step."""
    names = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm")
    for name in (*names, "gradient_accumulation_steps"):
        value = getattr(optimizer, name, None)
        if value is not None:
            raise wrong(
                "None with `accumulation`, since Keras does it at every step and not at every "
                "update; `l2` is a weight decay",
                **{name: value},
            )


def _on_one_device_of_tensorflow():
    if keras.backend.backend() != "tensorflow":
        return False
    from keras_stc.layers.tensorflow_kernels import on_one_device

    return on_one_device()
