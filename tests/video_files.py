"""Small real videos whose frames say their number, and FFmpeg's own reading of a file."""

import fractions
import subprocess

import av
import numpy as np
import pytest


def numbered_frame(number, height=48, width=64):
    """The number in eight columns of black or white over a gradient that is not symmetric."""
    frame = np.empty((height, width, 3), np.uint8)
    frame[:, :, 0] = np.linspace(60, 200, width)[None]
    frame[:, :, 1] = np.linspace(200, 60, height)[:, None]
    frame[:, :, 2] = 128
    for bit in range(8):
        column = slice(bit * width // 8, (bit + 1) * width // 8)
        frame[: height // 2, column] = 225 if number >> bit & 1 else 30
    return frame


def numbers(clip):
    """Reads the frame numbers back from `(T, H, W, 3)` pixels, at any size."""
    height, width = clip.shape[1:3]
    columns = [(2 * bit + 1) * width // 16 for bit in range(8)]
    bits = clip[:, height // 4, columns].mean(axis=-1) > 128
    return (bits << np.arange(8)).sum(axis=1).tolist()


def write_video(
    path,
    count=40,
    codec="libx264",
    pix_fmt="yuv420p",
    size=(48, 64),
    rate=25,
    times=None,
    **options,
):
    """Encodes frames 0, 1, 2, …; `times` are in milliseconds where the rate is not constant."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate if times is None else 1000)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.options = {name.replace("_", "-"): str(value) for name, value in options.items()}
        if times is not None:
            stream.codec_context.time_base = fractions.Fraction(1, 1000)
        for number in range(count if times is None else len(times)):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, *size), format="rgb24")
            frame = frame.reformat(format=pix_fmt)
            if times is not None:
                frame.pts, frame.time_base = times[number], fractions.Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path):
    """A file with sound and nothing to see."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def ffmpeg(*arguments):
    """Runs FFmpeg's own program, or skips the test; returns what it writes to `-`."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def ffmpeg_frames(path, height, width, *arguments):
    """All frames as FFmpeg's program sees them: uint8 `(N, H, W, 3)`."""
    arguments = arguments or ("-fps_mode", "passthrough")
    # -sws_flags: FFmpeg's program would otherwise pick bicubic chroma.
    raw = ffmpeg(
        *("-i", path, "-map", "0:v:0", *arguments, "-sws_flags", "bilinear"),
        *("-pix_fmt", "rgb24", "-f", "rawvideo", "-"),
    )
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
