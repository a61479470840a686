"""Decoding in helper processes: a file that crashes a decoder, or hangs it, costs that file alone.

FFmpeg is C, and a damaged file can make it read where it must not, or never come back; nothing in
the same process survives that. A helper is started once and used for one file after the other;
handing a clip over takes some tenths of a millisecond (benchmarks/clip_pipeline.py). Helpers also
keep decoding out of reach of Python's global lock.
"""

import atexit
import multiprocessing.connection
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import threading

import numpy as np

from keras_stc.data.errors import VideoError
from keras_stc.data.video import cache
from keras_stc.data.video.open import open_video
from keras_stc.data.video.reader import FrameReader
from keras_stc.data.video.shard import is_packed_video

#: Seconds without an answer or another packet after which a decoder counts as hanging: some hundred
#: times what a clip takes. Our choice.
PATIENCE = 120.0

#: What a helper runs. Unlike `-m`, nothing in the working directory takes the place of a module.
PROGRAM = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "
    "from keras_stc.data.video.worker import main; main(int(sys.argv[1]))"
)

#: For glibc in helpers: the buffers of a clip are kept for the next one rather than given back to
#: the system, which saves some 5% of the time of small videos. Other C libraries take no notice.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**28), "MALLOC_TRIM_THRESHOLD_": str(2**28)}

#: What a helper says now and then of a file that takes long.
STILL_READING = "still reading"

#: Protocols that mean the same in another process; others, such as memory://, do not.
PROTOCOLS = ("http", "https", "s3", "gs", "hf")


def open_isolated(path, threads=None, decoder="pyav"):
    """`open_video`, decoding in a helper process where the file is one that FFmpeg decodes."""
    path = os.fspath(path)
    protocol, mark, _ = path.partition("://")
    if is_packed_video(path) or (mark and protocol not in PROTOCOLS):
        return open_video(path, threads, decoder)
    return IsolatedReader(path, threads, decoder)


class IsolatedReader(FrameReader):
    """Reads frames of a video by number, in a helper process.

    Args:
        path: See `open_video`.
        threads: See `open_video`.
        decoder: See `open_video`.

    Raises:
        VideoError: If the video cannot be used, or its decoder crashed or hung.
    """

    def __init__(self, path, threads=None, decoder="pyav"):
        self._path, self._options = path, (threads, decoder)
        self._key = cache.file_key(path)
        self.known = cache.KNOWN_FILES.get(self._key)
        if self.known is None:
            for _ in self._ask([], []):
                pass
        self.info = self.known.info

    def views(self, clips, geometries):
        """See `FrameReader.views`."""
        clips = [self._checked(clip) for clip in clips]
        pixels = self._ask(clips, geometries)
        for _ in clips:
            yield [next(pixels) for _ in geometries]

    def _ask(self, clips, geometries):
        """Yields the arrays a helper reads; it is free again when the last one has come."""
        # What a path counts from may have changed since the helper began, or be gone.
        here = None if os.path.isabs(self._path) else os.getcwd()
        helper = _asked((here, self._path, self._options, self.known, clips, geometries))
        finished, left, last = False, len(clips) * len(geometries), []
        try:
            while (answer := helper.receive(self._path)) is not None:
                if isinstance(answer, Exception):
                    finished = True
                    raise answer
                if isinstance(answer, np.ndarray):
                    left -= 1
                    if left:
                        yield answer
                    else:
                        last = [answer]
                else:
                    self.known = answer
                    if answer.index is not None:
                        cache.KNOWN_FILES.put(self._key, answer, answer.nbytes)
            finished = True
        finally:
            if not finished:  # one that was left in the middle of an answer is of no further use
                helper.close()
            elif helper.alive:
                with _lock:
                    _idle.append(helper)
        yield from last


class Helper:
    """A process that decodes; see `keras_stc.data.video.worker`."""

    def __init__(self):
        ours, theirs = socket.socketpair()
        with theirs:
            for end in (ours, theirs):  # room for a whole clip: fewer switches to and fro
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
            command = [sys.executable, "-c", PROGRAM, str(theirs.fileno())]
            # The child has to find the package where this process found it.
            root = str(pathlib.Path(__file__).absolute().parents[3])
            path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**KEEP_MEMORY, **os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
            )
        self._listen(multiprocessing.connection.Connection(ours.detach()))

    def _listen(self, pipe):
        self._pipe = pipe
        self._answers = select.poll()  # `Connection.poll` makes one every time
        self._answers.register(pipe.fileno(), select.POLLIN)

    def send(self, request):
        self._pipe.send(request)

    def receive(self, path):
        """The next part of an answer: an array, what is known of the file, an error, or `None`."""
        answer = STILL_READING
        try:
            while answer == STILL_READING:
                if self._is_silent():
                    return self._lost(f"{path} hangs its decoder: no answer in {PATIENCE:.0f} s")
                answer = self._pipe.recv()
            if isinstance(answer, tuple):  # the shape of pixels that follow
                pixels = np.empty(answer, np.uint8)
                receive_bytes(self._pipe, memoryview(pixels.reshape(-1)))
                return pixels
        except (EOFError, OSError):
            return self._lost(f"{path} crashes its decoder ({self._ending()})")
        return answer

    def _is_silent(self):
        """Whether nothing comes for as long as patience lasts.

        In slices, since time goes on while this process and its helpers are stopped.
        """
        return not any(self._answers.poll(10 * PATIENCE) for _ in range(100))

    def _lost(self, event):
        self.close()
        return VideoError(f"{event}; it is damaged: copy or download it again.")

    def _ending(self):
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "no answer"
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    @property
    def alive(self):
        return not self._pipe.closed and self._process.poll() is None

    def close(self):
        """Ends the process, whatever it is doing."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()


def send_bytes(pipe, view):
    """Writes bytes without a head; `Connection` would copy them twice on the other side."""
    while view:
        view = view[os.write(pipe.fileno(), view) :]


def receive_bytes(pipe, view):
    """Fills a memoryview with what `send_bytes` wrote."""
    while view:
        count = os.readv(pipe.fileno(), [view])
        if not count:
            raise EOFError
        view = view[count:]


_idle = []
_lock = threading.Lock()


def _take():
    with _lock:
        while _idle:
            helper = _idle.pop()
            if helper.alive:
                return helper
            helper.close()
    return Helper()


def _asked(request):
    """A helper that has got a request."""
    helper = _take()
    try:
        helper.send(request)
    except OSError:  # it ended while it was idle, which is not this file's fault
        helper.close()
        helper = Helper()
        helper.send(request)
    return helper


@atexit.register
def close_helpers():
    """Ends helpers that wait for work; new ones start when there is some."""
    with _lock:
        while _idle:
            _idle.pop().close()


# A child made by fork must not share its parent's helpers.
if hasattr(os, "register_at_fork"):

    def _forget():
        global _lock
        _lock = threading.Lock()  # somebody may have held it
        _idle.clear()

    os.register_at_fork(after_in_child=_forget)
