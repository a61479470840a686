"""`keras-stc bench`: this machine's figures."""

import functools
import os
import tempfile

from keras_stc.checks import one_of
from keras_stc.cli import options
from keras_stc.cli.console import print_json, print_table

#: What is measured where no network is named.
MODEL = "stc_resnet18"

#: Videos that are written where none are given: so many, of so many frames and pixels.
VIDEOS, LENGTH, SIDE = 8, 150, 256


def register(add):
    command = add(
        "bench",
        help="this machine's figures: networks and clip pipeline",
        description="Times prediction and training steps of networks on random clips, and reading "
        "clips from videos: yours, or H.264 videos written for it. For more, see benchmarks/ in "
        "the source.",
    )
    command.add_argument(
        "what",
        nargs="*",
        metavar="MODEL|DATA",
        help=f"networks of keras-stc models ({MODEL}), and what clips are read from: "
        f"{options.DATA_HELP}",
    )
    options.class_names(command)
    command.add_argument("--model", action="append", help="a network, too")
    command.add_argument(
        "--precision",
        nargs="+",
        default=["float32"],
        help="one or several of float32, mixed_bfloat16 and mixed_float16 (float32)",
    )
    options.numbers(command, options.CLIP, frames=16, size=112)
    command.add_argument("--batch-size", type=int, default=4, help="clips in a step (4)")
    command.add_argument("--batches", type=int, default=5, help="steps that are timed (5)")
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.bench import PRECISIONS, measure_named, measure_reading
    from keras_stc.data import open_source
    from keras_stc.models.inputs import asked_config
    from keras_stc.models.zoo import usual_config

    options.at_least(arguments, 1, "batch_size", "batches")
    for precision in arguments.precision:
        one_of(PRECISIONS, **{"--precision": precision})
    names, arguments.data = _divided(arguments)
    forms = [(name, precision) for name in names for precision in arguments.precision]
    size = (arguments.batch_size, arguments.batches)
    clip = {"frames": arguments.frames, "size": arguments.size}
    shape = (arguments.frames, arguments.size, arguments.size, 3)
    with tempfile.TemporaryDirectory() as folder:
        data = options.source(arguments) if arguments.data else open_source(_written(folder))
        videos = data.open()
        read = functools.cache(lambda config: measure_reading(videos, config, arguments.batch_size))
        found = []
        for name, precision in forms:
            steps = measure_named(
                *(name, precision, *size), apart=len(forms) > 1, weights=None, input_shape=shape
            )
            seconds = read(asked_config(clip, usual_config(name)))
            found.append(_entry(name, precision, steps, seconds))
    if arguments.json:
        return print_json({**_machine(arguments), **found[0], "networks": found})
    _show(arguments, found, len(videos))


def _divided(arguments):
    """Names of the networks, and the data or `None`."""
    from keras_stc.models.zoo import CONSTRUCTORS, model_name

    constructors = {each.__name__ for each in CONSTRUCTORS.values()}
    names, data = list(arguments.model or ()), []
    for each in arguments.what:
        is_name = each in CONSTRUCTORS or each in constructors
        (names if is_name and not os.path.exists(each) else data).append(each)
    if len(data) > 1:
        raise ValueError(
            "DATA must be one, and the others networks of keras-stc models. "
            f"Received: {', '.join(data)}"
        )
    return [model_name(name) for name in names or [MODEL]], data[0] if data else None


def _written(folder):
    from keras_stc.demo.motion import CLASSES, write_motion_videos

    return write_motion_videos(folder, VIDEOS // 2, LENGTH, SIDE, classes=CLASSES[:2])


def _machine(arguments):
    import keras

    from keras_stc.data.cores import available_cores

    return {
        "clip": [arguments.frames, arguments.size, arguments.size],
        "batch_size": arguments.batch_size,
        "backend": keras.backend.backend(),
        "cores": available_cores(),
        "data": arguments.data,
    }


def _entry(name, precision, steps, read_seconds):
    from keras_stc.bench import waiting

    return {
        "model": name,
        "precision": precision,
        "predict_clips_per_second": 1 / steps.predict_seconds,
        "train_clips_per_second": 1 / steps.train_seconds,
        "first_step_seconds": steps.first_step_seconds,
        "peak_memory_bytes": steps.peak_memory,
        "gmac_per_clip": steps.macs / 1e9,
        "read_clips_per_second": 1 / read_seconds,
        "training_waits": waiting(steps, read_seconds),
    }


#: Columns of the table: heading, and what is in it.
COLUMNS = {
    "network": lambda entry: entry["model"],
    "precision": lambda entry: entry["precision"],
    "predict, clips/s": lambda entry: f"{entry['predict_clips_per_second']:.1f}",
    "GMAC/s": lambda entry: f"{entry['gmac_per_clip'] * entry['predict_clips_per_second']:.0f}",
    "train, clips/s": lambda entry: f"{entry['train_clips_per_second']:.1f}",
    "first step, s": lambda entry: f"{entry['first_step_seconds']:.1f}",
    "memory, GB": lambda entry: (
        f"{entry['peak_memory_bytes'] / 1e9:.1f}" if entry["peak_memory_bytes"] else ""
    ),
    "read, clips/s": lambda entry: f"{entry['read_clips_per_second']:.1f}",
}


def _show(arguments, found, count):
    machine = _machine(arguments)
    print(
        f"Clips of {'x'.join(map(str, machine['clip']))}, {machine['batch_size']} in a batch, "
        f"{machine['backend']}, {machine['cores']} cores; read from "
        + (arguments.data or f"{count} videos of {SIDE}x{SIDE}, H.264, written for this")
    )
    print_table(list(COLUMNS), [[show(entry) for show in COLUMNS.values()] for entry in found])
    waits = max(entry["training_waits"] for entry in found)
    if waits:
        print(f"Training waits for clips at least {waits:.0%} of its time: keras-stc pack")
    else:
        print("Clips come faster than training takes them.")
