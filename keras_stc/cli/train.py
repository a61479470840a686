"""`keras-stc train`."""

import dataclasses
import json

from keras_stc.cli import options
from keras_stc.cli.console import print_json, quarantined, say
from keras_stc.cli.evaluate import evaluate

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
    options.data(command)
    command.add_argument("--model", default="stc_resnet18", help="see keras-stc models")
    command.add_argument(
        "--weights",
        help="what to start from: a run folder (of transfer or train), a .keras or .weights.h5 "
        "file, or a tag of keras-stc models",
    )
    options.run(command)
    command.add_argument(
        "--recipe", default="default", help="default, paper, modern or finetune; see docs/training"
    )
    for name, kind, text in RECIPE_OPTIONS:
        command.add_argument(f"--{name.replace('_', '-')}", type=kind, help=text)
    options.numbers(command, options.FITTING, lr=None)
    options.numbers(
        command, options.CLIP, frames="by the recipe, 16", stride="by the recipe, 2", size=112
    )
    options.validation(command)
    command.add_argument(
        "--tensorboard", action="store_true", help="write logs for TensorBoard into the run folder"
    )
    command.set_defaults(run=run_train)


def run_train(arguments):
    import keras

    from keras_stc import distribute
    from keras_stc.data import divide
    from keras_stc.files import write_atomically
    from keras_stc.models import create_model
    from keras_stc.models.load import load_model
    from keras_stc.runs import Run
    from keras_stc.training import train
    from keras_stc.training.precision import precision

    options.check_numbers(arguments)
    recipe = _recipe(arguments)
    if distribute.worker_count() > 1:
        say(arguments, f"Waiting for {distribute.worker_count()} workers")
    # Before all else: workers have to find one another before TensorFlow does anything.
    strategy = distribute.strategy()
    data = divide(arguments.data, arguments.validation, arguments.hold_out, arguments.seed)
    videos, validation = data.train, data.validation
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
            **options.placement(arguments.model, arguments.placement),
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
        {"origin": data.origin, "weights": arguments.weights},
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
        result["evaluation"] = {
            "data": options.data_name(arguments.validation or arguments.data),
            "subset": data.name,
            "checkpoint": "last",
            **evaluation.to_dict(),
        }
        text = json.dumps(result["evaluation"], indent=1) + "\n"
        write_atomically(run.evaluation_path, text)
    if arguments.json:
        return print_json(result)
    print(f"\nThe model is in {arguments.out}. What a video shows:")
    print(f"  keras-stc predict x.mp4 --model {arguments.out}")


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
