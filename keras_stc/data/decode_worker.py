"""A helper process that decodes: `python -m keras_stc.data.decode_worker FD`; see isolation.py.

A request is what to open, what is known of it, clips and geometries. The answer is what is known of
the file; for each clip and geometry, shape and pixels; and `None`, or an error instead of the rest.
"""

import itertools
import multiprocessing.connection
import os
import sys
import threading
import time

from keras_stc.data import known
from keras_stc.data.decode import KNOWN_FILES, Known
from keras_stc.data.errors import VideoError
from keras_stc.data.readers import open_video


def main(descriptor):
    parent = os.getppid()
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    pipe = multiprocessing.connection.Connection(descriptor)
    while True:
        try:
            request = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer(pipe, *request)
            pipe.send(None)
        except VideoError as error:
            pipe.send(error)
        except (BrokenPipeError, ConnectionError):
            return
        except Exception as error:
            pipe.send(
                VideoError(
                    f"{request[0]} cannot be decoded ({type(error).__name__}: {error}); it is "
                    "damaged: copy or download it again."
                )
            )


def answer(pipe, path, options, what, clips, geometries):
    if what is not None and what.index is not None:
        KNOWN_FILES.put(known.file_key(path), what, what.index.nbytes)
    with open_video(path, *options) as reader:
        before = getattr(reader, "known", reader)
        if what is None:
            pipe.send(_sendable(reader))
        for pixels in itertools.chain.from_iterable(reader.views(clips, geometries)):
            pipe.send(pixels.shape)
            pipe.send_bytes(pixels.reshape(-1))
        if getattr(reader, "known", reader) is not before:  # trust in its times was lost
            pipe.send(_sendable(reader))


def _sendable(reader):
    return getattr(reader, "known", None) or Known(reader.info)


def _follow(parent):
    """Ends this process with its parent, even in the middle of a decoder that hangs."""
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
