"""How to train, as data."""

import dataclasses

import keras

from keras_stc.training.optimizer import SGD

SCHEDULES = ("constant", "cosine", "plateau")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything a training run is made of, except the model and the videos.

    Attributes:
        name: What `keras-stc train --recipe` calls it.
        source: Where the numbers come from.
        epochs: Passes over the training clips.
        batch_size: Clips in a step.
        learning_rate: The highest one.
        momentum: Of SGD; Nesterov's.
        weight_decay: L2 factor on kernels.
        schedule: `"constant"`, `"cosine"` to zero, or `"plateau"` (a tenth whenever the
            validation loss has not fallen for `patience` epochs).
        warmup_epochs: Epochs in which the learning rate rises linearly from zero.
        patience: Of the plateau schedule, in epochs.
        label_smoothing: Probability spread evenly over the classes.
        flip: Whether clips are mirrored at random; not for classes such as left and right.
        multiscale: Whether crops come at [4]'s five scales.
    """

    name: str
    source: str
    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    warmup_epochs: int = 0
    patience: int = 10
    label_smoothing: float = 0.0
    flip: bool = True
    multiscale: bool = False

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
        if not self.learning_rate > 0:
            raise ValueError(
                f"`learning_rate` must be positive. Received: learning_rate={self.learning_rate!r}"
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(
                f"`schedule` must be one of {SCHEDULES}. Received: schedule={self.schedule!r}"
            )
        if self.schedule == "plateau" and self.warmup_epochs:
            raise ValueError(
                "`warmup_epochs` must be 0 with the plateau schedule, which sets the rate itself. "
                f"Received: warmup_epochs={self.warmup_epochs!r}"
            )

    def replace(self, **changes):
        """A copy with the fields changed that are not `None`."""
        return dataclasses.replace(self, **{k: v for k, v in changes.items() if v is not None})

    def to_dict(self):
        return dataclasses.asdict(self)

    def optimizer(self, steps_per_epoch):
        """The optimizer, its schedule counted in steps so that a resumed run goes on with it."""
        rate = self.learning_rate
        if self.schedule != "plateau":
            warmup = round(self.warmup_epochs * steps_per_epoch)
            rate = keras.optimizers.schedules.CosineDecay(
                initial_learning_rate=0.0 if warmup else rate,
                decay_steps=max(1, self.epochs * steps_per_epoch - warmup),
                # The fraction of the rate that is left at the end: 1 makes it constant.
                alpha=0.0 if self.schedule == "cosine" else 1.0,
                warmup_target=rate if warmup else None,
                warmup_steps=warmup,
            )
        return SGD(rate, l2=self.weight_decay, momentum=self.momentum, nesterov=True)

    def loss(self, classes):
        """Cross-entropy of integer labels against probabilities."""
        if not self.label_smoothing:
            return keras.losses.SparseCategoricalCrossentropy()
        return SmoothedCrossentropy(classes, self.label_smoothing)


@keras.saving.register_keras_serializable("keras_stc")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels with label smoothing, which Keras has for one-hot ones.

    Args:
        classes: Number of classes.
        label_smoothing: Probability spread evenly over the classes.
    """

    def __init__(self, classes, label_smoothing, name="smoothed_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        labels = keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int32")
        return keras.losses.categorical_crossentropy(
            keras.ops.one_hot(labels, self.classes, dtype=y_pred.dtype),
            y_pred,
            label_smoothing=self.label_smoothing,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "classes": self.classes,
            "label_smoothing": self.label_smoothing,
        }


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="default",
            source="our choice, for a few hundred clips on one machine",
            epochs=30,
            batch_size=8,
            learning_rate=0.01,
            schedule="cosine",
            warmup_epochs=1,
        ),
        Recipe(
            name="paper",
            source="paper, section 4.2; weight decay and patience are our choice",
            epochs=200,
            batch_size=128,
            learning_rate=0.1,
            schedule="plateau",
        ),
    )
}
