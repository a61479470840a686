"""`TransferRecipe`, and the table of recipes of a transfer, `RECIPES`."""

from __future__ import annotations

from typing import Any

import keras

from keras_stc.training import Recipe
from keras_stc.training.schedule import StepDecay


class TransferRecipe(Recipe):
    """A `Recipe` of a transfer: its rate falls to a tenth every `step_epochs` epochs.

    A batch is of videos, and with `accumulation` negative pairs and batch statistics are those of
    a part of it. `label_smoothing` and `class_weights` are of labels, which a transfer has not.

    Args:
        *args: As `Recipe`.
        **fields: As `Recipe`.
    """

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **{"schedule": "step", **fields})

    def __post_init__(self):
        super().__post_init__()
        if self.batch_size // self.accumulation < 2:
            raise ValueError(
                "`accumulation` must divide `batch_size` into parts of at least 2 videos. "
                f"Received: accumulation={self.accumulation}, batch_size={self.batch_size}"
            )


@keras.saving.register_keras_serializable("keras_stc")
class WarmupDrops(StepDecay):
    """`StepDecay` by its former name, which saved optimizers may hold."""

    def __init__(self, rate, warmup_steps, drop_steps):
        super().__init__(rate, drop_steps, warmup_steps)

    def get_config(self):
        return {
            "rate": self.rate,
            "warmup_steps": self.warmup_steps,
            "drop_steps": self.decay_steps,
        }


RECIPES = {
    recipe.name: recipe
    for recipe in (
        TransferRecipe(
            name="default",
            source="paper, section 3.2, with the rate of a public re-implementation that found 0.1 "
            "unstable; epochs, warm-up and weight decay are our choice",
            epochs=60,
            batch_size=32,
            learning_rate=0.01,
            warmup_epochs=1,
            step_epochs=30,
        ),
        TransferRecipe(
            name="paper",
            source="paper, section 3.2; warm-up and weight decay are our choice",
            epochs=150,
            batch_size=32,
            learning_rate=0.1,
            warmup_epochs=5,
            step_epochs=30,
        ),
    )
}
