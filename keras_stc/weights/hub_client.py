"""How the client of the Hub is set up, and what its errors mean in one sentence.

HF_ENDPOINT and HF_HUB_OFFLINE count as they are when something is asked for; left alone, the client
takes them as they were when it was imported.
"""

import os

from keras_stc.files import first_line
from keras_stc.weights.cache import WeightsError


class MissingFileError(WeightsError):
    """The repository is there, the file is not."""


def hub_endpoint():
    """Address of the Hub: HF_ENDPOINT, or the public one."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def is_offline():
    """Whether HF_HUB_OFFLINE forbids every request, now or when the client was imported."""
    from huggingface_hub import constants

    now = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    return now or constants.HF_HUB_OFFLINE


def client_errors():
    """What the client raises for a network, a Hub or a disk that does not do as asked."""
    from huggingface_hub.errors import HfHubHTTPError

    # Its own errors derive from those of its HTTP library, which is another one in each of its
    # major versions.
    return (*HfHubHTTPError.__bases__, OSError)


def is_cut(error):
    """Whether a connection broke; not that the Hub answered with an error, or the disk did."""
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    answered = isinstance(error, (EntryNotFoundError, HfHubHTTPError))
    return not answered and not getattr(error, "strerror", None)


def explain_refusal(error, address):
    """What the Hub's refusal of a request means and what to do, or `None` if it is no refusal.

    Args:
        error: What the client raised.
        address: The `HubAddress` of the repository.

    Returns:
        A sentence or `None`.
    """
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    page = f"{hub_endpoint()}/{address.repo}"
    if isinstance(error, errors.GatedRepoError):
        return (
            f"{address.repo} is gated: ask for access at {page}, then set HF_TOKEN to a token of "
            "the account that has it."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"{address.repo} has no revision {address.revision or 'main'!r}: {page}/commits/main "
            "lists those it has."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"There is no repository {address.repo} at {hub_endpoint()}, or it is private: check "
            "the name, or set HF_TOKEN to a token that may read it."
        )
    if status == 401:
        return (
            f"{hub_endpoint()} does not accept the token for {address.repo} (401): set HF_TOKEN to "
            "a valid one, or unset it for a public repository."
        )
    if status == 403:
        return (
            f"{hub_endpoint()} does not allow this to the token for {address.repo} (403): set "
            "HF_TOKEN to one that has the permission."
        )
    return None


def download_error(error, address, filename, folder):
    """What to raise for a file that did not come: one sentence that says what to do.

    Args:
        error: What the client raised.
        address: The `HubAddress` of the repository.
        filename: Name of the file.
        folder: The client's cache folder.

    Returns:
        A `WeightsError`.
    """
    from huggingface_hub import errors

    file = f"{filename} of {address}"
    reason = error
    if isinstance(error, errors.LocalEntryNotFoundError):
        # The client looks into its cache first and keeps what the Hub answered as the cause.
        reason = error.__cause__ or error
    if refusal := explain_refusal(reason, address):
        return WeightsError(refusal)
    if isinstance(error, errors.LocalEntryNotFoundError):
        why = f"{hub_endpoint()} does not give it ({first_line(reason)}): connect to the network"
        if is_offline():
            why = "HF_HUB_OFFLINE forbids fetching it: unset that"
        return WeightsError(
            f"{file} is not in the cache {folder}, and {why}, or copy that folder from a machine "
            "that has the file."
        )
    if isinstance(error, errors.EntryNotFoundError):
        return MissingFileError(f"{address} has no file {filename}.")
    if isinstance(error, OSError) and error.strerror:
        return WeightsError(
            f"{file} cannot be kept in {folder} ({error.strerror}): make room there, or set "
            "KERAS_STC_HOME to another folder."
        )
    return WeightsError(
        f"{file} could not be fetched from {hub_endpoint()} ({first_line(error)}): try again."
    )
