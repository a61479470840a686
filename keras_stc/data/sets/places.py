"""Paths in a list to files: from which folder they start, and with which slashes."""

import os
import pathlib

from keras_stc.data.errors import VideoError
from keras_stc.data.sets.fields import is_video_name
from keras_stc.data.sets.listed import find_videos

#: Videos of a list that are looked for to find out where its paths start.
SAMPLE = 100


def place_videos(table, root=None):
    """`({path in the list: path}, folder that they start from)`.

    Paths start from the folder of the list; where nothing lies there, from the working directory.
    Backslashes, as Windows writes them, are slashes where that finds the videos. Names without an
    ending are looked for anywhere below the folder.

    Args:
        table: A `Table`.
        root: Folder that the paths start from, or `None`.

    Raises:
        VideoError: If paths may start from two folders.
    """
    names = dict.fromkeys(row["path"] for _, row in table.rows if row["path"])
    local = [name for name in names if "://" not in name]
    bases = [pathlib.Path(table.path).parent if root is None else pathlib.Path(root)]
    if root is None and os.path.realpath(bases[0]) != os.getcwd():
        bases.append(pathlib.Path())
    turn = os.sep == "/" and any("\\" in name for name in local)
    base, slashes, most = bases[0], turn, 0
    for sample in (local[:: max(1, len(local) // SAMPLE)], local):
        for slashes in (False, True) if turn else (False,):
            counts = [
                sum(os.path.exists(base / _slashed(name, slashes)) for name in sample)
                for base in bases
            ]
            if most := max(counts, default=0):
                break
        if most:
            break
    if most > counts[0] > 0:
        raise VideoError(
            f"The paths in {table.path} can be read in two ways: from {bases[0]}, where "
            f"{counts[0]} of {len(sample)} videos are, or from the working directory, where "
            f"{most} are; write them from the folder of the list, or give `root`."
        )
    if most and not counts[0]:
        base = bases[1]
        table.notes.append("paths start from the working directory")
    else:
        base = bases[0]
    if most and slashes:
        table.notes.append("backslashes are slashes")
    files = {name: str(base / _slashed(name, slashes)) for name in local}
    if not most and local and not any(map(is_video_name, local)) and base.is_dir():
        below = find_videos(base, table.path)
        stems = {name: os.path.basename(_slashed(name, slashes)) for name in local}
        if any(stem in below for stem in stems.values()):
            table.notes.append(f"paths are names without their ending, found below {base}")
            files = {name: below.get(stem, files[name]) for name, stem in stems.items()}
    return {name: files.get(name, name) for name in names}, base


def _slashed(name, slashes):
    return name.replace("\\", "/") if slashes else name
