"""Videos of which nobody has said what they show."""

import dataclasses
import pathlib

from keras_stc.data.errors import VideoError
from keras_stc.data.packed import PackedVideos, is_packed
from keras_stc.data.sources import EXTENSIONS, Video, VideoCSV, VideoSet
from keras_stc.data.specs import open_data, own_subset


def open_unlabelled(spec, subset=None):
    """Videos without their labels, by what a user types for VIDEOS.

    Example:

    ```python
    videos = keras_stc.data.open_unlabelled("holiday")     # every video below the folder
    train, held_out = videos.split(0.1)
    ```

    Args:
        spec: A folder with videos at any depth; a CSV file with the column path and perhaps start,
            end and split; or what `open_data` takes, such as a folder of packed shards.
        subset: `"train"`, `"val"`, `"test"` where the data is divided, or `None` for everything.

    Returns:
        A `VideoSet` without classes.

    Raises:
        VideoError: If there is no such data.
    """
    path = pathlib.Path(spec)
    is_csv = path.is_file() and path.suffix.lower() == ".csv"
    own = None
    if subset is not None and (path.is_dir() or is_csv) and not is_packed(path):
        own = own_subset(spec, subset)
    if is_packed(path):
        videos = PackedVideos(path, subset)
    elif path.is_dir():
        path = path / own if own else path
        files = sorted(p for p in path.rglob("*") if p.is_file() and _is_video(p))
        if not files:
            raise VideoError(f"{path} holds no videos; expected files such as .mp4 or .avi.")
        return VideoSet([Video(str(file)) for file in files])
    elif is_csv:
        # Rows need no label then.
        videos = VideoCSV(path, split=own, label_column="path")
    else:
        videos = open_data(spec, subset)
    return VideoSet([dataclasses.replace(video, label=None) for video in videos])


def _is_video(path):
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
