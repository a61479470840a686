"""One open video file: what can be refused about it, its packets, its frames in display order.

The only file that speaks to PyAV.
"""

import os

import numpy as np

from keras_stc.data.errors import VideoError
from keras_stc.data.video import frame_index
from keras_stc.files import reason

#: Containers without presentation times; FFmpeg guesses them, and guesses wrong with B-frames.
NO_PRESENTATION_TIMES = {"avi"}

#: Pixels of which swscale makes planes of R, G and B faster than packed RGB, with the same values
#: but for rounding (one level in some hundred pixels; tests/test_decode.py).
PLANAR_IS_FASTER = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"}

#: swscale's SWS_BILINEAR and SWS_FULL_CHR_H_INT; PyAV has names for both from 18 on.
BILINEAR, BILINEAR_FULL_CHROMA = 0x2, 0x2 | 0x2000

#: Demuxers that take any text for a picture of a terminal, or a list of other files for a video.
NOT_VIDEO = {"tty", "concat", "hls", "applehttp"}


#: Packets read by this process so far: what tells a long file from one that hangs its decoder.
packets_read = 0


class VideoFile:
    """An open video.

    Args:
        path: A file, or an `fsspec` URL.
        threads: Threads to decode with, or `None` for FFmpeg's choice.

    Raises:
        VideoError: If it cannot be opened, or has no video stream.
    """

    def __init__(self, path, threads=None):
        self._av = _import_av()
        self.path = os.fspath(path)
        self._threads = threads
        self._reformatter = self._av.video.reformatter.VideoReformatter()
        self._reformat_options = {"threads": 1}
        self._container = self._remote = None
        self._open()

    def _open(self):
        av = self._av
        source = self._source()
        try:
            # "file" alone: a playlist in disguise cannot make FFmpeg open an address.
            options = {} if self._remote else {"protocol_whitelist": "file"}
            self._container = av.open(source, container_options=options, metadata_errors="ignore")
        except (av.FFmpegError, ValueError, OSError) as error:
            raise self._error(
                f"is not a video that FFmpeg can open ({reason(error)}); expected a file such "
                "as .mp4, .avi, .mkv or .webm, complete and undamaged"
            ) from error
        if is_text(self._container):
            raise self._error("is a text file, not a video; expected a file such as .mp4 or .avi")
        self._stream = picture_stream(self._container)
        if self._stream is None:
            others = sorted({stream.type for stream in self._container.streams}) or ["nothing"]
            raise self._error(
                f"has no video stream, only {' and '.join(others)}; expected a file with pictures"
            )
        for stream in self._container.streams:
            if stream is not self._stream and hasattr(stream, "discard"):
                stream.discard = type(stream.discard).all  # sound is not even read
        self._fresh = True
        context = self._stream.codec_context
        context.thread_type = "AUTO"
        context.thread_count = self._threads or 0

    def _source(self):
        if "://" in self.path:
            if self._remote is None:
                self._remote = _open_remote(self.path)
            self._remote.seek(0)
            return self._remote
        if os.path.isdir(self.path):
            raise self._error("is a folder; expected a video file")
        if not os.path.exists(self.path):
            raise self._error("does not exist; check the path")
        if not os.access(self.path, os.R_OK):
            raise self._error("cannot be read; check its permissions")
        if not os.path.getsize(self.path):
            raise self._error("is empty (0 bytes); expected a video: copy or download it again")
        return "file:" + self.path

    @property
    def codec(self):
        """FFmpeg's name of the codec, not of the library that decodes it."""
        codec = self._stream.codec_context.codec
        return getattr(codec, "canonical_name", codec.name)

    def scan(self):
        """Reads all packets once, and decodes until the first frame.

        Returns:
            A pair, the first frame displayed and the `FrameIndex`.
        """
        times, keys, durations = [], [], []
        first = None
        for packet in self._packets():
            if not packet.is_discard:  # trimmed by an edit list: decoded, never displayed
                times.append(packet.pts)
                keys.append(packet.is_keyframe)
                durations.append(packet.duration or 0)
            if first is None:
                first = next(iter(self._decode(packet)), None)
        if first is None:
            first = next(iter(self._decode(None)), None)
        if first is None or not times:
            raise self._error(
                f"has a {self.codec} stream of which no frame decodes; it is truncated or damaged: "
                "copy or download it again"
            )
        return first, self._index(times, keys, durations, first.pts)

    def _index(self, times, keys, durations, first_time):
        stream, form = self._stream, self._container.format
        rate = float(stream.guessed_rate or stream.average_rate or frame_index.UNKNOWN_RATE)
        guessed = form.flags & self._av.format.Flags.no_timestamps.value or (
            # Where nothing is reordered, guessing is counting.
            NO_PRESENTATION_TIMES & set(form.name.split(","))
            and (stream.codec_context.has_b_frames or times != list(range(len(times))))
        )
        if guessed or first_time is None or None in times:
            return frame_index.by_counting(len(times), rate)
        # Frames that lead an open GOP at the start of a cut file are never displayed.
        kept = [i for i, time in enumerate(times) if time >= first_time]
        times, keys = [times[i] for i in kept], [keys[i] for i in kept]
        last = max(range(len(kept)), key=times.__getitem__)
        return frame_index.by_time(
            times, keys, durations[kept[last]], float(stream.time_base), rate
        )

    def rewind(self):
        """Back to the first packet. Opening again is exact in every container; seeking is not."""
        if not self._fresh:
            self._container.close()
            self._open()

    def jump(self, time):
        """To the key frame at `time`, in time base units. Returns whether that worked."""
        self._fresh = False
        try:
            self._container.seek(time, stream=self._stream, backward=True)
        except self._av.FFmpegError:
            return False
        return True

    def decode(self, matters=None):
        """Yields frames from here on, in display order; passes over what is damaged.

        Args:
            matters: Called with a packet, says whether its frame matters: others are skipped where
                no frame refers to them. `None` for all frames.
        """
        context, skipping = self._stream.codec_context, False
        context.skip_frame = "DEFAULT"
        for packet in self._packets():
            if matters is not None and skipping == matters(packet):
                skipping = not skipping
                context.skip_frame = "NONREF" if skipping else "DEFAULT"
            yield from self._decode(packet)
        yield from self._decode(None)

    def _packets(self):
        global packets_read
        self._fresh = False
        try:
            for packet in self._container.demux(self._stream):
                packets_read += 1
                if packet.size:  # empty: PyAV's end mark, or AVI's "as before", which shows nothing
                    yield packet
        except self._av.FFmpegError:
            return  # the rest of the file is missing or damaged

    def _decode(self, packet):
        try:
            return self._stream.decode(packet)
        except self._av.FFmpegError:
            return []

    def to_rgb(self, frame, height, width):
        """Pixels of a frame, resized with full chroma.

        Left alone, swscale shares chroma between pairs of pixels where the width is even, and
        rounds down: 1.2 to 1.9 levels too dark on average, against 0.0 so.

        Returns:
            uint8 arrays `(height, width, channels)`, the channels of which are R, G, B: one array
            of three, or three of one.
        """
        resized = (frame.height, frame.width) != (height, width)
        planar = resized and frame.format.name in PLANAR_IS_FASTER
        call = self._reformatter.reformat
        arguments = {"width": width, "height": height, "format": "gbrp" if planar else "rgb24"}
        arguments["interpolation"] = BILINEAR_FULL_CHROMA if resized else BILINEAR
        try:
            try:
                made = call(frame, **arguments, **self._reformat_options)
            except TypeError:  # PyAV without this option scales in one thread anyway
                self._reformat_options = {}
                made = call(frame, **arguments)
        except (self._av.FFmpegError, ValueError) as error:
            raise self._error(
                f"has {frame.format.name} pixels that do not convert to RGB ({reason(error)}); "
                "encode it anew as H.264"
            ) from error
        if not planar:
            return (made.to_ndarray(),)
        green, blue, red = (
            np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)[:, :width, None]
            for plane in made.planes
        )
        return red, green, blue

    def close(self):
        if self._container is not None:
            self._container.close()
        if self._remote is not None:
            self._remote.close()

    def _error(self, problem):
        return VideoError(f"{self.path} {problem}.")


def resize_rgb(pixels, height, width):
    """Resizes `(H, W, 3)` pixels by the filter that resizes frames of videos."""
    av = _import_av()
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    options = {"width": width, "height": height, "interpolation": "BILINEAR"}
    return frame.reformat(**options).to_ndarray()


def _import_av():
    try:
        import av
        import av.format
        import av.video.reformatter
    except ImportError as error:
        raise ImportError("Reading videos needs PyAV: pip install av") from error
    return av


def _open_remote(path):
    import fsspec

    try:
        return fsspec.open(path, "rb").open()
    except Exception as error:
        raise VideoError(
            f"{path} cannot be opened ({reason(error)}); check the address, or copy the file here."
        ) from error


def is_text(container):
    """Whether FFmpeg took a text for a picture of a terminal, or a list of files for a video."""
    return bool(NOT_VIDEO & set(container.format.name.split(",")))


def picture_stream(container):
    """The stream of a container's pictures, the best of several; `None` where there is none."""
    streams = container.streams
    pictures = [s for s in streams.video if not _is_cover(s) and s.codec_context is not None]
    best = streams.best("video")
    return best if best in pictures else next(iter(pictures), None)


def _is_cover(stream):
    """Whether a stream is the cover picture of a sound file."""
    disposition = getattr(stream, "disposition", None)
    return bool(disposition and disposition.value & 0x400)  # AV_DISPOSITION_ATTACHED_PIC
