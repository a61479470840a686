"""What counts as a video in a folder, by its name."""

import os
import pathlib

#: Names that count as videos in a folder; a CSV may name any file.
EXTENSIONS = frozenset(
    ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split()
)

#: Names that count as frames, where a video is a folder of them.
PICTURES = frozenset((".jpg", ".jpeg", ".png", ".webp"))


def class_folders(root):
    """Subfolders that are not hidden: a dict from name to path, sorted by name."""
    folders = [p for p in pathlib.Path(root).iterdir() if p.is_dir() and p.name[0] != "."]
    return {folder.name: folder for folder in sorted(folders, key=lambda folder: folder.name)}


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


def some_of(names):
    """The first five names, for a sentence."""
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
