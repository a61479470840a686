"""A student of the zoo and its teacher, ready to train on all devices."""

import keras

from keras_stc.distribute import strategy
from keras_stc.models import create_model
from keras_stc.transfer.model import CorrespondenceTransfer
from keras_stc.transfer.teacher import FrameTeacher


def create_transfer(student, teacher, input_shape=None, stride=2, seed=0, **arguments):
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
