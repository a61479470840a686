"""Teachers by name: networks of `keras.applications` with ImageNet weights."""

import os
import pathlib
import textwrap

import keras

from keras_stc.checks import one_of
from keras_stc.distribute import strategy
from keras_stc.transfer.teacher import FrameTeacher

#: Name of a teacher -> its constructor in `keras.applications` (paper: a ResNet).
TEACHERS = {
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "resnet152": "ResNet152",
    "resnet50v2": "ResNet50V2",
    "densenet121": "DenseNet121",
    "mobilenetv2": "MobileNetV2",
    "efficientnetb0": "EfficientNetB0",
}


def is_frame_teacher(name: str | os.PathLike[str]) -> bool:
    """Whether this is one of `TEACHERS`, and no file or folder."""
    return name in TEACHERS and not pathlib.Path(name).exists()


def create_teacher(
    name: str = "resnet50", weights: str | os.PathLike[str] = "imagenet", chunk: int = 64
) -> FrameTeacher:
    """A `FrameTeacher` by its name, in the scope of the machine's strategy.

    Example:

    ```python
    teacher = create_teacher("resnet50", weights="resnet50.weights.h5")
    ```

    Args:
        name: One of `TEACHERS`.
        weights: `"imagenet"`, which Keras downloads once; the path of a `.weights.h5` file, with
            the classifier or without, or of an `.h5` file of `keras.applications` without it; or
            `"random"`, which knows nothing and is good as a control.
        chunk: As `FrameTeacher`.

    Raises:
        ValueError: If there is no such teacher, or its weights cannot be had.
    """
    one_of(TEACHERS, teacher=name)
    if weights not in ("imagenet", "random") and not os.path.isfile(weights):
        raise ValueError(
            f"The teacher's weights {weights} do not exist: give a .weights.h5 file of "
            f"keras.applications.{TEACHERS[name]}, imagenet, or random."
        )
    if TEACHERS[name].startswith("EfficientNetB") and os.path.isfile(weights):
        raise ValueError(
            f"keras.applications.{TEACHERS[name]} scales pixels otherwise with weights of a file "
            f"than with imagenet: give imagenet. Received: {weights}"
        )
    constructor = getattr(keras.applications, TEACHERS[name])
    with strategy().scope():
        try:
            model = constructor(
                include_top=False, pooling="avg", weights=None if weights == "random" else weights
            )
        except Exception as error:  # Of downloads, of HDF5, of Keras: many types.
            reason = textwrap.shorten(" ".join(str(error).split()), 200, placeholder=" …")
            raise ValueError(
                f"The teacher's weights {weights} cannot be loaded into {TEACHERS[name]} "
                f"({reason}): give the path of a file with --teacher-weights."
            ) from error
        return FrameTeacher(model, chunk=chunk)
