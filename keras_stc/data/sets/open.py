"""Data as it is named on a command line: a folder, a CSV file, or a known data set."""

import collections.abc
import os
import pathlib
from typing import NamedTuple

from keras_stc.data.errors import VideoError
from keras_stc.data.sets import official, packed
from keras_stc.data.sets.folder import VideoFolder
from keras_stc.data.sets.names import class_folders, some_of
from keras_stc.data.sets.table import VideoCSV, read_csv
from keras_stc.data.sets.video import VideoSet

#: What a subset may be called in folders and CSV files.
SUBSETS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}

#: The other way round: name, in small letters -> subset.
SUBSET_OF = {name: subset for subset, names in SUBSETS.items() for name in names}


class DataSet(NamedTuple):
    """How a data set is named on the command line, and opened.

    Args:
        usage: What a user types, with capitals for what differs.
        open: `open(rest, subset, class_names) -> VideoSet`, of what follows the first colon.
        subsets: `subsets(rest) -> tuple` of some of `"train"`, `"val"` and `"test"`.
        splits: `splits(rest) -> tuple` of the rests that name one split each.
        absolute: `absolute(rest) -> rest` that means the same from every folder.
    """

    usage: str
    open: collections.abc.Callable
    subsets: collections.abc.Callable
    splits: collections.abc.Callable
    absolute: collections.abc.Callable


def _absolute_root(rest):
    root, colon, split = rest.rpartition(":")
    return f"{os.path.realpath(root)}{colon}{split}"


def _with_three_splits(name, videos):
    usage = f"{name}:ROOT:SPLIT"

    def parse(rest):
        root, _, split = rest.rpartition(":")
        if not root or split not in ("1", "2", "3", "all"):
            raise VideoError(f"{name}:{rest} must be {usage}, with the split 1, 2, 3 or all.")
        return root, split if split == "all" else int(split)

    def open_it(rest, subset, class_names):
        root, split = parse(rest)
        if split == "all" and subset is not None:
            raise VideoError(
                f"{name}:{rest} has no subset {subset!r}, since a video that one split trains on, "
                f"another one tests on; take each split by itself: {name}:{root}:1, :2 and :3."
            )
        return videos(root, split, subset, class_names=class_names)

    def subsets(rest):
        return () if parse(rest)[1] == "all" else ("train", "test")

    def splits(rest):
        root, split = parse(rest)
        return tuple(f"{root}:{k}" for k in official.SPLITS) if split == "all" else (rest,)

    return DataSet(usage, open_it, subsets, splits, _absolute_root)


def _kinetics():
    usage = "kinetics:CSV:ROOT"

    def parse(rest):
        path, _, root = rest.partition(":")
        if not path or not root:
            raise VideoError(f"kinetics:{rest} must be {usage}: a CSV file and a folder of videos.")
        return path, root

    def open_it(rest, subset, class_names):
        return official.Kinetics(*parse(rest), subset, class_names)

    def subsets(rest):
        return official.kinetics_subsets(parse(rest)[0])

    def absolute(rest):
        return ":".join(map(os.path.realpath, parse(rest)))

    return DataSet(usage, open_it, subsets, lambda rest: (rest,), absolute)


def _shards():
    usage = "shards:FOLDER:SPLIT"

    def parse(rest):
        root, _, split = rest.rpartition(":")
        if not root or not split:
            raise VideoError(f"shards:{rest} must be {usage}, with a split or all.")
        return root, split

    def open_it(rest, subset, class_names):
        root, split = parse(rest)
        return packed.PackedVideos(root, subset, split, class_names)

    def splits(rest):
        root, split = parse(rest)
        names = packed.packed_splits(root) if split == "all" else (split,)
        if names == ("",):  # one without a name, which all are
            return (rest,)
        return tuple(f"{root}:{name}" for name in names)

    def subsets(rest):
        return packed.packed_subsets(*parse(rest))

    return DataSet(usage, open_it, subsets, splits, _absolute_root)


#: Data sets by the name before the first colon.
DATA_SETS = {
    "ucf101": _with_three_splits("ucf101", official.UCF101),
    "hmdb51": _with_three_splits("hmdb51", official.HMDB51),
    "kinetics": _kinetics(),
    "shards": _shards(),
}


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
            class folders; a CSV file with the columns path, label and perhaps split;
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
    if subset is not None and subset not in SUBSETS:
        raise ValueError(
            f"`subset` must be one of {sorted(SUBSETS)} or None. Received: subset={subset!r}"
        )
    spec = str(spec)
    if found := _data_set(spec):
        name, rest = found
        return DATA_SETS[name].open(rest, subset, class_names)
    if packed.is_packed(spec):
        videos = packed.PackedVideos(spec, subset, class_names=class_names)
        if not videos.class_names:
            raise VideoError(
                f"{spec} was packed without labels, for keras-stc transfer: pack labelled videos "
                "without --unlabelled."
            )
        return videos
    own = _own_names(spec)
    name = None if subset is None else _named(own, subset, spec)
    path = pathlib.Path(spec)
    if not path.is_dir():
        return VideoCSV(path, split=name, class_names=class_names)
    if not own:
        return VideoFolder(path, class_names)
    if class_names is None:
        class_names = sorted({name for part in own.values() for name in class_folders(path / part)})
    parts = [subset] if subset else own
    sets = [VideoFolder(path / own[part], class_names) for part in parts]
    return VideoSet([video for videos in sets for video in videos], class_names)


def own_subset(spec, subset):
    """What a folder or a CSV file calls `"train"`, `"val"` or `"test"`.

    Raises:
        VideoError: If it has no such subset.
    """
    return _named(_own_names(str(spec)), subset, spec)


def _named(own, subset, spec):
    if subset not in own:
        there = f"it has {', '.join(own)}" if own else "it is not divided into subsets"
        raise VideoError(
            f"{spec} has no subset {subset!r}; {there}: add a folder, or a column `split` in the "
            "CSV file, of that name."
        )
    return own[subset]


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
    if found := _data_set(spec):
        name, rest = found
        return tuple(DATA_SETS[name].subsets(rest))
    if packed.is_packed(spec):
        return packed.packed_subsets(spec)
    return tuple(_own_names(str(spec)))


def data_splits(spec):
    """The splits over which a result is the mean.

    Example:

    ```python
    data_splits("ucf101:UCF-101:all")     # ("ucf101:UCF-101:1", "ucf101:UCF-101:2", …)
    ```

    Args:
        spec: See `open_data`.

    Returns:
        A tuple of specs of one split each; the spec itself where it has no more than one.

    Raises:
        VideoError: If the spec is not of the form that its data set has.
    """
    found = _data_set(spec)
    if not found:
        return (str(spec),)
    name, rest = found
    return tuple(f"{name}:{split}" for split in DATA_SETS[name].splits(rest))


def absolute_data(spec):
    """The spec by which the same data is called from every folder, however it was typed.

    Args:
        spec: See `open_data`.

    Returns:
        A spec with absolute paths, without symbolic links.
    """
    if found := _data_set(spec):
        name, rest = found
        return f"{name}:{DATA_SETS[name].absolute(rest)}"
    return os.path.realpath(spec)


def _data_set(spec):
    """`(name in DATA_SETS, rest)`, or `None` of a path; a folder may be called ucf101 or shards."""
    name, colon, rest = str(spec).partition(":")
    return (name, rest) if colon and name in DATA_SETS else None


def _own_names(spec):
    """The subsets of a folder or a CSV file: from our name to the data's own."""
    path = pathlib.Path(spec)
    if path.is_dir():
        there = list(class_folders(path))
        others = [name for name in there if name.lower() not in SUBSET_OF]
        found = {SUBSET_OF[name.lower()] for name in there if name.lower() in SUBSET_OF}
        # Classes may be called "test"; a divided folder holds subsets and nothing else.
        if "train" not in found or (others and len(found) == 1):
            return {}
        if others:
            raise VideoError(
                f"{spec} has the folder {others[0]} beside {some_of(sorted(found))}; expected "
                "subsets alone, or classes alone: move it away."
            )
    elif path.is_file() and path.suffix.lower() == ".csv":
        columns, rows = read_csv(path)
        names = {row["split"] for _, row in rows if row["split"]} if "split" in columns else set()
        there = sorted(names)
        if others := [name for name in there if name.lower() not in SUBSET_OF]:
            raise VideoError(
                f"{spec} has the split {others[0]!r}; expected {', '.join(SUBSET_OF)}: correct the "
                "column `split`, or call it otherwise."
            )
    else:
        what = "is neither a folder nor a .csv file" if path.exists() else "does not exist"
        if "://" in spec:
            what = "is an address, and DATA must be here; the videos in a CSV file may be addresses"
        known = "".join(f", or {data_set.usage}" for data_set in DATA_SETS.values())
        raise VideoError(
            f"{spec} {what}; expected a folder with a subfolder of videos for each class, or a "
            f"CSV file with the columns path,label{known}."
        )
    own = {}
    for subset in SUBSETS:
        called = [name for name in there if SUBSET_OF.get(name.lower()) == subset]
        if len(called) > 1:
            raise VideoError(
                f"{spec} has both {' and '.join(called)}, which mean the same: rename one of them."
            )
        if called:
            own[subset] = called[0]
    return own
