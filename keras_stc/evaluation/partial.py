"""`Partial`: a file of the videos measured so far, from which a killed evaluation resumes."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib

import filelock
import numpy as np


class Partial:
    """One line for each video that is done; deleted when all are.

    The first line says what is evaluated. A file of another evaluation is begun anew. While another
    process measures, the file is its own, and nothing is kept here.

    Args:
        path: The file, or `None` to keep nothing.
        fingerprint: Text that names model, videos and protocol.
    """

    def __init__(self, path, fingerprint):
        self.path = None if path is None else pathlib.Path(path)
        #: `{number of the video: (clips, right clips, sum of probabilities)}`.
        self.done = {}
        self._file = self._lock = None
        if self.path is None:
            return
        lock = filelock.FileLock(f"{self.path}.lock")
        try:
            lock.acquire(timeout=0)
            self._lock = lock
        except filelock.Timeout:
            self.path = None
            return
        except (OSError, NotImplementedError):
            pass  # a file system without locks; of one that cannot be written, writing tells
        good = self._read(fingerprint)
        try:
            self._file = self.path.open("a" if good else "w", encoding="utf-8")
        except OSError:  # Nothing can be kept there: the evaluation does not depend on it.
            self.path = None
            self.close()
            return
        self._file.truncate(good)
        if not good:
            self._write({"evaluation": fingerprint})

    def add(self, video, clips, right, probabilities):
        """Keeps what a video gave."""
        if self._file is not None:
            self._write(
                {
                    "video": video,
                    "clips": int(clips),
                    "right": int(right),
                    "sum": probabilities.tolist(),
                }
            )

    def finish(self):
        """Everything is done: the file goes."""
        if self._file is not None:
            self._file.close()
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self):
        if self._file is not None:
            self._file.close()
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._lock.lock_file)
            self._lock.release()
            self._lock = None

    def _write(self, row):
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def _read(self, fingerprint):
        """Takes over the rows of an earlier attempt; returns how many bytes of them are good."""
        if not self.path.exists():
            return 0
        good = 0
        with self.path.open("rb") as file:
            for line in file:
                try:
                    row = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    row = None
                if row is None or (not good and row != {"evaluation": fingerprint}):
                    break
                if good:
                    self.done[row["video"]] = (row["clips"], row["right"], np.array(row["sum"]))
                good += len(line)
        return good


def fingerprint(model, videos, protocol):
    """A name for an evaluation that changes with anything that its figures depend on."""
    digest = hashlib.sha256(json.dumps(protocol, sort_keys=True).encode())
    for video in videos:
        digest.update(repr(dataclasses.replace(video, path=video.place)).encode())
    for weights in model.get_weights():
        digest.update(np.ascontiguousarray(weights).tobytes())
    return digest.hexdigest()
