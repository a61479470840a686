"""What every command prints with: quiet starts, tables, JSON, progress bars."""

import contextlib
import json
import os
import re
import sys
import tempfile


@contextlib.contextmanager
def quiet_start():
    """Keeps TensorFlow's start-up chatter from the terminal; shows it if the start fails.

    TensorFlow writes part of it before its log level counts, so the file descriptor is redirected.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            chatter.seek(0)
            os.write(saved, chatter.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def say(arguments, text):
    """Prints for people; nothing for machines, and one worker of several speaks."""
    from keras_stc.distribute import is_chief

    if not arguments.json and is_chief():
        print(text, flush=True)


def trained(arguments, history, **more):
    """What a run gave, and `more`, as JSON; keeps its line, prints which videos were put aside."""
    from keras_stc.data.clips.quarantine import saved_reasons
    from keras_stc.files import write_atomically
    from keras_stc.runs import Run

    run = Run(arguments.out)
    write_atomically(run.command_path, arguments.line + "\n")
    result = {"run": arguments.out, **more, "epochs": len(history), "last": history[-1]}
    if run.quarantine_path.exists():
        reasons = saved_reasons(run.quarantine_path)
        lines = [f"{len(reasons)} videos could not be used:", *(f"  {r}" for r in reasons.values())]
        print(*lines, sep="\n", file=sys.stderr)
        result["quarantine"] = reasons
    return result


def print_line_to_train(arguments):
    """What to type to train a student that knows no classes yet."""
    print(f"\nThe student is in {arguments.out}. With labels it becomes a classifier:")
    print(f"  keras-stc train DATA --model {arguments.student} --weights {arguments.out}", end="")
    print(f" --frames {arguments.frames} --stride {arguments.stride} --size {arguments.size}")


def show_run(arguments, result, seconds, title, subtitle, about, **shown):
    """Writes the page of a run, `about` being rows of its table, and prints where it is, or JSON.

    Returns:
        Whether people are to be told more.
    """
    from keras_stc.report.facts import facts
    from keras_stc.runs import Run

    result["report"] = written_report(
        Run(arguments.out).report_path,
        title,
        subtitle,
        quarantine=result.get("quarantine"),
        facts=facts(arguments.line, seconds, **about, epochs=result["epochs"]),
        **shown,
    )
    if arguments.json:
        print_json(result)
    else:
        show_report(result["report"])
    return not arguments.json


def written_report(path, *arguments, **options):
    """Writes a page as `write_report` does; what has been measured does not depend on it.

    Returns:
        The path as text, or `None` where it cannot be written, which is said.
    """
    from keras_stc.report import write_report

    try:
        return str(write_report(path, *arguments, **options))
    except ImportError as error:  # installed without its dependencies
        print(f"keras-stc: no report: {error}", file=sys.stderr)
    except OSError as error:
        print(f"keras-stc: no report: {path}: {error.strerror}", file=sys.stderr)


def show_report(path):
    """Says where the page is that `written_report` wrote."""
    if path:
        print(f"\nReport: {path}")


def print_json(value):
    print(json.dumps(value, indent=1))


def print_table(columns, rows):
    """Columns aligned; numbers, which come as text, to the right."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for i, column in enumerate(columns):
        numeric = all(re.fullmatch(r"[\d. ±%]+", row[i]) for row in rows if row[i])
        # Numbers stay whole; text goes on in the next line where the terminal is narrow.
        table.add_column(
            column, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold"
        )
    for row in rows:
        table.add_row(*map(escape, row))  # "[" is no markup in names of classes
    console = Console()
    # A file or a pipe has no width to fit.
    Console(width=None if console.is_terminal else 200, highlight=False).print(table)


def painted(text, stream):
    """Red and bold on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[1;31m{text}\x1b[0m"


def fit_verbosity(arguments):
    """`verbose` of a training: silent for machines, lines without Keras' colours by NO_COLOR."""
    if arguments.json:
        return 0
    return 2 if os.environ.get("NO_COLOR") else "auto"


def progress_bar(total, unit, arguments):
    """A bar on standard error; none for machines."""
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, disable=True if arguments.json else None, leave=False)


def count_clips(bar, clips):
    """Shows on a bar of videos how many clips a second went through the network so far."""
    seconds = bar.format_dict["elapsed"]
    if seconds:
        bar.set_postfix_str(f"{clips / seconds:.1f} clips/s", refresh=False)
