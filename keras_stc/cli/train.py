"""`keras-stc train` and `keras-stc evaluate`."""

import csv
import json
import pathlib
import sys

from keras_stc.cli.console import print_json, progress_bar

DATA_HELP = (
    "a folder of class folders, a CSV file with path,label[,split], ucf101:ROOT:SPLIT, "
    "hmdb51:ROOT:SPLIT, kinetics:CSV:ROOT, or what keras-stc pack wrote"
)


def register(commands, common):
    command = commands.add_parser(
        "train",
        parents=[common],
        help="train a network on videos; run again, it goes on",
        description="Trains a network on labelled videos and evaluates it on those held out. "
        "Killed and run again with the same line, it goes on from its last epoch.",
    )
    command.add_argument("data", metavar="DATA", help=DATA_HELP)
    command.add_argument("--model", default="stc_resnet18", help="see keras-stc models")
    command.add_argument(
        "--weights",
        help="what to start from: a run folder (of transfer or train), a .keras or .weights.h5 "
        "file, or a tag of keras-stc models",
    )
    command.add_argument("--out", required=True, help="run folder")
    command.add_argument("--recipe", default="default", help="default or paper")
    command.add_argument("--epochs", type=int)
    command.add_argument("--batch-size", type=int)
    command.add_argument("--lr", type=float, help="highest learning rate")
    command.add_argument("--frames", type=int, default=16, help="frames in a clip (16)")
    command.add_argument(
        "--stride", type=int, default=2, help="frames of video from one to the next (2)"
    )
    command.add_argument("--size", type=int, default=112, help="pixels of the square crop (112)")
    command.add_argument(
        "--placement", choices=("block", "stage"), help="of the STC blocks (block)"
    )
    command.add_argument(
        "--no-flip", action="store_true", help="never mirror, where left and right matter"
    )
    command.add_argument("--validation", metavar="DATA", help="videos to validate on")
    command.add_argument(
        "--hold-out",
        type=float,
        default=0.2,
        help="part of each class to validate on where the data has no split (0.2); 0 for none",
    )
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=run_train)

    command = commands.add_parser(
        "evaluate",
        parents=[common],
        help="accuracy of a trained network on videos",
        description="Evaluates a run on labelled videos: clip@1, video@1, video@5, each class.",
    )
    command.add_argument("model", metavar="RUN", help="a run folder or a .keras file")
    command.add_argument("data", metavar="DATA", help=DATA_HELP)
    command.add_argument(
        "--subset", choices=("train", "val", "test"), help="test, else val, else all"
    )
    command.add_argument("--checkpoint", choices=("last", "best"), default="last")
    command.add_argument("--batch-size", type=int, default=8)
    command.add_argument("--max-clips", type=int, help="most clips of a video (all)")
    command.set_defaults(run=run_evaluate)


def run_train(arguments):
    import keras

    from keras_stc.models import create_model
    from keras_stc.training import RECIPES, train
    from keras_stc.training.run import Run, weights_file, write_atomically

    if arguments.recipe not in RECIPES:
        raise ValueError(
            f"--recipe must be one of {', '.join(RECIPES)}. Received: {arguments.recipe}"
        )
    recipe = RECIPES[arguments.recipe].replace(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.lr,
        flip=False if arguments.no_flip else None,
    )
    videos, validation, origin, held = _data(arguments)
    _say(
        arguments,
        f"{len(videos)} videos to train on, {len(validation or ())} to validate on, "
        f"{len(videos.class_names)} classes; clips of {arguments.frames} frames, "
        f"{arguments.size}x{arguments.size}",
    )

    run = Run(arguments.out)
    if done := run.state().get("epoch"):
        _say(arguments, f"Going on after epoch {done} of the run in {arguments.out}")

    keras.utils.set_random_seed(arguments.seed)
    model = create_model(
        arguments.model,
        weights=arguments.weights and weights_file(arguments.weights),
        classes=len(videos.class_names),
        input_shape=(arguments.frames, arguments.size, arguments.size, 3),
        **({"stc_placement": arguments.placement} if arguments.placement else {}),
    )
    model.video_config = model.video_config.replace(stride=arguments.stride)
    data = {"origin": origin, "weights": arguments.weights}
    history = train(
        model,
        videos,
        recipe,
        arguments.out,
        validation,
        arguments.seed,
        data,
        verbose=0 if arguments.json else "auto",
    )
    write_atomically(run.command_path, arguments.line + "\n")
    result = {"run": arguments.out, "epochs": len(history), "last": history[-1]}
    if run.quarantine_path.exists():
        with run.quarantine_path.open(newline="", encoding="utf-8") as file:
            result["quarantine"] = {row["path"]: row["reason"] for row in csv.DictReader(file)}
        print(f"{len(result['quarantine'])} videos could not be used:", file=sys.stderr)
        print(
            *(f"  {reason}" for reason in result["quarantine"].values()), sep="\n", file=sys.stderr
        )
    if validation:
        evaluation = _evaluate(model, validation, arguments, 8, None)
        result["evaluation"] = {**held, "checkpoint": "last", **evaluation}
        text = json.dumps(result["evaluation"], indent=1) + "\n"
        write_atomically(run.evaluation_path, text)
    if arguments.json:
        return print_json(result)
    print(f"\nThe model is in {arguments.out}. What a video shows:")
    print(f"  keras-stc predict x.mp4 --model {arguments.out}")


def run_evaluate(arguments):
    from keras_stc.data import data_subsets, open_data
    from keras_stc.training.run import load_model

    model = load_model(arguments.model, arguments.checkpoint)
    there = data_subsets(arguments.data)
    subset = arguments.subset or next((name for name in ("test", "val") if name in there), None)
    videos = open_data(arguments.data, subset, class_names=model.video_config.class_names)
    _say(arguments, f"{len(videos)} videos" + (f" of subset {subset!r}" if subset else ""))
    result = _evaluate(model, videos, arguments, arguments.batch_size, arguments.max_clips)
    if arguments.json:
        name = {"data": _data_name(arguments.data), "subset": subset}
        print_json({**name, "checkpoint": arguments.checkpoint, **result})


def _data(arguments):
    """Training and validation videos, what the run's configuration says of their origin, and what
    those to validate on are called."""
    from keras_stc.data import data_subsets, open_data

    spec = arguments.data
    there = data_subsets(spec)
    subset = "train" if "train" in there else None
    videos = open_data(spec, subset)
    origin = {"data": str(pathlib.Path(spec).absolute()), "subset": subset}
    held = {"data": _data_name(spec), "subset": None}
    if arguments.validation:
        origin["validation"] = arguments.validation
        validation = open_data(arguments.validation, class_names=videos.class_names)
        return videos, validation, origin, {**held, "data": _data_name(arguments.validation)}
    name = next((name for name in ("val", "test") if name in there), None)
    if subset and name:
        origin["validation"] = name
        validation = open_data(spec, name, class_names=videos.class_names)
        return videos, validation, origin, {**held, "subset": name}
    if not arguments.hold_out:
        return videos, None, origin, held
    origin["hold_out"] = arguments.hold_out
    videos, validation = videos.split(arguments.hold_out, seed=arguments.seed)
    held["subset"] = f"{arguments.hold_out:.0%} of each class, held out"
    return videos, (validation if len(validation) else None), origin, held


def _data_name(spec):
    """What data is called where its accuracy is shown: `DATA` without the folders above it."""
    return ":".join(pathlib.PurePath(part).name or part for part in str(spec).split(":"))


def _evaluate(model, videos, arguments, batch_size, max_clips):
    from keras_stc.evaluation import evaluate_videos

    with progress_bar(len(videos), "video", arguments) as bar:
        evaluation = evaluate_videos(
            model, videos, batch_size, max_clips, progress=lambda _: bar.update()
        )
    _say(arguments, str(evaluation))
    width = max(map(len, evaluation.class_names))
    for name, accuracy in evaluation.per_class.items():
        _say(arguments, f"  {name:{width}s}  {accuracy:6.1%}")
    for reason in evaluation.failures.values():
        print(f"keras-stc: not counted: {reason}", file=sys.stderr)
    return evaluation.to_dict()


def _say(arguments, text):
    if not arguments.json:
        print(text, flush=True)
