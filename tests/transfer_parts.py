"""Small teachers, students and batches for the tests of knowledge transfer, on any backend."""

import keras
import numpy as np

from keras_stc.transfer import CorrespondenceTransfer, FrameTeacher


def image_model(size=16, seed=0, features=6):
    """A 2D network with everything that must not move: batch normalisation, dropout, a block."""
    keras.utils.set_random_seed(seed)
    inner = keras.Sequential(
        [
            keras.Input((size // 2, size // 2, 4)),
            keras.layers.Conv2D(features, 3),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ],
        name="inner",
    )
    images = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(images)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.5)(x)
    x = inner(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, x, name="small2d")


def frame_teacher(**options):
    options = {"preprocess": "resnet", **options}
    return FrameTeacher(image_model(), **options)


def small_student(frames=4, size=16, seed=1, synchronized=False):
    keras.utils.set_random_seed(seed)
    # Only TensorFlow has it, and elsewhere the argument is not even accepted as False.
    synced = {"synchronized": True} if synchronized else {}
    return keras.Sequential(
        [
            keras.Input((frames, size, size, 3)),
            keras.layers.Rescaling(1 / 64, offset=-2),
            keras.layers.Conv3D(4, 3, strides=2, padding="same", use_bias=False),
            keras.layers.BatchNormalization(**synced),
            keras.layers.ReLU(),
            keras.layers.Conv3D(8, 3, padding="same"),
            keras.layers.GlobalAveragePooling3D(),
        ],
        name="student",
    )


def small_transfer(student=None, teacher=None, **options):
    keras.utils.set_random_seed(2)
    return CorrespondenceTransfer(
        student or small_student(),
        teacher or frame_teacher(),
        **{"projection": 16, "hidden": (12, 8), **options},
    )


def batch(videos=(0, 1, 2, 3), frames=4, frame_size=16, size=16, seed=0):
    """Random frames and clips."""
    rng = np.random.default_rng(seed)
    count = len(videos)
    return {
        "frames": rng.integers(0, 256, (count, frames, frame_size, frame_size, 3), "uint8"),
        "clip": rng.integers(0, 256, (count, frames, size, size, 3), "uint8"),
        "video": np.array(videos, "int32"),
    }
