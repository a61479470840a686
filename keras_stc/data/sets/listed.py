"""Videos that an official list names, looked for in a folder."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import warnings
from typing import NamedTuple

from keras_stc.data.errors import VideoError, VideoWarning
from keras_stc.data.sets.names import EXTENSIONS, first_visit, is_frames, some_of
from keras_stc.data.sets.video import Video, VideoSet

#: Subset of videos that a split leaves out.
UNUSED = "unused"


class Row(NamedTuple):
    """A video as an official list names it.

    Args:
        name: In the list.
        class_name: What it shows, or `None` where the list does not say.
        subset: `"train"`, `"val"`, `"test"`, `UNUSED`, or `None`.
        places: Names that its file may have, without the ending, best first, each with where in
            it the video starts and ends: `(name, start, end)`.
    """

    name: str
    class_name: str | None
    subset: str | None
    places: tuple


@dataclasses.dataclass(frozen=True)
class Listing:
    """An official list, read once, and the folder of its videos, searched once.

    Args:
        name: Of the data set.
        root: Folder of the videos.
        rows: A `Row` for every video.
        class_names: Names of all classes of the list, in their order.
        official: `(videos named by all lists, videos there should be)`, or `None`.
        folders_by_name: Whether only folders called like a video are taken for its frames.

    Attributes:
        said: Sentences of which the user has been warned.
    """

    name: str
    root: str
    rows: tuple
    class_names: tuple
    official: tuple | None = None
    folders_by_name: bool = True
    said: set[str] = dataclasses.field(default_factory=set, init=False, repr=False, compare=False)

    def check_subset(self, subset):
        """Raises the `VideoError` for a subset that the list does not have."""

    def check_classes(self, given):
        """Raises the `VideoError` where videos are of none of the classes `given`."""
        if unknown := sorted(set(self.classes_there) - set(given)):
            raise VideoError(
                f"{self.name} has the class {unknown[0]}, which is none of the {len(given)} "
                f"classes ({some_of(given)}); correct the classes."
            )

    @functools.cached_property
    def found(self):
        """Of every row the `Video` without its label, or `None` where there is no file."""
        stems = {place[0] for row in self.rows for place in row.places}
        files = find_videos(self.root, self.name, stems if self.folders_by_name else ())
        videos = []
        for row in self.rows:
            on_disk = (place for place in row.places if place[0] in files)
            stem, start, end = next(on_disk, (None, None, None))
            videos.append(None if stem is None else Video(files[stem], None, start, end))
        return tuple(videos)

    @functools.cached_property
    def videos_of(self):
        """`{class: (videos in the list, videos found)}`, of the classes in their order."""
        counts = {name: [0, 0] for name in self.class_names}
        for row, video in zip(self.rows, self.found, strict=True):
            if row.class_name is not None:
                counts[row.class_name][0] += 1
                counts[row.class_name][1] += video is not None
        return counts

    @functools.cached_property
    def classes_there(self):
        """Names of the classes of which there are videos, a tuple."""
        return tuple(name for name, (_, found) in self.videos_of.items() if found)

    def describe_part(self):
        """What is there, in a sentence, where whole classes are not; otherwise `""`."""
        classes = self.classes_there
        if len(classes) == len(self.class_names):
            return ""
        listed, found = (sum(self.videos_of[name][k] for name in classes) for k in (0, 1))
        return (
            f"{self.name} in {self.root} has {len(classes)} of its {len(self.class_names)} "
            f"classes, and of these {found:,} of {listed:,} videos; the rest is left out."
        )

    def describe_few(self):
        """The classes of which most videos are missing, in a sentence, or `""`."""
        few = [
            f"{name} ({found:,} of {listed:,} are there)"
            for name, (listed, found) in self.videos_of.items()
            if 0 < 2 * found < listed
        ]
        return f"Most videos are missing of {some_of(few)}." if few else ""


class ListedVideos(VideoSet):
    """Videos that an official list names, those of them that are there.

    Part of a data set, such as five folders of classes, is a data set of these classes.

    Attributes:
        missing: Names in the list of which there is no file, a tuple; of the classes there.
        listed: Number of videos that the list names of these classes.
    """

    def _fill(self, listing, subset=None, class_names=None):
        """
        Args:
            listing: A `Listing`.
            subset: `"train"`, `"val"`, `"test"`, or `None` for all but those unused.
            class_names: Names of the classes by label. Defaults to all of which there are
                videos, in the order of the list.

        Raises:
            VideoError: If there is no such subset, a class is none of `class_names`, or most of
                the videos are missing.
        """
        listing.check_subset(subset)
        classes = listing.classes_there
        names = tuple(class_names or classes)
        listing.check_classes(names)
        numbers = {None: None, **{name: label for label, name in enumerate(names)}}
        wanted = [
            (row, video)
            for row, video in zip(listing.rows, listing.found, strict=True)
            if row.subset == subset or (subset is None and row.subset != UNUSED)
        ]
        part = [(row, video) for row, video in wanted if row.class_name in (None, *classes)]
        super().__init__(
            [
                dataclasses.replace(video, label=numbers[row.class_name])
                for row, video in part
                if video is not None
            ],
            names,
        )
        self.missing = tuple(row.name for row, video in part if video is None)
        self.listed = len(part)
        self._listing = listing
        # Whole classes may be left out, not most of the videos of those that are there.
        if len(classes) < 2 or 2 * len(self.missing) > self.listed or not len(self):
            missing = [row.name for row, video in wanted if video is None]
            if 2 * len(missing) > len(wanted):
                raise VideoError(
                    f"{_incomplete(listing, missing, len(wanted))} Expected the videos anywhere "
                    "below that folder: correct the path, or download them."
                )
        if new := [text for text in self._reports() if text not in listing.said]:
            listing.said.update(new)
            warnings.warn(VideoWarning(" ".join(new)), stacklevel=3)

    def report(self) -> str:
        """What is missing, in a sentence; empty where the data set is complete."""
        return " ".join(self._reports())

    def _reports(self):
        listing = self._listing
        if part := listing.describe_part():
            yield part
        elif self.missing:
            yield _incomplete(listing, self.missing, self.listed)
        if few := listing.describe_few():
            yield few
        if listing.official and listing.official[0] != listing.official[1]:
            yield (
                f"The lists of {listing.name} name {listing.official[0]:,} videos; the official "
                f"ones name {listing.official[1]:,}: results will not compare with anybody's."
            )


def _incomplete(listing, missing, listed):
    return (
        f"{listing.name} in {listing.root} is incomplete: {len(missing):,} of "
        f"{listed:,} videos are missing, {some_of(missing)}; they are left out."
    )


def find_videos(root, name, folders_too=()):
    """Dict from name without ending to path, of all videos below a folder.

    Folders are listed by several threads: what takes time is a file system far away.

    Args:
        root: The folder.
        name: Of the data set, for errors.
        folders_too: Names of folders that are videos themselves, as frames; where it is empty,
            every folder with pictures in it and nothing else is.
    """
    if not os.path.isdir(root):
        raise VideoError(f"{root} is not a folder; expected the videos of {name} below it.")
    folders_too = frozenset(folders_too)
    paths_of = collections.defaultdict(list)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        level, seen = [os.fspath(root)], set()
        while level:
            # Links may lead in a circle.
            level, below = [folder for folder in level if first_visit(folder, seen)], []
            for folder, (folders, files) in zip(level, pool.map(_list_one, level), strict=True):
                name_of_it = os.path.basename(folder)
                named = not folders_too or name_of_it in folders_too
                if folder != os.fspath(root) and named and is_frames(folder, folders, files):
                    paths_of[name_of_it].append(folder)
                    continue
                for file in files:
                    stem, ending = os.path.splitext(file)
                    if ending.lower() in EXTENSIONS:
                        paths_of[stem].append(os.path.join(folder, file))
                below += [os.path.join(folder, name) for name in folders]
            level = below
    return {
        stem: min(paths, key=lambda path: (len(path), path)) for stem, paths in paths_of.items()
    }


def _list_one(folder):
    """Names of folders and of files in a folder; none where it may not be read."""
    folders, files = [], []
    with contextlib.suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                (folders if entry.is_dir() else files).append(entry.name)
    return folders, files
