"""Lists of videos in the forms in which the field writes them."""

import csv
import dataclasses
import io
import os
import re
import warnings
from typing import NamedTuple

from keras_stc.data.errors import VideoError, VideoWarning
from keras_stc.data.sets.names import EXTENSIONS, SUBSET_OF, some_of

#: Endings of files that may be lists.
LISTS = frozenset((".csv", ".tsv", ".txt", ".list", ".lst"))

#: What columns are called elsewhere: ours -> others, in small letters.
COLUMNS = {
    "path": (
        *("file", "filename", "file_name", "filepath", "file_path", "video", "video_name"),
        *("videoname", "video_path", "video_file", "clip", "clip_name", "clip_path", "name"),
        *("frame_dir", "frames_dir"),
    ),
    "label": (
        *("class", "class_name", "classname", "label_name", "tag", "action", "activity"),
        *("category", "target", "class_id", "label_id", "class_index", "label_index"),
    ),
    "split": ("subset", "set", "partition", "usage"),
}

#: How fields may be separated; a tab is a blank too.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "blanks"}

#: Labels that are several: `run|jump`, `3,7`, `[3, 7]`.
SEVERAL = re.compile(r"[^|]+\|.+|\d+([,;/ ]+\d+)+|\[.*,.*\]")


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


class Reading(NamedTuple):
    """One way to understand a list without a header: its rows, or why it cannot be used."""

    separator: str
    rows: list
    problem: str = ""


def read_annotation(path, label_column=None):
    """A `Table` of a list of videos, in any of the forms that docs/data.md names.

    Raises:
        VideoError: If it is no such list, or can be understood in two ways.
    """
    text = read_text(path)
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    for separator in SEPARATORS:
        if is_header(split_line(first, separator), label_column):
            return _with_header(path, text, separator, label_column)
    readings = [_read(path, lines, separator) for separator in SEPARATORS]
    readings = [reading for reading in readings if reading is not None]
    good = {reading.separator: reading for reading in readings if not reading.problem}
    if "\t" in good:
        good.pop(" ", None)
    good = list(good.values())
    if not good and readings:
        raise VideoError(readings[0].problem)
    if not good:
        raise _no_list(path, first)
    one = good[0]
    for other in good[1:]:
        for (number, a), (_, b) in zip(one.rows, other.rows, strict=True):
            if a != b:
                raise VideoError(
                    f"{path}, line {number}, can be read in two ways: {_say_row(a)}, separated by "
                    f"{SEPARATORS[one.separator]}, or {_say_row(b)}, separated by "
                    f"{SEPARATORS[other.separator]}; put a header such as path,label above it, "
                    "with the same separator."
                )
    columns = [name for name in ("path", "frames", "label") if name in one.rows[0][1]]
    what = {"path": "the path", "frames": "the number of frames (not used)", "label": "the label"}
    notes = [
        f"separated by {SEPARATORS[one.separator]}, without a header",
        "a line is " + ", ".join(what[name] for name in columns),
    ]
    return Table(path, columns, one.rows, notes)


def read_csv(path):
    """`(column names, [(line number, row dict)])` of a CSV file; values without outer blanks."""
    return _rows(path, read_text(path), ",")


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


def is_header(fields, label_column=None):
    """Whether these are names of columns: one of them is known, and none is data."""
    known = {name for ours, others in COLUMNS.items() for name in (ours, *others)} | {"youtube_id"}
    names = {field.lower() for field in fields}
    if any(is_number(field) or is_video_name(field) for field in fields):
        return False
    return bool(names & known) or label_column in fields


def is_number(text):
    return text.isascii() and text.isdigit()


def is_video_name(text):
    return "://" in text or os.path.splitext(text)[1].lower() in EXTENSIONS


def _with_header(path, text, separator, label_column):
    columns, rows = _rows(path, text, separator)
    table = Table(path, columns, rows)
    if separator != ",":
        table.notes.append(f"separated by {SEPARATORS[separator]}")
    for ours in COLUMNS:
        known = ours in columns or (ours == "label" and label_column is not None)
        name = None if known else _called(table, ours)
        if name is not None:
            table.notes.append(f"the column {name} is the {ours}")
            columns[columns.index(name)] = ours
            for _, row in rows:
                row[ours] = row.pop(name)
    return table


def _called(table, ours):
    """What a list calls one of our columns, or `None`."""
    others = [n for n in table.columns if n.lower() == ours or n.lower() in COLUMNS[ours]]
    if ours == "split":
        # A column `set` may be anything.
        others = [
            name
            for name in others
            if {row[name].lower() for _, row in table.rows} - {""} <= SUBSET_OF.keys()
            and any(row[name] for _, row in table.rows)
        ]
    if len(others) < 2:
        return others[0] if others else None
    values = {name: [row[name] for _, row in table.rows] for name in others}
    if ours == "path":
        there = [name for name in others if any(map(is_video_name, values[name]))]
        if len(there) == 1:
            return there[0]
    if ours == "label":
        # A number and its name say the same, where one goes with the other throughout.
        a, b = others[:2]
        pairs = set(zip(values[a], values[b], strict=True))
        same = len(pairs) == len(set(values[a])) == len(set(values[b]))
        words = [name for name in others if not all(map(is_number, values[name]))]
        if len(others) == 2 and same and len(words) == 1:
            return words[0]
    raise VideoError(
        f"{table.path} has the columns {' and '.join(others)}, and either may be the {ours}: call "
        f"the one that is meant {ours}."
    )


def _rows(path, text, separator):
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


def _read(path, lines, separator):
    """The `Reading` of a list without a header by one separator, or `None` if it is not so."""
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = _split_blanks(line) if separator == " " else split_line(line, separator)
        if not fields or not fields[0]:
            return None
        where, video, rest = f"{path}, line {number}", fields[0], fields[1:]
        is_file = is_video_name(video)
        if not is_file and not (rest and is_number(rest[-1] if len(rest) < 2 else rest[0])):
            return None
        if len(rest) == 2 and not is_file and is_number(rest[0]):
            rows.append((number, {"path": video, "frames": rest[0], "label": rest[1]}))
        elif len(rest) < 2:
            rows.append((number, dict(zip(("path", "label"), fields, strict=False))))
        elif all(map(is_number, rest)) and len(rest) == (2 if is_file else 3):
            other = "a number of frames and its label"
            if not is_file:
                other = "its first frame, a number of frames and its label"
            return Reading(
                separator,
                [],
                f"{where}, can be read in two ways: after {video} come {other}, or {len(rest)} "
                "labels, of which a video has one here; leave all but the label out.",
            )
        elif separator != " " or all(map(is_number, rest)):
            return Reading(separator, [], _several(where, " ".join(rest)))
        else:
            return Reading(
                separator,
                [],
                f"{where}, can be read in two ways: after {video} comes one label, "
                f"{' '.join(rest)!r}, or {len(rest)} of them; expected one, after a tab or a "
                "comma where it is of several words.",
            )
    if not rows:
        return None
    if any(row.keys() != rows[0][1].keys() for _, row in rows):
        number = next(n for n, row in rows if row.keys() != rows[0][1].keys())
        return Reading(
            separator,
            [],
            f"{path}, line {number}, has another number of fields than the lines above it, "
            f"separated by {SEPARATORS[separator]}; expected a video and its label in each.",
        )
    return Reading(separator, rows)


def _split_blanks(line):
    """Path, which may have blanks in it, and the other fields."""
    tokens = line.split()
    ends = [k for k, token in enumerate(tokens) if is_video_name(token)]
    if ends:
        path = re.match(r"\s*" + r"\s+".join(map(re.escape, tokens[: ends[-1] + 1])), line).group()
        return [path.strip(), *tokens[ends[-1] + 1 :]]
    return tokens


def check_one_label(table, column):
    """Raises the `VideoError` for videos of several classes at a time."""
    seen = {}
    for number, row in table.rows:
        if SEVERAL.fullmatch(label := row[column]):
            raise VideoError(_several(f"{table.path}, line {number}", label))
        what = tuple(row.get(name, "") for name in ("path", "split", "start", "end"))
        if label and seen.setdefault(what, label) != label:
            raise VideoError(
                f"{table.path} lists {row['path']} as {seen[what]!r} and {label!r}, the latter in "
                f"line {number}; expected one label for a video, or for each piece of it: correct "
                "the list."
            )


def _several(where, labels):
    return (
        f"{where}, has several labels, {labels!r}, and multi-label data is not supported: a video "
        "has one class here; give it the one that matters, or list pieces of it with start and end."
    )


def _say_row(row):
    label = f" of class {row['label']!r}" if "label" in row else ""
    return f"{row['path']!r}{label}"


def _unreadable(path, error):
    return VideoError(
        f"{path} cannot be read as a CSV file ({getattr(error, 'strerror', None) or error}); "
        "expected UTF-8 text with a header line such as path,label."
    )


def _no_list(path, first):
    if os.path.splitext(path)[1].lower() == ".csv":
        columns = split_line(first, ",")
        return VideoError(
            f"{path} has no column 'path'; its columns are {', '.join(columns)}: "
            "expected path, label and, where there is one, split."
        )
    return VideoError(
        f"{path} is no list of videos, its first line being {first[:80]!r}; expected a folder with "
        "a subfolder of videos for each class, or a list with a header such as path,label, or "
        f"with a video and its label in each line ({some_of(sorted(LISTS))})."
    )
