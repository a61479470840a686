"""Opens data by its spec, as typed for DATA: a folder, a CSV file, or a known data set."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_stc.data.errors import VideoError
from keras_stc.data.sets.annotation import LISTS
from keras_stc.data.sets.data import Data
from keras_stc.data.sets.fields import read_text
from keras_stc.data.sets.folder import FolderData
from keras_stc.data.sets.kinetics import KineticsData, is_kinetics
from keras_stc.data.sets.names import check_subset
from keras_stc.data.sets.official import HMDB51Data, UCF101Data
from keras_stc.data.sets.packed import PackedData, is_packed
from keras_stc.data.sets.table import TableData

if TYPE_CHECKING:
    from keras_stc.data.sets.video import VideoSet

#: Data sets by the name before the first colon.
DATA_SETS = {
    "ucf101": UCF101Data,
    "hmdb51": HMDB51Data,
    "kinetics": KineticsData,
    "shards": PackedData,
}


def open_source(
    spec: str | os.PathLike[str] | Data,
    label_names: str | os.PathLike[str] | Sequence[str] | None = None,
) -> Data:
    """Data by what a user types for it, opened once.

    Example:

    ```python
    data = keras_stc.data.open_source("ucf101:UCF-101:1")
    data.subsets  # ("train", "test")
    train, test = data["train"], data["test"]
    ```

    Args:
        spec: See `open_data`; or a `Data`, which is what is returned then.
        label_names: What numbers stand for that a list has as labels: a list of names, or a file
            of them. Defaults to `classInd.txt`, `labels.txt`, … beside the list.

    Returns:
        A `Data`.

    Raises:
        VideoError: If there is no such data.
    """
    if isinstance(spec, Data):
        return spec
    if is_list(spec):
        text = read_text(spec)
        if not is_kinetics(text):
            return TableData(spec, text, label_names)
    if label_names is not None:
        raise ValueError(
            "`label_names`, or --class-names, says what numbers in a list stand for, and the data "
            f"must be a list, such as a CSV file, then. Received: {spec}"
        )
    name, colon, _ = str(spec).partition(":")
    # A folder may be called ucf101 or shards.
    if colon and name in DATA_SETS:
        return DATA_SETS[name](spec)
    path = pathlib.Path(spec)
    if is_packed(path):
        return PackedData(spec)
    if path.is_dir():
        return FolderData(spec)
    if is_list(spec):
        return KineticsData(spec)
    problem = "is neither a folder nor a .csv file" if path.exists() else "does not exist"
    if "://" in str(spec):
        problem = "is an address, and DATA must be here; the videos in a CSV file may be addresses"
    known = "".join(f", or {data_set.usage}" for data_set in DATA_SETS.values())
    raise VideoError(
        f"{spec} {problem}; expected a folder with a subfolder of videos for each class, or a "
        f"CSV file with the columns path,label{known}."
    )


def is_list(spec):
    """Whether this is a file that may be a list of videos, by its ending."""
    return os.path.isfile(spec) and os.path.splitext(spec)[1].lower() in LISTS


def open_data(
    spec: str | os.PathLike[str] | Data,
    subset: str | None = None,
    class_names: Sequence[str] | None = None,
) -> VideoSet:
    """Videos by what a user types for DATA.

    Example:

    ```python
    train = keras_stc.data.open_data("ucf101:UCF-101:1", "train")
    train, held_out = keras_stc.data.open_data("videos").split(0.2, seed=0)
    ```

    Args:
        spec: A folder of class folders; a folder with `train` and `val` or `test` folders of
            class folders; a CSV file with the columns path, label and perhaps split, or another
            list of videos (see `VideoCSV`); a Kinetics CSV file, with the videos below its folder;
            `ucf101:ROOT:SPLIT`, `hmdb51:ROOT:SPLIT` with the split 1, 2, 3 or all;
            `kinetics:CSV:ROOT`; a folder of packed shards, or `shards:FOLDER:SPLIT` where the
            packed data has several splits.
        subset: `"train"`, `"val"`, `"test"`, or `None` for everything.
        class_names: Names of the classes by label. Defaults to those of the whole data, so that
            subsets agree.

    Returns:
        A `VideoSet`.

    Raises:
        VideoError: If there is no such data or no such subset.
    """
    check_subset(subset)
    return open_source(spec).open(subset, class_names)
