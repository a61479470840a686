"""Frames of a camera, a file or an address, as they come, in windows of a model's clip length."""

import collections
import contextlib
import os
import sys
import threading
import time

import numpy as np

from keras_stc.files import reason

#: Frames a second of a source that does not say.
UNKNOWN_RATE = 25.0

#: Seconds without a picture after which a source counts as gone.
TIMEOUT = 15.0


class Feed:
    """Frames of a source, cropped as the model wants them, the newest ones kept."""

    def __init__(self, source, config, live):
        from keras_stc.data import Geometry

        self._container, self._stream, self._name = open_feed(source)
        self._stream.thread_type = "AUTO"
        rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        # Some streams say the ticks of their clock.
        self.rate = rate if 0.01 <= rate <= 1000 else UNKNOWN_RATE
        self.config, self._live = config, live
        self._geometry = Geometry(crop=config.crop, short_side=config.resize)
        self._step = config.step(self.rate) / self.rate
        self.window = config.frames * self._step
        self._is_file = os.path.exists(str(source)) and not str(source).startswith("/dev/")
        self._frames = collections.deque()  # (time, arrival, pixels)
        self._news, self._over, self._error, self._total = threading.Condition(), False, None, 0

    def close(self):
        """Ends the reading; its thread closes the source."""
        self._over = True

    def each(self, every):
        """Windows of every frame of a source, `every` seconds apart."""
        every, following = every or self.window / 2, 0.0
        with self._container:
            for frame in self._decoded():
                self._keep(frame)
                at = frame[0]
                if self._is_full() and at + 1e-6 >= following:
                    following = at + every
                    yield self._clip()
            if not following:
                yield self._looped()

    def newest(self, every):
        """The newest window, and when that is worked on, the newest by then."""
        thread = threading.Thread(target=self._read, daemon=True)
        thread.start()
        seen, following, full = 0, 0.0, False
        while True:
            with self._news:
                came = self._wait(seen, following)
                if self._over and not self._has_window(seen, following):
                    if self._error is not None:
                        raise self._error
                    break
                if not came:
                    raise self._broken("sends no pictures")
                seen, full, window = self._total, True, self._clip()
            following = window[1] + (every or 0)
            yield window
        if not full:
            yield self._looped()

    def _wait(self, seen, following):
        """Until there is a window with a frame beyond `seen`, or the end; whether there is.

        As long as frames come; those of a file lie as far apart as they are.
        """
        patience = None if self._is_file else TIMEOUT + self.window
        while not (self._over or self._has_window(seen, following)):
            total = self._total
            if not self._news.wait_for(lambda t=total: self._over or self._total > t, patience):
                return False
        return True

    def _has_window(self, seen, following):
        new = self._total > seen and self._is_full()
        return new and self._frames[-1][0] + 1e-6 >= following

    def _read(self):
        begun = time.monotonic()
        try:
            with self._container:
                for frame in self._decoded():
                    if self._is_file:
                        time.sleep(max(0.0, begun + frame[0] - time.monotonic()))
                        frame = (frame[0], time.monotonic(), frame[2])
                    with self._news:
                        self._keep(frame)
                        self._total += 1
                        self._news.notify_all()
                    if self._over:
                        return
        except Exception as error:
            self._error = error
        finally:
            with self._news:
                self._over = True
                self._news.notify_all()

    def _decoded(self):
        """`(seconds since the first frame, arrival, pixels)` of every frame."""
        import av

        from keras_stc.data.video.orientation import Orientation
        from keras_stc.data.video.video_file import BILINEAR_FULL_CHROMA

        first, orientation = None, None
        try:
            for k, frame in enumerate(self._whole_frames()):
                at = k / self.rate if frame.time is None else frame.time
                first = at if first is None else first
                orientation = orientation or Orientation.of(frame)
                upright = orientation.upright_size(frame.height, frame.width)
                size = orientation.upright_size(*self._geometry.frame_size(*upright))
                pixels = frame.reformat(
                    *reversed(size), format="rgb24", interpolation=BILINEAR_FULL_CHROMA
                ).to_ndarray()
                pixels = np.ascontiguousarray(self._geometry.cut(orientation.turn(pixels)))
                yield at - first, time.monotonic(), pixels
        except av.FFmpegError as error:
            if first is None:
                raise self._broken(f"gives no pictures ({reason(error)})") from error
            if not self._is_file:  # what is missing of a file is its end
                raise self._broken(f"stopped sending ({reason(error)})") from error
        if first is None:
            raise self._broken("gives no pictures")

    def _whole_frames(self):
        """Every frame that can be decoded; damaged packets are passed over."""
        import av

        for packet in self._container.demux(self._stream):
            with contextlib.suppress(av.FFmpegError):
                yield from self._stream.decode(packet)

    def _keep(self, frame):
        self._frames.append(frame)
        # One frame before the window stays: it is what is seen at its beginning.
        begin = frame[0] - (self.config.frames - 1) * self._step - 1e-6
        while len(self._frames) > 1 and self._frames[1][0] <= begin:
            self._frames.popleft()

    def _is_full(self):
        if not self._frames:
            return False
        span = self._frames[-1][0] - self._frames[0][0]
        return span + 1e-6 >= (self.config.frames - 1) * self._step

    def _clip(self):
        """`(clip, time of its newest frame, when that arrived)`."""
        at, arrived, _ = self._frames[-1]
        times = np.array([each for each, *_ in self._frames])
        wanted = at - self._step * np.arange(self.config.frames)[::-1] + 1e-6
        places = np.maximum(0, np.searchsorted(times, wanted, side="right") - 1)
        return np.stack([self._frames[i][2] for i in places]), at, arrived

    def _looped(self):
        if not self._frames:
            raise self._error or self._broken("gives no pictures")
        at, arrived, _ = self._frames[-1]
        every = max(1, round(self._step * self.rate))
        places = (every * np.arange(self.config.frames)) % len(self._frames)
        return np.stack([self._frames[i][2] for i in places]), at, arrived

    def _broken(self, problem):
        from keras_stc.data import VideoError

        return VideoError(f"{self._name} {problem}; check the source, or wait until it sends.")


def open_feed(source):
    """Opens a camera, a file or an address by PyAV.

    Returns:
        PyAV's container, the stream of its pictures and what to call the source.

    Raises:
        VideoError: If it cannot be opened or has no pictures.
    """
    import av

    from keras_stc.data import VideoError
    from keras_stc.data.video.video_file import is_text, picture_stream

    text = os.fspath(source) if not isinstance(source, int) else str(source)
    options, others, form, name = {}, None, None, text
    is_file = os.path.exists(text) and not text.startswith("/dev/")
    if is_file:
        # A playlist in disguise cannot make FFmpeg open an address.
        text, options = f"file:{text}", {"protocol_whitelist": "file"}
    elif text.isdigit():
        name, (text, form, options) = f"Camera {text}", _camera(int(text))
    elif text.startswith("rtsp"):
        # Packets of UDP get lost on the way; some servers know nothing else.
        options, others = {"rtsp_transport": "tcp"}, {"rtsp_transport": "udp"}
    elif "://" not in text and not os.path.exists(text):
        raise VideoError(
            f"{text} does not exist: give the number of a camera, a file, or an address such as "
            "rtsp://host/path."
        )
    how = {"format": form, "timeout": TIMEOUT, "metadata_errors": "ignore"}
    try:
        try:
            container = av.open(text, options=options, **how)
        except av.FFmpegError:
            if others is None:
                raise
            container = av.open(text, options=others, **how)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise VideoError(
            f"{name} cannot be opened ({reason(error)}); check that it is there and not in use."
        ) from error
    stream = picture_stream(container)
    if stream is None or (is_file and is_text(container)):
        container.close()
        problem = "has no video stream" if stream is None else "is a text file, not a video"
        raise VideoError(f"{name} {problem}; expected a file such as .mp4 or .avi.")
    return container, stream, name


def _camera(number):
    """`(address, format, options)` of a camera on this system."""
    if sys.platform.startswith("linux"):
        return f"/dev/video{number}", "v4l2", {}
    if sys.platform == "darwin":
        return str(number), "avfoundation", {"framerate": "30", "pixel_format": "nv12"}
    from keras_stc.data import VideoError

    raise VideoError(
        f"Cameras have no numbers on {sys.platform}: give an address such as rtsp://host/path."
    )
