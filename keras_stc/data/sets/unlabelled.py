"""Videos of which nobody has said what they show."""

import dataclasses
import pathlib

from keras_stc.data.errors import VideoError
from keras_stc.data.sets.names import videos_below
from keras_stc.data.sets.open import data_subsets, open_data, own_subset
from keras_stc.data.sets.packed import PackedVideos, is_packed
from keras_stc.data.sets.table import VideoCSV
from keras_stc.data.sets.video import Video, VideoSet


def open_unlabelled(spec, subset=None):
    """Videos without their labels, by what a user types for VIDEOS.

    Example:

    ```python
    videos = keras_stc.data.open_unlabelled("holiday")     # every video below the folder
    train, held_out = videos.split(0.1)
    ```

    Args:
        spec: A folder with videos, or folders of frames, at any depth; a CSV file with the column
            path and perhaps start, end and split; or what `open_data` takes, such as a folder of
            packed shards.
        subset: `"train"`, `"val"`, `"test"` where the data is divided, or `None` for everything.

    Returns:
        A `VideoSet` without classes.

    Raises:
        VideoError: If there is no such data.
    """
    path = pathlib.Path(spec)
    if is_packed(path):
        videos = PackedVideos(path, subset)
    elif path.is_dir():
        videos = _below(path if subset is None else path / own_subset(spec, subset))
    elif path.is_file() and path.suffix.lower() == ".csv":
        split = None if subset is None else own_subset(spec, subset)
        videos = VideoCSV(path, split=split, label_column="path")  # rows need no label then
    else:
        videos = open_data(spec, subset)
    return VideoSet([dataclasses.replace(video, label=None) for video in videos])


def open_learnable(spec):
    """Of divided data only the part to train on, since the rest is to be tested on later.

    Returns:
        What `open_unlabelled` returns, and the subset's name or `None`.
    """
    subset = "train" if "train" in data_subsets(spec) else None
    return open_unlabelled(spec, subset), subset


def _below(folder):
    files = videos_below(folder)
    if not files:
        raise VideoError(f"{folder} holds no videos; expected files such as .mp4 or .avi.")
    return [Video(str(file)) for file in files]
