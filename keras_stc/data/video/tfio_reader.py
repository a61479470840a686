"""Frames of a video through tensorflow-io, which decodes whole files with the system's FFmpeg 4."""

import os

from keras_stc.data.errors import VideoError
from keras_stc.data.video import video_file
from keras_stc.data.video.pyav_reader import VideoReader
from keras_stc.data.video.reader import FrameReader


class TfioReader(FrameReader):
    """Reads frames of a video by number, decoded by tensorflow-io.

    The number of frames, their rate and how they are turned come from the file's packets, as
    `VideoReader` reads them. There is no seeking: all frames are decoded, and held in memory, when
    the first one is needed.

    Args:
        path: A video file.

    Raises:
        ImportError: If tensorflow-io, or the FFmpeg libraries that it needs, are not there.
        VideoError: If the video cannot be used.
    """

    def __init__(self, path):
        self._tfio = _import_tfio()
        with VideoReader(path) as reader:
            self.info, self.known = reader.info, reader.known
        self._decoded = None

    _ordinals = VideoReader._ordinals

    def _frames(self, wanted):
        if self._decoded is None:
            self._decoded = self._decode()
        for ordinal in map(int, wanted):
            yield ordinal, self._decoded[ordinal]

    def _cut(self, frame, geometry):
        orientation = self.known.orientation
        size = geometry.frame_size(self.info.height, self.info.width)
        height, width = orientation.upright_size(*size)
        if frame.shape[:2] != (height, width):
            frame = video_file.resize_rgb(frame, height, width)
        return [geometry.cut(orientation.turn(frame))]

    def _decode(self):
        import tensorflow as tf

        path, index = os.fspath(self.info.path), self.known.index
        try:
            data = tf.io.read_file(path)
            frames = self._tfio.experimental.ffmpeg.decode_video(data).numpy()
        except (tf.errors.OpError, NotImplementedError) as error:
            if "unable to open file" in str(error):  # its way of saying that a library is missing
                raise ImportError(NEEDED) from error
            raise VideoError(
                f"{path} cannot be decoded by tensorflow-io ({str(error).splitlines()[0]}); use "
                'decoder="pyav".'
            ) from error
        count = index.num_frames if index.times is None else len(index.times)
        if len(frames) != count:
            raise VideoError(
                f"{path} has {count} frames, of which tensorflow-io decodes {len(frames)}; use "
                'decoder="pyav".'
            )
        return frames


#: What to do where tensorflow-io does not work.
NEEDED = (
    "decoder='tfio' needs tensorflow-io with its native parts and FFmpeg 4: pip install "
    "'keras-stc[tfio]' 'tensorflow==2.16.2', and the libraries libavformat.so.58 and "
    "libswscale.so.5 on LD_LIBRARY_PATH"
)


def _import_tfio():
    try:
        import tensorflow_io
    except ImportError as error:
        raise ImportError(NEEDED) from error
    return tensorflow_io
