"""The plot of an ablation, and files of plots that are the same for the same figures."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keras_stc.ablation.table import study_tables

if TYPE_CHECKING:
    import numpy as np

    from keras_stc.ablation.studies import Form


def save_plot(
    form: Form,
    results: Sequence[dict[str, Any]],
    path: str | os.PathLike[str],
    studies: Sequence[str] | None = None,
) -> None:
    """Draws a panel for each study that has results: every seed a dot, the mean a line.

    Args:
        form: The `Form` that was run.
        results: What `run_ablation` returns.
        path: Of the picture, `.svg` or `.png`.
        studies: Names of studies; `None` for all.

    Raises:
        ImportError: If Matplotlib is missing.
        ValueError: If the picture has another ending, or there is nothing to draw.
    """
    check_plot(path)
    panels = study_tables(form, results, studies)
    if not panels:
        raise ValueError("`results` must hold two settings of a study. Received: none")
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    with saved_axes(path, (4.2 * columns, 2.9 * lines), lines, columns) as axes:
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for axis, (study, table) in zip(axes.flat, panels, strict=False):
            for place, row in enumerate(table):
                values = 100 * row["video@1"]
                axis.plot([place] * len(values), values, "o", color="tab:blue", alpha=0.5, ms=4)
                axis.hlines(values.mean(), place - 0.25, place + 0.25, color="black")
            labels = [row["label"].replace(", ", "\n") for row in table]
            axis.set_xticks(range(len(table)), labels, fontsize=7)
            axis.set_xlim(-0.5, len(table) - 0.5)
            axis.set_title(study.title, fontsize=9)
            axis.grid(axis="y", alpha=0.3)
        for row in axes:
            row[0].set_ylabel("video@1 in %")


@contextlib.contextmanager
def saved_axes(
    path: str | os.PathLike[str], size: tuple[float, float], rows: int = 1, columns: int = 1
) -> Iterator[np.ndarray]:
    """Panels to draw on, side by side with one scale upwards; the picture is written after.

    Args:
        path: Of the picture, `.svg` or `.png`.
        size: Width and height in inches.
        rows: Of panels.
        columns: Of panels.

    Yields:
        Matplotlib's axes, `(rows, columns)`.

    Raises:
        ImportError: If Matplotlib is missing.
        ValueError: If the picture has another ending.
    """
    check_plot(path)
    import matplotlib
    from matplotlib.figure import Figure  # without pyplot, whose settings are the caller's

    figure = Figure(figsize=size)
    yield figure.subplots(rows, columns, squeeze=False, sharey=True)
    figure.tight_layout()
    # The same figures give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "keras-stc"}):
        figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)


def check_plot(path):
    """Raises what `saved_axes` would raise for this path."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError(
            'Plots need Matplotlib: pip install "keras-stc[plots]", or leave --plot away.'
        )
    if not str(path).endswith((".svg", ".png")):
        raise ValueError(f"A plot must end in .svg or .png. Received: {path}")
