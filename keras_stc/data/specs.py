"""Data as it is named on a command line: a folder, a CSV file, or a known data set."""

import pathlib

from keras_stc.data.errors import VideoError
from keras_stc.data.sources import VideoCSV, VideoFolder, VideoSet, class_folders, read_csv

#: What a subset may be called in folders and CSV files.
SUBSETS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}

#: Data sets by the name before the first colon: a pair of functions
#: `open(rest, subset, class_names) -> VideoSet` and `subsets(rest) -> tuple of "train", …`.
DATA_SETS = {}


def open_data(spec, subset=None, class_names=None):
    """Videos by what a user types for DATA.

    Example:

    ```python
    if "val" in keras_stc.data.data_subsets(spec):
        train, val = open_data(spec, "train"), open_data(spec, "val")
    else:
        train, val = open_data(spec).split(0.2, seed=0)
    ```

    Args:
        spec: A folder of class folders; a folder with `train` and `val` or `test` folders of
            class folders; a CSV file with the columns path, label and perhaps split.
        subset: `"train"`, `"val"`, `"test"`, or `None` for everything.
        class_names: Names of the classes by label. Defaults to those of the whole data, so that
            subsets agree.

    Returns:
        A `VideoSet`.

    Raises:
        VideoError: If there is no such data or no such subset.
    """
    if subset is not None and subset not in SUBSETS:
        raise ValueError(
            f"`subset` must be one of {sorted(SUBSETS)} or None. Received: subset={subset!r}"
        )
    spec = str(spec)
    name, _, rest = spec.partition(":")
    if name in DATA_SETS:
        return DATA_SETS[name][0](rest, subset, class_names)
    own = _own_names(spec)
    if subset is not None and subset not in own:
        there = f"it has {', '.join(own)}" if own else "it is not divided into subsets"
        raise VideoError(
            f"{spec} has no subset {subset!r}; {there}: add a folder, or a column `split` in the "
            "CSV file, of that name."
        )
    path = pathlib.Path(spec)
    if not path.is_dir():
        return VideoCSV(path, split=own[subset] if subset else None, class_names=class_names)
    if not own:
        return VideoFolder(path, class_names)
    if class_names is None:
        class_names = sorted({name for part in own.values() for name in class_folders(path / part)})
    parts = [subset] if subset else own
    sets = [VideoFolder(path / own[part], class_names) for part in parts]
    return VideoSet([video for videos in sets for video in videos], class_names)


def data_subsets(spec):
    """Which subsets the data is divided into.

    Args:
        spec: See `open_data`.

    Returns:
        A tuple of some of `"train"`, `"val"` and `"test"`; empty where a validation set has to
        be held out by the caller, with `VideoSet.split`.

    Raises:
        VideoError: If there is no such data.
    """
    name, _, rest = str(spec).partition(":")
    if name in DATA_SETS:
        return tuple(DATA_SETS[name][1](rest))
    return tuple(_own_names(str(spec)))


def _own_names(spec):
    """The subsets of a folder or a CSV file: from our name to the data's own."""
    path = pathlib.Path(spec)
    if path.is_dir():
        there = set(class_folders(path))
        # Classes may be called "test"; a divided folder holds subsets and nothing else.
        if not there & set(SUBSETS["train"]) or there - {n for s in SUBSETS.values() for n in s}:
            return {}
    elif path.is_file() and path.suffix.lower() == ".csv":
        columns, rows = read_csv(path)
        there = {row["split"] for _, row in rows} if "split" in columns else set()
    else:
        what = "is neither a folder nor a .csv file" if path.exists() else "does not exist"
        known = "".join(f", or {name}:…" for name in sorted(DATA_SETS))
        raise VideoError(
            f"{spec} {what}; expected a folder with a subfolder of videos for each class, or a "
            f"CSV file with the columns path,label{known}."
        )
    own = {}
    for subset, names in SUBSETS.items():
        for name in names:
            if name in there:
                own.setdefault(subset, name)
    return own
