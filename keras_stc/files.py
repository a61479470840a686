"""Files that are never half there, folders that one process writes, and hashes."""

import contextlib
import hashlib
import os
import pathlib
import re

import filelock


@contextlib.contextmanager
def atomic_path(path):
    """A path of the same ending beside `path`; moved there if the block ends without an error."""
    path = pathlib.Path(path)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path, text):
    """Writes a text, in UTF-8, through `atomic_path`."""
    with atomic_path(path) as temporary:
        # Paths on a command line may be any bytes.
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def reserve(path, size):
    """Takes the room that a file of `size` bytes will need, or raises `OSError`.

    HDF5 ends the whole process when a disk is full; whoever writes next overwrites this.
    """
    with open(path, "wb", buffering=0) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            for start in range(0, size, 1 << 20):
                file.write(bytes(min(1 << 20, size - start)))


def remove_unfinished(folder):
    """Removes what `atomic_path` leaves of a process that was killed."""
    for path in pathlib.Path(folder).glob(".*-*"):
        process = re.match(r"\.(\d+)-", path.name)
        if process and not _is_alive(int(process[1])):
            path.unlink(missing_ok=True)


def _is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


@contextlib.contextmanager
def alone(folder, error, name=".lock"):
    """Keeps other processes from a folder, which is there, while the block runs.

    Args:
        folder: Path.
        error: The exception to raise where another process has it.
        name: Of the file that is locked; of another name, for another purpose.
    """
    path = pathlib.Path(folder) / name
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise error from None
    except (OSError, NotImplementedError):
        pass  # a file system without locks; of one that cannot be written, writing tells
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


def sha256(path):
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def reason(error):
    """What the system, or FFmpeg, says of an error; or else the first line of its text."""
    return getattr(error, "strerror", None) or first_line(error)


def first_line(error):
    """The first line of what an error says, or its type where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".:") if text else type(error).__name__
