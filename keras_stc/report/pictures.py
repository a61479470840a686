"""Frames as pictures in a page, encoded by FFmpeg."""

import base64
import fractions

import numpy as np

#: FFmpeg's quantiser of JPEG, 2 to 31: at 4 a frame of 96 pixels has 3 to 5 kilobytes.
QUANTISER = 4

#: Pixels on the short side of a frame in a strip, and how many frames it has.
SHORT_SIDE, STRIP = 96, 8


def png(pixels):
    """PNG bytes of uint8 pixels, `(H, W, 3)` or, with transparency, `(H, W, 4)`."""
    form = "rgba" if pixels.shape[-1] == 4 else "rgb24"
    return _encode("png", form, pixels, form)


def jpeg(pixels):
    """JPEG bytes of uint8 pixels `(H, W, 3)`."""
    return _encode("mjpeg", "yuvj420p", pixels, "rgb24", qmin=QUANTISER, qmax=QUANTISER)


def data_uri(pixels):
    """An address that holds the picture itself: JPEG, or PNG of pixels with transparency."""
    kind, encoded = ("png", png(pixels)) if pixels.shape[-1] == 4 else ("jpeg", jpeg(pixels))
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def strip(frames):
    """Addresses of frames, uint8 `(T, H, W, 3)`, one beside the other."""
    return [data_uri(frame) for frame in frames]


def read_strip(video, count=STRIP, short_side=SHORT_SIDE):
    """Frames spread evenly over a video.

    Args:
        video: Path of a video, or a `keras_stc.data.Video`.
        count: How many.
        short_side: Pixels of a frame's short side; `None` for the video's own.

    Returns:
        uint8 array `(count, H, W, 3)`.

    Raises:
        VideoError: If the video cannot be read.
    """
    from keras_stc.data import Geometry, Video
    from keras_stc.data.video.isolated import open_isolated

    video = video if isinstance(video, Video) else Video(str(video))
    with open_isolated(video.path) as reader:
        first, frames = video.frame_range(reader.info)
        places = first + np.linspace(0, frames - 1, count).round().astype(int)
        return next(reader.clips([places], Geometry(short_side=short_side)))


def _encode(codec, pixel_format, pixels, given, **quantiser):
    import av

    encoder = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width = pixels.shape[:2]
    encoder.pix_fmt = pixel_format
    encoder.time_base = fractions.Fraction(1, 25)
    for name, value in quantiser.items():
        setattr(encoder, name, value)
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=given)
    if given != pixel_format:
        picture = picture.reformat(format=pixel_format)
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])
