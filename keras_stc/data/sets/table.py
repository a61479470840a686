"""Videos in a list: a CSV file, or an annotation list as other projects write them."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence

from keras_stc.data.errors import VideoError
from keras_stc.data.sets.annotation import check_one_label, read_annotation
from keras_stc.data.sets.data import Data, own_name
from keras_stc.data.sets.fields import is_number, read_text, seconds
from keras_stc.data.sets.label_names import label_names_beside, name_labels
from keras_stc.data.sets.names import SUBSET_OF, some_of, subsets_among
from keras_stc.data.sets.places import place_videos
from keras_stc.data.sets.video import Video, VideoSet


class VideoCSV(VideoSet):
    """Videos listed in a CSV file with a header: `path,label`, and `split` where there is one.

    Columns `start` and `end`, in seconds, cut a piece out of a video. Rows without a label are
    left out, unless they are wanted. Other lists of the field are taken too, such as
    `d/a/1.mp4 0` in each line, and a warning says what was taken for what; where two readings are
    possible, none is chosen.

    Example:

    ```python
    train = keras_stc.data.VideoCSV("fights.csv", split="train")
    test = keras_stc.data.VideoCSV("fights.csv", split="test")
    ```

    Args:
        path: The list, UTF-8.
        root: Folder that the paths in it start from. Defaults to the folder of the list or, where
            nothing lies there, the working directory.
        split: Which rows to take, by the column `split`; all where it is `None`.
        class_names: Names of the classes by label. Defaults to all labels of the file, whatever
            their split, sorted, or in the order of `label_names`.
        label_column: Column that holds the label. Defaults to `"label"`.
        label_names: What numbers as labels stand for, or the order of labels that are names: a
            list of names, or a file of them. Defaults to `classInd.txt`, `labels.txt`, … beside
            the list.
        keep_unlabelled: Whether rows without a label stay, as videos whose label is `None`.

    Raises:
        VideoError: If the file, a column or the split is missing, a label is none of
            `class_names`, none of the videos exist, a video has several labels, or the list can
            be read in two ways.

    Warns:
        VideoWarning: If rows are left out, or the list is not in the form above.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        split: str | None = None,
        class_names: Sequence[str] | None = None,
        label_column: str | None = None,
        label_names: str | os.PathLike[str] | Sequence[str] | None = None,
        keep_unlabelled: bool = False,
    ) -> None:
        path = os.fspath(path)
        table = read_annotation(path, read_text(path), label_column)
        self._fill(table, root, split, class_names, label_column, label_names, keep_unlabelled)

    def _fill(self, table, root, split, class_names, label_column, label_names, keep_unlabelled):
        path, column = table.path, label_column or "label"
        for name in ["path", column] + (["split"] if split is not None else []):
            if name not in table.columns:
                raise VideoError(
                    f"{path} has no column {name!r}; its columns are {', '.join(table.columns)}: "
                    "expected path, label and, where there is one, split."
                )
        every, needed = table.rows, ["path"] if keep_unlabelled else [column, "path"]
        rows = [(n, row) for n, row in every if all(row[name] for name in needed)]
        if len(rows) < len(every) and rows:
            taken = {number for number, _ in rows}
            first = next(number for number, _ in every if number not in taken)
            table.warn(
                f"{path}: {len(every) - len(rows)} of {len(every)} rows have no "
                f"{' or '.join(needed)} and are left out, the first in line {first}."
            )
        named, names = _classes(table, rows, column, class_names, label_names)
        if split is not None:
            splits = sorted({row["split"] for _, row in rows} - {""})
            if nowhere := [number for number, row in rows if not row["split"]]:
                table.warn(
                    f"{path}: {len(nowhere)} of {len(rows)} rows have no split and are left out, "
                    f"the first in line {nowhere[0]}."
                )
            rows = [(number, row) for number, row in rows if row["split"] == split]
            if not rows:
                raise VideoError(
                    f"{path} has no split {split!r}; its splits are {', '.join(splits)}."
                )
        if not rows or not names:
            raise VideoError(f"{path} lists no videos with a {column}; add rows, one per video.")
        numbers = {name: label for label, name in enumerate(names)}
        if table.places is None:
            table.places = place_videos(table, root)
        places, base = table.places
        videos = []
        for number, row in rows:
            label = named.get(row[column], row[column]) or None
            if label is not None and label not in numbers:
                hint = ", or say what the numbers stand for: --class-names, or `label_names`"
                raise VideoError(
                    f"{path}, line {number}, has the label {label!r}, which is none of the "
                    f"{len(names)} classes ({some_of(names)}); correct the label or the classes"
                    f"{hint if is_number(label) else ''}."
                )
            start, end = (
                seconds(path, number, row, name) if row.get(name) else None
                for name in ("start", "end")
            )
            videos.append(Video(places[row["path"]], numbers.get(label), start, end))
        if not any("://" in video.path or os.path.exists(video.path) for video in videos):
            raise VideoError(
                f"{path} lists {len(videos)} videos and none of them exists, the first being "
                f"{videos[0].path}; paths start from {base}"
                f"{'' if root else ' or the working directory'}: correct them, or give `root`."
            )
        table.tell()
        super().__init__(videos, names)


def _classes(table, rows, column, class_names, label_names):
    """`({label in the list: name}, names by label)`."""
    labels = {row[column] for _, row in rows} - {""}
    if column == "path":  # of videos without labels
        return {}, tuple(sorted(labels))
    check_one_label(table, column)
    # A network's own classes may be numbers.
    known = label_names is None and class_names is not None and labels <= set(class_names)
    if table.named is None and not known:
        table.named = name_labels(table, column, label_names)
    named = {} if known else table.named
    numeric = all(map(is_number, labels))
    order = sorted(labels, key=(lambda label: (int(label), label)) if numeric else None)
    return named, tuple(class_names or dict.fromkeys(named.values() if named else order))


class TableData(Data):
    """A list of videos, perhaps with a column `split`."""

    def __init__(self, name, text, label_names=None):
        super().__init__(name)
        self._text, self._label_names = text, label_names

    @property
    def label_names(self):
        names = self._label_names
        is_file = isinstance(names, str | os.PathLike)
        return os.path.realpath(names) if is_file else names and list(names)

    @property
    def numbers(self):
        labels = {row.get("label") for _, row in self._table.rows} - {"", None}
        named = self._label_names is not None or label_names_beside(self.name)
        return 0 if named or not all(map(is_number, labels)) else len(labels)

    @functools.cached_property
    def _table(self):
        return read_annotation(self.name, self._text)

    @functools.cached_property
    def _own_names(self):
        """From our name of a subset to that in the column `split`."""
        rows = self._table.rows if "split" in self._table.columns else ()
        splits = sorted({row["split"] for _, row in rows if row["split"]})
        if others := [name for name in splits if name.lower() not in SUBSET_OF]:
            raise VideoError(
                f"{self.name} has the split {others[0]!r}; expected {', '.join(SUBSET_OF)}: "
                "correct the column `split`, or call it otherwise."
            )
        return subsets_among(splits, self.name)

    @property
    def subsets(self):
        return tuple(self._own_names)

    def _open(self, subset, class_names, label_column=None, keep_unlabelled=False):
        own_names = self._own_names
        split = None if subset is None else own_name(own_names, subset, self.name)
        return VideoCSV._of(
            *(self._table, None, split, class_names, label_column, self._label_names),
            keep_unlabelled,
        )

    def _partly_labelled(self, subset, class_names):
        return self._open(subset, class_names, keep_unlabelled=True)

    def _unlabelled(self, subset):
        return self._open(subset, None, label_column="path")  # rows need no label then
