"""`CorrespondenceTransfer`: a 3D network learns from a 2D one which frames go with which clip."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_stc.transfer.pairs import checked, negative_partners
from keras_stc.transfer.teacher import FrameTeacher, Taught


@keras.saving.register_keras_serializable("keras_stc")
class CorrespondenceTransfer(Taught):
    """Transfers what a 2D network knows to a 3D network, without labels (paper, section 3.2).

    The teacher's features of a clip's frames and the student's of the clip go through a dense layer
    each, are concatenated and classified: of the same video at the same time, or of two videos.
    Student and heads learn from the binary cross-entropy; the teacher does not.

    Features are paired after both networks: a batch of B clips costs B passes of each and gives B
    positive and B negative pairs, half of what pairs of inputs cost. Negative pairs are made within
    the batch, of two different videos (see `keras_stc.transfer.pairs`); under a `tf.distribute`
    strategy within the part of a replica, which for even parts are the pairs that one device makes
    of the whole batch.

    `fit`, `evaluate` and `predict` are Keras' own on every backend, with what belongs to them:
    mixed precision, `gradient_accumulation_steps` of the optimizer, strategies, callbacks.
    `save_weights` leaves the teacher's weights out; `save` writes them along, once.

    Example:

    ```python
    teacher = keras_stc.transfer.FrameTeacher(
        keras.applications.ResNet50(include_top=False, pooling="avg")
    )
    student = keras_stc.STCResNet18(include_top=False, pooling="avg")
    transfer = keras_stc.transfer.CorrespondenceTransfer(student, teacher)
    transfer.compile(keras_stc.training.SGD(0.01, momentum=0.9, nesterov=True))
    transfer.fit(keras_stc.transfer.pair_dataset(videos), epochs=10)
    transfer.student.save("student.keras")
    ```

    Args:
        student: A functional Keras model from clips `(B, T, H, W, 3)` to features, `(B, D)` or
            `(B, T', H', W', D)`; a feature map is averaged.
        teacher: A `FrameTeacher`.
        projection: Units of the dense layer after each network (paper: 1024).
        hidden: Units of the dense layers on the concatenation (paper: 512, 128).
        name: Name of the model.

    Call arguments:
        inputs: A dictionary with `"frames"`, `(B, T, H, W, 3)`, and `"clip"`, `(B, T', H', W', 3)`,
            both RGB 0-255, and `"video"`, integers `(B,)` that say of which video a clip is. Where
            there is `"frame_features"`, `(B, D)`, in the place of `"frames"`, the teacher is not
            asked.
        training: Whether the student is training.

    Returns:
        Logits `(2 B, 1)`: of the B positive pairs, then of the B negative ones.

    Raises:
        ValueError: If an argument is of the wrong kind, or a batch holds clips of one video only.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: FrameTeacher,
        projection: int = 1024,
        hidden: Sequence[int] = (512, 128),
        name: str = "correspondence_transfer",
        **kwargs: Any,
    ) -> None:
        # Frames keep their values: rounding 0-255 to half precision is the networks' affair.
        super().__init__(name=name, autocast=False, **kwargs)
        _check_student(student)
        if not isinstance(teacher, FrameTeacher):
            raise ValueError(
                "`teacher` must be a keras_stc.transfer.FrameTeacher, as in "
                f"FrameTeacher(keras.applications.ResNet50(...)). Received: {teacher!r}"
            )
        self.student = student
        self.teacher = teacher
        self.projection = _units("projection", (projection,))[0]
        self.hidden = _units("hidden", hidden)
        dense = functools.partial(keras.layers.Dense, dtype=self.dtype_policy)
        self.frame_projection = dense(projection, "relu", name="frame_projection")
        self.clip_projection = dense(projection, "relu", name="clip_projection")
        # The logit keeps full precision under mixed precision.
        full = keras.config.floatx()
        layers = [dense(n, "relu", name=f"hidden{i}") for i, n in enumerate(self.hidden, 1)]
        self.classifier = keras.Sequential(
            [*layers, dense(1, dtype=full, name="match")], name="classifier"
        )
        self.frame_projection.build((None, teacher.features))
        self.clip_projection.build((None, student.output_shape[-1]))
        self.classifier.build((None, 2 * projection))
        self.built = True

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, metrics: Any = None, **kwargs: Any
    ) -> None:
        """As `keras.Model.compile`; the loss and the metrics see logits of pairs.

        Args:
            optimizer: As `keras.Model.compile`.
            loss: Defaults to the binary cross-entropy.
            metrics: Defaults to `pair_accuracy` and `auc`.
            **kwargs: As `keras.Model.compile`.
        """
        if loss is None:
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
        if metrics is None:
            metrics = [pair_accuracy, keras.metrics.AUC(name="auc", from_logits=True)]
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        video = checked(inputs["video"])
        if "frame_features" in inputs:
            features = inputs["frame_features"]
        else:
            features = self.teacher(inputs["frames"])
        frames = self.frame_projection(features)
        clips = self.student(inputs["clip"], training=training)
        if len(clips.shape) == 5:
            clips = ops.mean(clips, axis=(1, 2, 3))
        clips = self.clip_projection(clips)
        others = ops.take(clips, negative_partners(video), axis=0)
        positive = ops.concatenate([frames, clips], axis=-1)
        negative = ops.concatenate([frames, others], axis=-1)
        return self.classifier(ops.concatenate([positive, negative], axis=0))

    def _example_outputs(self):
        return ops.zeros((2, 1))

    def _compared(self, logits):
        """Ones are to be the first half, zeros the second."""
        half = ops.ones_like(logits[: ops.shape(logits)[0] // 2])
        return ops.concatenate([half, ops.zeros_like(half)], axis=0), logits

    def _weighted(self, sample_weight):
        return ops.concatenate([sample_weight, sample_weight], axis=0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "projection": self.projection, "hidden": self.hidden}


@keras.saving.register_keras_serializable("keras_stc")
def pair_accuracy(labels, logits):
    """1 where the logit is on the side of its label; `BinaryAccuracy` takes no threshold of 0."""
    return ops.equal(ops.cast(labels, "bool"), logits > 0)


def _units(name, counts):
    """A tuple of positive integers."""
    try:
        checked = tuple(map(operator.index, counts))
    except TypeError:
        checked = (0,)
    if min(checked, default=1) < 1:
        raise ValueError(f"`{name}` must be positive integers. Received: {name}={counts!r}")
    return checked


def _check_student(student):
    shape = getattr(student, "output_shape", None)
    clips = isinstance(student, keras.Model) and len(getattr(student, "input_shape", ())) == 5
    if not clips or not isinstance(shape, tuple):
        raise ValueError(
            "`student` must be a functional Keras model of clips (B, T, H, W, 3) with one output. "
            f"Received: {student!r}"
        )
    if len(shape) not in (2, 5) or (getattr(student, "architecture", None) or {}).get(
        "include_top"
    ):
        raise ValueError(
            "`student` must end in features (B, D) or (B, T, H, W, D): build it with "
            f"include_top=False, pooling='avg'. Received: {student.name!r} with outputs {shape}"
        )
