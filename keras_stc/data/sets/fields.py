"""`Table` and its rows: fields of a text file between separators and quotes."""

import contextlib
import csv
import dataclasses
import io
import math
import os
import warnings

from keras_stc.data.errors import VideoError, VideoWarning
from keras_stc.data.sets.names import EXTENSIONS

#: How fields may be separated; a tab is a blank too.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "blanks"}


@dataclasses.dataclass
class Table:
    """A list of videos that has been read.

    Args:
        path: Of the list.
        columns: Names of its columns.
        rows: `(line number, {column: text})`; columns have our names where they are known.
        notes: What was taken for what, where the list does not say it in our words.
        named: Names of the numbers that are labels, once they are known.
        places: Where the videos lie, once that is known.
        said: Warnings that have been given.
    """

    path: str
    columns: list
    rows: list
    notes: list = dataclasses.field(default_factory=list)
    named: dict | None = None
    places: tuple | None = None
    said: set = dataclasses.field(default_factory=set, repr=False)

    def tell(self):
        """Says once, in a line, what was taken for what."""
        if self.notes:
            self.warn(f"{self.path} is read like this: {'; '.join(self.notes)}.", 5)

    def warn(self, text, stacklevel=4):
        """Warns of something, once."""
        if text not in self.said:
            self.said.add(text)
            warnings.warn(text, VideoWarning, stacklevel)


def read_csv(path):
    """`(column names, [(line number, row dict)])` of a CSV file; values without outer blanks."""
    return read_rows(path, read_text(path), ",")


def read_text(path):
    """The text of a list, without a byte-order mark."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def split_line(line, separator):
    """Fields of one line, without outer blanks."""
    if separator == " ":
        return line.split()
    try:
        rows = list(csv.reader([line], delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return []
    return [field.strip() for field in rows[0]] if rows else []


def read_rows(path, text, separator):
    """`(column names, [(line number, row dict)])`; values without outer blanks."""
    if separator == " ":
        lines = [(k, line.split()) for k, line in enumerate(text.splitlines(), 1) if line.strip()]
    else:
        try:
            reader = csv.reader(
                io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True
            )
            lines = [(reader.line_num, [f.strip() for f in fields]) for fields in reader if fields]
        except csv.Error as error:
            raise _unreadable(path, error) from error
    columns, rows = lines[0][1] if lines else [], []
    if twice := [name for name in ("path", "label", "split") if columns.count(name) > 1]:
        raise VideoError(
            f"{path} has two columns {twice[0]!r}, and either may be meant: call one otherwise."
        )
    for number, fields in lines[1:]:
        if any(fields[len(columns) :]):
            raise VideoError(
                f"{path}, line {number}, has {len(fields)} fields, separated by "
                f"{SEPARATORS[separator]}, and the header has {len(columns)}; expected one label "
                'for a video, and quotes around what contains the separator, as in "a, b".'
            )
        fields += [""] * (len(columns) - len(fields))
        rows.append((number, dict(zip(columns, fields, strict=False))))
    return columns, rows


def seconds(path, number, row, column):
    """The time in a column of a row, which is line `number`."""
    with contextlib.suppress(ValueError):
        if math.isfinite(time := float(row[column])):
            return time
    raise VideoError(
        f"{path}, line {number}, has {row[column]!r} as {column}; expected a number of seconds."
    )


def is_number(text):
    return text.isascii() and text.isdigit()


def is_video_name(text):
    return "://" in text or os.path.splitext(text)[1].lower() in EXTENSIONS


def _unreadable(path, error):
    return VideoError(
        f"{path} cannot be read as a CSV file ({getattr(error, 'strerror', None) or error}); "
        "expected UTF-8 text with a header line such as path,label."
    )
