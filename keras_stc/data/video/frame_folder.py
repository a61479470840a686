"""A folder of frames as images, in the order of their names, as a video."""

import contextlib
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
        with contextlib.closing(VideoFile(self._files[0], threads=1)) as file:
            first, codec = file.scan()[0], file.codec
        rate = frame_index.UNKNOWN_RATE
        count = len(names)
        size = first.width, first.height
        self.info = VideoInfo(path, count, rate, count / rate, *size, 0, codec)

    def _frames(self, wanted):
        for number in map(int, wanted):
            # To FFmpeg an image is a video of one frame.
            with contextlib.closing(VideoFile(self._files[number], threads=1)) as file:
                yield number, (file, file.scan()[0])

    def _cut(self, frame, geometry):
        file, picture = frame
        size = geometry.frame_size(self.info.height, self.info.width)
        return [geometry.cut(part) for part in file.to_rgb(picture, *size)]


def _by_number(name):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
