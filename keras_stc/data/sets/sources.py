"""Lists of videos with labels: from a folder of class folders, or from a CSV file."""

import collections
import collections.abc
import csv
import dataclasses
import math
import os
import pathlib
import warnings

import numpy as np

from keras_stc.data.errors import VideoError, VideoWarning

#: Names that count as videos in a folder; a CSV may name any file.
EXTENSIONS = frozenset(
    ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split()
)

#: Names that count as frames, where a video is a folder of them.
PICTURES = frozenset((".jpg", ".jpeg", ".png", ".webp"))


@dataclasses.dataclass(frozen=True)
class Video:
    """A video, or a piece of one, and what it shows.

    Args:
        path: The file, or an `fsspec` URL.
        label: Index of its class, or `None` where it is not known.
        start: Where the piece begins, in seconds, or `None` for the beginning.
        end: Where the piece ends, in seconds, or `None` for the end.
        source: Of a packed video, the file it was made of.
    """

    path: str
    label: int | None = None
    start: float | None = None
    end: float | None = None
    source: str | None = None

    @property
    def name(self):
        """The path, and of a piece its times, as a media fragment: `x.mp4#t=1.5,4`."""
        if self.start is None and self.end is None:
            return self.path
        times = ",".join("" if time is None else f"{time:g}" for time in (self.start, self.end))
        return f"{self.path}#t={times}"

    @property
    def file(self):
        """The file that holds it, packed or not: the same for all pieces of one recording."""
        return self.source or self.path

    def frame_range(self, info):
        """`(first frame, number of frames)` of the piece, by the `VideoInfo` of its file."""
        first = 0 if self.start is None else round(self.start * info.fps)
        stop = info.num_frames if self.end is None else round(self.end * info.fps)
        stop = min(stop, info.num_frames)
        if first < 0 or stop <= first:
            raise VideoError(
                f"{self.path} has no frames between its start, {self.start} s, and its end, "
                f"{self.end} s; it lasts {info.duration:.2f} s: correct the times."
            )
        return first, stop - first


class VideoSet(collections.abc.Sequence):
    """An immutable list of `Video`s, and the names of their classes.

    Example:

    ```python
    videos = keras_stc.data.VideoFolder("actions")
    train, held_out = videos.split(0.2, seed=0)
    videos.class_names[videos[0].label]
    ```

    Args:
        videos: `Video`s, with labels in `[0, len(class_names))`, or without labels.
        class_names: Names of the classes by label.

    Raises:
        ValueError: If a label has no name.
    """

    def __init__(self, videos, class_names=()):
        self._videos = tuple(videos)
        self._class_names = tuple(str(name) for name in class_names)
        for video in self._videos:
            if video.label is not None and not 0 <= video.label < len(self._class_names):
                raise ValueError(
                    f"`videos` must have labels from 0 to {len(self._class_names) - 1}, one for "
                    f"each of `class_names`. Received: {video}"
                )

    @property
    def class_names(self):
        """A tuple of names, by label."""
        return self._class_names

    @property
    def labels(self):
        """An int32 array of the labels, -1 where a video has none."""
        labels = [-1 if video.label is None else video.label for video in self._videos]
        return np.array(labels, np.int32)

    def __len__(self):
        return len(self._videos)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return VideoSet(self._videos[index], self._class_names)
        return self._videos[index]

    def __repr__(self):
        return f"<{type(self).__name__}: {len(self)} videos, {len(self._class_names)} classes>"

    def subset(self, indices):
        """Some of the videos, with the same class names.

        Args:
            indices: Their places, integers from 0; negative ones count from the end.

        Returns:
            A `VideoSet`, in the order of `indices`.

        Raises:
            IndexError: If there is no such place.
        """
        return VideoSet([self._videos[int(index)] for index in indices], self._class_names)

    def split(self, fraction, seed=0):
        """Holds a part of every class out.

        Args:
            fraction: Of each class, how much is held out: between 0 and 1. At least one video of
                a class is held out and at least one stays; a class of one video stays whole. Pieces
                of one file stay together, whatever their classes; where that leaves no choice,
                less of a class is held out, or more.
            seed: Chooses which.

        Returns:
            A pair of `VideoSet`s in the order of this one, `(train, held_out)`.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"`fraction` must be between 0 and 1. Received: fraction={fraction!r}")
        if seed < 0:
            raise ValueError(f"`seed` must not be negative. Received: seed={seed!r}")
        rng, labels, held = np.random.default_rng(seed), self.labels, set()
        files = [video.file for video in self]
        pieces = collections.defaultdict(collections.Counter)  # of a file: label -> how many
        for file, label in zip(files, labels.tolist(), strict=True):
            pieces[file][label] += 1
        staying = collections.Counter(label for found in pieces.values() for label in found)
        for label in np.unique(labels).tolist():
            members = rng.permutation(np.flatnonzero(labels == label)).tolist()
            own = dict.fromkeys(files[i] for i in members)
            missing = max(1, round(fraction * len(members)))
            missing -= sum(pieces[file][label] for file in own if file in held)
            for file in own:
                if missing <= 0:
                    break
                if file not in held and all(staying[each] > 1 for each in pieces[file]):
                    held.add(file)
                    staying.subtract(pieces[file].keys())
                    missing -= pieces[file][label]
        return (
            self.subset(i for i, file in enumerate(files) if file not in held),
            self.subset(i for i, file in enumerate(files) if file in held),
        )


def checked_videos(videos):
    """A tuple of `Video`s, or a `ValueError` of what else was given."""
    if isinstance(videos, str | os.PathLike):
        raise ValueError(
            "`videos` must be a VideoSet or a list of Videos: open a path with "
            f"keras_stc.data.open_data({os.fspath(videos)!r}). Received: a path"
        )
    videos = tuple(videos)
    for video in videos:
        if not isinstance(video, Video):
            raise ValueError(
                "`videos` must hold keras_stc.data.Video objects, as keras_stc.data.open_data "
                f"makes them. Received: a {type(video).__name__}"
            )
    return videos


class VideoFolder(VideoSet):
    """Videos in a folder with a subfolder for each class: `root/class/…/video.mp4`.

    A folder of images below a class folder is a video too: `root/class/video/image_00001.jpg`.

    Args:
        root: The folder. Hidden files and files that are not videos by name are passed over.
        class_names: Names of the classes by label. Defaults to the names of the subfolders,
            sorted; when given, a class may lack a folder, but every folder must be a class.

    Raises:
        VideoError: If the folder is missing, holds no videos, or has videos outside class
            folders; if a class has no videos.
    """

    def __init__(self, root, class_names=None):
        root = pathlib.Path(root)
        if not root.is_dir():
            what = "is not a folder" if root.exists() else "does not exist"
            raise VideoError(f"{root} {what}; expected a folder with a subfolder for each class.")
        folders = class_folders(root)
        loose = [p for p in sorted(root.iterdir()) if p.is_file() and is_video(p)]
        if loose:
            raise VideoError(
                f"{loose[0]} lies in no class folder; expected {root}/CLASS/{loose[0].name}: "
                "move it, or list the videos in a CSV file with the columns path,label."
            )
        names = tuple(class_names or folders)
        unknown = sorted(set(folders) - set(names))
        if unknown:
            raise VideoError(
                f"{root} has the folder {unknown[0]}, which is none of the {len(names)} classes "
                f"({some_of(names)}); rename or remove it."
            )
        videos = []
        for label, name in enumerate(names):
            files = videos_below(folders[name]) if name in folders else []
            if not files and class_names is None:
                raise VideoError(
                    f"{root} has no videos of the class {name}; put some into {root / name} "
                    "(files such as .mp4 or .avi), or remove the folder."
                )
            videos += [Video(str(file), label) for file in files]
        if not videos:
            raise VideoError(
                f"{root} holds no videos; expected {root}/CLASS/VIDEO with files such as .mp4 "
                "or .avi, in a folder for each class."
            )
        super().__init__(videos, names)


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
        column = label_column or "label"
        columns, rows = read_csv(path)
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
                stacklevel=2,
            )
        names = tuple(class_names or sorted({row[column] for _, row in rows}))
        if split is not None:
            splits = sorted({row["split"] for _, row in rows} - {""})
            if nowhere := [number for number, row in rows if not row["split"]]:
                warnings.warn(
                    f"{path}: {len(nowhere)} of {len(rows)} rows have no split and are left out, "
                    f"the first in line {nowhere[0]}.",
                    VideoWarning,
                    stacklevel=2,
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


def class_folders(root):
    """Subfolders that are not hidden: a dict from name to path, sorted by name."""
    folders = [p for p in pathlib.Path(root).iterdir() if p.is_dir() and p.name[0] != "."]
    return {folder.name: folder for folder in sorted(folders, key=lambda folder: folder.name)}


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


def videos_below(folder):
    """Video files below a folder, and folders of frames instead of their images, sorted.

    Links to folders are followed, to each folder once.
    """
    folder, found, seen = pathlib.Path(folder), [], set()
    for at, folders, files in os.walk(folder, followlinks=True):
        if first_visit(at, seen):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
        else:
            folders.clear()
            continue
        if is_frames(files) and pathlib.Path(at) != folder:
            found.append(pathlib.Path(at))
            folders.clear()
        else:
            found += [pathlib.Path(at, name) for name in files if is_video(pathlib.Path(name))]
    return sorted(found)


def first_visit(folder, seen):
    """Whether a folder, however it is called, is not in the set `seen`, to which it is added."""
    real = os.path.realpath(folder)
    new = real not in seen
    seen.add(real)
    return new


def is_frames(files):
    """Whether files of these names are the frames of a video."""
    endings = {os.path.splitext(name)[1].lower() for name in files if not name.startswith(".")}
    return bool(endings & PICTURES) and not endings & EXTENSIONS


def is_picture(name):
    """Whether a file has the name of an image, and of one that is not hidden."""
    return os.path.splitext(name)[1].lower() in PICTURES and not name.startswith(".")


def is_video(path):
    """Whether a path has the name of a video, and of one that is not hidden."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


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


def some_of(names):
    """The first five names, for a sentence."""
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
