"""Correspondence transfer on UCF101-35's training videos without labels, then few labels.

    keras-stc pack split1.csv clips --short-side 128
    keras-stc pack few.csv few --short-side 70 --quality 95     # training clips of groups 8 to 12
    keras-stc pack split1.csv ucf101-35 --short-side 70 --quality 95
    python benchmarks/ucf101_35/transfer_few.py clips few ucf101-35 runs/transfer \\
        --teacher-weights resnet50.weights.h5

For every seed an STC-ResNet18 of a quarter of the width learns from a ResNet-50 which frames and
clips belong together; then it is fine-tuned on the few labels, and tested. The teacher is asked
once for all seeds, which hold out the same videos: half an hour of one core. A seed takes 35
minutes of one core after that. Killed and run again, it goes on.

`--probe` says instead what frozen features know of the classes, by a linear classifier on the few
labels (one clip of each video, four strengths of L2): of the network with random weights, of the
student after each transfer, and of the teacher. Ten minutes.
"""

import argparse
import functools
import importlib
import json
import os
import pathlib
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras

import keras_stc
from keras_stc.data import VideoError, divide_unlabelled, open_data, open_source
from keras_stc.training import RECIPES, train
from keras_stc.training.build import build_for
from keras_stc.transfer import RECIPES as TRANSFERS, create_teacher, create_transfer, train_transfer

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from frozen_features import L2, features, probe

NETWORK = {"alpha": 0.25, "video_config": {"frames": 8, "stride": 4, "size": 64}}
TRANSFER = TRANSFERS["default"].replace(epochs=20, learning_rate=0.02)
FEW = RECIPES["default"].replace(epochs=40, batch_size=32, learning_rate=0.02)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", help="what to learn from without labels, the subset train of it")
    parser.add_argument("few", help="what to fine-tune on")
    parser.add_argument("data", help="what to test on, the subset test of it")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--teacher-weights", default="imagenet", help="or a file, or random")
    parser.add_argument("--frame-size", type=int, default=112, help="of the teacher's crop")
    parser.add_argument("--windows", type=int, default=4, help="of which the teacher is asked")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--probe", action="store_true", help="frozen features instead")
    args = parser.parse_args()
    if args.probe:
        return show_probes(args)
    try:
        unlabelled = divide_unlabelled(args.clips)
        few = open_source(args.few)
        few = few.open(few.learnable)
        test = open_data(args.data, "test", class_names=few.class_names)
    except VideoError as error:
        parser.error(str(error))
    answers = args.out / "answers"
    answers.mkdir(parents=True, exist_ok=True)
    teacher = functools.partial(create_teacher, "resnet50", args.teacher_weights)
    for seed in args.seeds:
        run = args.out / f"transfer-{seed}"
        run.mkdir(exist_ok=True)
        if not (run / "answers").is_symlink():
            (run / "answers").symlink_to(answers.resolve())
        history = train_transfer(
            create_transfer("stc_resnet18", teacher, seed=seed, **NETWORK),
            unlabelled.train,
            TRANSFER,
            run,
            unlabelled.validation,
            seed,
            args.frame_size,
            windows=args.windows,
            verbose=2,
        )
        model = build_for(few, FEW, "stc_resnet18", seed, weights=run, **NETWORK)
        losses = train(model, few, FEW, args.out / f"few-{seed}", seed=seed, verbose=2)
        found = keras_stc.evaluate_videos(model, test)
        result = {"seed": seed, "held-out pairs": history[-1]["val_pair_accuracy"]}
        result |= {"loss": losses[-1]["loss"], "accuracy": losses[-1]["accuracy"]}
        result |= {"clip@1": found.clip1, "video@1": found.video1}
        print(json.dumps(result), flush=True)


def show_probes(args):
    """A row of accuracies for each kind of features."""
    students = {
        "random weights": keras_stc.STCResNet18(include_top=False, pooling="avg", **NETWORK)
    }
    for seed in args.seeds:
        run = args.out / f"transfer-{seed}"
        students[f"transfer, seed {seed}"] = keras.models.load_model(run / "student.keras")
    teacher = create_teacher("resnet50", args.teacher_weights)
    config = students["random weights"].video_config
    shown = config.replace(size=args.frame_size)
    clip = keras.Input(shown.clip_shape)
    frames = keras.layers.TimeDistributed(teacher.model)(Prepared(teacher.preprocess)(clip))
    pooled = keras.ops.mean(frames, axis=1)
    students["the teacher"] = keras_stc.VideoModel(clip, pooled, video_config=shown)
    train, test = (open_data(args.clips, subset) for subset in ("train", "test"))
    few = [k for k, v in enumerate(train) if 8 <= int(re.search(r"_g(\d\d)_", v.file)[1]) <= 12]
    train = train.subset(few)
    print(f"{len(train)} labels" + "".join(f"{f'L2 {l2:g}':>10s}" for l2 in L2))
    for name, model in students.items():
        accuracies = probe(*features(model, train), *features(model, test))
        print(f"{name:20s}" + "".join(f"{a:10.1%}" for a in accuracies), flush=True)


class Prepared(keras.layers.Layer):
    """Pixels as a network of `keras.applications` was trained with."""

    def __init__(self, module):
        super().__init__()
        self.function = importlib.import_module(f"keras.applications.{module}").preprocess_input

    def call(self, clips):
        return self.function(keras.ops.cast(clips, "float32"))


if __name__ == "__main__":
    main()
