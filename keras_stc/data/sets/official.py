"""UCF101, HMDB51 and Kinetics, by the lists their authors publish."""

import os
import pathlib

from keras_stc.data.errors import VideoError
from keras_stc.data.sets.listed import ListedVideos, find_videos
from keras_stc.data.sets.names import some_of
from keras_stc.data.sets.table import read_csv

#: Official numbers of videos, over both subsets of a split and what a split leaves out.
UCF101_VIDEOS, HMDB51_VIDEOS = 13_320, 6_766

#: Splits of UCF101 and of HMDB51; results are the mean over the three (paper, section 4).
SPLITS = (1, 2, 3)

#: Folders into which the archives of the lists unpack.
LIST_FOLDERS = (
    *("ucfTrainTestlist", "UCF101TrainTestSplits-RecognitionTask", "testTrainMulti_7030_splits"),
    *("test_train_splits", "splits", "lists"),
)

#: What a line of HMDB51's lists says of a video.
HMDB51_USE = {"0": None, "1": "train", "2": "test"}


class UCF101(ListedVideos):
    """UCF101: 13,320 videos of 101 actions, in three splits (Soomro et al. 2012).

    Expects what its two archives hold: the videos, `UCF101.rar`, and the lists for action
    recognition, `classInd.txt`, `trainlist01.txt`, …. Videos may be re-encoded, or folders of
    extracted frames: a video is found by its name without the ending, anywhere below `root`.

    Example:

    ```python
    train = keras_stc.data.UCF101("UCF-101", split=1, subset="train")       # 9,537 videos
    test = keras_stc.data.UCF101("UCF-101", split=1, subset="test")         # 3,783 videos
    ```

    Args:
        root: Folder of the videos.
        split: 1, 2 or 3, or `"all"` for the videos of all of them, each once; without a subset.
        subset: `"train"`, `"test"`, or `None` for both.
        lists: Folder of the lists. Defaults to where they lie in `root` or beside it.
        class_names: Names of the classes by label. Defaults to the official order.

    Raises:
        VideoError: If the lists are not found or not complete, or most of the videos are missing.

    Warns:
        VideoWarning: If some videos are missing. They are named in `missing`.
    """

    def __init__(self, root, split=1, subset="train", lists=None, class_names=None):
        _check_split(split, subset)
        folder = _list_folder(root, lists, "classInd.txt", "UCF101")
        names = []
        for number, line in _lines(folder / "classInd.txt"):
            position, _, name = line.partition(" ")
            if position != str(len(names) + 1) or not name:
                raise VideoError(
                    f"{folder / 'classInd.txt'}, line {number}, is {line!r}; expected the number "
                    f"{len(names) + 1} and a class: download the lists again."
                )
            names.append(name)
        uses = {}
        for use in ("train", "test"):
            path = folder / f"{use}list{1 if split == 'all' else split:02d}.txt"
            for number, line in _lines(path):
                video, _, position = line.partition(" ")
                name = video.partition("/")[0]
                if name not in names or position not in ("", str(names.index(name) + 1)):
                    raise VideoError(
                        f"{path}, line {number}, is {line!r}; expected CLASS/VIDEO.avi and, in "
                        "training lists, the class's number: download the lists again."
                    )
                uses[video] = use
        super().__init__(*_listed("UCF101", root, uses, subset, names, class_names, UCF101_VIDEOS))


class HMDB51(ListedVideos):
    """HMDB51: 6,766 videos of 51 actions, in three splits (Kuehne et al. 2011).

    Expects what its two archives hold, unpacked: the videos, `hmdb51_org.rar`, and the lists,
    `brush_hair_test_split1.txt`, …. Each split trains on 70 and tests on 30 videos of a class and
    leaves the others out. Videos may be re-encoded, or folders of extracted frames: a video is
    found by its name without the ending, anywhere below `root`.

    Example:

    ```python
    test = keras_stc.data.HMDB51("hmdb51_org", split=2, subset="test")      # 1,530 videos
    ```

    Args:
        root: Folder of the videos.
        split: 1, 2 or 3, or `"all"` for all 6,766 videos; without a subset.
        subset: `"train"`, `"test"`, or `None` for both.
        lists: Folder of the lists. Defaults to where they lie in `root` or beside it.
        class_names: Names of the classes by label. Defaults to all, sorted.

    Raises:
        VideoError: If the lists are not found or not complete, or most of the videos are missing.

    Warns:
        VideoWarning: If some videos are missing. They are named in `missing`.
    """

    def __init__(self, root, split=1, subset="train", lists=None, class_names=None):
        _check_split(split, subset)
        ending = f"_test_split{1 if split == 'all' else split}.txt"
        folder = _list_folder(root, lists, f"*{ending}", "HMDB51")
        names, uses = [], {}
        for path in sorted(folder.glob(f"*{ending}")):
            names.append(path.name.removesuffix(ending))
            for number, line in _lines(path):
                video, _, use = line.rpartition(" ")
                if not video or use not in HMDB51_USE:
                    raise VideoError(
                        f"{path}, line {number}, is {line!r}; expected VIDEO.avi and 0, 1 or 2: "
                        "download the lists again."
                    )
                uses[f"{names[-1]}/{video}"] = HMDB51_USE[use]
        if split == "all":
            uses = dict.fromkeys(uses, "all")
        super().__init__(*_listed("HMDB51", root, uses, subset, names, class_names, HMDB51_VIDEOS))


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
        class_names: Names of the classes by label. Defaults to all labels of the file, sorted.
        trimmed: Whether files named `ID.mp4` hold the ten seconds alone; otherwise they are taken
            for whole videos, of which the piece from time_start to time_end is read.

    Raises:
        VideoError: If the file, a column or the subset is missing, or most of the videos are.

    Warns:
        VideoWarning: If some videos are missing.
    """

    def __init__(self, path, root, subset=None, class_names=None, trimmed=True):
        columns, rows = read_csv(path)
        needed = ["youtube_id", "time_start", "time_end"] + (["split"] if subset else [])
        for column in needed:
            if column not in columns:
                raise VideoError(
                    f"{path} has no column {column!r}; its columns are {', '.join(columns)}: "
                    "expected label, youtube_id, time_start, time_end and split."
                )
        labels = sorted({row["label"] for _, row in rows if row.get("label")})
        names = tuple(class_names or labels)
        if unknown := [name for name in labels if name not in set(names)]:
            raise VideoError(
                f"{path} has the label {unknown[0]!r}, which is none of the {len(names)} classes "
                f"({some_of(names)}); correct the label or the classes."
            )
        if subset is not None:
            there = kinetics_subsets(path)
            rows = [(n, row) for n, row in rows if KINETICS_SUBSETS.get(row["split"]) == subset]
            if not rows:
                raise VideoError(f"{path} has no subset {subset!r}; it has {', '.join(there)}.")
        if not rows:
            raise VideoError(f"{path} lists no videos; add rows, one per video.")
        found = find_videos(root, "Kinetics")
        numbers = {name: label for label, name in enumerate(names)}
        listed = []
        for number, row in rows:
            video = row["youtube_id"]
            start, end = (_whole_seconds(path, number, row, c) for c in needed[1:3])
            keys = (f"{video}_{start:06d}_{end:06d}", f"{video}_{start}_{end}", video)
            key = next((key for key in keys if key in found), keys[0])
            piece = (start, end) if key == video and not trimmed else (None, None)
            label = numbers[row["label"]] if row.get("label") else None
            listed.append((keys[0], label, *piece, key))
        super().__init__("Kinetics", root, listed, names, found)


#: What Kinetics' files call their subsets.
KINETICS_SUBSETS = {"train": "train", "val": "val", "validate": "val", "test": "test"}


def kinetics_subsets(path):
    """Which of `"train"`, `"val"` and `"test"` a Kinetics CSV file holds."""
    columns, rows = read_csv(path)
    there = {KINETICS_SUBSETS.get(row["split"]) for _, row in rows} if "split" in columns else set()
    return tuple(name for name in ("train", "val", "test") if name in there)


def _listed(name, root, uses, subset, names, class_names, official):
    """The arguments of `ListedVideos` for lists of `{"class/video.avi": subset}`."""
    names, given = tuple(names), tuple(class_names or names)
    if unknown := sorted(set(names) - set(given)):
        raise VideoError(
            f"{name} has the class {unknown[0]}, which is none of the {len(given)} classes "
            f"({some_of(given)}); correct the classes."
        )
    wanted = [video for video, use in uses.items() if use and subset in (None, use)]
    stems = [(video, video.partition("/")) for video in wanted]
    rows = [
        (video, given.index(folder), None, None, os.path.splitext(file)[0])
        for video, (folder, _, file) in stems
    ]
    found = find_videos(root, name, {row[4] for row in rows})
    return name, root, rows, given, found, (len(uses), official)


def _check_split(split, subset):
    if split not in (*SPLITS, "all"):
        raise ValueError(f"`split` must be 1, 2, 3 or 'all'. Received: split={split!r}")
    if subset not in ("train", "test", None):
        raise ValueError(f"`subset` must be 'train', 'test' or None. Received: subset={subset!r}")
    if split == "all" and subset is not None:
        raise ValueError(
            "`subset` must be None with split='all': a video that one split trains on, another "
            f"one tests on. Received: subset={subset!r}"
        )


def _list_folder(root, lists, pattern, name):
    root = pathlib.Path(root)
    places = [root, *(root / n for n in LIST_FOLDERS), *(root.parent / n for n in LIST_FOLDERS)]
    for place in [pathlib.Path(lists)] if lists is not None else places:
        if place.is_dir() and any(place.glob(pattern)):
            return place
    raise VideoError(
        f"{lists or root} has no lists of {name}: expected {pattern} there"
        + ("" if lists else f", in {root / LIST_FOLDERS[0]} or beside it")
        + "; unpack the archive of the official splits into it."
    )


def _lines(path):
    """`(line number, line)` of a text file, without empty ones and outer blanks."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VideoError(
            f"{path} cannot be read ({getattr(error, 'strerror', None) or error}); download the "
            "lists again."
        ) from error
    lines = enumerate(text.splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _whole_seconds(path, number, row, column):
    try:
        return int(float(row[column]))
    except (ValueError, OverflowError) as error:
        raise VideoError(
            f"{path}, line {number}, has {row[column]!r} as {column}; expected a number of seconds."
        ) from error
