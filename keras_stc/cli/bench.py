"""`keras-stc bench`: this machine's figures."""

import tempfile

from keras_stc.cli import options
from keras_stc.cli.console import print_json

#: Videos that are written where none are given: so many, of so many frames and pixels.
VIDEOS, LENGTH, SIDE = 8, 150, 256


def register(add):
    command = add(
        "bench",
        help="this machine's figures: network and clip pipeline",
        description="Times prediction and training steps on random clips, and reading clips from "
        "videos: yours, or H.264 videos written for it. For more, see benchmarks/ in the source.",
    )
    options.data(command, nargs="?")
    command.add_argument("--model", default="stc_resnet18", help="of keras-stc models")
    options.numbers(command, options.CLIP, frames=16, size=112)
    command.add_argument("--batch-size", type=int, default=4, help="clips in a step (4)")
    command.add_argument("--batches", type=int, default=5, help="steps that are timed (5)")
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.bench import measure
    from keras_stc.data import open_source
    from keras_stc.models import create_model

    options.at_least(arguments, 1, "batch_size", "batches")
    shape = (arguments.frames, arguments.size, arguments.size, 3)
    model = create_model(arguments.model, weights=None, input_shape=shape)
    with tempfile.TemporaryDirectory() as folder:
        data = options.source(arguments) if arguments.data else open_source(_written(folder))
        videos = data.open()
        figures = measure(model, videos, arguments.batch_size, arguments.batches)
    if arguments.json:
        return print_json(_entry(arguments, figures))
    _show(arguments, figures, len(videos))


def _written(folder):
    from keras_stc.demo.motion import CLASSES, write_motion_videos

    return write_motion_videos(folder, VIDEOS // 2, LENGTH, SIDE, classes=CLASSES[:2])


def _entry(arguments, figures):
    import keras

    from keras_stc.data.cores import available_cores

    return {
        "model": arguments.model,
        "clip": [arguments.frames, arguments.size, arguments.size],
        "batch_size": arguments.batch_size,
        "backend": keras.backend.backend(),
        "cores": available_cores(),
        "predict_clips_per_second": 1 / figures.predict_seconds,
        "train_clips_per_second": 1 / figures.train_seconds,
        "gmac_per_clip": figures.macs / 1e9,
        "data": arguments.data,
        "read_clips_per_second": 1 / figures.read_seconds,
        "training_waits": figures.waiting,
    }


def _show(arguments, figures, count):
    entry = _entry(arguments, figures)
    speed = figures.macs / 1e9 / figures.predict_seconds
    source = arguments.data or f"{count} videos of {SIDE}x{SIDE}, H.264, written for this"
    print(
        f"{arguments.model}, clips of {'x'.join(map(str, entry['clip']))}, "
        f"{arguments.batch_size} in a batch, {entry['backend']}, {entry['cores']} cores"
    )
    for work, seconds, note in (
        ("predict", figures.predict_seconds, f"{speed:.0f} GMAC a second"),
        ("train", figures.train_seconds, "forward, backward, update"),
        ("read", figures.read_seconds, source),
    ):
        print(f"  {work:8s}{1 / seconds:8.1f} clips/s {1000 * seconds:9.1f} ms a clip   {note}")
    if figures.waiting:
        print(
            f"  Training waits for clips at least {figures.waiting:.0%} of its time: keras-stc pack"
        )
    else:
        print("  Clips come faster than training takes them.")
