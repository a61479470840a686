"""What a 2D network teaches on UCF101-35's training videos, before few labels or all of them.

    keras-stc pack split1.csv clips --short-side 128
    keras-stc pack few.csv few --short-side 70 --quality 95     # training clips of groups 8 to 12
    keras-stc pack split1.csv ucf101-35 --short-side 70 --quality 95
    python benchmarks/ucf101_35/transfer_few.py clips few ucf101-35 runs/transfer \\
        --teacher-weights resnet50.weights.h5

For every seed an STC-ResNet18 of a quarter of the width learns from a ResNet-50 which frames and
clips belong together; then it is fine-tuned on the few labels, and tested. With `--method features`
it learns the ResNet-50's features of the frames instead of pairs, and with `--method both` these
and the few labels at the same time. With all labels, `clips ucf101-35 ucf101-35 runs/transfer
--epochs 20`, which is the schedule of `keras-stc ablate` in docs/ablation.md, OUT the same: what
is learned without labels is learned once. The teacher is asked once for all seeds and methods,
which hold out the same videos: half an hour of one core. A seed takes 35 minutes of one core after
that. Killed and run again, it goes on.

`--probe` says instead what frozen features know of the classes, by a linear classifier on the few
labels (one clip of each video, four strengths of L2): of the network with random weights, of the
student after each transfer, and of the teacher. Ten minutes.
"""

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras

import keras_stc
from keras_stc.data import VideoError, VideoSet, divide_unlabelled, open_data, open_source
from keras_stc.training import RECIPES, train
from keras_stc.training.build import build_for
from keras_stc.transfer import (
    RECIPES as TRANSFERS,
    create_distillation,
    create_teacher,
    create_transfer,
    train_distillation,
    train_transfer,
)
from keras_stc.transfer.answers import FrameFeatures

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from frozen_features import L2, features, probe
from frozen_i3d import group_of

NETWORK = {"alpha": 0.25, "video_config": {"frames": 8, "stride": 4, "size": 64}}
TRANSFER = TRANSFERS["default"].replace(epochs=20, learning_rate=0.02)
FEATURES = RECIPES["default"].replace(epochs=20, batch_size=32, learning_rate=0.02)

#: Folders of what is learned without labels, and the beginning of those of what labels add.
RUNS = {"pairs": "transfer", "features": "features", "both": "both"}
LABELLED_RUNS = {"pairs": "", "features": "features-"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", help="what to learn from without labels, the subset train of it")
    parser.add_argument("few", help="what to fine-tune on")
    parser.add_argument("data", help="what to test on, the subset test of it")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--teacher-weights", default="imagenet", help="or a file, or random")
    parser.add_argument("--frame-size", type=int, default=112, help="of the teacher's crop")
    parser.add_argument("--windows", type=int, default=4, help="of which the teacher is asked")
    parser.add_argument("--method", choices=("pairs", "features", "both"), default="pairs")
    parser.add_argument("--feature-weight", type=float, default=40.0, help="of the cosine distance")
    parser.add_argument("--epochs", type=int, default=40, help="of the fine-tuning (40)")
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
    for seed in args.seeds:
        run = args.out / f"{RUNS[args.method]}-{seed}"
        run.mkdir(exist_ok=True)
        if not (run / "answers").is_symlink():
            (run / "answers").symlink_to(answers.resolve())
        history = learn(args, unlabelled, few.class_names, run, seed)
        result = {"seed": seed, "method": args.method, **history[-1]}
        if args.method == "both":
            model = keras_stc.load_model(run)
        else:
            recipe = FEATURES.replace(epochs=args.epochs)
            model = build_for(few, recipe, "stc_resnet18", seed, weights=run, **NETWORK)
            name = f"{LABELLED_RUNS[args.method]}{pathlib.Path(args.few).name}-{seed}"
            losses = train(model, few, recipe, args.out / name, seed=seed, verbose=2)
            result |= {"labels": len(few)} | {
                "loss": losses[-1]["loss"],
                "accuracy": losses[-1]["accuracy"],
            }
        found = keras_stc.evaluate_videos(model, test)
        result |= {"clip@1": found.clip1, "video@1": found.video1}
        print(json.dumps(result), flush=True)


def learn(args, unlabelled, class_names, run, seed):
    """Trains the student of a method; returns the history."""
    more = {"windows": args.windows, "frame_size": args.frame_size, "seed": seed, "verbose": 2}
    videos, validation = unlabelled.train, unlabelled.validation
    if args.method == "pairs":
        teacher = functools.partial(create_teacher, "resnet50", args.teacher_weights)
        transfer = create_transfer("stc_resnet18", teacher, seed=seed, **NETWORK)
        return train_transfer(transfer, videos, TRANSFER, run, validation, **more)
    labels = {}
    if args.method == "both":
        labelled = open_data(args.clips, "train", class_names=class_names)
        labels = {labelled[place].path: labelled[place].label for place in few_of(labelled)}
        videos, validation = (
            VideoSet([dataclasses.replace(v, label=labels.get(v.path)) for v in part], class_names)
            for part in (videos, validation)
        )
    distillation = create_distillation(
        "stc_resnet18",
        "resnet50",
        teacher_weights=args.teacher_weights,
        feature_weight=args.feature_weight,
        label_weight=1.0 if labels else 0.0,
        class_names=class_names,
        seed=seed,
        **NETWORK,
    )
    return train_distillation(distillation, videos, FEATURES, run, validation, **more)


def few_of(videos):
    """Places of the videos of groups 8 to 12."""
    return [place for place, video in enumerate(videos) if 8 <= group_of(video) <= 12]


def show_probes(args):
    """A row of accuracies for each kind of features."""
    students = {
        "random weights": keras_stc.STCResNet18(include_top=False, pooling="avg", **NETWORK)
    }
    for seed in args.seeds:
        run = args.out / f"{RUNS[args.method]}-{seed}"
        students[f"{args.method}, seed {seed}"] = keras.models.load_model(run / "student.keras")
    teacher = create_teacher("resnet50", args.teacher_weights)
    config = students["random weights"].video_config
    shown = config.replace(size=args.frame_size)
    clip = keras.Input(shown.clip_shape)
    pooled = FrameFeatures(teacher)(clip)
    students["the teacher"] = keras_stc.VideoModel(clip, pooled, video_config=shown)
    train, test = (open_data(args.clips, subset) for subset in ("train", "test"))
    train = train.subset(few_of(train))
    print(f"{len(train)} labels" + "".join(f"{f'L2 {l2:g}':>10s}" for l2 in L2))
    for name, model in students.items():
        accuracies = probe(*features(model, train), *features(model, test))
        print(f"{name:20s}" + "".join(f"{a:10.1%}" for a in accuracies), flush=True)


if __name__ == "__main__":
    main()
