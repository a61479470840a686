"""How much the features of RGB-I3D should weigh beside the labels of UCF101-35, on held-out groups.

    keras-stc pack split1.csv clips --short-side 128
    keras-stc pack split1.csv ucf101-35 --short-side 70 --quality 95
    python benchmarks/ucf101_35/feature_weight.py clips ucf101-35 runs/weight --weights 5 40 160

An STC-ResNet18 of a quarter of the width learns from the labels of groups 8 to 21 and from the
frozen RGB-I3D, as `weights/ucf101_35.py` trains the network that comes with the package, in fewer
epochs and of fewer pixels; groups 22 to 25 measure it. Test videos are not touched. The teacher is
asked once, ten minutes on two cores; then a row takes seven minutes of one core.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
from frozen_i3d import HELD_OUT, group_of

import keras_stc
from keras_stc.data import VideoError, open_data
from keras_stc.training import RECIPES
from keras_stc.transfer import Answers, distillation_dataset, kept_answers
from keras_stc.transfer.build import create_distillation

RECIPE = RECIPES["default"].replace(batch_size=32, learning_rate=0.03)
NETWORK = {"alpha": 0.25, "video_config": {"frames": 8, "stride": 4, "size": 64}}
TEACHER_CLIP = {"frames": 32, "size": 128}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", help="what the teacher sees, the subset train of it")
    parser.add_argument("data", help="the same videos, smaller: what the student sees")
    parser.add_argument("out", type=pathlib.Path, help="where the teacher's answers are kept")
    parser.add_argument("--weights", type=float, nargs="+", default=[5.0, 40.0, 160.0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--multiscale", action="store_true", help="crops of five scales")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        videos, shown = (open_data(data, "train") for data in (args.data, args.clips))
    except VideoError as error:
        parser.error(str(error))
    if [video.file for video in videos] != [video.file for video in shown]:
        parser.error(f"{args.data} and {args.clips} must be packed from the same list.")
    held_out = np.isin([group_of(video) for video in videos], HELD_OUT)
    for weight in args.weights:
        distillation = create_distillation(
            "stc_resnet18",
            "inception_i3d",
            teacher_clip=TEACHER_CLIP,
            label_weight=1.0,
            feature_weight=weight,
            class_names=videos.class_names,
            seed=args.seed,
            **NETWORK,
        )
        answers = kept_answers(distillation.teacher, shown, args.out, windows=1)
        options = {"flip": RECIPE.flip, "multiscale": args.multiscale, "seed": args.seed}
        train = clips_of(distillation, videos, answers, ~held_out, **options)
        test = clips_of(distillation, videos, answers, held_out, training=False)
        recipe = RECIPE.replace(epochs=args.epochs)
        distillation.compile(recipe.optimizer(train.batches, recipe.batch_size))
        distillation.fit(train, epochs=args.epochs, verbose=2)
        measured = distillation.evaluate(test, return_dict=True, verbose=0)
        student = distillation.student
        found = keras_stc.evaluate_videos(student, videos.subset(np.flatnonzero(held_out)))
        row = {"weight": weight, "multiscale": args.multiscale, "epochs": args.epochs}
        row |= {"seed": args.seed, "cosine": 1 - measured["features_loss"]}
        row |= {"clip@1": found.clip1, "video@1": found.video1}
        print(json.dumps(row), flush=True)


def clips_of(distillation, videos, answers, part, **options):
    """Clips of some videos with what the teacher said of them."""
    return distillation_dataset(
        videos.subset(np.flatnonzero(part)),
        distillation.student.video_config,
        distillation.teacher.video_config,
        Answers(answers.answers[part], answers.features[part], answers.video_config),
        RECIPE.batch_size,
        **options,
    )


if __name__ == "__main__":
    main()
