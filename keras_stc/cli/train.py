"""`keras-stc train`."""

import dataclasses
import json
import os
import warnings

from keras_stc.cli.console import print_json, quarantined, say
from keras_stc.cli.evaluate import DATA_HELP, data_name, evaluate

#: Fields of the recipe that can be set one by one: name, type, what it does.
RECIPE_OPTIONS = (
    ("epochs", int, None),
    ("batch_size", int, "clips in an update, those of all devices together"),
    ("accumulation", int, "parts of a batch that go through the network one by one"),
    ("warmup_epochs", int, "epochs in which the learning rate rises from zero"),
    ("label_smoothing", float, "probability spread over all classes"),
    ("class_weights", str, "none, or balanced: rare classes count as much as frequent ones"),
    ("ema", float, "momentum of the moving average of the weights (0.999); 0 for none"),
    ("precision", str, "float32, mixed_bfloat16 or mixed_float16"),
    ("early_stop", int, "epochs without a better loss after which to stop"),
    ("freeze", str, "last stage not to be trained, such as layer3"),
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
    command.add_argument(
        "--recipe", default="default", help="default, paper, modern or finetune; see docs/training"
    )
    for name, kind, text in RECIPE_OPTIONS:
        command.add_argument(f"--{name.replace('_', '-')}", type=kind, help=text)
    command.add_argument("--lr", type=float, help="highest learning rate, whatever the batch")
    command.add_argument("--frames", type=int, help="frames in a clip (by the recipe, 16)")
    command.add_argument(
        "--stride", type=int, help="frames of video from one to the next (by the recipe, 2)"
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
    command.add_argument(
        "--checkpoint-steps",
        type=int,
        metavar="STEPS",
        help="steps that a kill costs at most (one epoch)",
    )
    command.add_argument(
        "--tensorboard", action="store_true", help="write logs for TensorBoard into the run folder"
    )
    command.set_defaults(run=run_train)


def run_train(arguments):
    import keras

    from keras_stc import distribute
    from keras_stc.files import write_atomically
    from keras_stc.models import create_model
    from keras_stc.models.load import load_model
    from keras_stc.runs import Run
    from keras_stc.training import train
    from keras_stc.training.precision import precision

    check_numbers(arguments)
    recipe = _recipe(arguments)
    if distribute.worker_count() > 1:
        say(arguments, f"Waiting for {distribute.worker_count()} workers")
    # Before all else: workers have to find one another before TensorFlow does anything.
    strategy = distribute.strategy()
    videos, validation, origin, held = training_data(arguments)
    say(
        arguments,
        f"{len(videos)} videos to train on, {len(validation or ())} to validate on, "
        f"{len(videos.class_names)} classes; clips of {recipe.frames} frames, "
        f"{arguments.size}x{arguments.size}",
    )

    run = Run(arguments.out)
    if state := run.state():
        step = f", step {state['step']} of the next" if state["step"] else ""
        say(arguments, f"Going on after epoch {state['epoch']}{step} of the run in {arguments.out}")

    keras.utils.set_random_seed(arguments.seed)
    with precision(recipe.precision), strategy.scope():
        model = create_model(
            arguments.model,
            weights=arguments.weights,
            classes=len(videos.class_names),
            input_shape=(recipe.frames, arguments.size, arguments.size, 3),
            **placement(arguments.model, arguments.placement),
        )
    if arguments.placement and model.architecture["stc_placement"] != arguments.placement:
        raise ValueError(
            f"--placement {arguments.placement} does not go with {arguments.weights}, whose STC "
            f"blocks are placed by {model.architecture['stc_placement']}: leave it out."
        )
    model.video_config = model.video_config.replace(stride=recipe.stride)
    devices = distribute.devices(model)
    if devices > 1:
        say(arguments, f"{devices} devices, {recipe.batch_size // devices} clips a step on each")
    history = train(
        model,
        videos,
        recipe,
        arguments.out,
        validation,
        arguments.seed,
        {"origin": origin, "weights": arguments.weights},
        verbose=0 if arguments.json else "auto",
        save_steps=arguments.checkpoint_steps,
        tensorboard=arguments.tensorboard,
    )
    if not distribute.is_chief():
        return
    write_atomically(run.command_path, arguments.line + "\n")
    result = {"run": arguments.out, "epochs": len(history), "last": history[-1]}
    result.update(quarantined(run))
    if validation:
        if devices > 1:
            # The one that was trained needs all devices for a single clip.
            model = load_model(arguments.out)
        evaluation = evaluate(model, validation, arguments)
        result["evaluation"] = {**held, "checkpoint": "last", **evaluation.to_dict()}
        text = json.dumps(result["evaluation"], indent=1) + "\n"
        write_atomically(run.evaluation_path, text)
    if arguments.json:
        return print_json(result)
    print(f"\nThe model is in {arguments.out}. What a video shows:")
    print(f"  keras-stc predict x.mp4 --model {arguments.out}")


def check_numbers(arguments):
    """Raises the `ValueError` for a number that no run can have."""
    if not 0 <= arguments.hold_out < 1:
        raise ValueError(
            f"--hold-out must be at least 0 and below 1. Received: {arguments.hold_out}"
        )
    if arguments.seed < 0:
        raise ValueError(f"--seed must not be negative. Received: {arguments.seed}")
    steps = arguments.checkpoint_steps
    if steps is not None and steps < 1:
        raise ValueError(f"--checkpoint-steps must be at least 1. Received: {steps}")


def placement(model, place):
    """What `--placement` adds to the arguments of `create_model`."""
    if not place:
        return {}
    if not model.lower().startswith("stc"):
        raise ValueError(
            "--placement says where STC blocks go, and this network has none: choose one such as "
            f"stc_resnet18. Received: {model}"
        )
    return {"stc_placement": place}


def _recipe(arguments):
    from keras_stc.training import RECIPES

    if arguments.recipe not in RECIPES:
        raise ValueError(
            f"--recipe must be one of {', '.join(RECIPES)}. Received: {arguments.recipe}"
        )
    changes = {name: getattr(arguments, name) for name, *_ in RECIPE_OPTIONS}
    if arguments.lr is not None:
        changes.update(learning_rate=arguments.lr, reference_batch=0)
    recipe = RECIPES[arguments.recipe]
    if changes["freeze"] == "none":
        recipe, changes["freeze"] = dataclasses.replace(recipe, freeze=None), None
    return recipe.replace(
        **changes,
        frames=arguments.frames,
        stride=arguments.stride,
        flip=False if arguments.no_flip else None,
    )


def training_data(arguments):
    """Training and validation videos, what the run's configuration says of their origin, and what
    those to validate on are called."""
    videos, validation, *others = _training_data(arguments)
    if len(videos.class_names) < 2:
        raise ValueError(
            f"{arguments.data} has one class, {videos.class_names[0]!r}, and a network learns to "
            "tell at least two apart: give the folder whose subfolders are the classes."
        )
    if missing := sorted(set(range(len(videos.class_names))) - set(videos.labels.tolist())):
        names = [videos.class_names[label] for label in missing]
        raise ValueError(
            f"{arguments.data} has no video to train on of {len(names)} of its "
            f"{len(videos.class_names)} classes, the first being {names[0]!r}: add some, or leave "
            "the class out."
        )
    _check_apart(videos, validation)
    return videos, validation, *others


def _check_apart(videos, validation):
    """Warns where videos to train on are among those to validate on."""
    from keras_stc.data import VideoWarning

    trained = {os.path.abspath(video.file) for video in videos}
    both = [video.file for video in validation or () if os.path.abspath(video.file) in trained]
    if both:
        warnings.warn(
            f"{len(both)} videos to validate on are among those to train on, the first being "
            f"{both[0]}: accuracy on them says nothing of other videos.",
            VideoWarning,
            stacklevel=2,
        )


def _training_data(arguments):
    from keras_stc.data import absolute_data, data_subsets, open_data

    spec = arguments.data
    there = data_subsets(spec)
    subset = "train" if "train" in there else None
    videos = open_data(spec, subset)
    origin = {"data": absolute_data(spec), "subset": subset}
    held = {"data": data_name(spec), "subset": None}
    if arguments.validation:
        origin["validation"] = arguments.validation
        name = _to_validate_on(data_subsets(arguments.validation))
        validation = open_data(arguments.validation, name, class_names=videos.class_names)
        held = {"data": data_name(arguments.validation), "subset": name}
        return videos, validation, origin, held
    name = _to_validate_on(there)
    if subset and name:
        origin["validation"] = name
        validation = open_data(spec, name, class_names=videos.class_names)
        return videos, validation, origin, {**held, "subset": name}
    if not arguments.hold_out:
        return videos, None, origin, held
    origin["hold_out"] = arguments.hold_out
    videos, validation = videos.split(arguments.hold_out, seed=arguments.seed)
    held["subset"] = held_out_name(arguments.hold_out)
    return videos, (validation if len(validation) else None), origin, held


def _to_validate_on(subsets):
    return next((name for name in ("val", "test") if name in subsets), None)


def held_out_name(hold_out):
    """What the part of undivided data is called that a run was not trained on."""
    return f"{hold_out:.0%} of each class, held out"
