"""Videos in a folder with a subfolder for each class."""

import functools
import os
import pathlib
from collections.abc import Sequence

from keras_stc.data.errors import VideoError
from keras_stc.data.sets.data import Data, own_name
from keras_stc.data.sets.names import (
    SUBSET_OF,
    class_folders,
    is_video,
    some_of,
    subsets_among,
    videos_below,
)
from keras_stc.data.sets.video import Video, VideoSet


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

    def __init__(
        self, root: str | os.PathLike[str], class_names: Sequence[str] | None = None
    ) -> None:
        root = pathlib.Path(root)
        if not root.is_dir():
            problem = "is not a folder" if root.exists() else "does not exist"
            raise VideoError(
                f"{root} {problem}; expected a folder with a subfolder for each class."
            )
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


class FolderData(Data):
    """A folder of class folders, or of `train` and `val` or `test` folders of class folders."""

    @functools.cached_property
    def _own_names(self):
        """From our name of a subset to the folder's."""
        folders = list(class_folders(self.name))
        others = [name for name in folders if name.lower() not in SUBSET_OF]
        subsets = {SUBSET_OF[name.lower()] for name in folders if name.lower() in SUBSET_OF}
        # Classes may be called "test"; a divided folder holds subsets and nothing else.
        if "train" not in subsets or (others and len(subsets) == 1):
            return {}
        if others:
            raise VideoError(
                f"{self.name} has the folder {others[0]} beside {some_of(sorted(subsets))}; "
                "expected subsets alone, or classes alone: move it away."
            )
        return subsets_among(folders, self.name)

    @property
    def subsets(self):
        return tuple(self._own_names)

    def _open(self, subset, class_names):
        path, own_names = pathlib.Path(self.name), self._own_names
        folders = [own_name(own_names, subset, self.name)] if subset else list(own_names.values())
        if not folders:
            return VideoFolder(path, class_names)
        if class_names is None:
            classes = (class_folders(path / name) for name in own_names.values())
            class_names = sorted({name for each in classes for name in each})
        sets = [VideoFolder(path / name, class_names) for name in folders]
        return VideoSet([video for videos in sets for video in videos], class_names)

    def _unlabelled(self, subset):
        folder = pathlib.Path(self.name)
        if subset is not None:
            folder /= own_name(self._own_names, subset, self.name)
        files = videos_below(folder)
        if not files:
            raise VideoError(f"{folder} holds no videos; expected files such as .mp4 or .avi.")
        return [Video(str(file)) for file in files]
