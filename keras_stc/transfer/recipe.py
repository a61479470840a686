"""How to transfer, as data."""

import dataclasses

import keras
from keras import ops

from keras_stc.training import SGD


@keras.saving.register_keras_serializable("keras_stc")
class WarmupDrops(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises linearly from zero, stays, and falls to a tenth every so many steps.

    Args:
        rate: The highest learning rate.
        warmup_steps: Steps of the rise; 0 for none.
        drop_steps: Steps from one drop to the next, counted from the start.
    """

    def __init__(self, rate, warmup_steps, drop_steps):
        super().__init__()
        self.rate = rate
        self.warmup_steps = warmup_steps
        self.drop_steps = drop_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = ops.minimum(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
        return self.rate * rise * ops.power(0.1, ops.floor(step / self.drop_steps))

    def get_config(self):
        return {
            "rate": self.rate,
            "warmup_steps": self.warmup_steps,
            "drop_steps": self.drop_steps,
        }


@dataclasses.dataclass(frozen=True)
class TransferRecipe:
    """Everything a transfer is made of, except the networks and the videos.

    Attributes:
        name: What `keras-stc transfer --recipe` calls it.
        source: Where the numbers come from.
        epochs: Passes over the videos.
        batch_size: Videos in an update.
        learning_rate: The highest one.
        warmup_epochs: Epochs in which the learning rate rises linearly from zero.
        drop_every: Epochs from one tenth of the rate to the next.
        momentum: Of SGD; Nesterov's.
        weight_decay: L2 factor on kernels.
        accumulation: Parts in which a batch is gone through, one after the other, where memory is
            short: negative pairs and batch statistics are then those of a part.
        flip: Whether videos are mirrored at random.
        multiscale: Whether crops come at [4]'s five scales.
    """

    name: str
    source: str
    epochs: int
    batch_size: int
    learning_rate: float
    warmup_epochs: int
    drop_every: int
    momentum: float = 0.9
    weight_decay: float = 1e-4
    accumulation: int = 1
    flip: bool = True
    multiscale: bool = False

    def __post_init__(self):
        for name in ("epochs", "batch_size", "drop_every", "accumulation"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
        if not self.learning_rate > 0:
            raise ValueError(
                f"`learning_rate` must be positive. Received: learning_rate={self.learning_rate!r}"
            )
        if self.batch_size % self.accumulation or self.batch_size // self.accumulation < 2:
            raise ValueError(
                "`accumulation` must divide `batch_size` into parts of at least 2 videos. "
                f"Received: accumulation={self.accumulation}, batch_size={self.batch_size}"
            )

    def replace(self, **changes):
        """A copy with the fields changed that are not `None`."""
        return dataclasses.replace(self, **{k: v for k, v in changes.items() if v is not None})

    def to_dict(self):
        return dataclasses.asdict(self)

    def optimizer(self, steps_per_epoch):
        """The optimizer; a step is what goes through the networks at once."""
        rate = WarmupDrops(
            self.learning_rate,
            self.warmup_epochs * steps_per_epoch,
            self.drop_every * steps_per_epoch,
        )
        return SGD(
            rate,
            l2=self.weight_decay,
            momentum=self.momentum,
            nesterov=True,
            accumulation=self.accumulation,
        )


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
            drop_every=30,
        ),
        TransferRecipe(
            name="paper",
            source="paper, section 3.2; warm-up and weight decay are our choice",
            epochs=150,
            batch_size=32,
            learning_rate=0.1,
            warmup_epochs=5,
            drop_every=30,
        ),
    )
}
