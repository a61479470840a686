"""Whole pages: of what was trained or evaluated, and of what videos show."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_stc.report.charts import line_chart
from keras_stc.report.evaluation import evaluation_view
from keras_stc.report.prediction import prediction_view
from keras_stc.report.render import write_page

if TYPE_CHECKING:
    import numpy as np

#: Charts of a training: heading, `{column of the history: caption}`, whether it is a share.
CHARTS = (
    ("Accuracy", {"accuracy": "training clips", "val_accuracy": "validation clips"}, True),
    ("Pairs told apart", {"pair_accuracy": "training", "val_pair_accuracy": "held out"}, True),
    ("Loss", {"loss": "training", "val_loss": "validation"}, False),
    ("Learning rate", {"learning_rate": "learning rate"}, False),
)

#: Mistakes that are shown by frames of their videos.
WORST = 8


def write_report(
    path: str | os.PathLike[str],
    title: str,
    subtitle: str = "",
    *,
    evaluation: Any = None,
    history: Sequence[Mapping[str, Any]] = (),
    figures: Mapping[str, str] | None = None,
    samples: Iterable[tuple[Any, str, np.ndarray]] = (),
    quarantine: Mapping[str, str] | None = None,
    facts: Mapping[str, str] | None = None,
    worst: int = WORST,
) -> pathlib.Path:
    """Writes a page of a training or an evaluation; what is left out it does not speak of.

    It is one file: no script, no file beside it, nothing from the network.

    Example:

    ```python
    evaluation = keras_stc.evaluate_videos(model, videos)
    keras_stc.report.write_report("report.html", "Waving or not", evaluation=evaluation)
    ```

    Args:
        path: Of the file to write.
        title: Heading.
        subtitle: A line below it.
        evaluation: A `keras_stc.Evaluation`; or `{name: Evaluation}` of several, such as splits.
        history: The history of a training, a dictionary for each epoch.
        figures: `{caption: text}` for the large numbers at the top; by default those of the
            evaluation.
        samples: `[(prediction, label, frames)]`: a `VideoPrediction`, the name of the right class
            and uint8 frames `(T, H, W, 3)` to show.
        quarantine: `{video: reason}` of those that could not be used in training.
        facts: `{name: text}`: what else is to be known, such as `keras_stc.report.facts.facts`.
        worst: So many of the worst mistakes are shown by frames of their videos.

    Returns:
        `path` as a `pathlib.Path`.
    """
    if evaluation is None:
        evaluations = {}
    elif isinstance(evaluation, dict):
        evaluations = evaluation
    else:
        evaluations = {"": evaluation}
    views = {name: evaluation_view(each, worst) for name, each in evaluations.items()}
    large = {caption: (text, "") for caption, text in (figures or {}).items()}
    if figures is None and len(views) == 1:
        large = next(iter(views.values()))["figures"]
    return write_page(
        path,
        "report.html",
        title=title,
        subtitle=subtitle,
        figures=large,
        charts=training_charts(history),
        evaluations=views,
        samples=[
            prediction_view(prediction, frames, label) for prediction, label, frames in samples
        ],
        quarantine=quarantine or {},
        facts=facts or {},
    )


def prediction_report(
    path: str | os.PathLike[str],
    predictions: Iterable[Any],
    *,
    failures: Mapping[str, str] | None = None,
    facts: Mapping[str, str] | None = None,
) -> pathlib.Path:
    """Writes a page of what videos show: the best classes of each, and how they change over time.

    Example:

    ```python
    prediction = keras_stc.predict_video(model, "x.mp4")
    keras_stc.report.prediction_report("x.html", [prediction])
    ```

    Args:
        path: Of the file to write.
        predictions: `VideoPrediction`s.
        failures: `{path: reason}` of videos that could not be read.
        facts: As in `write_report`.

    Returns:
        `path` as a `pathlib.Path`.
    """
    return write_page(
        path,
        "predictions.html",
        predictions=[prediction_view(prediction) for prediction in predictions],
        failures=failures or {},
        facts=facts or {},
    )


def training_charts(history):
    """`[(heading, markup)]` of the figures that a history holds."""
    charts = []
    for heading, columns, shares in CHARTS:
        lines = {
            caption: [(row["epoch"], row[column]) for row in history if column in row]
            for column, caption in columns.items()
        }
        if chart := line_chart(lines, f"{heading} by epoch", "epoch", shares):
            charts.append((heading, chart))
    return charts
