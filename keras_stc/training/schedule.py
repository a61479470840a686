"""Learning-rate schedules, counted in steps: constant, cosine or step, with a warm-up."""

import keras
from keras import ops


def schedule(kind, rate, warmup_steps, total_steps, step_steps):
    """A rate, or a schedule that knows it from the number of the step.

    Args:
        kind: `"constant"`, `"cosine"`, `"step"` or `"plateau"`.
        rate: The highest one.
        warmup_steps: Steps in which it rises linearly from zero.
        total_steps: Steps of the whole training, after which a cosine is zero.
        step_steps: Steps after which `"step"` takes a tenth, and again.
    """
    if kind == "plateau":
        return rate
    if kind == "step":
        return StepDecay(rate, step_steps, warmup_steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else rate,
        decay_steps=max(1, total_steps - warmup_steps),
        # The fraction of the rate that is left at the end: 1 makes it constant.
        alpha=0.0 if kind == "cosine" else 1.0,
        warmup_target=rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


@keras.saving.register_keras_serializable("keras_stc")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A tenth of the rate every `decay_steps` steps, with a linear warm-up from zero.

    Args:
        rate: The highest one.
        decay_steps: Steps from one tenth to the next.
        warmup_steps: Steps of the warm-up; they count as steps of the first part.
    """

    def __init__(self, rate, decay_steps, warmup_steps=0):
        self.rate, self.decay_steps, self.warmup_steps = rate, decay_steps, warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rate = self.rate * ops.power(0.1, ops.floor(step / self.decay_steps))
        return (
            rate * ops.minimum(1.0, step / max(1, self.warmup_steps)) if self.warmup_steps else rate
        )

    def get_config(self):
        return {
            "rate": self.rate,
            "decay_steps": self.decay_steps,
            "warmup_steps": self.warmup_steps,
        }
