"""Division of data into videos to train on, to validate on and held out."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_stc.checks import wrong
from keras_stc.data.errors import VideoWarning
from keras_stc.data.sets.open import open_source
from keras_stc.data.sets.video import VideoSet

if TYPE_CHECKING:
    from keras_stc.data.sets.data import Data


@dataclasses.dataclass(frozen=True)
class Division:
    """Videos to train on, and others to measure on.

    Args:
        train: A `VideoSet`.
        validation: A `VideoSet` of the same classes, or `None`.
        origin: What finds the same videos again, for `held_out`: JSON types alone.
        name: What the videos to validate on are called in their data, or `None` of all of it.
    """

    train: VideoSet
    validation: VideoSet | None
    origin: dict[str, Any]
    name: str | None


def divide(
    data: str | os.PathLike[str] | Data,
    validation: str | os.PathLike[str] | Data | None = None,
    hold_out: float = 0.2,
    seed: int = 0,
    groups: str | None = None,
) -> Division:
    """Videos to train on and to validate on, as `keras-stc train` takes them.

    Those of the subset `"train"` are trained on, or all where there is none. Validated on are the
    subset `"val"`, or else `"test"`; where there is neither, a part of each class is held out.

    Example:

    ```python
    videos = keras_stc.data.divide("ucf101:UCF-101:1")
    keras_stc.training.train(model, videos.train, recipe, "runs/a", videos.validation)
    ```

    Args:
        data: A `Data`, or what `open_source` takes.
        validation: Other data to validate on.
        hold_out: Part of each class to hold out where the data does not say; 0 for none.
        seed: Chooses which.
        groups: A regular expression of paths, by which videos of one recording are held out
            together or not at all; see `VideoSet.split`.

    Returns:
        A `Division`.

    Raises:
        ValueError: If there are fewer than two classes, a class has no video to train on, or
            `groups` divides nothing.
        VideoError: If there is no such data.

    Warns:
        VideoWarning: If videos to validate on are among those to train on.
    """
    data = open_source(data)
    division = _divide(data, validation, hold_out, seed, groups)
    videos = division.train
    if not videos.class_names:
        raise ValueError(
            f"{data} has no labels, which a network learns by: give labelled videos, or learn "
            "without labels by keras-stc transfer."
        )
    if len(videos.class_names) < 2:
        raise ValueError(
            f"{data} has one class, {videos.class_names[0]!r}, and a network learns to "
            "tell at least two apart: give the folder whose subfolders are the classes."
        )
    if missing := sorted(set(range(len(videos.class_names))) - set(videos.labels.tolist())):
        names = [videos.class_names[label] for label in missing]
        raise ValueError(
            f"{data} has no video to train on of {len(names)} of its "
            f"{len(videos.class_names)} classes, the first being {names[0]!r}: add some, or leave "
            "the class out."
        )
    _check_apart(videos, division.validation)
    return division


def _divide(data, validation, hold_out, seed, groups):
    subset = data.learnable
    train = data.open(subset)
    origin = {"data": data.spec, "subset": subset, "class_names": data.label_names}
    other = data if validation is None else open_source(validation)
    name = next((name for name in ("val", "test") if name in other.subsets), None)
    if validation is not None or (subset and name):
        if groups is not None:
            raise wrong(f"None where {other} says what to validate on", groups=groups)
        origin["validation"] = name if validation is None else other.spec
        return Division(train, other.open(name, train.class_names), origin, name)
    held_out_by = _held_out_by(hold_out, groups)
    if not hold_out:
        return Division(train, None, origin, None)
    origin |= held_out_by
    train, held = train.split(hold_out, seed, groups)
    if groups is not None and not len(held):
        raise wrong("such that a class has more than one group", groups=groups)
    return Division(train, held if len(held) else None, origin, _held_out_name(hold_out))


def divide_unlabelled(
    data: str | os.PathLike[str] | Data,
    hold_out: float = 0.1,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
    groups: str | None = None,
) -> Division:
    """Videos to learn from without labels, and others to measure on, as `keras-stc transfer`.

    Of divided data only the part to train on is taken, since the rest is to be tested on later.

    Args:
        data: A `Data`, or what `open_unlabelled` takes.
        hold_out: Part of the videos to measure on; 0 for none.
        seed: Chooses which.
        class_names: Names of the classes by label, where labels are to stay; rows of a list without
            one stay too.
        groups: As of `divide`.

    Returns:
        A `Division`.
    """
    data = open_source(data)
    subset = data.learnable
    if class_names is None:
        videos, kind = data.unlabelled(subset), "videos"
    else:  # `held_out` finds labelled ones by their data.
        videos, kind = data.partly_labelled(subset, class_names), "data"
    origin = {kind: data.spec, "subset": subset, **_held_out_by(hold_out, groups)}
    if class_names is not None and any(video.label is None for video in videos):
        origin["partly_labelled"] = True
    if hold_out:
        train, held = videos.split(hold_out, seed, groups)
        if len(held) >= 2:  # Pairs take two; one alone is better learned from.
            return Division(train, held, origin, _held_out_name(hold_out))
        if groups is not None:
            raise wrong("such that there is a group to hold out", groups=groups)
    return Division(videos, None, origin, None)


def as_trained(
    data: str | os.PathLike[str] | Data, origin: Mapping[str, Any], classes: int | None = None
) -> Data:
    """Data with the names of labels that a run had, where it is the run's and has none.

    Likewise a list whose labels are as many numbers as the run has classes.

    Args:
        data: A `Data`, or what `open_source` takes.
        origin: `Division.origin` of the run.
        classes: Number of the run's classes, or `None`.

    Returns:
        A `Data`.
    """
    data, names = open_source(data), origin.get("class_names")
    if data.label_names is not None or names is None:
        return data
    is_the_runs = origin.get("data") == data.spec
    return open_source(data.name, names) if is_the_runs or data.numbers == classes else data


def held_out(
    data: str | os.PathLike[str] | Data,
    origin: Mapping[str, Any],
    seed: int,
    counts: Sequence[int],
    class_names: Sequence[str] | None = None,
    run: str | os.PathLike[str] = "the run",
) -> tuple[VideoSet, str | None]:
    """Of data without val and test the part that a run was not trained on.

    Args:
        data: A `Data`, or what `open_source` takes.
        origin: `Division.origin` of the run.
        seed: The seed it was divided with.
        counts: How many videos the run trained on and how many it held out.
        class_names: Names of the classes by label.
        run: What the run is called in errors.

    Returns:
        `(videos, name)`: all videos and `None` where the run was trained on other data.

    Raises:
        ValueError: If the data is no longer what the run was trained on.

    Warns:
        VideoWarning: If the run was trained on all of it.
    """
    data = as_trained(data, origin)
    if origin.get("data") != data.spec:
        return data.open(None, class_names), None
    hold_out = origin.get("hold_out")
    if not hold_out:
        warnings.warn(
            f"{run} was trained on all of {data}: the figures say nothing of other videos.",
            VideoWarning,
            stacklevel=2,
        )
        return data.open(None, class_names), "trained on"
    opened = data.partly_labelled if origin.get("partly_labelled") else data.open
    whole = opened(origin.get("subset"), class_names)
    train, held = whole.split(hold_out, seed, origin.get("groups"))
    if [len(train), len(held)] != list(counts):
        raise ValueError(
            f"{data} has changed since {run} was trained on {counts[0]} of its videos and "
            f"held out {counts[1]}: now it has {len(whole)}, and nobody can say which were "
            "held out. Give other videos, or restore it."
        )
    labelled = held.subset(i for i, video in enumerate(held) if video.label is not None)
    return labelled, _held_out_name(hold_out)


def _held_out_by(hold_out, groups):
    if groups is not None and not hold_out:
        raise wrong("None where nothing is held out", groups=groups)
    return {"hold_out": hold_out, **({} if groups is None else {"groups": groups})}


def _held_out_name(hold_out):
    """What the part of undivided data is called that a run was not trained on."""
    return f"{hold_out:.0%} of each class, held out"


def _check_apart(videos, validation):
    """Warns where videos to train on are among those to validate on."""
    trained = {os.path.abspath(video.file) for video in videos}
    both = [video.file for video in validation or () if os.path.abspath(video.file) in trained]
    if both:
        warnings.warn(
            f"{len(both)} videos to validate on are among those to train on, the first being "
            f"{both[0]}: accuracy on them says nothing of other videos.",
            VideoWarning,
            stacklevel=3,
        )
