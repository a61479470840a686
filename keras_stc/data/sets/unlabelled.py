"""Videos without labels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from keras_stc.data.sets.open import open_source

if TYPE_CHECKING:
    from keras_stc.data.sets.data import Data
    from keras_stc.data.sets.video import VideoSet


def open_unlabelled(spec: str | os.PathLike[str] | Data, subset: str | None = None) -> VideoSet:
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
    return open_source(spec).unlabelled(subset)
