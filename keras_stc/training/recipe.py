"""`Recipe`, the hyperparameters of a training, and the table of them, `RECIPES`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_stc.checks import (
    at_least,
    below_one,
    natural_number,
    one_of,
    positive,
    positive_integer,
    require,
)
from keras_stc.training.loss import SparseCrossentropy
from keras_stc.training.optimizer import SGD
from keras_stc.training.schedule import schedule

if TYPE_CHECKING:
    from typing_extensions import Self

#: What a field may be.
CHOICES = {
    "schedule": ("constant", "cosine", "step", "plateau"),
    "precision": ("float32", "mixed_bfloat16", "mixed_float16", "float64"),
    "class_weights": ("none", "balanced"),
    "recompute": ("none", "unit"),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything a training run is made of, except the model and the videos.

    Attributes:
        name: What `keras-stc train --recipe` calls it.
        source: Where the numbers come from.
        epochs: Passes over the training clips.
        batch_size: Clips in an update, those of all devices together.
        learning_rate: The highest one.
        reference_batch: The batch that `learning_rate` is meant for; with another one it is
            scaled linearly (Goyal et al. 2017, arXiv 1706.02677). 0 leaves it as it is.
        momentum: Of SGD; Nesterov's.
        weight_decay: L2 factor on kernels.
        schedule: `"constant"`, `"cosine"` to zero, `"step"` (a tenth every `step_epochs` epochs),
            or `"plateau"` (a tenth whenever the validation loss has not fallen for `patience`
            epochs).
        warmup_epochs: Epochs in which the learning rate rises linearly from zero.
        step_epochs: Of the step schedule.
        patience: Of the plateau schedule, in epochs.
        early_stop: Epochs without a lower validation loss after which training ends; 0 for never.
        accumulation: Into how many parts a batch is divided that go through the network one after
            the other, where memory is short. Batch normalisation sees one part at a time.
        label_smoothing: Probability spread evenly over the classes.
        class_weights: `"balanced"` weighs a clip's loss with the inverse frequency of its class.
        ema: Momentum, per update, of the moving average of the weights that is validated and
            kept; 0 for none.
        precision: `"float32"`, `"mixed_bfloat16"`, `"mixed_float16"` or `"float64"`: the policy
            under which the model has to be built.
        freeze: Name of the last stage or layer that is not trained, such as `"layer3"` (Hara et al.
            fine-tune the last stage and the classifier), or `None`.
        partial_bn: Whether all batch normalisations but the first keep what they are, kernels
            learning all the same (Wang et al., ECCV 2016, of pretrained networks on few videos).
        feature_passes: Passes over the videos whose clips go through the frozen part once, before
            the first epoch; the epochs take the features that were kept, pass after pass. 0 cuts
            new clips in every epoch. It needs `freeze`, and one device.
        recompute: `"unit"` computes the units of a residual network twice in a step instead of
            keeping their feature maps, where memory is short; on one device.
        frames: Frames in a clip, where the command line does not say.
        stride: Distance of two frames, where the command line does not say.
        flip: Whether clips are mirrored at random; not for classes such as left and right.
        multiscale: Whether crops come at Hara et al.'s five scales.
    """

    name: str
    source: str
    epochs: int
    batch_size: int
    learning_rate: float
    reference_batch: int = 0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    warmup_epochs: int = 0
    step_epochs: int = 30
    patience: int = 10
    early_stop: int = 0
    accumulation: int = 1
    label_smoothing: float = 0.0
    class_weights: str = "none"
    ema: float = 0.0
    precision: str = "float32"
    freeze: str | None = None
    partial_bn: bool = False
    feature_passes: int = 0
    recompute: str = "none"
    frames: int = 16
    stride: int = 2
    flip: bool = True
    multiscale: bool = False

    def __post_init__(self):
        counts = ("epochs", "batch_size", "accumulation", "step_epochs", "frames", "stride")
        positive_integer(**{name: getattr(self, name) for name in counts})
        spans = ("warmup_epochs", "patience", "early_stop", "feature_passes")
        natural_number(**{name: getattr(self, name) for name in spans})
        for name in (*counts, *spans):  # as JSON has them
            object.__setattr__(self, name, int(getattr(self, name)))
        positive(learning_rate=self.learning_rate)
        at_least(0, weight_decay=self.weight_decay)
        require(lambda value: isinstance(value, bool), "True or False", partial_bn=self.partial_bn)
        for name, choices in CHOICES.items():
            one_of(choices, **{name: getattr(self, name)})
        below_one(ema=self.ema, label_smoothing=self.label_smoothing, momentum=self.momentum)
        if self.schedule == "plateau" and self.warmup_epochs:
            raise ValueError(
                "`warmup_epochs` must be 0 with the plateau schedule, which sets the rate itself. "
                f"Received: warmup_epochs={self.warmup_epochs!r}"
            )
        if self.batch_size % self.accumulation:
            raise ValueError(
                f"`accumulation` must divide the batch of {self.batch_size} clips. "
                f"Received: accumulation={self.accumulation!r}"
            )

    def replace(self, **changes: Any) -> Self:
        """A copy with the fields changed that are not `None`."""
        return dataclasses.replace(self, **{k: v for k, v in changes.items() if v is not None})

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """What `to_dict` gave, of this version or an earlier one, as a `Recipe`."""
        fields = dict(fields)
        if "drop_every" in fields:  # a transfer's, which had no schedule but this one
            fields.update(schedule="step", step_epochs=fields.pop("drop_every"))
        return cls(**fields)

    def peak_rate(self, batch_size: int) -> float:
        """The highest learning rate with so many clips in an update."""
        return self.learning_rate * batch_size / (self.reference_batch or batch_size)

    def optimizer(self, steps_per_epoch: int, batch_size: int | None = None) -> SGD:
        """The optimizer, its schedule counted in steps so that a resumed run goes on with it.

        Args:
            steps_per_epoch: Passes through the network in an epoch.
            batch_size: Clips in an update, where they are fewer than the recipe's.
        """
        return SGD(
            schedule(
                self.schedule,
                self.peak_rate(batch_size or self.batch_size),
                warmup_steps=round(self.warmup_epochs * steps_per_epoch),
                total_steps=self.epochs * steps_per_epoch,
                step_steps=self.step_epochs * steps_per_epoch,
            ),
            l2=self.weight_decay,
            momentum=self.momentum,
            nesterov=self.momentum > 0,
            accumulation=self.accumulation,
            use_ema=self.ema > 0,
            # Keras averages at every step, whether it updates or not.
            ema_momentum=self.ema ** (1 / self.accumulation),
        )

    def loss(self, labels: np.ndarray, classes: int) -> keras.losses.Loss:
        """Cross-entropy of integer labels against probabilities.

        Args:
            labels: Integer array: the label of each training video.
            classes: Number of classes.
        """
        weights = None
        if self.class_weights == "balanced":
            counts = [max(1, int((labels == label).sum())) for label in range(classes)]
            weights = [len(labels) / (classes * count) for count in counts]
        if not self.label_smoothing and weights is None:
            return keras.losses.SparseCategoricalCrossentropy()
        return SparseCrossentropy(classes, self.label_smoothing, weights)


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
            source="paper, section 4.2; weight decay and patience are our choice, as is scaling "
            "the rate with the batch",
            epochs=200,
            batch_size=128,
            learning_rate=0.1,
            reference_batch=128,
            schedule="plateau",
        ),
        Recipe(
            name="modern",
            source="our choice, after what residual video networks are trained with today: cosine "
            "and warm-up (SlowFast, arXiv 1812.03982), label smoothing (arXiv 1512.00567), a "
            "moving average of the weights, clips of 32 frames, half precision",
            epochs=100,
            batch_size=64,
            learning_rate=0.1,
            reference_batch=64,
            schedule="cosine",
            warmup_epochs=5,
            label_smoothing=0.1,
            ema=0.999,
            precision="mixed_bfloat16",
            frames=32,
            multiscale=True,
        ),
        Recipe(
            name="finetune",
            source="Hara et al.'s fine-tuning: the last stage and the classifier, rate 0.001, "
            "weight decay 1e-5; epochs, batch and patience are our choice",
            epochs=30,
            batch_size=8,
            learning_rate=0.001,
            weight_decay=1e-5,
            schedule="plateau",
            patience=5,
            early_stop=10,
            freeze="layer3",
        ),
        Recipe(
            name="classifier",
            source="our choice, for the classifier of InceptionI3D on a few hundred videos: "
            "docs/results.md",
            epochs=30,
            batch_size=8,
            learning_rate=0.01,
            schedule="cosine",
            warmup_epochs=1,
            freeze="Mixed_5c",
            feature_passes=1,
        ),
    )
}
