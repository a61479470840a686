"""`Distillation`: a video network learns from a frozen one, `ClipTeacher`, or a 2D one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_stc.checks import at_least, require
from keras_stc.models.classifier import ends_in_softmax
from keras_stc.transfer.dataset import config_of_frames
from keras_stc.transfer.distillation_losses import (
    CosineDistance,
    LabelAccuracy,
    LabelEntropy,
    SoftenedDivergence,
    agreement,
)
from keras_stc.transfer.teacher import FrameTeacher, Taught, Teacher

if TYPE_CHECKING:
    from keras_stc.video_config import VideoConfig

#: The smallest probability whose logarithm is taken.
LEAST = 1e-37


@keras.saving.register_keras_serializable("keras_stc")
class ClipTeacher(Teacher):
    """A video network, frozen for good: what it says of a clip, and its pooled features.

    As `FrameTeacher`, it is no Keras layer: its weights are neither among those of a model that
    uses it nor in a file that `save_weights` writes.

    Example:

    ```python
    teacher = keras_stc.transfer.ClipTeacher(keras_stc.InceptionI3D(weights="kinetics400"))
    answers, features = teacher(clips)     # (B, 64, 224, 224, 3) -> (B, 400), (B, 1024)
    ```

    Args:
        model: A `keras_stc.VideoModel` with its classifier, which ends in softmax or in logits.

    Attributes:
        classes: Number of classes.
        features: Number of pooled features.

    Raises:
        ValueError: If the model has no classifier, or its features are not pooled.
    """

    def __init__(self, model: keras.Model) -> None:
        self.outputs = answering(model, "teacher")
        super().__init__(model)
        self.video_config = model.video_config
        self.classes, self.features = (shape[-1] for shape in self.outputs.output_shape)

    def __call__(self, clips: Any) -> tuple[Any, Any]:
        """Answers and features of clips.

        Args:
            clips: `(B, T, H, W, 3)`, RGB 0-255, as `video_config` says.

        Returns:
            float32 `(B, classes)`, logarithms of probabilities, and float32 `(B, features)`.
        """
        answers, features = self.outputs(ops.cast(clips, "float32"), training=False)
        return ops.stop_gradient(answers), ops.stop_gradient(features)

    def said(self, clips: Any) -> dict[str, Any]:
        """What calling it returns, by the names of a distillation's losses."""
        answers, features = self(clips)
        return {"answers": answers, "features": features}

    def get_config(self) -> dict[str, Any]:
        return {"model": keras.saving.serialize_keras_object(self.model)}


@keras.saving.register_keras_serializable("keras_stc")
class Distillation(Taught):
    """Distils what a video network knows into another one (Hinton et al. 2015, arXiv 1503.02531).

    The student learns from up to three things, whose losses are weighed and added:

    - the teacher's probabilities, softened: T² times the Kullback-Leibler divergence of both
      softmaxes at temperature T, with weight `1 - label_weight`;
    - the true label: cross-entropy, nothing where there is none, with weight `label_weight`;
    - the teacher's pooled features: one minus the cosine between them and a linear projection of
      the student's own, with weight `feature_weight`.

    A 2D network, `FrameTeacher`, says no classes of actions: its features alone teach, and where
    labels do not count either, the student needs no classifier.

    Teacher and student see the same clip, each at its own frames, stride and size: see
    `distillation_dataset`. Where a batch brings what the teacher said of its clips, the teacher is
    not asked again.

    `fit`, `evaluate` and `predict` are Keras' own on every backend, with what belongs to them:
    mixed precision, strategies, callbacks. `save_weights` leaves the teacher's weights out; `save`
    writes them along, once.

    Example:

    ```python
    teacher = keras_stc.InceptionI3D(weights="kinetics400")
    student = keras_stc.STCResNet18(classes=400, input_shape=(16, 112, 112, 3))
    distillation = keras_stc.transfer.Distillation(student, teacher)
    distillation.compile(keras_stc.training.SGD(0.01, momentum=0.9, nesterov=True))
    clips = keras_stc.transfer.distillation_dataset(
        videos, student.video_config, teacher.video_config
    )
    distillation.fit(clips, epochs=10)
    student.save("student.keras")
    ```

    Args:
        student: A `keras_stc.VideoModel` with its classifier; of a `FrameTeacher` without labels,
            one to pooled features, as with `include_top=False, pooling="avg"`.
        teacher: A `ClipTeacher`, or the `keras_stc.VideoModel` to make one of; or a `FrameTeacher`.
            A `ClipTeacher` has the student's classes, unless `label_weight` is 1: then it teaches
            by its features alone.
        temperature: T, at least 1.
        label_weight: From 0 to 1.
        feature_weight: At least 0.
        name: Name of the model.

    Call arguments:
        inputs: A dictionary with `"clip"`, the student's, `(B, T, H, W, 3)`, RGB 0-255, and with
            `"teacher_clip"`, the teacher's, or `"answers"` and `"features"`, what it said of it;
            and with `"label"`, integers `(B,)`, -1 where there is none, if labels count.
        training: Whether the student is training.

    Returns:
        A dictionary of `"answers"`, the student's, `(B, classes)`, logarithms of probabilities,
        unless it has no classifier, and where it counts `"features"`, `(B, D)`, projected; and of
        what they are to be under `"teacher_answers"`, `"teacher_features"` and `"label"`.

    Raises:
        ValueError: If an argument is out of range, or student and teacher have other classes.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: ClipTeacher | keras.Model,
        temperature: float = 2.0,
        label_weight: float = 0.0,
        feature_weight: float = 0.0,
        name: str = "distillation",
        **kwargs: Any,
    ) -> None:
        # Clips keep their values: rounding 0-255 to half precision is the networks' affair.
        super().__init__(name=name, autocast=False, **kwargs)
        if not isinstance(teacher, Teacher):
            teacher = ClipTeacher(teacher)
        at_least(1, temperature=temperature)
        require(lambda value: 0 <= value <= 1, "from 0 to 1", label_weight=label_weight)
        at_least(0, feature_weight=feature_weight)
        if isinstance(teacher, FrameTeacher) and not label_weight:
            outputs = {"features": _pooled(student)}
        else:
            answering_student = answering(student, "student")
            outputs = dict(zip(("answers", "features"), answering_student.outputs, strict=True))
        widths = {name: output.shape[-1] for name, output in outputs.items()}
        if label_weight < 1 and teacher.classes and widths["answers"] != teacher.classes:
            raise ValueError(
                f"`student` must have the teacher's {teacher.classes} classes, unless it learns "
                "from labels and the teacher's features alone, with label_weight=1. "
                f"Received: a student of {widths['answers']} classes"
            )
        if not feature_weight and (label_weight == 1 or not teacher.classes):
            raise ValueError(
                "`feature_weight` must be positive where label_weight is 1 or the teacher a 2D "
                f"network, or it has nothing to say. Received: feature_weight={feature_weight!r}"
            )
        self.student, self.teacher = student, teacher
        self.temperature, self.label_weight = float(temperature), float(label_weight)
        self.feature_weight = float(feature_weight)
        # Not an attribute that Keras tracks: its layers are the student's.
        self._student_outputs = keras.Model(student.inputs[0], outputs).__call__
        self.projection = None
        if feature_weight:
            self.projection = keras.layers.Dense(
                teacher.features, dtype="float32", name="projection"
            )
            self.projection.build((None, widths["features"]))
        self.built = True

    @property
    def weights_of_losses(self) -> dict[str, float]:
        """`{name: weight}` of the losses that count."""
        weights = {
            "answers": 1 - self.label_weight if self.teacher.classes else 0.0,
            "label": self.label_weight,
            "features": self.feature_weight,
        }
        return {name: weight for name, weight in weights.items() if weight}

    def config_of_teacher(self, frame_size: int) -> VideoConfig:
        """The `VideoConfig` of the teacher's clips.

        Args:
            frame_size: Shorter side of the crop in pixels, of a `FrameTeacher`, which sees the
                frames of the student's clips.
        """
        if isinstance(self.teacher, FrameTeacher):
            self.teacher.check_frame_size(frame_size)
            return config_of_frames(self.student.video_config, frame_size)
        return self.teacher.video_config

    def compile(self, optimizer: Any = "rmsprop", **kwargs: Any) -> None:
        """As `keras.Model.compile`, with the losses and metrics of a distillation.

        Metrics are `answers_agreement`, how often student and teacher name the same class, and
        `label_accuracy`, of the clips that have a label.

        Args:
            optimizer: As `keras.Model.compile`.
            **kwargs: As `keras.Model.compile`, without `loss`, `loss_weights` and `metrics`.
        """
        for name in ("loss", "loss_weights", "metrics"):
            if kwargs.pop(name, None) is not None:
                raise ValueError(
                    f"`{name}` is the distillation's own: leave it out, and weigh the losses by "
                    "`label_weight` and `feature_weight`."
                )
        weights = self.weights_of_losses
        losses = {
            "answers": SoftenedDivergence(self.temperature),
            "label": LabelEntropy(),
            "features": CosineDistance(),
        }
        metrics = {
            "answers": [keras.metrics.MeanMetricWrapper(agreement, name="agreement")],
            "label": [LabelAccuracy(name="accuracy")],
            "features": [],
        }
        super().compile(
            optimizer=optimizer,
            loss={name: losses[name] for name in weights},
            loss_weights=weights,
            metrics={name: metrics[name] for name in weights},
            **kwargs,
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        weights = self.weights_of_losses
        outputs = dict(self._student_outputs(inputs["clip"], training=training))
        features = outputs.pop("features")
        if self.projection is not None:
            outputs["features"] = self.projection(features)
        said = self.teacher.said(inputs["teacher_clip"]) if "teacher_clip" in inputs else inputs
        for name in ("answers", "features"):
            if name in weights:
                outputs[f"teacher_{name}"] = ops.cast(said[name], "float32")
        if "label" in weights:
            outputs["label"] = inputs["label"]
        return outputs

    def _example_outputs(self):
        answers = ops.zeros((1, self.student.output_shape[-1]))
        features = ops.zeros((1, self.teacher.features))
        return {
            "answers": answers,
            "features": features,
            "teacher_answers": answers,
            "teacher_features": features,
            "label": ops.zeros((1,), "int32"),
        }

    def _compared(self, outputs):
        """What the losses compare: two dictionaries of the names of losses."""
        wanted, got = {}, {}
        for name in self.weights_of_losses:
            wanted[name] = outputs["label" if name == "label" else f"teacher_{name}"]
            got[name] = outputs["answers" if name == "label" else name]
        return wanted, got

    def _weighted(self, sample_weight):
        return dict.fromkeys(self.weights_of_losses, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "label_weight": self.label_weight,
            "feature_weight": self.feature_weight,
        }

    def get_compile_config(self) -> dict[str, Any]:
        return {"optimizer": keras.saving.serialize_keras_object(self.optimizer)}


def answering(model, role):
    """A network of the same layers with two outputs, both float32.

    Args:
        model: A functional Keras model of clips with a classifier.
        role: What errors call it.

    Returns:
        A `keras.Model` of `(B, classes)`, logarithms of probabilities, and `(B, D)`, what the
        layer `avg_pool` puts out, averaged over its positions; of networks without one, what the
        layer before `predictions` and its dropout puts out.
    """
    shape = getattr(model, "output_shape", None)
    end = _features_end(getattr(model, "layers", ()))
    if end is None or not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            f"`{role}` must be a network of the zoo with its classifier, such as "
            f"STCResNet18(classes=400). Received: {getattr(model, 'name', model)!r}"
        )
    answers = ops.cast(model.output, "float32")
    if ends_in_softmax(model):
        answers = ops.log(ops.maximum(answers, LEAST))
    else:
        answers = ops.log_softmax(answers, axis=-1)
    features = ops.cast(end.output, "float32")
    if len(features.shape) > 2:  # of positions, or of a segment network's frames
        features = ops.mean(features, axis=tuple(range(1, len(features.shape) - 1)))
    return keras.Model(model.input, [answers, features], name=f"{model.name}_answers")


def _pooled(student):
    """What a student of a 2D network alone puts out, float32."""
    shape = getattr(student, "output_shape", None)
    named = _features_end(getattr(student, "layers", ())) is not None
    if not isinstance(shape, tuple) or len(shape) != 2 or named:
        raise ValueError(
            "`student` must end in pooled features where it learns from those of a 2D network "
            "alone: build it with include_top=False, pooling='avg', or let labels count, with "
            f"label_weight. Received: {getattr(student, 'name', student)!r}"
        )
    return ops.cast(student.outputs[0], "float32")


def _features_end(layers):
    """The layer that puts out what the classifier takes, or `None`."""
    names = [layer.name for layer in layers]
    if "avg_pool" in names[:-1]:
        return layers[names.index("avg_pool")]
    if "predictions" not in names:
        return None
    before = layers[: names.index("predictions")]
    return next(layer for layer in reversed(before) if not isinstance(layer, keras.layers.Dropout))
