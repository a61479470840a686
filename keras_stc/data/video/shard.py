"""Videos in packed shards: only the JPEG frames that a clip needs are read and decoded."""

import functools
import importlib.util
import json
import os
import pathlib
import zlib

import numpy as np

from keras_stc.data.errors import VideoError
from keras_stc.data.video import cache, video_file
from keras_stc.data.video.reader import FrameReader, VideoInfo

#: How frames are decoded, everywhere. Whole, and cut then: TensorFlow decodes a part of a picture
#: more slowly, and another way at its edges.
JPEG = {"channels": 3, "dct_method": "INTEGER_FAST"}

#: What follows a shard's name in that of the table of its optical flow.
FLOW_TABLE = "-flow.npy"

#: What the table beside a shard says of every frame: where its JPEG begins, its bytes, its CRC-32.
FRAME_TABLE = np.dtype([("offset", "<u8"), ("bytes", "<u4"), ("crc", "<u4")])


#: In the path of a packed video, between the shard and the number of the video in it.
MARK = ".tfrecord#"


def is_packed_video(path):
    """Whether a path names a video in a shard, as packed sets name theirs."""
    return MARK in path


class ShardReader(FrameReader):
    """Reads frames of a video in a shard; see `open_video`.

    Args:
        path: The shard, `#`, and the video's number in it.

    Attributes:
        flow: What the shard says of the optical flow in it, a dict; `None` where it has none.

    Raises:
        VideoError: If the shard or what lies beside it is missing or damaged.
    """

    def __init__(self, path):
        shard, _, row = path.rpartition("#")
        self._shard = open_shard(shard)
        if not row.isdecimal() or int(row) >= len(self._shard.videos):
            raise VideoError(
                f"{path} names no video of the shard: its {len(self._shard.videos)} are #0 and on."
            )
        video = self._shard.videos[int(row)]
        count, fps = video["frames"], video["fps"]
        self.info = VideoInfo(
            path, count, fps, count / fps, video["width"], video["height"], 0, "mjpeg"
        )
        self._rows = slice(video["first"], video["first"] + count)
        self._table = self._shard.frames[self._rows]
        self.flow = self._shard.flow

    def encoded(self, indices):
        """JPEG files of frames by number, a list of bytes.

        Raises:
            VideoError: If a frame is not what was packed.
        """
        frames = self._table[indices].tolist()
        return [self._shard.read(frame, self.info.path) for frame in frames]

    def flow_frame(self, number):
        """The optical flow that was packed of a frame, uint8 `(H, W, 2)`: see `data.video.flow`.

        Raises:
            VideoError: If it is not what was packed.
        """
        frame = self._shard.flow_frames[self._rows][number].item()
        planes = _jpeg_decoder(1)(self._shard.read(frame, self.info.path))[..., 0]
        return np.stack(np.split(planes, 2), axis=-1)

    def _frames(self, wanted):
        decode = _jpeg_decoder(3)
        for number, jpeg in zip(wanted.tolist(), self.encoded(wanted), strict=True):
            yield number, decode(jpeg)

    def _cut(self, frame, geometry):
        size = geometry.frame_size(self.info.height, self.info.width)
        if size != frame.shape[:2]:
            frame = video_file.resize_rgb(frame, *size)
        return [geometry.cut(frame)]


class Shard:
    """An open shard.

    Args:
        path: The TFRecord file.

    Attributes:
        videos: A dict for each video: path, label, frames, fps, height, width, first (row of its
            first frame in the table).
        frames: An array of `FRAME_TABLE`.
        flow: As that of `ShardReader`.
        flow_frames: A table likewise of the flow of the frames.
    """

    def __init__(self, path):
        path = pathlib.Path(path)
        try:
            known = json.loads(path.with_suffix(".json").read_text())
            self.videos, self.flow = known["videos"], known.get("flow")
            self.frames = _table(path.with_suffix(".npy"))
            if self.flow:
                self.flow_frames = _table(path.with_name(path.stem + FLOW_TABLE))
            self._file = path.open("rb", buffering=0)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise VideoError(
                f"{path} cannot be read with the .json and .npy files beside it "
                f"({getattr(error, 'strerror', None) or type(error).__name__}); pack it again."
            ) from error

    def read(self, frame, name):
        """The bytes of a frame, a row of the table as a tuple; `name` is for errors."""
        offset, size, crc = frame
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) != size or zlib.crc32(data) != crc:
            raise VideoError(f"{name} is damaged: its frames are not what was packed; pack again.")
        return data


def _table(path):
    # As a plain array: np.memmap is slow to take parts of.
    return np.asarray(np.load(path, mmap_mode="r"))


def open_shard(path):
    """A `Shard`, kept open for those who come after, until the file changes."""
    return _open_shard(path, cache.file_key(path))


@functools.lru_cache(maxsize=256)
def _open_shard(path, key):
    return Shard(path)


@functools.cache
def _jpeg_decoder(channels):
    """A function from a JPEG file to its pixels, the same ones with and without TensorFlow."""
    if importlib.util.find_spec("tensorflow"):
        import tensorflow as tf

        how = {**JPEG, "channels": channels}
        return lambda jpeg: tf.io.decode_jpeg(jpeg, **how).numpy()
    try:
        import simplejpeg
    except ImportError as error:
        raise ImportError(
            "Reading packed videos without TensorFlow needs simplejpeg: pip install simplejpeg"
        ) from error
    colours = {1: "GRAY", 3: "RGB"}[channels]
    return lambda jpeg: simplejpeg.decode_jpeg(jpeg, colours, fastdct=True)


def clip_of_jpegs(jpegs, window, flip, frames):
    """Decodes a clip within a TensorFlow graph, the same pixels as `ShardReader` reads.

    Args:
        jpegs: String tensor `(T,)`, JPEG files.
        window: int32 tensor `(4,)`: top, left, height and width of the crop.
        flip: Boolean tensor: whether to mirror.
        frames: T.

    Returns:
        uint8 tensor `(T, height, width, 3)`.
    """
    import tensorflow as tf

    top, left, height, width = tf.unstack(tf.ensure_shape(window, [4]))
    pictures = []
    for jpeg in tf.unstack(tf.ensure_shape(jpegs, [frames])):
        picture = tf.io.decode_jpeg(jpeg, **JPEG)
        pictures.append(picture[top : top + height, left : left + width])
    return tf.cond(
        flip,
        lambda: tf.stack([tf.reverse(picture, [1]) for picture in pictures]),
        lambda: tf.stack(pictures),
    )
