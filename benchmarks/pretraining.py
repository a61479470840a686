"""Pretrained weights against random ones on a few hundred labelled videos.

    python benchmarks/pretraining.py fights.csv --out runs/pretraining \
        --imagenet resnet50.weights.h5

STC-ResNet50 from inflated ImageNet weights and RGB-I3D from Kinetics-400, each against the same
network from random weights, with the same clips, epochs and seeds: video accuracy on the held-out
videos, accuracy by epoch, and after how many steps it passes the best that random weights reach.
From ImageNet weights the last stage and the classifier learn, at a tenth of the recipe's rate, as
Hara et al. (CVPR 2018) fine-tune; from Kinetics weights the classifier alone, as I3D's batch
normalisation (momentum 0.999) cannot follow in so few steps; from random ones everything. About an
hour on two cores; run again, it goes on where it was.

`--imagenet` takes what `STCResNet50(weights=...)` takes: the tag, or a file of
`keras.applications.ResNet50`.
"""

import argparse
import itertools
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_stc  # noqa: E402
from keras_stc.ablation.plot import saved_axes  # noqa: E402
from keras_stc.data import open_data  # noqa: E402
from keras_stc.training import RECIPES, train  # noqa: E402

#: name -> (network, pretrained weights, frames, stride, size, epochs, layers that learn, rate)
CASES = {
    "STC-ResNet50, random": ("stc_resnet50", None, 8, 4, 96, 4, "", 0.01),
    "STC-ResNet50, ImageNet": ("stc_resnet50", "imagenet", 8, 4, 96, 4, "layer4", 0.001),
    "I3D, random": ("inception_i3d", None, 16, 2, 128, 3, "", 0.01),
    "I3D, Kinetics-400": ("inception_i3d", "kinetics400", 16, 2, 128, 3, "predictions", 0.01),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="DATA with a training and a test part")
    parser.add_argument("--out", default="runs/pretraining")
    parser.add_argument("--imagenet", default="imagenet")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plot", help="write the curves there (.svg or .png; needs matplotlib)")
    args = parser.parse_args()
    runs = {}
    # The quick ones, with pretrained weights, first.
    for name, seed in sorted(itertools.product(CASES, range(args.seeds)), key=pretrained_first):
        runs[name, seed] = run(name, seed, args)
        print(json.dumps({"case": name, "seed": seed, **runs[name, seed]}), flush=True)
    show(runs, args.seeds)
    if args.plot:
        plot(runs, args.plot)


def pretrained_first(item):
    name, seed = item
    return CASES[name][1] is None, seed


def run(name, seed, args):
    """One training; its result is kept, so that it is not run twice."""
    folder = pathlib.Path(args.out) / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    result = folder / "result.json"
    if result.exists():
        return json.loads(result.read_text())
    arch, weights, frames, stride, size, epochs, learning, rate = CASES[name]
    weights = args.imagenet if weights == "imagenet" else weights
    videos = open_data(args.data, "train")
    test = open_data(args.data, "test", class_names=videos.class_names)
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = keras_stc.create_model(
        arch,
        weights=weights,
        classes=len(videos.class_names),
        input_shape=(frames, size, size, 3),
    )
    model.video_config = model.video_config.replace(stride=stride)
    for layer in model.layers:
        layer.trainable = layer.name.startswith((learning, "predictions"))
    recipe = RECIPES["default"].replace(epochs=epochs, learning_rate=rate)
    start = time.perf_counter()
    history = train(model, videos, recipe, folder, test, seed, verbose=2, save_every=epochs)
    minutes = (time.perf_counter() - start) / 60
    evaluation = keras_stc.evaluate_videos(model, test)
    row = {
        "video_accuracy": evaluation.video1,
        "clip_accuracy": evaluation.clip1,
        "validation": [epoch["val_accuracy"] for epoch in history],
        "steps_per_epoch": max(1, max(len(videos), 64) // recipe.batch_size),
        "minutes": round(minutes, 1),
    }
    result.write_text(json.dumps(row) + "\n")
    for checkpoint in folder.glob("*.weights.h5"):
        checkpoint.unlink()
    return row


def show(runs, seeds):
    print(f"\n{'':26s}{'video accuracy, by seed':>28s}{'mean':>8s}{'clips':>8s}{'steps':>8s}")
    for name in CASES:
        rows = [runs[name, seed] for seed in range(seeds)]
        accuracy = [row["video_accuracy"] for row in rows]
        rival = CASES[name][0]
        random = [n for n in CASES if CASES[n][0] == rival and CASES[n][1] is None][0]
        bar = max(max(runs[random, seed]["validation"]) for seed in range(seeds))
        steps = [steps_to_pass(row, bar) for row in rows]
        print(
            f"{name:26s}{' '.join(f'{a:8.1%}' for a in accuracy):>28s}{np.mean(accuracy):8.1%}"
            f"{np.mean([row['clip_accuracy'] for row in rows]):8.1%}"
            f"{'-' if None in steps else round(float(np.mean(steps))):>8}"
        )
    print(
        "steps: until the validation accuracy of clips, looked at after each epoch, is above the "
        "best that the same network reached from random weights with any seed"
    )


def steps_to_pass(row, bar):
    epochs = [i for i, value in enumerate(row["validation"], start=1) if value > bar]
    return epochs[0] * row["steps_per_epoch"] if epochs else None


def plot(runs, path):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with saved_axes(path, (9, 3.4), columns=2) as axes:
        for (name, _), row in runs.items():
            arch, weights = CASES[name][:2]
            axis = axes[0, 0 if arch == "stc_resnet50" else 1]
            epochs = np.arange(1, len(row["validation"]) + 1)
            color = "tab:gray" if weights is None else "tab:blue"
            axis.plot(epochs * row["steps_per_epoch"], row["validation"], "o-", color=color, ms=3)
            axis.set_title(f"{name.split(',')[0]}: gray random, blue pretrained", fontsize=9)
            axis.set_xlabel("training steps")
        axes[0, 0].set_ylabel("accuracy of test clips")


if __name__ == "__main__":
    main()
