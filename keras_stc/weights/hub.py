"""Files of the Hugging Face Hub: fetched once, checked, kept in the cache folder.

The client is `huggingface_hub`: it takes up a download that was cut where it stopped, shows its
progress, and finds its token in HF_TOKEN or where `hf auth login` left it.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re

from keras_stc.files import sha256 as file_sha256
from keras_stc.weights.cache import WeightsError, cache_folder
from keras_stc.weights.hub_client import (
    MissingFileError,
    client_errors,
    download_error,
    hub_endpoint,
    is_cut,
    is_offline,
)

PREFIX = "hf://"

#: What a repository of ours holds beside its weights file and its model card.
CONFIG = "config.json"

#: Older clients, such as 1.10, give up when a connection breaks and go on from there when they are
#: asked again; newer ones, such as 1.20, do so by themselves.
ATTEMPTS = 2

#: Keys of `config.json`, and those below them, without which a model cannot be built.
REQUIRED = {"architecture": ("name",), "video_config": (), "weights": ("file", "sha256")}

# The Hub's own rule: letters, digits, `-`, `_` and `.`, neither first nor last of the last two.
_NAME = r"\b[\w.-]{1,96}\b"
_ADDRESS = re.compile(rf"{PREFIX}({_NAME}/{_NAME})(?:@([\w./+-]+))?", re.ASCII)
_HASH = re.compile("[0-9a-f]{64}|[0-9a-f]{40}")


@dataclasses.dataclass(frozen=True)
class HubAddress:
    """A repository of the Hub, as `hf://owner/repo@revision` names it.

    Attributes:
        repo: `"owner/repo"`.
        revision: Branch, tag or commit; `None` for the default branch.
    """

    repo: str
    revision: str | None = None

    def __str__(self):
        return f"{PREFIX}{self.repo}" + (f"@{self.revision}" if self.revision else "")


@dataclasses.dataclass(frozen=True)
class Published:
    """What a repository made by `keras-stc publish` holds.

    Attributes:
        address: The `HubAddress` it was asked for by.
        config: Contents of its `config.json`: `architecture`, `video_config`, `weights`, ...
        weights: Path of its weights file in the cache, SHA-256 checked.
        revision: The commit that both come from.
    """

    address: HubAddress
    config: dict
    weights: pathlib.Path
    revision: str


def parse_address(address):
    """Takes `hf://owner/repo` or `hf://owner/repo@revision` apart.

    Example:

    ```python
    parse_address("hf://lab/stc-ucf101@v1")   # HubAddress(repo="lab/stc-ucf101", revision="v1")
    ```

    Args:
        address: The text, or a `HubAddress`, which is returned as it is.

    Returns:
        A `HubAddress`.

    Raises:
        WeightsError: If it is malformed.
    """
    if isinstance(address, HubAddress):
        return address
    match = _ADDRESS.fullmatch(str(address))
    if not match or "--" in match[1] or ".." in match[0] or match[1].endswith(".git"):
        raise WeightsError(
            "An address on the Hub must be hf://owner/repo or hf://owner/repo@revision, with a "
            f"branch, a tag or a commit as the revision. Received: {str(address)!r}"
        )
    return HubAddress(*match.groups())


def hub_file(repo, filename, revision=None, sha256=None):
    """A file of a repository on the Hub; from the cache if it is there.

    Example:

    ```python
    path = hub_file("timm/resnet50.tv_in1k", "model.safetensors", revision="...", sha256="...")
    ```

    Args:
        repo: `"owner/repo"`.
        filename: Its path in the repository.
        revision: Branch, tag or commit; `None` for the default branch.
        sha256: What its SHA-256 has to be. Without it, a file the Hub stores by its SHA-256
            (every large one) must have that one.

    Returns:
        `pathlib.Path` of the file, below the folder of its commit.

    Raises:
        WeightsError: If it cannot be had, or is another one than expected, which is removed.
    """
    from huggingface_hub import hf_hub_download

    address = parse_address(str(HubAddress(repo, revision)))
    folder = cache_folder() / "hub"
    for attempt in range(ATTEMPTS):
        try:
            path = hf_hub_download(
                repo,
                filename,
                revision=revision,
                cache_dir=folder,
                endpoint=hub_endpoint(),
                local_files_only=is_offline(),
            )
            break
        except client_errors() as error:
            if not is_cut(error) or attempt + 1 == ATTEMPTS:
                raise download_error(error, address, filename, folder) from error
    path = pathlib.Path(path)
    if sha256:
        kind, expected, received = "SHA-256", sha256.lower(), file_sha256(path)
    else:
        kind, expected, received = _stored_hash(path)
    if received != expected:
        _remove(path)
        raise WeightsError(
            f"{filename} of {address} arrived with another {kind} than it must have, and was "
            f"removed; try again, and if that does not help, tell its owner. Expected: {expected}. "
            f"Received: {received}"
        )
    return path


def fetch_published(address, sha256=None):
    """The configuration and the weights of a repository that `keras-stc publish` made.

    Example:

    ```python
    published = fetch_published("hf://lab/stc-ucf101")
    model = keras_stc.create_model(**published.config["architecture"], weights=published.weights)
    ```

    Args:
        address: `"hf://owner/repo[@revision]"` or a `HubAddress`.
        sha256: What the SHA-256 of the weights has to be; by default what the repository says.

    Returns:
        A `Published`.

    Raises:
        WeightsError: If a file cannot be had or is not as published, or the repository is not
            one of ours.
    """
    address = parse_address(address)
    try:
        path = hub_file(address.repo, CONFIG, address.revision)
    except MissingFileError as error:
        raise WeightsError(_foreign(address, f"it has no {CONFIG}")) from error
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(_foreign(address, f"its {CONFIG} is not JSON")) from error
    if missing := missing_keys(config):
        raise WeightsError(_foreign(address, f"its {CONFIG} lacks {', '.join(missing)}"))
    weights = config["weights"]
    if not re.fullmatch(r"[\w-][\w.-]*\.weights\.h5", str(weights["file"])):
        raise WeightsError(
            _foreign(address, f"its {CONFIG} names no .weights.h5 file: {weights['file']!r}")
        )
    # From the same commit, whatever happens to the branch between the two files.
    commit = path.parent.name
    return Published(
        address=address,
        config=config,
        weights=hub_file(address.repo, weights["file"], commit, sha256 or str(weights["sha256"])),
        revision=commit,
    )


def missing_keys(config):
    """Keys that a `config.json` of ours has and this one lacks."""
    if not isinstance(config, dict):
        return list(REQUIRED)
    missing = []
    for key, inner in REQUIRED.items():
        value = config.get(key)
        if not isinstance(value, dict):
            missing.append(key)
        else:
            missing += [f"{key}.{name}" for name in inner if not value.get(name)]
    return missing


def _stored_hash(path):
    """What the Hub stores a file by, its name in the cache, where files are links.

    Returns:
        `(kind of hash, the one it must have, the one it has)`; empty where there is none.
    """
    # Only the first link bears it; a file shared between repositories has one more.
    name = pathlib.Path(os.readlink(path)).name if path.is_symlink() else ""
    if not _HASH.fullmatch(name):
        return "", "", ""
    if len(name) == 64:
        return "SHA-256", name, file_sha256(path)
    # Small files are stored as Git does, and by some mirrors by their plain SHA-1.
    content = path.read_bytes()
    git, plain = (
        hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
        for head in (b"blob %d\0" % len(content), b"")
    )
    return "Git hash", name, plain if name == plain else git


def _remove(path):
    """Removes a file of the cache with the links that lead to it."""
    while path.is_symlink():
        target = path.parent / os.readlink(path)
        path.unlink(missing_ok=True)
        path = target
    path.unlink(missing_ok=True)


def _foreign(address, reason):
    return (
        f"{address} was not made by `keras-stc publish`: {reason}. Give a repository that was, or "
        "the path of a weights file."
    )
