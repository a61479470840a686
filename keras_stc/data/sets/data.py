"""`Data`, the base of all kinds of data that a user can name: subsets, splits, its spec."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence

from keras_stc.data.errors import VideoError
from keras_stc.data.sets.names import check_subset
from keras_stc.data.sets.video import Video, VideoSet


class Data:
    """Labelled videos, perhaps divided into subsets and splits; see `open_source`.

    A list is read and a folder is searched when it is first needed, and then never again.

    Example:

    ```python
    data = keras_stc.data.open_source("ucf101:UCF-101:all")
    for split in data.splits:
        train, test = split["train"], split["test"]
    ```

    Attributes:
        name: What was typed.
        spec: What opens the same data from every folder: absolute paths, no symbolic links.
        subsets: Which of `"train"`, `"val"` and `"test"` there are, a tuple; empty where a part
            has to be held out, with `VideoSet.split` or `divide`.
        splits: The splits over which a result is the mean, a tuple of `Data`; the data itself
            where it has no more than one.
        label_names: The file, or the names, of what numbers in a list stand for; `None` where
            nobody gave any.
    """

    label_names = None

    #: How many classes there are of which nothing but a number is known.
    numbers = 0

    #: What a user types, with capitals for what differs; empty of paths.
    usage = ""

    def __init__(self, name: str | os.PathLike[str]) -> None:
        self.name = str(name)

    def __str__(self):
        return self.name

    def __repr__(self):
        return f"<{type(self).__name__}: {self.name}>"

    @property
    def spec(self) -> str:
        return os.path.realpath(self.name)

    @property
    def subsets(self) -> tuple[str, ...]:
        return ()

    @property
    def learnable(self) -> str | None:
        """The subset to learn from, `"train"`, or `None` of data that is not divided."""
        return "train" if "train" in self.subsets else None

    @property
    def splits(self) -> tuple[Data, ...]:
        return (self,)

    def __getitem__(self, subset: str | None) -> VideoSet:
        return self.open(subset)

    def open(self, subset: str | None = None, class_names: Sequence[str] | None = None) -> VideoSet:
        """A `VideoSet`.

        Args:
            subset: One of `subsets`, or `None` for everything.
            class_names: Names of the classes by label. Defaults to those of the whole data, so
                that subsets agree.

        Raises:
            VideoError: If there is no such subset, or the videos are of other classes.
        """
        check_subset(subset)
        return self._open(subset, class_names)

    def _open(self, subset, class_names):
        raise NotImplementedError

    def partly_labelled(
        self, subset: str | None = None, class_names: Sequence[str] | None = None
    ) -> VideoSet:
        """As `open`, with the videos of a list that have no label, which is `None` then."""
        check_subset(subset)
        return self._partly_labelled(subset, class_names)

    def _partly_labelled(self, subset, class_names):
        return self._open(subset, class_names)

    def unlabelled(self, subset: str | None = None) -> VideoSet:
        """The videos without their labels, as `open_unlabelled` gives them."""
        videos = self._unlabelled(subset)
        return VideoSet([dataclasses.replace(video, label=None) for video in videos])

    def _unlabelled(self, subset) -> Iterable[Video]:
        return self.open(subset)


def own_name(own_names, subset, spec):
    """What a folder or a list calls a subset, of a dict from our name to its own.

    Raises:
        VideoError: If it has no such subset.
    """
    if subset not in own_names:
        subsets = (
            f"it has {', '.join(own_names)}" if own_names else "it is not divided into subsets"
        )
        raise VideoError(
            f"{spec} has no subset {subset!r}; {subsets}: add a folder, or a column `split` in the "
            "CSV file, of that name."
        )
    return own_names[subset]
