"""What was predicted of a video: probabilities of its clips, their mean, a timeline."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_stc.data.sets.video import Video


@dataclasses.dataclass(frozen=True)
class ClipPrediction:
    """What one clip of a video shows.

    Attributes:
        start: Of the clip, in seconds.
        end: Of the clip, in seconds.
        label: Name of the most probable class.
        probability: Its probability.
    """

    start: float
    end: float
    label: str
    probability: float


@dataclasses.dataclass(frozen=True)
class VideoPrediction:
    """What a video shows.

    Attributes:
        path: Path of the video.
        class_names: Names of the classes.
        clip_probabilities: Array `(N, classes)`, a row for each clip.
        clip_times: Array `(N, 2)`: start and end of each clip in seconds.
        video: The `keras_stc.data.Video` it is of, where one was given.
    """

    path: str
    class_names: tuple[str, ...]
    clip_probabilities: np.ndarray
    clip_times: np.ndarray
    video: Video | None = None

    @property
    def probabilities(self) -> np.ndarray:
        """Array `(classes,)`: the mean over the clips (paper, section 4.2)."""
        return self.clip_probabilities.mean(axis=0)

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The most probable classes.

        Args:
            k: How many; of fewer classes, all.

        Returns:
            `[(name, probability), ...]`, best first.
        """
        probabilities = self.probabilities
        best = np.argsort(-probabilities, kind="stable")[:k]
        return [(self.class_names[i], float(probabilities[i])) for i in best]

    @property
    def timeline(self) -> list[ClipPrediction]:
        """A `ClipPrediction` for each clip, in the order of time."""
        best = self.clip_probabilities.argmax(axis=1)
        return [
            ClipPrediction(float(start), float(end), self.class_names[label], float(row[label]))
            for (start, end), label, row in zip(
                self.clip_times, best, self.clip_probabilities, strict=True
            )
        ]

    def _repr_html_(self):
        """What a notebook shows: the best classes, and each of them over time."""
        from keras_stc.report.prediction import prediction_view
        from keras_stc.report.render import render

        return render("prediction_fragment.html", view=prediction_view(self, frames=False))
