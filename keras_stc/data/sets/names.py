"""File and folder names: which are videos, frames, classes and subsets."""

import os
import pathlib

from keras_stc.checks import one_of
from keras_stc.data.errors import VideoError

#: Names that count as videos in a folder; a CSV may name any file.
EXTENSIONS = frozenset(
    ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split()
)

#: Names that count as frames, where a video is a folder of them.
PICTURES = frozenset((".jpg", ".jpeg", ".png", ".webp"))

#: What a subset may be called in folders and CSV files.
SUBSETS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}

#: The other way round: name, in small letters -> subset.
SUBSET_OF = {name: subset for subset, names in SUBSETS.items() for name in names}


def check_subset(subset):
    """Raises the `ValueError` for what is neither a subset nor `None`, for everything."""
    if subset is not None:
        one_of(SUBSETS, subset=subset)


def subsets_among(names, spec):
    """Which names are those of subsets: a dict from `"train"`, `"val"`, `"test"` to the name.

    Raises:
        VideoError: If two of them mean the same; `spec` is what the sentence is about.
    """
    own_names = {}
    for subset in SUBSETS:
        called = [name for name in names if SUBSET_OF.get(name.lower()) == subset]
        if len(called) > 1:
            raise VideoError(
                f"{spec} has both {' and '.join(called)}, which mean the same: rename one of them."
            )
        if called:
            own_names[subset] = called[0]
    return own_names


def class_folders(root):
    """Subfolders that are not hidden: a dict from name to path, sorted by name."""
    folders = [p for p in pathlib.Path(root).iterdir() if p.is_dir() and p.name[0] != "."]
    return {folder.name: folder for folder in sorted(folders, key=lambda folder: folder.name)}


def videos_below(folder):
    """Video files below a folder, and folders of frames instead of their images, sorted.

    Links to folders are followed, to each folder once.
    """
    folder, videos, seen = pathlib.Path(folder), [], set()
    for at, folders, files in os.walk(folder, followlinks=True):
        if first_visit(at, seen):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
        else:
            folders.clear()
            continue
        if pathlib.Path(at) != folder and is_frames(at, folders, files):
            videos.append(pathlib.Path(at))
            folders.clear()
        else:
            videos += [pathlib.Path(at, name) for name in files if is_video(pathlib.Path(name))]
    return sorted(videos)


def first_visit(folder, seen):
    """Whether a folder, however it is called, is not in the set `seen`, to which it is added."""
    real = os.path.realpath(folder)
    new = real not in seen
    seen.add(real)
    return new


def is_frames(folder, folders, files):
    """Whether a folder is a video of frames: pictures, and no video beside or below them.

    Args:
        folder: Its path.
        folders: Names of the folders in it, not all hidden ones among them.
        files: Names of the files in it.
    """
    endings = {os.path.splitext(name)[1].lower() for name in files if not name.startswith(".")}
    if not endings & PICTURES or endings & EXTENSIONS:
        return False
    # One picture beside folders of videos makes no video of them all; links are not followed.
    return not any(
        is_video(pathlib.Path(name))
        for name_of_folder in folders
        for _, _, names in os.walk(os.path.join(folder, name_of_folder))
        for name in names
    )


def is_picture(name):
    """Whether a file has the name of an image, and of one that is not hidden."""
    return os.path.splitext(name)[1].lower() in PICTURES and not name.startswith(".")


def is_video(path):
    """Whether a path has the name of a video, and of one that is not hidden."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def some_of(names):
    """The first five names, for a sentence."""
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
