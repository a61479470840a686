"""A student of the zoo and its teacher, ready to train on all devices."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_stc.checks import wrong
from keras_stc.distribute import strategy
from keras_stc.models import create_model
from keras_stc.models.load import named_model
from keras_stc.training.precision import precision as policy
from keras_stc.transfer.distillation import ClipTeacher, Distillation
from keras_stc.transfer.model import CorrespondenceTransfer
from keras_stc.transfer.teacher import FrameTeacher
from keras_stc.transfer.teachers import TEACHERS, create_teacher, is_frame_teacher


def create_transfer(
    student: str,
    teacher: FrameTeacher | Callable[[], FrameTeacher],
    input_shape: Sequence[int | None] | None = None,
    stride: int = 2,
    seed: int = 0,
    **arguments: Any,
) -> CorrespondenceTransfer:
    """A `CorrespondenceTransfer` of a network of the zoo, in the scope of the machine's strategy.

    Example:

    ```python
    teacher = create_teacher("resnet50")
    transfer = create_transfer("stc_resnet18", teacher, (16, 112, 112, 3))
    ```

    Args:
        student: Name of the network, as for `keras_stc.create_model`.
        teacher: A `FrameTeacher`, of `create_teacher` where there are several devices; or what
            makes one, called when the student is there.
        input_shape: `(T, H, W, 3)` of the student's clips, where `video_config` does not say.
        stride: Distance between two frames of a clip, where `video_config` does not say.
        seed: Of the random weights.
        **arguments: Further arguments of `keras_stc.create_model`.
    """
    arguments.setdefault("video_config", {"stride": stride})
    keras.utils.set_random_seed(seed)
    with strategy().scope():
        model = create_model(
            student, include_top=False, pooling="avg", input_shape=input_shape, **arguments
        )
        if not isinstance(teacher, FrameTeacher):
            teacher = teacher()
        return CorrespondenceTransfer(model, teacher)


def create_distillation(
    student: str,
    teacher: str | os.PathLike[str] = "inception_i3d",
    *,
    teacher_clip: Mapping[str, Any] | None = None,
    temperature: float = 2.0,
    label_weight: float = 0.0,
    feature_weight: float = 0.0,
    class_names: Sequence[str] | None = None,
    teacher_weights: str | os.PathLike[str] = "imagenet",
    seed: int = 0,
    precision: str = "float32",
    **arguments: Any,
) -> Distillation:
    """A `Distillation` of a network of the zoo, in the scope of the machine's strategy.

    The student gets the teacher's classes and their names, or classes of its own where it learns
    them from labels and takes the teacher's features alone. Without labels, the student of a 2D
    network ends in pooled features.

    Example:

    ```python
    distillation = create_distillation("stc_resnet18", alpha=0.5, video_config={"frames": 8})
    ```

    Args:
        student: Name of the network, as for `keras_stc.create_model`.
        teacher: A run folder, a `.keras` file or `"hf://owner/repo"`; the name of a network of
            the zoo of which there are weights with names of classes; or a name that
            `create_teacher` knows, such as `"resnet50"`, for a 2D network.
        teacher_clip: Fields of the teacher's `VideoConfig`, such as `{"frames": 16}`, where it is
            of the zoo and is to see other clips than its weights were trained on.
        class_names: The student's own classes, with a `label_weight` of 1, or of more than 0
            where the teacher is a 2D network.
        teacher_weights: As `create_teacher`, of a 2D network.
        seed: Of the random weights.
        precision: Policy of the student and the teacher, such as `"mixed_bfloat16"`.
        **arguments: Further arguments of `keras_stc.create_model`, of the student.

    The other arguments are those of `Distillation`.

    Raises:
        ValueError: If an argument is out of range.
        RunError: If there is no such teacher.
    """
    keras.utils.set_random_seed(seed)
    with policy(precision), strategy().scope():
        taught_by, names = None, class_names
        if is_frame_teacher(teacher):
            head = {"include_top": False, "pooling": "avg"}
            if not label_weight:
                names = None
            elif names is None:
                raise wrong("names of the student's classes where labels count", class_names=names)
            else:
                head = {"classes": len(names)}
        else:
            taught_by = ClipTeacher(named_model(teacher, video_config=teacher_clip, also=TEACHERS))
            head = {"classes": taught_by.classes if names is None else len(names)}
            if names is None:
                names = taught_by.video_config.class_names
        model = create_model(student, **head, **arguments)
        if taught_by is None:
            taught_by = create_teacher(teacher, teacher_weights)
        model.video_config = model.video_config.replace(class_names=names)
        return Distillation(model, taught_by, temperature, label_weight, feature_weight)
