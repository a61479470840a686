"""What several tests do: a small training on real encoded videos, a command line, answers."""

import dataclasses
import pathlib

import h5py
import keras
import numpy as np

from keras_stc.cli import main
from keras_stc.data import VideoFolder, open_source
from keras_stc.demo.motion import write_motion_videos
from keras_stc.models import create_model
from keras_stc.training import RECIPES, train

CLASSES = ("move_left", "move_right")
RECIPE = dataclasses.replace(RECIPES["default"], epochs=3, flip=False)
CLIP = (4, 32, 32, 3)


@dataclasses.dataclass(frozen=True)
class SmallRun:
    """A finished training and what it was made of."""

    folder: pathlib.Path
    videos: pathlib.Path
    history: list


def write_videos(folder):
    """`folder/train` and `folder/test` with two motions: six and two videos of each."""
    for seed, (subset, count) in enumerate((("train", 6), ("test", 2))):
        write_motion_videos(folder / subset, count, frames=24, size=48, seed=seed, classes=CLASSES)
    return folder


def train_small(videos, out, recipe=RECIPE, seed=0):
    """Trains an STC-ResNet18 of a quarter of the width, as the command line would: its history."""
    keras.utils.set_random_seed(seed)
    model = create_model("stc_resnet18", classes=len(CLASSES), input_shape=CLIP, alpha=0.25)
    folders = [VideoFolder(videos / subset) for subset in ("train", "test")]
    return train(model, folders[0], recipe, out, folders[1], seed, verbose=0)


def answers(model, clips):
    """What a model says of a few clips, an array, as `predict` of Keras.

    Without tracing a graph, which takes several times as long where few clips are small.
    """
    if keras.backend.backend() == "jax":  # It would compile every operation by itself.
        return model.predict(clips, verbose=0)
    return keras.ops.convert_to_numpy(model(clips, training=False))


def write_keras_2(model, path):
    """A file of weights in Keras 2's format, as `keras.applications` hands them out."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, layer.get_weights(), strict=True):
                group[name] = value


def run(capsys, *line):
    """Exit status, standard output and standard error of a command line."""
    status = main([str(word) for word in line])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def splits(data):
    """What is typed for each of the data's splits."""
    return tuple(split.name for split in open_source(data).splits)


def softmax(logits):
    """Over the last axis, by NumPy."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
