"""Parser of video lists: CSV with a header, and the annotation lists of other projects."""

import os
import re
from typing import NamedTuple

from keras_stc.data.errors import VideoError
from keras_stc.data.sets.fields import (
    SEPARATORS,
    Table,
    is_number,
    is_video_name,
    read_rows,
    split_line,
)
from keras_stc.data.sets.names import SUBSET_OF, some_of

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

#: Labels that are several: `run|jump`, `3,7`, `[3, 7]`.
SEVERAL = re.compile(r"[^|]+\|.+|\d+([,; ]+\d+)+|\[.*,.*\]")


class Reading(NamedTuple):
    """One way to understand a list without a header: its rows, or why it cannot be used."""

    separator: str
    rows: list
    problem: str = ""


def read_annotation(path, text, label_column=None):
    """A `Table` of a list of videos, in any of the forms that docs/data.md names.

    Args:
        path: Of the list, for sentences.
        text: What is in it.
        label_column: Name of the column of labels, where it is another than ours.

    Raises:
        VideoError: If it is no such list, or can be understood in two ways.
    """
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    for separator in SEPARATORS:
        if is_header(split_line(first, separator), label_column):
            return _with_header(path, text, separator, label_column)
    readings = [_read(path, lines, separator) for separator in SEPARATORS]
    readings = [reading for reading in readings if reading is not None]
    good = [reading for reading in readings if not reading.problem]
    # A line is not a path alone where it can be a path and a label.
    good = [reading for reading in good if "label" in reading.rows[0][1]] or good
    if any(reading.separator == "\t" for reading in good):
        good = [reading for reading in good if reading.separator != " "]
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
    meanings = {
        "path": "the path",
        "frames": "the number of frames (not used)",
        "label": "the label",
    }
    notes = ["without a header", "a line is " + ", ".join(meanings[name] for name in columns)]
    if len(columns) > 1:
        notes[0] = f"separated by {SEPARATORS[one.separator]}, without a header"
    return Table(path, columns, one.rows, notes)


def is_header(fields, label_column=None):
    """Whether these are names of columns: one of them is known, and none is data."""
    known = {name for ours, others in COLUMNS.items() for name in (ours, *others)} | {"youtube_id"}
    names = {field.lower() for field in fields}
    if any(is_number(field) or is_video_name(field) for field in fields):
        return False
    return bool(names & known) or label_column in fields


def _with_header(path, text, separator, label_column):
    columns, rows = read_rows(path, text, separator)
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
        with_videos = [name for name in others if any(map(is_video_name, values[name]))]
        if len(with_videos) == 1:
            return with_videos[0]
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


def _read(path, lines, separator):
    """The `Reading` of a list without a header by one separator, or `None` if it is not so."""
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = _split_blanks(line) if separator == " " else split_line(line, separator)
        row, problem = _row(fields, separator)
        if problem:
            return Reading(separator, [], f"{path}, line {number}, {problem}")
        if row is None and not (rows and "label" in rows[0][1]):
            return None
        if row is None or (rows and row.keys() != rows[0][1].keys()):
            problem = (
                f"is not separated by {SEPARATORS[separator]} into as many fields as the lines "
                "above it; expected a video and its label in each."
            )
            return Reading(separator, [], f"{path}, line {number}, {problem}")
        rows.append((number, row))
    return Reading(separator, rows) if rows else None


def _row(fields, separator):
    """`(row, problem)` of a line without a header; neither where it is no line of a list."""
    if not fields or not fields[0]:
        return None, None
    video, tail = fields[0], fields[1:]
    is_file, numbers = is_video_name(video), list(map(is_number, tail))
    if not is_file and not any(numbers[:1]):
        return None, None
    if len(tail) < 2:
        return dict(zip(("path", "label"), fields, strict=False)), None
    if len(tail) == 2 and not is_file:
        return {"path": video, "frames": tail[0], "label": tail[1]}, None
    if all(numbers) and len(tail) == (2 if is_file else 3):
        frames = "a number of frames and its label"
        return None, (
            f"can be read in two ways: after {video} come "
            f"{frames if is_file else f'its first frame, {frames}'}, or {len(tail)} labels, of "
            "which a video has one here; leave all but the label out."
        )
    if separator == " " and not all(numbers):
        return None, (
            f"can be read in two ways: after {video} comes one label, {' '.join(tail)!r}, or "
            f"{len(tail)} of them; expected one, after a tab or a comma where it is of several "
            "words."
        )
    return None, _several(" ".join(tail))


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
    numeric = all(is_number(row[column].removeprefix("-")) for _, row in table.rows if row[column])
    for number, row in table.rows:
        if numeric and row[column].startswith("-"):
            raise VideoError(
                f"{table.path}, line {number}, has the label {row[column]}, and classes are "
                "numbered from 0; leave the label out where it is not known."
            )
        if SEVERAL.fullmatch(label := row[column]):
            raise VideoError(f"{table.path}, line {number}, {_several(label)}")
        piece = tuple(row.get(name, "") for name in ("path", "split", "start", "end"))
        if label and seen.setdefault(piece, label) != label:
            raise VideoError(
                f"{table.path} lists {row['path']} as {seen[piece]!r} and {label!r}, the latter in "
                f"line {number}; expected one label for a video, or for each piece of it: correct "
                "the list."
            )


def _several(labels):
    return (
        f"has several labels, {labels!r}, and multi-label data is not supported: a video has one "
        "class here; give it the one that matters, or list pieces of it with start and end."
    )


def _say_row(row):
    label = f" of class {row['label']!r}" if "label" in row else ""
    return f"{row['path']!r}{label}"


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
