"""What a repository of a published network holds, made from a run."""

import json
import os
import pathlib
import re
from collections.abc import Sequence

import keras
import numpy as np

from keras_stc._version import __version__
from keras_stc.files import first_line, sha256
from keras_stc.models.complexity import count_macs, count_parameters
from keras_stc.models.load import load_model, weights_file
from keras_stc.publish.card import model_card
from keras_stc.runs import Run
from keras_stc.weights.hub import CONFIG, PREFIX, parse_address

WEIGHTS, CARD = "model.weights.h5", "README.md"

#: What a measurement must say for the card to show it.
MEASURED = ("protocol", "videos", "clips", "clip@1", "video@1", "video@5")


class PublishError(ValueError):
    """One sentence about something that cannot be published."""


def write_files(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    repo: str,
    checkpoint: str = "last",
    evaluations: Sequence[str | os.PathLike[str]] = (),
    license: str | None = None,
) -> list[pathlib.Path]:
    """Writes what `publish` uploads.

    Args:
        source: A run folder or a `.keras` file.
        folder: Where to; made if it is missing.
        repo: `"owner/repo"`, for the card.
        checkpoint: Of a run: `"last"` or `"best"`.
        evaluations: Paths of JSON files that `keras-stc evaluate --json` printed, besides the
            run's own evaluation, which is of its last epoch.
        license: Identifier such as `"apache-2.0"`; without it, the card says that none was given.

    Returns:
        Paths of the weights, the configuration and the card.

    Raises:
        PublishError: If the network lacks what a user of it needs.
        RunError: If the run cannot be read or is not finished.
    """
    repository_address(repo)
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license):
        raise PublishError(
            "`license` must be an identifier of the Hub's list, such as apache-2.0, mit or other. "
            f"Received: {license!r}"
        )
    run = Run(source)
    is_run = run.config_path.exists()
    if is_run and checkpoint == "last" and run.evaluation_path.exists():
        evaluations = [run.evaluation_path, *evaluations]
    measured = {path: _measured(path, checkpoint) for path in evaluations}
    model = _checked_model(source, checkpoint)
    _check_weights(weights_file(source, checkpoint), measured)
    training = read_json(run.config_path) if is_run else {}
    if is_run and run.command_path.exists():
        training["command"] = run.command_path.read_text("utf-8", "replace")

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    there = {path.name for path in folder.iterdir()}
    if there and there != {WEIGHTS, CONFIG, CARD}:
        raise PublishError(
            f"{folder} holds other files, which might be overwritten: choose an empty folder."
        )
    paths = [folder / name for name in (WEIGHTS, CONFIG, CARD)]
    model.save_weights(paths[0])
    config = {
        "keras_stc": __version__,
        "architecture": model.architecture,
        "video_config": model.video_config.to_dict(),
        "weights": {
            "file": WEIGHTS,
            "sha256": sha256(paths[0]),
            "bytes": paths[0].stat().st_size,
        },
        "checkpoint": checkpoint if is_run else "last",
        "parameters": count_parameters(model),
        "macs": count_macs(model),
        "metrics": [_metrics(model, *item) for item in measured.items()],
        "license": license,
    }
    paths[1].write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    paths[2].write_text(model_card(config, training, repo), encoding="utf-8")
    return paths


def repository_address(repo):
    """`owner/repo` -> `HubAddress`, checked."""
    address = parse_address(f"{PREFIX}{repo}")
    if address.revision:
        raise PublishError(f"A repository is published to as owner/repo. Received: {repo!r}")
    return address


def _checked_model(source, checkpoint):
    """The trained model, which has all that its users need."""
    run = Run(source)
    if checkpoint == "best" and run.state() and not run.model_path.exists():
        raise PublishError(
            f"The run in {run.folder} is not finished ({run.state()['epoch']} epochs done): repeat "
            "its command line to go on."
        )
    model = load_model(source, checkpoint)
    if model.architecture is None:
        raise PublishError(
            f"The network in {source} is not one that keras_stc.create_model builds, so nobody "
            "could build it from its configuration: publish one of keras_stc.list_models()."
        )
    if model.video_config.class_names is None:
        raise PublishError(
            f"The network in {source} does not name its classes, so nobody could read its answers: "
            "set model.video_config = model.video_config.replace(class_names=...) and save it."
        )
    for variable in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(variable).astype("float32")).all():
            raise PublishError(
                f"The weights in {source} are not finite numbers ({variable.path}): the training "
                "diverged, and they are not published."
            )
    return model


def _measured(path, checkpoint):
    """What `keras-stc evaluate --json` printed, checked to be of this checkpoint."""
    found = read_json(path)
    if "splits" in found:
        raise PublishError(
            f"{path} is of several splits, and a run was trained on one of them: evaluate that."
        )
    if "models" in found:
        raise PublishError(
            f"{path} is of {len(found['models'])} networks whose answers were fused: evaluate this "
            "one by itself."
        )
    missing = [name for name in (*MEASURED, "class_names") if name not in found]
    if missing:
        raise PublishError(
            f"{path} is not what `keras-stc evaluate --json` prints: it lacks {missing[0]!r}."
        )
    measured_on = found.get("checkpoint", "last")
    if measured_on != checkpoint:
        raise PublishError(
            f"{path} was measured on another checkpoint: measure this one with `keras-stc evaluate "
            f"RUN DATA --checkpoint {checkpoint} --json`. Received: {measured_on!r}"
        )
    return found


def _check_weights(weights, measured):
    """Each measurement that names its weights is of these."""
    named = {path: found.get("weights_sha256") for path, found in measured.items()}
    own = sha256(weights) if any(named.values()) else None
    for path, digest in named.items():
        if digest not in (None, own):
            raise PublishError(
                f"{path} was measured on other weights: measure these with `keras-stc evaluate "
                f"RUN DATA --json`. Received: SHA-256 {digest[:12]}…, and {weights} has {own[:12]}…"
            )


def _metrics(model, path, measured):
    """What the configuration says of a measurement."""
    if tuple(measured["class_names"]) != model.video_config.class_names:
        raise PublishError(
            f"{path} was measured on a network with other classes. Received: "
            f"{', '.join(measured['class_names'][:5])}"
        )
    return {
        "data": measured.get("data"),
        "subset": measured.get("subset"),
        **{name: measured[name] for name in MEASURED},
        "unreadable": len(measured.get("failures", ())),
    }


def read_json(path):
    """A JSON document of ours."""
    try:
        value = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PublishError(f"{path} does not exist.") from None
    except ValueError as error:
        raise PublishError(f"{path} is not JSON: {first_line(error)}") from error
    if not isinstance(value, dict):
        raise PublishError(f"{path} is not a JSON document of ours.")
    return value
