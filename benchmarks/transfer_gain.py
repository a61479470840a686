"""What transfer is worth with few labels: against random weights and against ImageNet inflation.

    python benchmarks/transfer_gain.py motion --teacher-weights resnet50.weights.h5
    python benchmarks/transfer_gain.py fights.csv --labels 20 --frames 8 --stride 4 --size 64 \\
        --frame-size 112 --flip --teacher-weights resnet50.weights.h5

For every seed, the student learns from the videos to train on without their labels, then the same
network is fine-tuned with the same recipe on a few labelled ones and evaluated on the test videos:
from random weights, from inflated ImageNet weights, and from the student. `motion` writes the
demonstration's videos, 8 classes; any other data as for `keras-stc train`, divided into train and
test. The spread is the standard deviation over the seeds.

Inflated weights are those that `create_model(weights=...)` takes: the tag `imagenet`, which needs a
network, or a file, such as a ResNet-50 of Keras for `--student stc_resnet50`. Where they cannot be
had, the row stays empty and the reason is printed.

About two hours on two cores with the default of three seeds. In its smallest form, which shows
nothing but that it runs, a minute:

    python benchmarks/transfer_gain.py motion --seeds 0 --train-videos 4 --test-videos 1 \\
        --labels 2 --epochs 1 --transfer-epochs 1 --teacher mobilenetv2 --teacher-weights random
"""

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import tempfile

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_stc
from keras_stc.data import open_data
from keras_stc.demo.motion import motion_sets
from keras_stc.training import RECIPES, train
from keras_stc.transfer import recipe as transfer_recipes
from keras_stc.transfer.build import create_transfer
from keras_stc.transfer.loop import train_transfer
from keras_stc.transfer.teachers import create_teacher

STARTS = ("random", "inflated", "transfer")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="motion, or data with subsets train and test")
    parser.add_argument("--labels", type=int, default=5, help="labelled videos in each class")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS)
    parser.add_argument("--student", default="stc_resnet18")
    parser.add_argument("--teacher", default="resnet50")
    parser.add_argument("--teacher-weights", default="imagenet")
    parser.add_argument("--inflated", default="imagenet", help="`weights=` of the inflated start")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--frame-size", type=int, default=64)
    parser.add_argument("--flip", action="store_true", help="mirror videos; not for left and right")
    parser.add_argument("--transfer-epochs", type=int, default=30)
    parser.add_argument("--transfer-lr", type=float, help="learning rate of the transfer")
    parser.add_argument("--transfer-drop", type=int, help="epochs to a tenth of it; half of them")
    parser.add_argument("--epochs", type=int, default=30, help="of fine-tuning")
    parser.add_argument("--train-videos", type=int, default=60, help="of motion, in each class")
    parser.add_argument("--test-videos", type=int, default=16, help="of motion, in each class")
    parser.add_argument("--out", help="folder to keep; run again, it goes on where it was")
    args = parser.parse_args()
    out = pathlib.Path(args.out or tempfile.mkdtemp(prefix="transfer-gain-"))

    results = {start: [] for start in args.starts}
    for seed in args.seeds:
        videos, test = data(args, out, seed)
        for start in args.starts:
            figures = one(args, start, seed, videos, test, out / f"seed{seed}")
            results[start].append(figures)
            print(json.dumps({"start": start, "seed": seed, **figures}), flush=True)
    print(f"\n{args.data}, {args.labels} labels a class, {args.student}, seeds {args.seeds}")
    print(f"{'start':12s}{'video@1':>18s}{'held-out pairs':>18s}")
    for start, rows in results.items():
        print(f"{start:12s}{spread(rows, 'video@1'):>18s}{spread(rows, 'pairs'):>18s}")


def data(args, out, seed):
    """The videos to train on, with labels that only a few will use, and those to test on."""
    if args.data != "motion":
        videos = open_data(args.data, "train")
        return videos, open_data(args.data, "test", class_names=videos.class_names)
    return motion_sets(out / f"motion{seed}", args.train_videos, args.test_videos, seed)


def one(args, start, seed, videos, test, out):
    """Figures of one start with one seed."""
    options = {"input_shape": (args.frames, args.size, args.size, 3)}
    figures, weights = {}, None
    if start == "transfer":
        figures["pairs"] = transfer(args, seed, videos, out / "transfer", options)
        weights = out / "transfer"
    elif start == "inflated":
        weights = args.inflated
    labels, rng = videos.labels, np.random.default_rng(seed)
    few = [rng.permutation(np.flatnonzero(labels == k))[: args.labels] for k in np.unique(labels)]
    keras.utils.set_random_seed(seed)
    try:
        model = keras_stc.create_model(
            args.student, weights=weights, classes=len(videos.class_names), **options
        )
    except ValueError as error:
        if start != "inflated":
            raise
        return {"video@1": None, "reason": str(error)}
    model.video_config = model.video_config.replace(stride=args.stride)
    recipe = dataclasses.replace(RECIPES["default"], epochs=args.epochs, flip=args.flip)
    few = videos.subset(sorted(np.concatenate(few)))
    train(
        model,
        few,
        recipe,
        out / f"tuned-{start}",
        seed=seed,
        data=start,
        verbose=0,
        save_every=args.epochs,
    )
    figures["video@1"] = keras_stc.evaluate_videos(model, test).video1
    return figures


def transfer(args, seed, videos, out, options):
    """Pair accuracy on a tenth of the videos; leaves the student in `out`."""
    teacher = functools.partial(create_teacher, args.teacher, args.teacher_weights)
    model = create_transfer(args.student, teacher, stride=args.stride, seed=seed, **options)
    recipe = transfer_recipes.RECIPES["default"].replace(
        epochs=args.transfer_epochs,
        step_epochs=args.transfer_drop or max(1, args.transfer_epochs // 2),
        batch_size=min(32, len(videos) // 2),
        learning_rate=args.transfer_lr,
        flip=args.flip,
    )
    videos, held_out = videos.split(0.1, seed=seed)
    history = train_transfer(
        model, videos, recipe, out, held_out, seed, args.frame_size, data="transfer", verbose=0
    )
    return history[-1]["val_pair_accuracy"]


def spread(rows, name):
    values = [row[name] for row in rows if row.get(name) is not None]
    if not values:
        return "–"
    if len(values) == 1:
        return f"{100 * values[0]:.1f}%"
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1):.1f}%"


if __name__ == "__main__":
    main()
