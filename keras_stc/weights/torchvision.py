"""torchvision's Kinetics-400 files: fetched once, checked, kept in the cache folder.

As `torch.hub` does, the SHA-256 of a file must begin with the eight digits in its name; the whole
of it is kept beside the file, which must have it ever after. BSD-3-Clause.
"""

import os
import re
import sys

from keras_stc.files import sha256
from keras_stc.weights.cache import WeightsError, cache_folder, kept_file
from keras_stc.weights.download import DownloadError, download

#: Where they are, and what names another place that has them.
ADDRESS = "https://download.pytorch.org/models"
VARIABLE = "KERAS_STC_TORCHVISION"


def torchvision_file(name):
    """A file of torchvision's; from the cache if it is there.

    Example:

    ```python
    path = torchvision_file("r3d_18-b3b3357e.pth")
    ```

    Args:
        name: Its name, which ends in `-` and the beginning of its SHA-256.

    Returns:
        `pathlib.Path` of the file.

    Raises:
        WeightsError: If it cannot be had, or is another one than its name says, which is removed.
    """
    folder = cache_folder()
    address = (os.environ.get(VARIABLE) or ADDRESS).rstrip("/")
    _adopt(folder / name)

    def make(path):
        # Kept when the process is killed, so that the next one goes on from there.
        part = folder / f".{name}.part"
        print(f"Fetching {address}/{name}, once ...", file=sys.stderr, flush=True)
        try:
            download(f"{address}/{name}", part, name)
        except DownloadError as error:
            raise WeightsError(
                f"{name} is not in {folder}, and could not be fetched from {address} ({error}): "
                f"connect to the network, put the file into that folder, or set {VARIABLE} to the "
                "address of a mirror that has it."
            ) from error
        received = sha256(part)
        if not received.startswith(_expected(name)):
            part.unlink()
            raise WeightsError(
                f"{name} arrived from {address} with another SHA-256 than its name says, and was "
                f"removed: try again. Expected: {_expected(name)}... Received: {received}"
            )
        part.replace(path)

    return kept_file(name, make)


def _expected(name):
    return re.search(r"-([0-9a-f]{8,64})\.", name)[1]


def _adopt(path):
    """Takes a file that somebody has put into the cache, if it is the one that its name says."""
    digest = path.with_name(f"{path.name}.sha256")
    if path.exists() and not digest.exists():
        received = sha256(path)
        if not received.startswith(_expected(path.name)):
            raise WeightsError(
                f"The SHA-256 of {path} must begin with {_expected(path.name)}, as its name says: "
                f"remove it. Received: {received}"
            )
        digest.write_text(received + "\n")
