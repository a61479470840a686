"""Kinetics, by the lists its authors publish."""

import dataclasses
import functools
import os
import warnings
from collections.abc import Sequence

from keras_stc.data.errors import VideoError, VideoWarning
from keras_stc.data.sets.annotation import COLUMNS
from keras_stc.data.sets.data import Data
from keras_stc.data.sets.fields import read_csv, seconds, split_line
from keras_stc.data.sets.listed import ListedVideos, Listing, Row
from keras_stc.data.sets.names import some_of

#: What Kinetics' files call their subsets.
KINETICS_SUBSETS = {"train": "train", "val": "val", "validate": "val", "test": "test"}

#: Columns of Kinetics' files without which a video is not found.
KINETICS_COLUMNS = ("youtube_id", "time_start", "time_end")


class Kinetics(ListedVideos):
    """Kinetics, by one of its CSV files (Kay et al. 2017).

    Files are found anywhere below `root`, by the names the common downloaders give:
    `ID_000417_000427.mp4`, `ID_417_427.mp4` or `ID.mp4`, with any ending of a video, or folders of
    extracted frames. Everybody lacks some of Kinetics' videos: those missing are counted, named,
    and left out.

    Example:

    ```python
    val = keras_stc.data.Kinetics("kinetics-400_val.csv", "k400/val")
    len(val), len(val.missing), val.report()
    ```

    Args:
        path: The CSV file, with the columns label, youtube_id, time_start, time_end and split.
            Rows of a test set may lack the label.
        root: Folder of the videos.
        subset: `"train"`, `"val"` or `"test"`, by the column `split`; `None` for all rows.
        class_names: Names of the classes by label. Defaults to those of which there are videos,
            sorted.
        trimmed: Whether files named `ID.mp4` hold the ten seconds alone; otherwise they are taken
            for whole videos, of which the piece from time_start to time_end is read.

    Raises:
        VideoError: If the file, a column or the subset is missing, or most of the videos are of
            the classes that are there.

    Warns:
        VideoWarning: If some classes or videos are missing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        root: str | os.PathLike[str],
        subset: str | None = None,
        class_names: Sequence[str] | None = None,
        trimmed: bool = True,
    ) -> None:
        self._fill(read_kinetics(path, root, trimmed), subset, class_names)


def read_kinetics(path, root, trimmed=True):
    """The `Listing` of one of Kinetics' files."""
    columns, lines = read_csv(path)
    for column in KINETICS_COLUMNS:
        _check_column(path, columns, column)
    rows = []
    for number, line in lines:
        video = line["youtube_id"]
        start, end = (int(seconds(path, number, line, c)) for c in KINETICS_COLUMNS[1:])
        name = f"{video}_{start:06d}_{end:06d}"
        piece = (None, None) if trimmed else (start, end)
        names = ((name, None, None), (f"{video}_{start}_{end}", None, None), (video, *piece))
        subset = KINETICS_SUBSETS.get(line.get("split"))
        rows.append(Row(name, line.get("label") or None, subset, names))
    labels = tuple(sorted({row.class_name for row in rows if row.class_name}))
    return KineticsListing(
        *("Kinetics", root, tuple(rows), labels), folders_by_name=False, path=path, columns=columns
    )


def _check_column(path, columns, column):
    if column not in columns:
        raise VideoError(
            f"{path} has no column {column!r}; its columns are {', '.join(columns)}: "
            "expected label, youtube_id, time_start, time_end and split."
        )


@dataclasses.dataclass(frozen=True)
class KineticsListing(Listing):
    """One of Kinetics' files; a file need not be divided into subsets."""

    path: str = ""
    columns: tuple = ()

    @functools.cached_property
    def subsets(self):
        named = {row.subset for row in self.rows}
        return tuple(name for name in ("train", "val", "test") if name in named)

    def check_subset(self, subset):
        if subset is not None:
            _check_column(self.path, self.columns, "split")
            if subset not in self.subsets:
                raise VideoError(
                    f"{self.path} has no subset {subset!r}; it has {', '.join(self.subsets)}."
                )
        if not self.rows:
            raise VideoError(f"{self.path} lists no videos; add rows, one per video.")

    def check_classes(self, given):
        if unknown := [name for name in self.classes_there if name not in set(given)]:
            raise VideoError(
                f"{self.path} has the label {unknown[0]!r}, which is none of the {len(given)} "
                f"classes ({some_of(given)}); correct the label or the classes."
            )


class KineticsData(Data):
    """`kinetics:CSV:ROOT`, or one of Kinetics' files, with the videos below its folder."""

    usage = "kinetics:CSV:ROOT"

    def __init__(self, name):
        super().__init__(name)
        self._plain = not self.name.startswith("kinetics:")
        if self._plain:
            self._path, self._root = self.name, os.path.dirname(self.name) or os.curdir
            return
        self._path, _, self._root = self.name.partition(":")[2].partition(":")
        if not self._path or not self._root:
            raise VideoError(f"{name} must be {self.usage}: a CSV file and a folder of videos.")

    @functools.cached_property
    def _listing(self):
        if self._plain:
            warnings.warn(
                f"{self._path} is read as one of Kinetics' lists; its videos are looked for below "
                f"{self._root}, and kinetics:{self._path}:FOLDER names another folder.",
                VideoWarning,
                stacklevel=5,
            )
        return read_kinetics(self._path, self._root)

    @property
    def spec(self):
        if self._plain:
            return super().spec
        return f"kinetics:{os.path.realpath(self._path)}:{os.path.realpath(self._root)}"

    @property
    def subsets(self):
        return self._listing.subsets

    def _open(self, subset, class_names):
        return Kinetics._of(self._listing, subset, class_names)


def is_kinetics(text):
    """Whether a list has the columns of Kinetics' files, and none that says where videos are."""
    columns = {name.lower() for name in split_line(text.partition("\n")[0], ",")}
    return columns.issuperset(KINETICS_COLUMNS) and not columns & {"path", *COLUMNS["path"]}
