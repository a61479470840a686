"""Opens a video with the decoder that reads its kind of file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from keras_stc.checks import one_of
from keras_stc.data.video.frame_folder import FrameFolder
from keras_stc.data.video.pyav_reader import VideoReader
from keras_stc.data.video.shard import ShardReader, is_packed_video

if TYPE_CHECKING:
    from keras_stc.data.video.reader import FrameReader

#: Decoders of video files, by name.
DECODERS = ("pyav", "tfio")


def open_video(
    path: str | os.PathLike[str], threads: int | None = None, decoder: str = "pyav"
) -> FrameReader:
    """Opens a video for reading frames by number, with the decoder that can read it.

    Example:

    ```python
    with keras_stc.data.open_video("frames/v_Diving_g01_c01") as reader:     # a folder of images
        clip = reader.read(range(0, 32, 2))
    ```

    Args:
        path: A video file, an `fsspec` URL, a folder of frames as images, or a video in packed
            shards as a packed set names it.
        threads: Threads to decode with, or `None` for FFmpeg's choice.
        decoder: What decodes video files: `"pyav"`, or `"tfio"`, tensorflow-io, which decodes
            whole files.

    Returns:
        A `FrameReader`.

    Raises:
        ValueError: If there is no such decoder.
        VideoError: If the video cannot be used.
    """
    check_decoder(decoder)
    path = os.fspath(path)
    if is_packed_video(path):
        return ShardReader(path)
    if os.path.isdir(path):
        return FrameFolder(path)
    if decoder == "tfio":
        # Imported here: tensorflow-io is an extra.
        from keras_stc.data.video.tfio_reader import TfioReader

        return TfioReader(path)
    return VideoReader(path, threads)


def check_decoder(decoder):
    """Raises the `ValueError` for a decoder that does not exist."""
    one_of(DECODERS, decoder=decoder)
