"""`keras-stc predict`: files to labels."""

import dataclasses
import os
import sys

from keras_stc.cli.console import print_json, progress_bar

#: The one Kinetics model whose weights exist.
DEFAULT = "inception_i3d"


def register(commands, common):
    command = commands.add_parser(
        "predict",
        parents=[common],
        help="what videos show",
        description="Classifies whole videos: all their clips, probabilities averaged. Without "
        "--model, among the 400 actions of Kinetics-400 by InceptionI3D, whose weights are fetched "
        "the first time.",
    )
    command.add_argument("files", nargs="+", metavar="FILE", help="a video")
    command.add_argument(
        "--model",
        default=DEFAULT,
        help=f"a run folder, a .keras file or hf://owner/repo ({DEFAULT})",
    )
    command.add_argument("--checkpoint", choices=("last", "best"), default="last")
    command.add_argument("--top", type=int, default=5, help="classes to print (5)")
    command.add_argument("--timeline", action="store_true", help="also what each clip shows")
    command.add_argument("--batch-size", type=int, help="clips at a time (8, or fewer large ones)")
    command.add_argument("--max-clips", type=int, help="most clips of a video, spread evenly (all)")
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.data import VideoError
    from keras_stc.predict import model_config, predict_videos

    if arguments.top < 1:
        raise ValueError(f"--top must be at least 1. Received: {arguments.top}")
    model = named_model(arguments.model, arguments.checkpoint)
    model_config(model)  # Said once, and not of every video.
    results, failures = [], {}
    with progress_bar(len(arguments.files), "video", arguments) as bar:
        predictions = predict_videos(
            model, arguments.files, arguments.batch_size, arguments.max_clips
        )
        for path, prediction in zip(arguments.files, predictions, strict=True):
            if isinstance(prediction, VideoError):
                failures[path] = str(prediction)
            else:
                results.append(_result(prediction, arguments))
                if not arguments.json:
                    bar.clear()
                    _show(results[-1])
            bar.update()
    if arguments.json:
        print_json({"model": arguments.model, "videos": results, "failures": failures})
    if failures:
        print(
            f"keras-stc: {len(failures)} of {len(arguments.files)} videos could not be used:",
            *(f"  {reason}" for reason in failures.values()),
            sep="\n",
            file=sys.stderr,
        )
        return 1


def named_model(name, checkpoint):
    """What a user means: a network with its weights, by name, or what `load_model` takes."""
    from keras_stc.models import create_model
    from keras_stc.models.load import load_model
    from keras_stc.models.zoo import CONSTRUCTORS
    from keras_stc.weights.registry import records

    if name not in CONSTRUCTORS or os.path.exists(name):
        return load_model(name, checkpoint)
    # Weights without names of classes, such as ImageNet's, cannot say what a video shows.
    tags = [row.tag for row in records() if row.arch == name and row.classes]
    return create_model(name, weights=tags[0])


def _result(prediction, arguments):
    result = {
        "path": prediction.path,
        "clips": len(prediction.clip_probabilities),
        "top": [
            {"label": label, "probability": probability}
            for label, probability in prediction.top(arguments.top)
        ],
    }
    if arguments.timeline:
        result["timeline"] = [dataclasses.asdict(clip) for clip in prediction.timeline]
    return result


def _show(result):
    print(result["path"])
    for row in result["top"]:
        print(f"  {row['probability']:6.1%}  {row['label']}")
    for clip in result.get("timeline", ()):
        print(
            f"  {clip['start']:8.2f} s - {clip['end']:7.2f} s  "
            f"{clip['probability']:6.1%}  {clip['label']}"
        )
