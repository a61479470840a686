"""Parses the command line, runs the command and turns what goes wrong into one sentence."""

import argparse
import contextlib
import functools
import os
import shlex
import sys
import warnings

from keras_stc._version import __version__
from keras_stc.cli import (
    ablate,
    app,
    bench,
    completion,
    convert,
    demo,
    distill,
    doctor,
    evaluate,
    explain,
    export,
    models,
    pack,
    predict,
    publish,
    train,
    transfer,
    watch,
)
from keras_stc.cli.console import painted, quiet_start

COMMANDS = (
    *(models, predict, watch, explain, train, evaluate, transfer, distill, ablate),
    *(pack, convert, publish, export, app, doctor, bench, demo, completion),
)

EXIT_STATUS = (
    "Exit status: 0 all of it done; 1 an error, or some videos could not be used; 2 the line was "
    "not understood; 130 stopped by Ctrl-C. NO_COLOR=1 switches colours off; they are never in "
    "files and pipes."
)


def main(argv=None):
    """Runs `keras-stc`; returns the exit status, 0 only on success."""
    arguments = parser().parse_args(argv)
    arguments.line = shlex.join(["keras-stc", *(sys.argv[1:] if argv is None else argv)])
    warnings.showwarning = show_warning
    if hasattr(sys.stdout, "reconfigure"):  # names of files may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if getattr(arguments, "needs_keras", True):
            start_keras()
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        print("\nkeras-stc: stopped by you", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # What is left to write at exit goes nowhere, without a word.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if arguments.debug:
            raise
        print(f"keras-stc: {painted('error', sys.stderr)}: {sentence(error)}", file=sys.stderr)
        return 1


def start_keras():
    """Imports Keras, whose backend comes from the environment or from a file of the user's."""
    try:
        with quiet_start():
            import keras  # noqa: F401
    except (ImportError, ValueError) as error:
        raise ImportError(
            f"Keras does not start: {sentence(error)}. Its backend is what KERAS_BACKEND or "
            "~/.keras/keras.json names, or else tensorflow; it has to be installed."
        ) from error


def parser():
    root = argparse.ArgumentParser(
        prog="keras-stc",
        description="Action classification in videos with Keras 3.",
        epilog=EXIT_STATUS,
    )
    root.add_argument("--version", action="version", version=f"keras-stc {__version__}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON document, for machines")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    add = functools.partial(commands.add_parser, parents=[common])
    for module in COMMANDS:
        module.register(add)
    root.set_defaults(parser=root)  # whose commands `completion` completes
    return root


def show_warning(message, category, filename, lineno, file=None, line=None):
    """Warnings meant for users as a sentence; others as Python shows them."""
    from keras_stc.data import VideoWarning

    if issubclass(category, VideoWarning):
        text = f"keras-stc: warning: {message}\n"
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(text)


def sentence(error):
    """What went wrong, on one line; with the error's type where it was not meant for users."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "There is not enough memory: choose a smaller --batch-size or --size."
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    if isinstance(error, (ValueError, RuntimeError, ImportError)) and text:
        return text
    return f"{type(error).__name__}: {text} (--debug shows where)"
