"""A file at an address, taken up where it broke off."""

import http.client
import urllib.error
import urllib.request

from tqdm import tqdm

from keras_stc.weights.cache import WeightsError

#: How often a connection that breaks is opened again, and seconds until it counts as broken.
ATTEMPTS = 3
TIMEOUT = 30

BLOCK = 1 << 20


class DownloadError(WeightsError):
    """Why a file did not come, as half a sentence."""


def download(url, path, name):
    """Fetches a file, or what is missing of it.

    Args:
        url: Its address, `http://` or `https://`.
        path: Where to put it; what lies there already is taken for its beginning.
        name: What the progress bar calls it.

    Raises:
        DownloadError: If it does not come whole.
        OSError: If it cannot be written.
    """
    if not url.startswith(("https://", "http://")):
        raise DownloadError(f"{url} is no address that begins with https:// or http://")
    reason = "the connection broke off"
    for _ in range(ATTEMPTS):
        done = path.stat().st_size if path.exists() else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                if _take(response, path, done, name):
                    return
        except urllib.error.HTTPError as error:
            if error.code != 416:  # What is here is all of it, or more.
                raise DownloadError(f"{error.code} {error.reason}") from error
            if error.headers.get("Content-Range") == f"bytes */{done}":
                return
            path.unlink()
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", error))
        except (http.client.HTTPException, ValueError) as error:
            reason = f"{type(error).__name__} {error}".strip()
    raise DownloadError(reason)


def _read(response):
    """The next bytes. An error here is the connection's, and not the disk's."""
    try:
        return response.read(BLOCK)
    except OSError as error:
        raise ConnectionError(str(error)) from error


def _take(response, path, done, name):
    """Whether the file is whole after what the server sent."""
    goes_on = response.status == 206
    if goes_on and not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
        raise http.client.HTTPException("another part than was asked for")
    length = response.headers.get("Content-Length")
    start = done if goes_on else 0
    total = None if length is None else start + int(length)
    with (
        open(path, "ab" if goes_on else "wb") as file,
        tqdm(
            total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=None
        ) as progress,
    ):
        while block := _read(response):
            file.write(block)
            progress.update(len(block))
    return total is None or path.stat().st_size == total
