"""Optical flow of videos as clips of two channels: computed frame by frame, or read from shards.

A value is where a point goes, in pixels of the frame as it is resized and not yet cropped: channel
0 to the right, channel 1 downwards, cut off at `BOUND` and laid over 0-255, so that 127.5 stands
still. So Carreira & Zisserman ("Quo Vadis, Action Recognition?", CVPR 2017, section 2.5) and Wang
et al. ("Temporal Segment Networks", ECCV 2016) feed their networks. The flow of a frame leads to
the next frame of the video, whatever the stride of the clip; the last frame has that of the one
before it.
"""

import numpy as np

from keras_stc.data.geometry import Geometry
from keras_stc.data.video.reader import FrameReader
from keras_stc.data.video.video_file import resize_rgb
from keras_stc.video_config import FLOWS

#: Pixels at which flow is cut off, in both papers.
BOUND = 20.0

#: Of Farnebäck's method, those of OpenCV's own examples: scale and levels of the pyramid, window,
#: iterations, neighbourhood of the polynomials and its sigma, flags.
FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)


def with_flow(reader, method):
    """A reader of flow over a reader of frames; the reader itself where `method` is `None`."""
    return reader if method is None else FlowReader(reader, method)


class FlowReader(FrameReader):
    """Reads the optical flow of a video by frame number; see this module.

    Clips are uint8 `(T, H, W, 2)`. What a shard holds of this method is read, and anything else is
    computed from the frames.

    Args:
        reader: A `FrameReader`; it is closed with this one.
        method: One of `keras_stc.video_config.FLOWS`.

    Raises:
        ImportError: If flow has to be computed and what computes it is not installed.
    """

    def __init__(self, reader, method):
        self._reader, self.info = reader, reader.info
        self._stored = getattr(reader, "flow", None) == described(method)
        self._between = None if self._stored else flow_method(method)

    def close(self):
        self._reader.close()

    def views(self, clips, geometries):
        """See `FrameReader.views`; a mirrored clip moves the other way."""
        clips = [self._checked(clip) for clip in clips]
        if not clips:
            return
        height, width = self.info.height, self.info.width
        sizes = list(dict.fromkeys(each.frame_size(height, width) for each in geometries))
        last = max(0, self.info.num_frames - 2)
        begins = [np.minimum(clip, last) for clip in clips]
        for flows in (self._read if self._stored else self._computed)(begins, sizes):
            of_size = dict(zip(sizes, flows, strict=True))
            yield [_cut(of_size[each.frame_size(height, width)], each) for each in geometries]

    def _computed(self, clips, sizes):
        """Yields, for each clip, flow `(T, height, width, 2)` of every size."""
        end = self.info.num_frames - 1
        pairs = [np.unique(np.minimum([clip, clip + 1], end)) for clip in clips]
        known = [{} for _ in sizes]  # flow of the clip before, with which this one may overlap
        frames = self._reader.views(pairs, [Geometry(short_side=size) for size in sizes])
        for clip, numbers, pixels in zip(clips, pairs, frames, strict=True):
            place = {number: k for k, number in enumerate(numbers.tolist())}
            for k, shown in enumerate(pixels):
                known[k] = {
                    i: known[k][i]
                    if i in known[k]
                    else encoded(self._between(shown[place[i]], shown[place[min(i + 1, end)]]))
                    for i in dict.fromkeys(clip.tolist())
                }
            yield [np.stack([flow[i] for i in clip.tolist()]) for flow in known]

    def _read(self, clips, sizes):
        for clip in clips:
            stored = [self._reader.flow_frame(i) for i in clip.tolist()]
            yield [np.stack([resized(flow, *size) for flow in stored]) for size in sizes]


def flow_method(method):
    """The function from two uint8 frames `(H, W, 3)` to the flow between, float32 `(H, W, 2)`.

    Args:
        method: One of `keras_stc.video_config.FLOWS`.

    Raises:
        ImportError: If what computes it is not installed.
    """
    try:
        import cv2

        made = cv2.optflow.createOptFlow_DualTVL1() if method == "tvl1" else None
    except (ImportError, AttributeError) as error:
        package = "opencv-contrib-python-headless" if method == "tvl1" else "opencv-python-headless"
        raise ImportError(
            f"Optical flow by {FLOWS[method]} needs {package}: pip install {package}"
        ) from error

    def between(first, second):
        first, second = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (first, second))
        if made is not None:
            return made.calc(first, second, None)
        return cv2.calcOpticalFlowFarneback(first, second, None, *FARNEBACK)

    return between


def described(method):
    """What a shard says of the flow in it."""
    return {"method": method, "bound": BOUND}


def encoded(flow):
    """Flow in pixels, any shape, as uint8: off by at most 20/255 of a pixel up to `BOUND`."""
    return np.rint(np.clip(flow * (127.5 / BOUND) + 127.5, 0, 255)).astype(np.uint8)


def resized(flow, height, width):
    """Encoded flow `(H, W, 2)` of a frame of another size, in whose pixels it counts then."""
    rows, columns, _ = flow.shape
    if (rows, columns) == (height, width):
        return flow
    made = resize_rgb(np.concatenate([flow, flow[..., :1]], axis=2), height, width)[..., :2]
    moved = (made - 127.5) * (width / columns, height / rows)
    return np.rint(np.clip(moved + 127.5, 0, 255)).astype(np.uint8)


def _cut(flow, geometry):
    flow = np.ascontiguousarray(geometry.cut(flow))
    if geometry.flip:
        flow[..., 0] = 255 - flow[..., 0]
    return flow
