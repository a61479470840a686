"""A small training in a process of its own, on the devices that its arguments name.

    python distributed_worker.py DEVICES VIDEOS OUT RECIPE... [--slow SECONDS]

Trains once for each RECIPE and leaves OUT/RECIPE/, the run folder; `transfer` is a transfer, `fit`
leaves OUT/fit.json.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import sys
import time

import keras
import numpy as np
import transfer_parts

from keras_stc import distribute, layers
from keras_stc.data import VideoFolder, clip_dataset, open_unlabelled
from keras_stc.models import VideoModel
from keras_stc.training import RECIPES, train
from keras_stc.transfer.loop import train_transfer
from keras_stc.transfer.recipe import RECIPES as TRANSFERS
from keras_stc.video_config import VideoConfig

#: Twelve steps.
PLAIN = dataclasses.replace(
    RECIPES["default"],
    epochs=2,
    batch_size=12,
    learning_rate=0.05,
    weight_decay=1e-2,
    flip=False,
)
#: In double precision what differs is the algorithm: in single precision a ReLU that switches
#: makes one step of the last digit a difference that anybody can see.
EXACT = dataclasses.replace(PLAIN, precision="float64")
RECIPES_BY_NAME = {
    "exact": EXACT,
    "rich": dataclasses.replace(
        EXACT,
        accumulation=2,
        ema=0.9,
        label_smoothing=0.1,
        class_weights="balanced",
        schedule="step",
        step_epochs=1,
        freeze="layer1",
    ),
    "single": PLAIN,
    "bfloat16": dataclasses.replace(PLAIN, precision="mixed_bfloat16"),
    "float16": dataclasses.replace(PLAIN, precision="mixed_float16"),
}


@contextlib.contextmanager
def precision(name):
    """Makes models, losses and metrics of this precision inside the block."""
    keras.config.set_floatx("float64" if name == "float64" else "float32")
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def small_model(classes=2):
    """Our layers and a classifier; clips of 4 frames of 16x16 pixels."""
    keras.utils.set_random_seed(0)
    clip = x = keras.Input((4, 16, 16, 3), name="clip")
    # About the mean and the deviation of these videos: synchronised variances are differences of
    # squares, exact to a float's last digits only where the mean is small.
    x = keras.layers.Rescaling(1 / 44, offset=-102 / 44, name="normalization")(x)
    for stage in (1, 2):
        x = keras.layers.Conv3D(8, 3, padding="same", use_bias=False, name=f"layer{stage}_conv")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"layer{stage}_bn")(x)
        x = keras.layers.ReLU(name=f"layer{stage}_relu")(x)
    x = layers.STCBlock(name="layer2_stc")(x)
    x = keras.layers.GlobalAveragePooling3D()(x)
    floatx = keras.config.floatx()
    x = keras.layers.Dense(classes, activation="softmax", dtype=floatx, name="predictions")(x)
    return VideoModel(clip, x, video_config=VideoConfig(4, 2, 16))


def run(videos, out, recipe, **options):
    """Trains the small model; returns its history and weights."""
    sets = [VideoFolder(pathlib.Path(videos) / subset) for subset in ("train", "test")]
    if keras.backend.backend() == "tensorflow":  # which divides three among two devices
        sets[1] = sets[1][:3]
    with precision(recipe.precision):
        with distribute.strategy().scope():
            model = small_model()
        history = train(model, sets[0], recipe, out, sets[1], verbose=0, **options)
    return history, model


def validated(weights, videos):
    """Loss and accuracy that a file of weights has on what `run` validates on, three videos."""
    model, videos = small_model(), VideoFolder(pathlib.Path(videos) / "test")[:3]
    model.load_weights(weights)
    ((clips, labels),) = clip_dataset(videos, video_config=model.video_config, batch_size=3)
    probabilities = model.predict(clips, verbose=0)
    labels = np.asarray(labels)
    loss = -np.log(probabilities[np.arange(3), labels]).mean()
    return float(loss), float((probabilities.argmax(-1) == labels).mean())


def fit_plainly(videos, epochs=2):
    """A compiled model through `distribute.fit` alone, its metric given by name."""
    with precision("float64"):
        return _fit_plainly(videos, epochs)


def _fit_plainly(videos, epochs):
    with distribute.strategy().scope():
        model = small_model()
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    clips = clip_dataset(
        VideoFolder(pathlib.Path(videos) / "train"),
        video_config=model.video_config,
        batch_size=4,
        share=distribute.share(model),
    )
    rows = []
    log = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: rows.append(logs))
    with distribute.synchronized(model):
        distribute.fit(model, clips, clips, epochs=epochs, callbacks=[log], verbose=0)
    return [{name: float(value) for name, value in row.items()} for row in rows]


def transfer(videos, out, **options):
    """Trains a small student; returns its history."""
    sets = [open_unlabelled(pathlib.Path(videos) / subset) for subset in ("train", "test")]
    recipe = TRANSFERS["default"].replace(
        epochs=2, batch_size=8, learning_rate=0.05, precision="float64"
    )
    with precision("float64"):
        with distribute.strategy().scope():
            small = transfer_parts.small_student()
            config = VideoConfig(4, 2, 16)
            student = VideoModel(small.inputs[0], small.outputs[0], video_config=config)
            model = transfer_parts.small_transfer(student)
        return train_transfer(
            model, sets[0], recipe, out, sets[1], frame_size=16, verbose=0, **options
        )


def slow_down(seconds, out):
    """Makes every step take that long, and leaves a line in OUT/steps.log for each."""
    out.mkdir(parents=True, exist_ok=True)
    original = keras.callbacks.CallbackList.on_train_batch_begin

    def begin(self, batch, logs=None):
        time.sleep(seconds)
        with (out / "steps.log").open("a") as file:
            file.write(f"{batch}\n")
        original(self, batch, logs)

    keras.callbacks.CallbackList.on_train_batch_begin = begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("devices", type=int)
    parser.add_argument("videos", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--slow", type=float, default=0.0, help="seconds a step takes at least")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--save-steps", type=int)
    arguments = parser.parse_args()
    if arguments.devices > 1 and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * arguments.devices
        tf.config.set_logical_device_configuration(cpu, parts)
    if arguments.slow:
        slow_down(arguments.slow, arguments.out)
    for name in arguments.recipes:
        if name == "fit":
            logs = fit_plainly(arguments.videos)
            (arguments.out / "fit.json").write_text(json.dumps(logs))
            continue
        if name == "transfer":
            transfer(arguments.videos, arguments.out / name, save_steps=arguments.save_steps)
            continue
        recipe = RECIPES_BY_NAME[name].replace(epochs=arguments.epochs)
        out = arguments.out / name
        history, model = run(arguments.videos, out, recipe, save_steps=arguments.save_steps)
        if distribute.is_chief():
            assert distribute.devices(model) == max(arguments.devices, distribute.share(model)[1])
            (arguments.out / f"{name}.json").write_text(json.dumps(history))


if __name__ == "__main__":
    # As the command line: one sentence, and nothing of the error left when Python ends.
    MESSAGE = None
    try:
        main()
    except Exception as error:
        from keras_stc.cli.main import sentence

        MESSAGE = f"keras-stc: error: {sentence(error)}"
    sys.exit(MESSAGE)
