"""`Evaluation`: accuracy by clip, by video and by class; its mean over splits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from keras_stc.data.sets.video import Video

#: Figures that are averaged over splits.
FIGURES = ("clip@1", "video@1", "video@5")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Accuracies of a model on labelled videos.

    Attributes:
        class_names: Names of the classes.
        labels: Array `(V,)`: the label of each video that could be read.
        probabilities: Array `(V, classes)`: the mean over each video's clips.
        clip1: Share of clips whose most probable class is right.
        clips: Number of clips.
        protocol: What was done, as a dictionary: clip length, stride, crop, averaging.
        paths: Path of each video.
        failures: `{Video.name: reason}` of videos that could not be read and do not count.
        videos: The `keras_stc.data.Video` of each; empty where only paths are known.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    clip1: float
    clips: int
    protocol: dict[str, Any]
    paths: tuple[str, ...]
    failures: dict[str, str]
    videos: tuple[Video, ...] = ()

    @property
    def video1(self) -> float:
        """Share of videos whose most probable class is right."""
        return self._video_accuracy(1)

    @property
    def video5(self) -> float:
        """Share of videos whose class is among the five most probable."""
        return self._video_accuracy(5)

    @property
    def confusion(self) -> np.ndarray:
        """Integer array `(classes, classes)`: rows are labels, columns predictions."""
        matrix = np.zeros((len(self.class_names),) * 2, dtype="int64")
        np.add.at(matrix, (self.labels, self.probabilities.argmax(axis=1)), 1)
        return matrix

    @property
    def per_class(self) -> dict[str, float]:
        """`{class name: share of its videos that are right}`; NaN for a class without videos."""
        matrix = self.confusion
        with np.errstate(invalid="ignore"):
            accuracy = matrix.diagonal() / matrix.sum(axis=1)
        return dict(zip(self.class_names, accuracy.tolist(), strict=True))

    def _video_accuracy(self, k):
        best = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return float((best == self.labels[:, None]).any(axis=1).mean())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "protocol": self.protocol,
            "videos": len(self.labels),
            "clips": self.clips,
            "clip@1": self.clip1,
            "video@1": self.video1,
            "video@5": self.video5,
            "per_class": {k: None if v != v else v for k, v in self.per_class.items()},
            "class_names": list(self.class_names),
            "confusion": self.confusion.tolist(),
            "failures": self.failures,
        }

    def _repr_html_(self):
        """What a notebook shows: the figures and the confusion matrix, without frames."""
        from keras_stc.report.evaluation import evaluation_view
        from keras_stc.report.render import render

        return render("evaluation_fragment.html", view=evaluation_view(self))

    def __str__(self):
        return (
            f"clip@1 {self.clip1:.1%}, video@1 {self.video1:.1%}, video@5 {self.video5:.1%} "
            f"({len(self.labels)} videos, {self.clips} clips)"
        )


def mean_over_splits(evaluations: Iterable[Evaluation]) -> dict[str, Any]:
    """What UCF101 and HMDB51 are reported with: the mean over their splits.

    Args:
        evaluations: An `Evaluation` for each split, of a model trained on that split.

    Returns:
        A dictionary of plain JSON types: `mean` and `standard_deviation` of every figure.
    """
    splits = [evaluation.to_dict() for evaluation in evaluations]
    figures = {name: np.array([split[name] for split in splits]) for name in FIGURES}
    degrees = min(1, len(splits) - 1)  # of one split, no deviation
    return {
        "mean": {name: float(values.mean()) for name, values in figures.items()},
        "standard_deviation": {
            name: float(values.std(ddof=degrees)) for name, values in figures.items()
        },
    }
