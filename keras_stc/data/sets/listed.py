"""Videos that an official list names, looked for in a folder."""

import collections
import concurrent.futures
import contextlib
import os
import warnings

from keras_stc.data.errors import VideoError, VideoWarning
from keras_stc.data.sets.names import EXTENSIONS, first_visit, is_frames, some_of
from keras_stc.data.sets.video import Video, VideoSet


class ListedVideos(VideoSet):
    """Videos that an official list names, those of them that are there.

    Attributes:
        missing: Names in the list of which there is no file, a tuple.
        listed: Number of videos that the list names.
    """

    def __init__(self, name, root, rows, class_names, found, official=None):
        """
        Args:
            name: Of the data set.
            root: Folder that was searched.
            rows: `(name in the list, label, start, end, key in found)` of every video wanted.
            class_names: Names of the classes by label.
            found: Dict from key to path.
            official: `(videos named by all lists, videos there should be)`, or `None`.

        Raises:
            VideoError: If most of the videos are missing.
        """
        there = [row for row in rows if row[4] in found]
        super().__init__(
            [Video(found[key], label, start, end) for _, label, start, end, key in there],
            class_names,
        )
        self.missing = tuple(row[0] for row in rows if row[4] not in found)
        self.listed = len(rows)
        self._name, self._root, self._official = name, root, official
        if 2 * len(self.missing) > self.listed:
            raise VideoError(
                f"{self.report()} Expected the videos anywhere below that folder: correct the "
                "path, or download them."
            )
        if report := self.report():
            warnings.warn(VideoWarning(report), stacklevel=3)

    def report(self):
        """What is missing, in a sentence; empty where the data set is complete."""
        parts = []
        if self.missing:
            parts.append(
                f"{self._name} in {self._root} is incomplete: {len(self.missing):,} of "
                f"{self.listed:,} videos are missing, {some_of(self.missing)}; they are left out."
            )
        if self._official and self._official[0] != self._official[1]:
            parts.append(
                f"The lists of {self._name} name {self._official[0]:,} videos; the official ones "
                f"name {self._official[1]:,}: results will not compare with anybody's."
            )
        return " ".join(parts)


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
    found = collections.defaultdict(list)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        level, seen = [os.fspath(root)], set()
        while level:
            # Links may lead in a circle.
            level, below = [folder for folder in level if first_visit(folder, seen)], []
            for folder, (folders, files) in zip(level, pool.map(_list_one, level), strict=True):
                name_of_it = os.path.basename(folder)
                named = not folders_too or name_of_it in folders_too
                if folder != os.fspath(root) and named and is_frames(files):
                    found[name_of_it].append(folder)
                    continue
                for file in files:
                    stem, ending = os.path.splitext(file)
                    if ending.lower() in EXTENSIONS:
                        found[stem].append(os.path.join(folder, file))
                below += [os.path.join(folder, name) for name in folders]
            level = below
    return {stem: min(paths, key=lambda path: (len(path), path)) for stem, paths in found.items()}


def _list_one(folder):
    """Names of folders and of files in a folder; none where it may not be read."""
    folders, files = [], []
    with contextlib.suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                (folders if entry.is_dir() else files).append(entry.name)
    return folders, files
