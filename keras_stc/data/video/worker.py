"""A helper process that decodes; see isolated.py.

A request is what to open, what is known of it, clips and geometries. The answer is what is known of
the file; for each clip and geometry, shape and pixels; and `None`, or an error instead of the rest;
and now and then that packets are still read, so that a long file does not look like a hanging one.
"""

import contextlib
import itertools
import multiprocessing.connection
import os
import signal
import threading
import time

import numpy as np

from keras_stc.data.errors import VideoError
from keras_stc.data.video import cache, video_file
from keras_stc.data.video.isolated import STILL_READING, send_bytes
from keras_stc.data.video.open import open_video
from keras_stc.data.video.pyav_reader import Known


def main(descriptor):
    # An interrupt is for the parent, which decides what happens to its helpers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = multiprocessing.connection.Connection(descriptor)
    answers = Answers(pipe)
    threading.Thread(target=_follow, args=(os.getppid(), answers), daemon=True).start()
    while True:
        try:
            request = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer(answers, *request)
            answers.send(None)
        except (VideoError, ImportError, MemoryError) as error:
            answers.send(error)
        except (BrokenPipeError, ConnectionError):
            return
        except Exception as error:
            answers.send(
                VideoError(
                    f"{request[1]} cannot be decoded ({type(error).__name__}: {error}); it is "
                    "damaged: copy or download it again."
                )
            )


class Answers:
    """The way to the parent, for the thread that decodes and the one that says that it does."""

    def __init__(self, pipe):
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, item):
        with self._lock:
            if isinstance(item, np.ndarray):
                self._pipe.send(item.shape)
                send_bytes(self._pipe, memoryview(item.reshape(-1)))
            else:
                self._pipe.send(item)


def answer(answers, folder, path, options, known, clips, geometries):
    if folder is not None:
        os.chdir(folder)
    if known is not None and known.index is not None:
        cache.KNOWN_FILES.put(cache.file_key(path), known, known.nbytes)
    with open_video(path, *options) as reader:
        before = getattr(reader, "known", reader)
        if known is None:
            answers.send(_sendable(reader))
        for pixels in itertools.chain.from_iterable(reader.views(clips, geometries)):
            answers.send(pixels)
        if getattr(reader, "known", reader) is not before:  # trust in its times was lost
            answers.send(_sendable(reader))


def _sendable(reader):
    return getattr(reader, "known", None) or Known(reader.info)


def _follow(parent, answers):
    """Ends this process with its parent, even in the middle of a decoder that hangs.

    While packets are read, it says so.
    """
    read = video_file.packets_read
    while os.getppid() == parent:
        time.sleep(2)
        if read != video_file.packets_read:
            read = video_file.packets_read
            with contextlib.suppress(OSError):
                answers.send(STILL_READING)
    os._exit(0)
