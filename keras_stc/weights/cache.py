"""The folder where weights are kept between runs, and files that are made there once."""

import logging
import os
import pathlib

import filelock

from keras_stc.files import atomic_path, remove_unfinished, sha256

logger = logging.getLogger("keras_stc")


class WeightsError(ValueError):
    """One sentence about weights that cannot be had."""


def cache_folder():
    """Where weights are kept: `KERAS_STC_HOME`, or `~/.cache/keras_stc`. Made if it is missing."""
    folder = pathlib.Path(os.environ.get("KERAS_STC_HOME") or "~/.cache/keras_stc").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"The folder for weights {folder} cannot be made ({error.strerror}): set "
            "KERAS_STC_HOME to a folder that can be written."
        ) from error
    return folder


def kept_file(name, make):
    """A file of the cache folder; made if it is missing, or not as it was when it was made.

    One process makes it, others wait; it is moved to its place when it is complete. Its SHA-256
    stands beside it, in `<name>.sha256`.

    Example:

    ```python
    path = kept_file("x.weights.h5", lambda path: model.save_weights(path))
    ```

    Args:
        name: Name of the file.
        make: Function that writes the file to the path it is given, whose ending is the name's.

    Returns:
        `pathlib.Path` of the file.
    """
    path = cache_folder() / name
    digest_path = path.with_name(f"{name}.sha256")
    if _is_whole(path, digest_path):  # without a lock: the folder may be one to read from alone
        return path
    try:
        with filelock.FileLock(path.with_name(f".{name}.lock")):
            if _is_whole(path, digest_path):  # another process made it meanwhile
                return path
            if path.exists():
                logger.warning("%s is damaged (other SHA-256): removed, and made again", path)
            path.unlink(missing_ok=True)
            remove_unfinished(path.parent)
            with atomic_path(path) as temporary:
                make(temporary)
                digest_path.write_text(sha256(temporary) + "\n")
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be made ({error.strerror or error}): make room there, or set "
            "KERAS_STC_HOME to a folder that can be written."
        ) from error
    return path


def _is_whole(path, digest_path):
    try:
        return sha256(path) == digest_path.read_text().strip()
    except OSError:
        return False
