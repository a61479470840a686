"""Small teachers, students and batches of transfers and distillations, on any backend."""

import keras
import numpy as np

import keras_stc
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


def small_classifier(frames=4, classes=3, size=16, seed=1, synchronized=False):
    """A student of a distillation: pooled, then a dense layer of probabilities."""
    small = small_student(frames, size, seed, synchronized)
    pooled = keras.layers.Identity(name="avg_pool")(small.outputs[0])
    answers = keras.layers.Dense(classes, activation="softmax")(pooled)
    return _video_model(small, answers, "student")


def clip_teacher(frames=8, classes=3, size=16, seed=3):
    """As InceptionI3D ends: several pooled places, classified each, their logits averaged."""
    keras.utils.set_random_seed(seed)
    clips = keras.Input((frames, size, size, 3))
    x = keras.layers.Rescaling(1 / 64, offset=-2)(clips)
    x = keras.layers.Conv3D(6, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.AveragePooling3D((2, 4, 4), name="avg_pool")(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Conv3D(classes, 1)(x)
    answers = keras.layers.GlobalAveragePooling3D()(x)
    return _video_model(keras.Model(clips, x), answers, "teacher")


def _video_model(network, answers, name):
    clips = network.inputs[0]
    config = keras_stc.VideoConfig(clips.shape[1], 1, clips.shape[2])
    return keras_stc.VideoModel(clips, answers, name=name, video_config=config)


def small_distillation(student=None, teacher=None, **options):
    student, teacher = student or small_classifier(), teacher or clip_teacher()
    keras.utils.set_random_seed(2)
    return keras_stc.transfer.Distillation(student, teacher, **options)


def small_transfer(student=None, teacher=None, **options):
    keras.utils.set_random_seed(2)
    return CorrespondenceTransfer(
        student or small_student(),
        teacher or frame_teacher(),
        **{"projection": 16, "hidden": (12, 8), **options},
    )


def distillation_batch(count=4, frames=(4, 8), size=16, seed=0):
    """Random clips for student and teacher, and labels, one of four missing."""
    rng = np.random.default_rng(seed)
    clips = [rng.integers(0, 256, (count, each, size, size, 3), "uint8") for each in frames]
    labels = np.resize(np.array([0, -1, 2, 1], "int32"), count)
    return {"clip": clips[0], "teacher_clip": clips[1], "label": labels}


def batch(videos=(0, 1, 2, 3), frames=4, frame_size=16, size=16, seed=0):
    """Random frames and clips."""
    rng = np.random.default_rng(seed)
    count = len(videos)
    return {
        "frames": rng.integers(0, 256, (count, frames, frame_size, frame_size, 3), "uint8"),
        "clip": rng.integers(0, 256, (count, frames, size, size, 3), "uint8"),
        "video": np.array(videos, "int32"),
    }
