"""`keras-stc watch`: what a camera or a stream shows, while it does."""

import contextlib
import json
import sys

from keras_stc.cli import options

#: Characters of a bar of 100%.
BAR = 30


def register(add):
    command = add(
        "watch",
        help="what a camera or a stream shows, live",
        description="Classifies a sliding window of the newest frames, as often as this machine "
        "can, and averages over the last second. With --json, a line for each answer. Ctrl-C ends.",
    )
    command.add_argument(
        "source", metavar="SOURCE", help="number of a camera, a file, or an address (rtsp://…)"
    )
    options.model(command, default=options.DEFAULT)
    options.checkpoint(command)
    command.add_argument("--top", type=int, default=3, help="classes to show (3)")
    command.add_argument(
        "--smoothing", type=float, default=1.0, help="seconds that are averaged (1); 0 for none"
    )
    command.add_argument(
        "--every", type=float, help="seconds between answers, at least (what the machine can)"
    )
    command.add_argument(
        "--all-frames", action="store_true", help="of a file: every window, not as in real time"
    )
    command.add_argument("--seconds", type=float, help="end after so many (never)")
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.models.load import named_model
    from keras_stc.predict import predict_stream

    options.at_least(arguments, 1, "top")
    model = named_model(arguments.model, arguments.checkpoint)
    answers = predict_stream(
        model, arguments.source, arguments.smoothing, arguments.every, not arguments.all_frames
    )
    show = _printed if arguments.json or not sys.stdout.isatty() else _live
    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(answers):
        show(_until(answers, arguments.seconds), arguments)


def _until(answers, seconds):
    for answer in answers:
        yield answer
        if seconds is not None and answer.time >= seconds:
            return


def _printed(answers, arguments):
    """A line for each answer: JSON, or the classes."""
    for answer in answers:
        top = answer.top(arguments.top)
        if arguments.json:
            row = {
                "time": round(answer.time, 3),
                "top": [{"label": label, "probability": share} for label, share in top],
                "answers_per_second": round(answer.rate, 2),
                "delay": round(answer.delay, 3),
            }
            print(json.dumps(row), flush=True)
        else:
            classes = ", ".join(f"{label} {share:.1%}" for label, share in top)
            print(f"{answer.time:7.1f} s  {classes}  ({_pace(answer)})", flush=True)


def _live(answers, arguments):
    """Bars that move, on a terminal."""
    from rich.live import Live
    from rich.markup import escape
    from rich.table import Table

    with Live(auto_refresh=False) as live:
        for answer in answers:
            table = Table(box=None, pad_edge=False, show_header=False)
            for label, share in answer.top(arguments.top):
                bar = "█" * round(BAR * share)
                table.add_row(f"{share:6.1%}", f"[green]{bar:<{BAR}}[/]", escape(label))
            table.caption = f"{answer.time:.1f} s: {_pace(answer)}"
            table.caption_justify = "left"
            live.update(table, refresh=True)


def _pace(answer):
    return (
        f"{answer.rate:.1f} answers/s, of the last {answer.window:.1f} s, "
        f"{answer.delay:.2f} s after the picture"
    )
