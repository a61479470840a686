"""Videos listed in a CSV file."""

import csv
import functools
import math
import os
import pathlib
import warnings

from keras_stc.data.errors import VideoError, VideoWarning
from keras_stc.data.sets.data import Data, own_name
from keras_stc.data.sets.names import SUBSET_OF, some_of, subsets_among
from keras_stc.data.sets.video import Video, VideoSet


class VideoCSV(VideoSet):
    """Videos listed in a CSV file with a header: `path,label`, and `split` where there is one.

    Columns `start` and `end`, in seconds, cut a piece out of a video. Rows without a label are
    left out.

    Example:

    ```python
    train = keras_stc.data.VideoCSV("fights.csv", split="train")
    test = keras_stc.data.VideoCSV("fights.csv", split="test")
    ```

    Args:
        path: The CSV file, UTF-8.
        root: Folder that the paths in it start from. Defaults to the folder of the CSV file.
        split: Which rows to take, by the column `split`; all where it is `None`.
        class_names: Names of the classes by label. Defaults to all labels of the file, whatever
            their split, sorted.
        label_column: Column that holds the label. Defaults to `"label"`.

    Raises:
        VideoError: If the file, a column or the split is missing, a label is none of
            `class_names`, or none of the videos exist.
    """

    def __init__(self, path, root=None, split=None, class_names=None, label_column=None):
        self._fill(path, read_csv(path), root, split, class_names, label_column)

    @classmethod
    def of(cls, path, table, split=None, class_names=None, label_column=None):
        """As the constructor, of a file that `read_csv` has read before."""
        videos = cls.__new__(cls)
        videos._fill(path, table, None, split, class_names, label_column)
        return videos

    def _fill(self, path, table, root, split, class_names, label_column):
        column = label_column or "label"
        columns, rows = table
        for name in ["path", column] + (["split"] if split is not None else []):
            if name not in columns:
                raise VideoError(
                    f"{path} has no column {name!r}; its columns are {', '.join(columns)}: "
                    "expected path, label and, where there is one, split."
                )
        every, rows = rows, [(n, row) for n, row in rows if row[column] and row["path"]]
        if len(rows) < len(every) and rows:
            first = next(number for number, row in every if not (row[column] and row["path"]))
            warnings.warn(
                f"{path}: {len(every) - len(rows)} of {len(every)} rows have no {column} or path "
                f"and are left out, the first in line {first}.",
                VideoWarning,
                stacklevel=3,
            )
        names = tuple(class_names or sorted({row[column] for _, row in rows}))
        if split is not None:
            splits = sorted({row["split"] for _, row in rows} - {""})
            if nowhere := [number for number, row in rows if not row["split"]]:
                warnings.warn(
                    f"{path}: {len(nowhere)} of {len(rows)} rows have no split and are left out, "
                    f"the first in line {nowhere[0]}.",
                    VideoWarning,
                    stacklevel=3,
                )
            rows = [(number, row) for number, row in rows if row["split"] == split]
            if not rows:
                raise VideoError(
                    f"{path} has no split {split!r}; its splits are {', '.join(splits)}."
                )
        if not rows:
            raise VideoError(f"{path} lists no videos with a {column}; add rows, one per video.")
        numbers = {name: label for label, name in enumerate(names)}
        root = pathlib.Path(path).parent if root is None else pathlib.Path(root)
        videos = []
        for number, row in rows:
            if row[column] not in numbers:
                raise VideoError(
                    f"{path}, line {number}, has the label {row[column]!r}, which is none of the "
                    f"{len(names)} classes ({some_of(names)}); correct the label or the classes."
                )
            remote = "://" in row["path"]
            videos.append(
                Video(
                    row["path"] if remote else str(root / row["path"]),
                    numbers[row[column]],
                    _seconds(path, number, row, "start"),
                    _seconds(path, number, row, "end"),
                )
            )
        if not any("://" in video.path or os.path.exists(video.path) for video in videos):
            raise VideoError(
                f"{path} lists {len(videos)} videos and none of them exists, the first being "
                f"{videos[0].path}; paths start from {root}: correct them, or give `root`."
            )
        super().__init__(videos, names)


def read_csv(path):
    """`(column names, [(line number, row dict)])` of a CSV file; values without outer blanks."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", skipinitialspace=True)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [
                (reader.line_num, {k: v.strip() for k, v in row.items() if k is not None})
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise VideoError(
            f"{path} cannot be read as a CSV file ({getattr(error, 'strerror', None) or error}); "
            "expected UTF-8 text with a header line such as path,label."
        ) from error
    return columns, rows


def _seconds(path, number, row, column):
    text = row.get(column)
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise VideoError(
            f"{path}, line {number}, has {text!r} as {column}; expected a number of seconds."
        )
    return seconds


class TableData(Data):
    """A CSV file, perhaps with a column `split`."""

    @functools.cached_property
    def _table(self):
        return read_csv(self.name)

    @functools.cached_property
    def _own_names(self):
        """From our name of a subset to that in the column `split`."""
        columns, rows = self._table
        names = {row["split"] for _, row in rows if row["split"]} if "split" in columns else set()
        there = sorted(names)
        if others := [name for name in there if name.lower() not in SUBSET_OF]:
            raise VideoError(
                f"{self.name} has the split {others[0]!r}; expected {', '.join(SUBSET_OF)}: "
                "correct the column `split`, or call it otherwise."
            )
        return subsets_among(there, self.name)

    @property
    def subsets(self):
        return tuple(self._own_names)

    def _open(self, subset, class_names, label_column=None):
        own = self._own_names
        split = None if subset is None else own_name(own, subset, self.name)
        return VideoCSV.of(self.name, self._table, split, class_names, label_column)

    def _unlabelled(self, subset):
        return self._open(subset, None, label_column="path")  # rows need no label then
