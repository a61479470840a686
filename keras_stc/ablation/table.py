"""The figures of an ablation: mean and spread over seeds, as rows and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from keras_stc.ablation.studies import Form, Study


def rows(study: Study, results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A study's rows.

    Args:
        study: A `Study`.
        results: What `run_ablation` returns.

    Returns:
        A list of dictionaries with `label`, `parameters`, `macs`, `seeds`, arrays `video@1`,
        `clip@1` and `seconds` by seed, and `difference`: mean and standard error of the difference
        to the study's last row with the same seed, or to the one above where they are in pairs, of
        video@1 (`None` of these, or with no seed in common). Settings that have no result are left
        out.
    """
    by_key = {}
    for result in results:
        by_key.setdefault(result["key"], {})[result["seed"]] = result
    table = []
    for label, setting in study.settings.items():
        found = by_key.get(setting.key)
        if found:
            seeds = sorted(found)
            table.append(
                {
                    "label": label,
                    "parameters": found[seeds[0]]["parameters"],
                    "macs": found[seeds[0]].get("macs"),  # earlier versions did not count them
                    "seeds": seeds,
                    **{
                        name: np.array([found[seed][name] for seed in seeds])
                        for name in ("video@1", "clip@1", "seconds")
                    },
                }
            )
    there = {row["label"]: row for row in table}
    if study.in_pairs:
        labels = list(study.settings)
        others = dict(zip(labels[1::2], labels[::2], strict=True))
    else:
        others = dict.fromkeys(list(there)[:-1], table[-1]["label"]) if table else {}
    for row in table:
        other = there.get(others.get(row["label"]))
        row["difference"] = None if other is None else _difference(row, other)
    return table


def markdown(
    form: Form, results: Sequence[dict[str, Any]], studies: Sequence[str] | None = None
) -> str:
    """The tables of all studies that have results.

    Args:
        form: The `Form` that was run.
        results: What `run_ablation` returns.
        studies: Names of studies; `None` for all.
    """
    parts = []
    for study, table in study_tables(form, results, studies):
        last = "the row above" if study.in_pairs else f"“{table[-1]['label']}”"
        lines = [
            f"**{study.title}** (the paper's {study.source})",
            "",
            "| | parameters | GMAC | seeds | video@1 | clip@1 | "
            f"video@1, against {last} | minutes |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in table:
            against = "" if row["difference"] is None else _plus_minus(*row["difference"], sign="+")
            cells = (
                row["label"],
                f"{row['parameters'] / 1e6:.1f} M",
                f"{row['macs'] / 1e9:.2f}" if row["macs"] else "",
                str(len(row["seeds"])),
                _plus_minus(*_spread(row["video@1"])),
                _plus_minus(*_spread(row["clip@1"])),
                against,
                f"{row['seconds'].mean() / 60:.1f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    note = (
        "Accuracies in per cent: mean ± standard deviation over the seeds. Differences in points: "
        "mean ± standard error over the seeds that both have. GMAC: thousand million "
        "multiply-accumulates of a clip. Minutes: of a training with its test, pauses included; of "
        "one that was broken off, since it was taken up again."
    )
    return "\n\n".join([*parts, note]) + "\n"


def study_tables(form, results, studies):
    """`[(study, rows)]` of the studies in which there is something to compare."""
    tables = []
    for study in form.studies().values():
        table = rows(study, results)
        if (studies is None or study.name in studies) and len(table) > 1:
            tables.append((study, table))
    return tables


def _spread(values):
    """Mean and standard deviation in per cent; of one value no deviation."""
    return 100 * values.mean(), 100 * values.std(ddof=1) if len(values) > 1 else float("nan")


def _difference(row, other):
    common = sorted(set(row["seeds"]) & set(other["seeds"]))
    if not common:
        return None
    mine, theirs = (
        np.array([r["video@1"][r["seeds"].index(seed)] for seed in common]) for r in (row, other)
    )
    difference = 100 * (mine - theirs)
    error = difference.std(ddof=1) / len(common) ** 0.5 if len(common) > 1 else float("nan")
    return difference.mean(), error


def _plus_minus(mean, spread, sign=""):
    return f"{mean:{sign}.1f}" if np.isnan(spread) else f"{mean:{sign}.1f} ± {spread:.1f}"
