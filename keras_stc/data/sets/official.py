"""UCF101 and HMDB51, by the lists their authors publish."""

import functools
import os
import pathlib
from collections.abc import Sequence

from keras_stc.data.errors import VideoError
from keras_stc.data.sets.data import Data
from keras_stc.data.sets.listed import UNUSED, ListedVideos, Listing, Row

#: Official numbers of videos, over both subsets of a split and what a split leaves out.
UCF101_VIDEOS, HMDB51_VIDEOS = 13_320, 6_766

#: Splits of UCF101 and of HMDB51; results are the mean over the three (paper, section 4).
SPLITS = (1, 2, 3)

#: Folders into which the archives of the lists unpack.
LIST_FOLDERS = (
    *("ucfTrainTestlist", "UCF101TrainTestSplits-RecognitionTask", "testTrainMulti_7030_splits"),
    *("test_train_splits", "splits", "lists"),
)

#: What a line of HMDB51's lists says of a video.
HMDB51_USE = {"0": UNUSED, "1": "train", "2": "test"}


class _Official(ListedVideos):
    """Videos by the lists of one of three splits; a subclass reads them."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: int | str = 1,
        subset: str | None = "train",
        lists: str | os.PathLike[str] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        _check_split(split, subset)
        self._fill(self._read(root, split, lists), subset, class_names)

    @staticmethod
    def _read(root, split, lists=None) -> Listing:
        """The `Listing` of a split."""
        raise NotImplementedError


class UCF101(_Official):
    """UCF101: 13,320 videos of 101 actions, in three splits (Soomro et al. 2012).

    Expects what its two archives hold: the videos, `UCF101.rar`, and the lists for action
    recognition, `classInd.txt`, `trainlist01.txt`, …. Videos may be re-encoded, or folders of
    extracted frames: a video is found by its name without the ending, anywhere below `root`.
    Folders of some classes alone are a data set of these classes.

    Example:

    ```python
    train = keras_stc.data.UCF101("UCF-101", split=1, subset="train")       # 9,537 videos
    test = keras_stc.data.UCF101("UCF-101", split=1, subset="test")         # 3,783 videos
    ```

    Args:
        root: Folder of the videos.
        split: 1, 2 or 3, or `"all"` for the videos of all of them, each once; without a subset.
        subset: `"train"`, `"test"`, or `None` for both.
        lists: Folder of the lists. Defaults to where they lie in `root` or beside it.
        class_names: Names of the classes by label. Defaults to those of which there are videos,
            in the official order.

    Raises:
        VideoError: If the lists are not found or not complete, or most of the videos are missing of
            the classes that are there.

    Warns:
        VideoWarning: If some classes or videos are missing. The videos are named in `missing`.
    """

    @staticmethod
    def _read(root, split, lists=None):
        folder = _list_folder(root, lists, "classInd.txt", "UCF101")
        names = []
        for number, line in _lines(folder / "classInd.txt"):
            position, _, name = line.partition(" ")
            if position != str(len(names) + 1) or not name:
                raise VideoError(
                    f"{folder / 'classInd.txt'}, line {number}, is {line!r}; expected the number "
                    f"{len(names) + 1} and a class: download the lists again."
                )
            names.append(name)
        uses = {}
        for use in ("train", "test"):
            path = folder / f"{use}list{1 if split == 'all' else split:02d}.txt"
            for number, line in _lines(path):
                video, _, position = line.partition(" ")
                name = video.partition("/")[0]
                if name not in names or position not in ("", str(names.index(name) + 1)):
                    raise VideoError(
                        f"{path}, line {number}, is {line!r}; expected CLASS/VIDEO.avi and, in "
                        "training lists, the class's number: download the lists again."
                    )
                uses[video] = use
        return _listing("UCF101", root, uses, names, UCF101_VIDEOS)


class HMDB51(_Official):
    """HMDB51: 6,766 videos of 51 actions, in three splits (Kuehne et al. 2011).

    Expects what its two archives hold, unpacked: the videos, `hmdb51_org.rar`, and the lists,
    `brush_hair_test_split1.txt`, …. Each split trains on 70 and tests on 30 videos of a class and
    leaves the others out. Arguments, and what becomes of re-encoded and missing videos, are as of
    `UCF101`; the official order of the classes is that of the alphabet.

    Example:

    ```python
    test = keras_stc.data.HMDB51("hmdb51_org", split=2, subset="test")      # 1,530 videos
    ```
    """

    @staticmethod
    def _read(root, split, lists=None):
        ending = f"_test_split{1 if split == 'all' else split}.txt"
        folder = _list_folder(root, lists, f"*{ending}", "HMDB51")
        names, uses = [], {}
        for path in sorted(folder.glob(f"*{ending}")):
            names.append(path.name.removesuffix(ending))
            for number, line in _lines(path):
                video, _, use = line.rpartition(" ")
                if not video or use not in HMDB51_USE:
                    raise VideoError(
                        f"{path}, line {number}, is {line!r}; expected VIDEO.avi and 0, 1 or 2: "
                        "download the lists again."
                    )
                uses[f"{names[-1]}/{video}"] = HMDB51_USE[use]
        if split == "all":
            uses = dict.fromkeys(uses, "all")
        return _listing("HMDB51", root, uses, names, HMDB51_VIDEOS)


def _listing(name, root, uses, names, official):
    """The `Listing` of `{"class/video.avi": subset}`."""
    rows = []
    for video, use in uses.items():
        folder, _, file = video.partition("/")
        rows.append(Row(video, folder, use, ((os.path.splitext(file)[0], None, None),)))
    return Listing(name, root, tuple(rows), tuple(names), (len(uses), official))


class _OfficialData(Data):
    """`NAME:ROOT:SPLIT`, with the split 1, 2, 3 or all."""

    videos: type[_Official]

    def __init__(self, name):
        super().__init__(name)
        self._kind, _, place = self.name.partition(":")
        self._root, _, split = place.rpartition(":")
        if not self._root or split not in ("1", "2", "3", "all"):
            raise VideoError(f"{name} must be {self.usage}, with the split 1, 2, 3 or all.")
        self._split = split if split == "all" else int(split)

    @functools.cached_property
    def _listing(self):
        return self.videos._read(self._root, self._split)

    @property
    def spec(self):
        return f"{self._kind}:{os.path.realpath(self._root)}:{self._split}"

    @property
    def subsets(self):
        return () if self._split == "all" else ("train", "test")

    @property
    def splits(self):
        if self._split != "all":
            return (self,)
        return tuple(type(self)(f"{self._kind}:{self._root}:{split}") for split in SPLITS)

    def _open(self, subset, class_names):
        if self._split == "all" and subset is not None:
            raise VideoError(
                f"{self.name} has no subset {subset!r}, since a video that one split trains on, "
                f"another one tests on; take each split by itself: {self._kind}:{self._root}:1, :2 "
                "and :3."
            )
        _check_split(self._split, subset)
        return self.videos._of(self._listing, subset, class_names)


class UCF101Data(_OfficialData):
    """`ucf101:ROOT:SPLIT`."""

    usage, videos = "ucf101:ROOT:SPLIT", UCF101


class HMDB51Data(_OfficialData):
    """`hmdb51:ROOT:SPLIT`."""

    usage, videos = "hmdb51:ROOT:SPLIT", HMDB51


def _check_split(split, subset):
    if split not in (*SPLITS, "all"):
        raise ValueError(f"`split` must be 1, 2, 3 or 'all'. Received: split={split!r}")
    if subset not in ("train", "test", None):
        raise ValueError(f"`subset` must be 'train', 'test' or None. Received: subset={subset!r}")
    if split == "all" and subset is not None:
        raise ValueError(
            "`subset` must be None with split='all': a video that one split trains on, another "
            f"one tests on. Received: subset={subset!r}"
        )


def _list_folder(root, lists, pattern, name):
    root = pathlib.Path(root)
    places = [root, *(root / n for n in LIST_FOLDERS), *(root.parent / n for n in LIST_FOLDERS)]
    for place in [pathlib.Path(lists)] if lists is not None else places:
        if place.is_dir() and any(place.glob(pattern)):
            return place
    raise VideoError(
        f"{lists or root} has no lists of {name}: expected {pattern} there"
        + ("" if lists else f", in {root / LIST_FOLDERS[0]} or beside it")
        + "; unpack the archive of the official splits into it."
    )


def _lines(path):
    """`(line number, line)` of a text file, without empty ones and outer blanks."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VideoError(
            f"{path} cannot be read ({getattr(error, 'strerror', None) or error}); download the "
            "lists again."
        ) from error
    lines = enumerate(text.splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]
