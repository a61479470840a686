"""The files of a published network into a repository of the Hub."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Sequence

from keras_stc._version import __version__
from keras_stc.files import first_line
from keras_stc.publish.files import PublishError, read_json, repository_address, write_files
from keras_stc.weights.hub import CONFIG, PREFIX, hub_file, missing_keys
from keras_stc.weights.hub_client import (
    MissingFileError,
    client_errors,
    explain_refusal,
    hub_endpoint,
    is_offline,
)


@dataclasses.dataclass(frozen=True)
class Upload:
    """Where a network was published.

    Attributes:
        repo: `"owner/repo"`.
        url: Its page.
        revision: The commit.
        files: `{name: bytes}`.
    """

    repo: str
    url: str
    revision: str
    files: dict[str, int]

    @property
    def address(self) -> str:
        """What `weights=` and `load_model` take."""
        return f"{PREFIX}{self.repo}"


def publish(
    source: str | os.PathLike[str],
    repo: str,
    checkpoint: str = "last",
    evaluations: Sequence[str | os.PathLike[str]] = (),
    license: str | None = None,
    private: bool = False,
    message: str | None = None,
) -> Upload:
    """Publishes a trained network in a repository of the Hub, in one commit.

    Example:

    ```python
    upload = keras_stc.publish.publish("runs/a", "lab/stc-ucf101", license="apache-2.0")
    model = keras_stc.load_model(upload.address)
    ```

    Args:
        repo: `"owner/repo"`; made if it is missing.
        private: Whether a repository that is made is private.
        message: Of the commit.

    The other arguments are those of `write_files`.

    Returns:
        An `Upload`.

    Raises:
        PublishError: If the network lacks what a user of it needs, or the Hub refuses it.
        WeightsError: If the repository is somebody else's.
    """
    import huggingface_hub

    address = repository_address(repo)
    if is_offline():
        raise PublishError("HF_HUB_OFFLINE forbids publishing: unset it.")
    if huggingface_hub.get_token() is None:
        raise PublishError(
            "Publishing needs a token that may write: set HF_TOKEN to one, or log in with "
            "`hf auth login`."
        )
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(source, folder, repo, checkpoint, evaluations, license)
        operations = [huggingface_hub.CommitOperationAdd(path.name, str(path)) for path in paths]
        api = huggingface_hub.HfApi(endpoint=hub_endpoint())
        with _refusals(address):
            api.create_repo(repo, private=private, exist_ok=True)
        _check_ours(address)
        with _refusals(address):
            commit = api.create_commit(
                repo,
                operations,
                commit_message=message or f"Published with keras-stc {__version__}",
            )
        files = {path.name: path.stat().st_size for path in paths}
    return Upload(repo, f"{hub_endpoint()}/{repo}", commit.oid, files)


def _check_ours(address):
    """Refuses to write over a `config.json` that is not ours."""
    try:
        config = read_json(hub_file(address.repo, CONFIG))
    except MissingFileError:
        return
    if missing_keys(config):
        raise PublishError(
            f"{address.repo} already holds a model that `keras-stc publish` did not make: choose "
            "another name."
        )


@contextlib.contextmanager
def _refusals(address):
    try:
        yield
    except (*client_errors(), ValueError, RuntimeError) as error:
        # An upload's own error wraps that of the request.
        reason = error.__cause__ if isinstance(error, RuntimeError) else error
        raise PublishError(
            explain_refusal(reason or error, address)
            or f"{hub_endpoint()} did not take {address.repo}: {first_line(error)}"
        ) from error
