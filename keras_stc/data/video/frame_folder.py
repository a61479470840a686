"""A folder of frames as images, in the order of their names, as a video."""

import os
import re

from keras_stc.data.errors import VideoError
from keras_stc.data.sets.names import is_picture
from keras_stc.data.video import frame_index
from keras_stc.data.video.reader import FrameReader, VideoInfo
from keras_stc.data.video.video_file import VideoFile


class FrameFolder(FrameReader):
    """Reads images, such as `image_00001.jpg`, `image_00002.jpg`, … (Hara et al. extract them so).

    Frame 0 is the first image; numbers in names count as numbers. A folder says nothing of the
    frame rate: it is taken for 25 per second.

    Args:
        path: The folder.

    Raises:
        VideoError: If it holds no images, or the first of them cannot be read.
    """

    def __init__(self, path):
        names = [name for name in os.listdir(path) if is_picture(name)]
        if not names:
            raise VideoError(
                f"{path} is a folder without images; expected a video file, or a folder of its "
                "frames such as image_00001.jpg."
            )
        self._files = [os.path.join(path, name) for name in sorted(names, key=_by_number)]
        with _Picture(self._files[0]) as first:
            height, width, codec = first.frame.height, first.frame.width, first.file.codec
        rate = frame_index.UNKNOWN_RATE
        count = len(names)
        self.info = VideoInfo(path, count, rate, count / rate, width, height, 0, codec)

    def _frames(self, wanted):
        for number in map(int, wanted):
            with _Picture(self._files[number]) as picture:
                yield number, picture

    def _cut(self, frame, geometry):
        size = geometry.frame_size(self.info.height, self.info.width)
        return [geometry.cut(part) for part in frame.file.to_rgb(frame.frame, *size)]


class _Picture:
    """An image file, which to FFmpeg is a video of one frame."""

    def __init__(self, path):
        self.file = VideoFile(path, threads=1)

    def __enter__(self):
        try:
            self.frame, _ = self.file.scan()
        except BaseException:
            self.file.close()
            raise
        return self

    def __exit__(self, *exception):
        self.file.close()


def _by_number(name):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
