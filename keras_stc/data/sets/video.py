"""Videos and their labels."""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from keras_stc.checks import at_least, wrong
from keras_stc.data.errors import VideoError
from keras_stc.data.video.cache import file_key

if TYPE_CHECKING:
    from keras_stc.data.video.reader import VideoInfo


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
    def name(self) -> str:
        """The path, and of a piece its times, as a media fragment: `x.mp4#t=1.5,4`."""
        if self.start is None and self.end is None:
            return self.path
        times = ",".join("" if time is None else f"{time:g}" for time in (self.start, self.end))
        return f"{self.path}#t={times}"

    @property
    def file(self) -> str:
        """The file that holds it, packed or not: the same for all pieces of one recording."""
        return self.source or self.path

    @property
    def place(self) -> str:
        """The path, absolute if it is not an URL."""
        return self.path if "://" in self.path else os.path.abspath(self.path)

    @property
    def identity(self) -> tuple[str | int | float | None, ...]:
        """What it shares with no other video, nor with itself after its file has changed.

        However its path is written: where it lies, its times, and of a file here the size and the
        time at which it was written.
        """
        file = self.path if self.source is None else self.path.rpartition("#")[0]
        return self.place, self.start, self.end, *(file_key(file) or ())[1:]

    def frame_range(self, info: VideoInfo) -> tuple[int, int]:
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


class VideoSet(Sequence[Video]):
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

    #: Of a subclass that reads lists: its constructor, of what has been read.
    _fill: Callable[..., None]

    def __init__(self, videos: Iterable[Video], class_names: Iterable[str] = ()) -> None:
        self._videos = tuple(videos)
        self._class_names = tuple(str(name) for name in class_names)
        for video in self._videos:
            if video.label is not None and not 0 <= video.label < len(self._class_names):
                raise ValueError(
                    f"`videos` must have labels from 0 to {len(self._class_names) - 1}, one for "
                    f"each of `class_names`. Received: {video}"
                )

    @classmethod
    def _of(cls, *read):
        """A set of what was read before."""
        videos = cls.__new__(cls)
        videos._fill(*read)
        return videos

    @property
    def class_names(self) -> tuple[str, ...]:
        """A tuple of names, by label."""
        return self._class_names

    @property
    def labels(self) -> np.ndarray:
        """An int32 array of the labels, -1 where a video has none."""
        labels = [-1 if video.label is None else video.label for video in self._videos]
        return np.array(labels, np.int32)

    def __len__(self) -> int:
        return len(self._videos)

    @overload
    def __getitem__(self, index: int) -> Video: ...

    @overload
    def __getitem__(self, index: slice) -> VideoSet: ...

    def __getitem__(self, index: int | slice) -> Video | VideoSet:
        if isinstance(index, slice):
            return VideoSet(self._videos[index], self._class_names)
        return self._videos[index]

    def __repr__(self):
        return f"<{type(self).__name__}: {len(self)} videos, {len(self._class_names)} classes>"

    def subset(self, indices: Iterable[int]) -> VideoSet:
        """Some of the videos, with the same class names.

        Args:
            indices: Their places, integers from 0; negative ones count from the end.

        Returns:
            A `VideoSet`, in the order of `indices`.

        Raises:
            IndexError: If there is no such place.
        """
        return VideoSet([self._videos[int(index)] for index in indices], self._class_names)

    def split(
        self, fraction: float, seed: int = 0, groups: str | None = None
    ) -> tuple[VideoSet, VideoSet]:
        """Holds a part of every class out.

        Args:
            fraction: Of each class, how much is held out: between 0 and 1. At least one video of
                a class is held out and at least one stays; a class of one video stays whole. Pieces
                of one file stay together, whatever their classes; where that leaves no choice,
                less of a class is held out, or more.
            seed: Chooses which.
            groups: A regular expression: videos whose paths agree in what it finds last, or in what
                its parentheses find, stay together like pieces of one file. Of UCF101, whose groups
                were cut from one recording each, `r"v_(.+_g\\d+)_"`.

        Returns:
            A pair of `VideoSet`s in the order of this one, `(train, held_out)`.

        Raises:
            ValueError: If an argument is out of range, or `groups` finds nothing in a path.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"`fraction` must be between 0 and 1. Received: fraction={fraction!r}")
        at_least(0, seed=seed)
        rng, labels, held = np.random.default_rng(seed), self.labels, set()
        files = [video.file for video in self]
        if groups is not None:
            files = [_group(file, groups) for file in files]
        pieces = collections.defaultdict(collections.Counter)  # of a file: label -> how many
        for file, label in zip(files, labels.tolist(), strict=True):
            pieces[file][label] += 1
        staying = collections.Counter(label for counts in pieces.values() for label in counts)
        for label in np.unique(labels).tolist():
            members = rng.permutation(np.flatnonzero(labels == label)).tolist()
            files_of_class = dict.fromkeys(files[i] for i in members)
            missing = max(1, round(fraction * len(members)))
            missing -= sum(pieces[file][label] for file in files_of_class if file in held)
            for file in files_of_class:
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


def _group(file, groups):
    """What a regular expression finds last in the path of a file, next to its name."""
    try:
        found = collections.deque(re.finditer(groups, file), maxlen=1)
    except re.error as error:
        raise wrong(f"a regular expression ({error})", groups=groups) from error
    if not found:
        raise wrong(f"a regular expression that finds something in {file}", groups=groups)
    return found[0].groups() or found[0][0]


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
