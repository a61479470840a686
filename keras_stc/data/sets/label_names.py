"""Names of the classes of a list whose labels are numbers: `classInd.txt` and the like."""

import json
import os
import pathlib
import re

from keras_stc.data.errors import VideoError
from keras_stc.data.sets.fields import is_number, is_video_name
from keras_stc.data.sets.names import some_of

#: Files of names that are looked for beside a list.
NAME_FILES = ("classInd.txt", "labels.txt", "label_map.txt", "classes.txt", "class_names.txt")


def label_names_beside(path):
    """The file of names beside a list, or `None`.

    Raises:
        VideoError: If there are two that differ.
    """
    folder, names_in = pathlib.Path(path).parent, {}
    for name in NAME_FILES:
        file = folder / name
        if file.is_file() and not os.path.samefile(file, path):
            try:
                names, _ = read_label_names(file)
            except VideoError:
                continue  # something else of that name
            if not any(map(is_video_name, names)):
                names_in[str(file)] = names
    if len({tuple(names) for names in names_in.values()}) > 1:
        raise VideoError(
            f"{path} has numbers as labels, and {' and '.join(names_in)} name them differently: "
            "say which is meant with --class-names, or `label_names`, or move the other away."
        )
    return next(iter(names_in), None)


def read_label_names(names):
    """`(names, first number or None where they are not numbered)`, of a file or a list.

    A file has a name in each line, or a number and a name, or is JSON: a list of names, or an
    object from name to number.
    """
    if not isinstance(names, str | os.PathLike):
        return [str(name) for name in names], None
    path = pathlib.Path(names)
    try:
        text = path.read_text(encoding="utf-8-sig")
        data = json.loads(text) if path.suffix.lower() == ".json" else None
    except (OSError, ValueError) as error:
        raise VideoError(
            f"{path} cannot be read as names of classes "
            f"({getattr(error, 'strerror', None) or error}); expected one in each line."
        ) from error
    if isinstance(data, dict):
        rows = [(str(number), str(name)) for name, number in data.items()]
    elif isinstance(data, list):
        return [str(name) for name in data], None
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        rows = [re.fullmatch(r"(?P<number>\d+)[\s,;:]+(?P<name>.+)", line) for line in lines]
        if not all(rows):
            rows = [re.fullmatch(r"(?P<name>.+?)[\s,;:]+(?P<number>\d+)", line) for line in lines]
        rows = [(row["number"], row["name"]) for row in rows] if all(rows) else []
    numbers = sorted(int(number) for number, _ in rows if is_number(number))
    first = numbers[0] if numbers else None
    if first in (0, 1) and numbers == [*range(first, first + len(rows))]:
        return [name for _, name in sorted(rows, key=lambda row: int(row[0]))], first
    if data is not None or not lines:
        raise VideoError(
            f"{path} does not number its classes one by one, from 0 or 1; expected a name of a "
            "class in each line, or a number and a name."
        )
    return lines, None


def name_labels(table, column="label", given=None):
    """`{label: name}` in the order of the names, where labels are numbers with names; or `{}`.

    Where the numbers begin, at 0 or at 1, is what the list and the folders of its videos say;
    where both are possible, it is not guessed.

    Args:
        table: A `Table`.
        column: Of the labels.
        given: A file of names or a list of them; otherwise a file beside the list is taken.

    Raises:
        VideoError: If the names do not fit the numbers, or fit in two ways.
    """
    labels = {row[column] for _, row in table.rows if row[column]}
    if not all(map(is_number, labels)):
        return {} if given is None else _chosen(table, labels, given)
    source = label_names_beside(table.path) if given is None and labels else given
    if source is None or not labels:
        return {}
    names, numbered = read_label_names(source)
    where = os.fspath(source) if isinstance(source, str | os.PathLike) else "`label_names`"
    numbers = sorted(map(int, labels))
    firsts = [first for first in (0, 1) if first <= numbers[0] and numbers[-1] < first + len(names)]
    if numbered == 0 and firsts:
        firsts = firsts[:1] if firsts[0] == 0 else []
    if len(firsts) > 1:
        firsts = [first for first in firsts if _fits(table, column, names, first)]
    elif firsts and not _fits(table, column, names, firsts[0]):
        firsts = []
    if not firsts:
        raise VideoError(
            f"{table.path} has the labels {numbers[0]} to {numbers[-1]}, which do not fit the "
            f"{len(names)} names in {where} ({some_of(names)}): give the names of these classes "
            "with --class-names, or `label_names`."
        )
    if len(firsts) > 1:
        label = numbers[0]
        raise VideoError(
            f"{table.path} has the labels {numbers[0]} to {numbers[-1]}, which {where} can name in "
            f"two ways: {label} is {names[label]!r}, counted from 0, or {names[label - 1]!r}, "
            "counted from 1; write the names into the list, or number them from 0 in that file, as "
            f"in '0 {names[0]}', where the former is right."
        )
    first = firsts[0]
    table.notes.append(f"labels are numbers, counted from {first}, named by {where}")
    return {label: names[int(label) - first] for label in sorted(labels, key=int)}


def _chosen(table, labels, given):
    """Labels that are names already, in the order of the names given."""
    names, _ = read_label_names(given)
    if unknown := sorted(labels - set(names)):
        raise VideoError(
            f"{table.path} has the label {unknown[0]!r}, which is none of the {len(names)} names "
            f"({some_of(names)}) of --class-names, or `label_names`; correct either."
        )
    return {name: name for name in names if name in labels}


def _fits(table, column, names, first):
    """Whether no video lies in the folder of another class than its number says."""
    known = set(names)
    for _, row in table.rows:
        parts = row["path"].replace("\\", "/").split("/")
        folder = parts[-2] if len(parts) > 1 else ""
        if row[column] and folder in known and names[int(row[column]) - first] != folder:
            return False
    return True
