"""`keras-stc train`: videos with labels to a run, from random or pretrained weights."""

import dataclasses
import json
import time

from keras_stc.checks import one_of
from keras_stc.cli import options
from keras_stc.cli.console import fit_verbosity, say, show_run, trained
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
    ("recompute", str, "none, or unit: less memory for a slower step, of residual networks"),
)


def register(add):
    command = add(
        "train",
        help="train a network on videos; run again, it goes on",
        description="Trains a network on labelled videos and evaluates it on those held out. "
        "Killed and run again with the same line, it goes on from its last epoch.",
    )
    options.data(command)
    command.add_argument(
        "--start",
        default="auto",
        help="auto: the best pretrained network that there is for few videos, unless --model, "
        "--weights, --recipe, --alpha, --placement or --final-endpoint is given; none: random "
        "weights; or i3d, ucf101-35",
    )
    command.add_argument("--model", help="see keras-stc models (by the start, stc_resnet18)")
    command.add_argument(
        "--weights",
        help="what to start from: a run folder (of transfer or train), a .keras or .weights.h5 "
        "file, a tag of keras-stc models, or none",
    )
    options.run(command)
    command.add_argument(
        "--recipe",
        help="default, paper, modern, finetune or classifier; see docs/training (by the start)",
    )
    for name, kind, text in RECIPE_OPTIONS:
        command.add_argument(f"--{name.replace('_', '-')}", type=kind, help=text)
    command.add_argument(
        "--partial-bn",
        action="store_true",
        default=None,
        help="of batch normalisations, only the first learns",
    )
    options.numbers(command, options.FITTING, lr=None)
    options.numbers(
        command,
        options.CLIP,
        frames="by the recipe, 16; of segments by the network",
        stride="by the recipe, 2",
        size="by the start, 112",
    )
    command.add_argument(
        "--flow",
        metavar="METHOD",
        help="train on optical flow, by tvl1 or farneback, instead of frames: the second stream; "
        "weights for RGB are averaged, and all of the network learns",
    )
    command.add_argument(
        "--cache-features",
        type=int,
        nargs="?",
        const=1,
        metavar="PASSES",
        help="take the clips of so many passes through what is frozen once, and train the rest on "
        "their features (1 where only the classifier learns, by the start); 0 for new clips in "
        "every epoch",
    )
    options.validation(command)
    command.add_argument(
        "--tensorboard", action="store_true", help="write logs for TensorBoard into the run folder"
    )
    command.set_defaults(run=run_train)


def run_train(arguments):
    from keras_stc import distribute
    from keras_stc.files import write_atomically
    from keras_stc.models.load import load_model
    from keras_stc.runs import Run
    from keras_stc.training import train
    from keras_stc.training.start import STARTS

    options.check_numbers(arguments)
    run = Run(arguments.out)
    starts = _starts(arguments, run)
    _recipe(arguments, starts[0])  # what is wrong with it is said before videos are looked for
    if distribute.worker_count() > 1:
        say(arguments, f"Waiting for {distribute.worker_count()} workers")
    # Before all else: workers have to find one another before TensorFlow does anything.
    distribute.strategy()
    data = options.division(arguments)
    videos, validation = data.train, data.validation
    say(
        arguments,
        f"{len(videos)} videos to train on, {len(validation or ())} to validate on, "
        f"{len(videos.class_names)} classes",
    )
    if state := run.state():
        step = f", step {state['step']} of the next" if state["step"] else ""
        say(arguments, f"Going on after epoch {state['epoch']}{step} of the run in {arguments.out}")
    start, recipe, model = _built(arguments, starts, videos)
    config = model.video_config
    say(
        arguments,
        f"Clips of {config.frames} frames, {config.crop[0]}x{config.crop[1]}; recipe "
        f"{recipe.name}, {recipe.epochs} epochs",
    )
    origin = {"origin": data.origin, "weights": start.weights}
    if start in STARTS:
        origin["start"] = start.name
    devices = distribute.devices(model)
    if devices > 1:
        say(arguments, f"{devices} devices, {recipe.batch_size // devices} clips a step on each")
    started = time.monotonic()
    history = train(
        model,
        videos,
        recipe,
        arguments.out,
        validation,
        arguments.seed,
        origin,
        verbose=fit_verbosity(arguments),
        save_steps=arguments.checkpoint_steps,
        validation_freq=arguments.validation_freq,
        tensorboard=arguments.tensorboard,
    )
    if not distribute.is_chief():
        return
    result, evaluation = trained(arguments, history, start=start.name), None
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
    measured = f", measured on {len(validation)} others ({data.name})" if validation else ""
    if not show_run(
        arguments,
        result,
        time.monotonic() - started,
        f"{options.data_name(arguments.data)}: {len(videos.class_names)} classes",
        f"{model.name}, recipe {recipe.name}: trained on {len(videos)} videos{measured}",
        {
            "network": f"{model.name}, {model.count_params():,} parameters",
            "weights": start.weights or "random at the start",
            "clips": f"{config.frames} frames, {config.crop[0]}x{config.crop[1]}",
        },
        evaluation=evaluation,
        history=history,
    ):
        return
    print(f"\nThe model is in {arguments.out}. What a video shows:")
    print(f"  keras-stc predict x.mp4 --model {arguments.out}")


def _starts(arguments, run):
    """What the training may start from, the best first; a run goes on from what it began with."""
    from keras_stc.training.start import RANDOM, find_start

    weights = None if arguments.weights == "none" else arguments.weights
    allowed = find_start(arguments.start)
    given = [arguments.model, arguments.weights, arguments.recipe]
    given += [arguments.placement, arguments.alpha, arguments.final_endpoint]
    if arguments.start == "auto" and run.state():
        # Another one may be the best by now, or its weights may be out of reach for the moment.
        known = run.config().get("data")
        allowed = find_start(
            (known or {}).get("start") or "none" if isinstance(known, dict) else "none"
        )
    elif arguments.start == "auto" and any(given):
        allowed = (RANDOM,)
    return tuple(
        dataclasses.replace(
            start,
            model=arguments.model or start.model,
            weights=weights if arguments.weights else start.weights,
        )
        for start in allowed
    )


def _built(arguments, starts, videos):
    """The first start whose weights can be had, its recipe, and the network."""
    from keras_stc.models.zoo import model_name, usual_config
    from keras_stc.training.build import build_for
    from keras_stc.training.start import STARTS, warn_of_few
    from keras_stc.weights.cache import WeightsError

    for start in starts:
        recipe = _recipe(arguments, start)
        usual = usual_config(model_name(start.model))
        by_network = usual.segments and arguments.frames is None
        clips = {
            "frames": usual.frames if by_network else recipe.frames,
            "stride": recipe.stride,
            "size": start.size if arguments.size is None else arguments.size,
            **({"flow": arguments.flow} if arguments.flow else {}),
        }
        if start in STARTS:
            say(arguments, start.sentence(recipe))
        try:
            model = build_for(
                videos,
                recipe,
                start.model,
                arguments.seed,
                weights=start.weights,
                video_config=clips,
                **options.structure(start.model, arguments),
            )
            break
        except WeightsError as error:
            if start is starts[-1]:
                raise
            say(arguments, f"They cannot be had: {error}")
    place = arguments.placement
    if place and model.architecture["stc_placement"] != place:
        raise ValueError(
            f"--placement {place} does not go with {arguments.weights}, whose STC blocks are "
            f"placed by {model.architecture['stc_placement']}: leave it out."
        )
    if start.weights is None and (warning := warn_of_few(len(videos))):
        say(arguments, warning)
    return start, recipe, model


def _recipe(arguments, start):
    from keras_stc.training import RECIPES

    if arguments.recipe:
        one_of(RECIPES, **{"--recipe": arguments.recipe})
    recipe = RECIPES[arguments.recipe] if arguments.recipe else start.recipe
    if arguments.flow and not arguments.recipe:
        # Features of frames are none of flow: nothing that the start freezes would be of use.
        recipe = RECIPES["default"]
    if arguments.freeze is not None:
        # Passes that are kept are those of what the recipe freezes.
        freeze = None if arguments.freeze == "none" else arguments.freeze
        recipe = dataclasses.replace(recipe, freeze=freeze, feature_passes=0)
    names = [name for name, *_ in RECIPE_OPTIONS if name != "freeze"]
    return options.changed(
        recipe,
        arguments,
        (*names, "partial_bn", "frames", "stride"),
        feature_passes=arguments.cache_features,
    )
