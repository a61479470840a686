"""A folder of packed shards as a list of videos."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import warnings
from collections.abc import Sequence

from keras_stc import files
from keras_stc.data.errors import VideoError, VideoWarning
from keras_stc.data.sets.data import Data
from keras_stc.data.sets.names import some_of
from keras_stc.data.sets.video import Video, VideoSet

#: Version of the layout of a packed folder.
LAYOUT = 1


class PackedVideos(VideoSet):
    """Videos that `pack` made shards of, with those that had no label.

    Example:

    ```python
    train = keras_stc.data.PackedVideos("packed/ucf101", "train", split=1)
    ```

    Args:
        root: The packed folder.
        subset: `"train"`, `"val"`, `"test"`, or `None` for everything in the split.
        split: Which split, where the data has several; `"all"` for the videos of all of them.
        class_names: Names of the classes by label. Defaults to those that were packed.

    Raises:
        VideoError: If the folder is not whole, or there is no such subset or split.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        subset: str | None = None,
        split: int | str | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self._fill(root, read_index(root), subset, split, class_names)

    def _fill(self, root, index, subset, split, class_names):
        root = pathlib.Path(root)
        names = tuple(class_names or index["class_names"])
        if unknown := [name for name in index["class_names"] if name not in names]:
            raise VideoError(
                f"{root} has the class {unknown[0]}, which is none of the {len(names)} classes "
                f"({some_of(names)}); correct the classes."
            )
        label = [names.index(name) for name in index["class_names"]]
        place = _split_number(root, index, split)
        if place is None and subset is not None:
            raise VideoError(
                f"{root} has no subset {subset!r} over all splits; take one split: "
                f"shards:{root}:{index['splits'][0]}."
            )
        rows = index["videos"]
        if place is not None and len(index["splits"]) > 1:
            rows = [row for row in rows if row["subsets"][place] is not None]
        if subset is not None:
            rows = [row for row in rows if row["subsets"][place] == subset]
        if not rows:
            parts = _subsets(root, index, split)
            raise VideoError(
                f"{root} has no videos of subset {subset!r}; "
                + (f"it has {', '.join(parts)}." if parts else "it is not divided into subsets.")
            )
        super().__init__(
            [
                Video(
                    f"{root / row['shard']}#{row['row']}",
                    None if row["label"] is None else label[row["label"]],
                    source=row["path"],
                )
                for row in rows
            ],
            names,
        )


class PackedData(Data):
    """A folder of packed shards, by its path or as `shards:FOLDER:SPLIT`."""

    usage = "shards:FOLDER:SPLIT"

    def __init__(self, name):
        super().__init__(name)
        self._root, self._split = self.name, None
        if self.name.startswith("shards:"):
            self._root, _, self._split = self.name.partition(":")[2].rpartition(":")
            if not self._root or not self._split:
                raise VideoError(f"{self.name} must be {self.usage}, with a split or all.")

    @functools.cached_property
    def _index(self):
        return read_index(self._root)

    @property
    def spec(self):
        root = os.path.realpath(self._root)
        return root if self._split is None else f"shards:{root}:{self._split}"

    @property
    def subsets(self):
        return _subsets(self._root, self._index, self._split)

    @property
    def splits(self):
        names = self._index["splits"]
        if self._split != "all" or names == [""]:  # one without a name, which all are
            return (self,)
        return tuple(PackedData(f"shards:{self._root}:{name}") for name in names)

    def _open(self, subset, class_names):
        videos = self._partly_labelled(subset, class_names)
        labelled = [place for place, video in enumerate(videos) if video.label is not None]
        if len(labelled) == len(videos):
            return videos
        warnings.warn(
            f"{self.name}: {len(videos) - len(labelled)} of {len(videos)} videos have no label and "
            "are left out.",
            VideoWarning,
            stacklevel=3,
        )
        return videos.subset(labelled)

    def _partly_labelled(self, subset, class_names):
        videos = self._unlabelled(subset, class_names)
        if not videos.class_names:
            raise VideoError(
                f"{self.name} was packed without labels, for keras-stc transfer: pack labelled "
                "videos without --unlabelled."
            )
        return videos

    def _unlabelled(self, subset, class_names=None):
        return PackedVideos._of(self._root, self._index, subset, self._split, class_names)


def is_packed(root):
    """Whether a folder is one that `pack` writes to, whole or not."""
    return os.path.isfile(os.path.join(root, "pack.json"))


def read_index(root):
    """The index of a packed folder, a dict.

    Raises:
        VideoError: If there is none, or it is of another version.
    """
    path = pathlib.Path(root) / "index.json"
    try:
        index = json.loads(path.read_text())
    except OSError as error:
        problem = "is not packed to the end" if is_packed(root) else "holds no packed shards"
        raise VideoError(f"{root} {problem}: run keras-stc pack DATA {root}.") from error
    except ValueError as error:
        raise VideoError(f"{path} is damaged; run the same keras-stc pack again.") from error
    if index.get("layout") != LAYOUT:
        raise VideoError(
            f"{root} has layout {index.get('layout')!r}, this version reads {LAYOUT}: pack again."
        )
    return index


def verify_shards(root: str | os.PathLike[str]) -> list[str]:
    """Reads every file of a packed folder and compares it with the index.

    Args:
        root: The folder that `pack` wrote.

    Returns:
        Names of the files that are missing or differ, a list; empty where all is well.
    """
    root, wrong = pathlib.Path(root), []
    for shard in read_index(root)["shards"]:
        for name, wanted in shard["sha256"].items():
            if not (root / name).exists() or files.sha256(root / name) != wanted:
                wrong.append(name)
    return wrong


def _split_number(root, index, split):
    """Place of a split in the index; `None` for all splits together."""
    splits = index["splits"]
    if split == "all":
        return None if len(splits) > 1 else 0
    if split is None and len(splits) == 1:
        return 0
    if str(split) not in splits:
        raise VideoError(
            f"{root} has the splits {', '.join(splits)}, and none called {split!r}: name one, as "
            f"in shards:{root}:{splits[0]}."
            if len(splits) > 1
            else f"{root} has no splits, and none called {split!r}: leave it out."
        )
    return splits.index(str(split))


def _subsets(root, index, split):
    """Which of `"train"`, `"val"` and `"test"` a packed folder holds in a split."""
    place = _split_number(root, index, split)
    named = {row["subsets"][place] for row in index["videos"]} if place is not None else set()
    return tuple(name for name in ("train", "val", "test") if name in named)
