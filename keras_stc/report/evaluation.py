"""An evaluation as a page shows it: matrix, what is confused, each class and its interval."""

import math
import statistics

import numpy as np

from keras_stc.report.pictures import data_uri, read_strip, strip

#: Up to so many classes the matrix is a table of numbers, beyond it a picture.
TABLE_CLASSES = 30

#: Confused pairs that are listed, and classes that are shown at once.
PAIRS, CLASSES = 12, 30

#: The page's green and red, of pixels whose opacity is a share of the class.
RIGHT, WRONG = (32, 145, 108), (214, 78, 50)


def evaluation_view(evaluation, worst=0):
    """What the template of an evaluation shows.

    Args:
        evaluation: A `keras_stc.Evaluation`.
        worst: So many of the worst mistakes are shown by frames of their videos.

    Returns:
        A dictionary.
    """
    names, confusion = evaluation.class_names, evaluation.confusion
    small = len(names) <= TABLE_CLASSES
    return {
        "figures": figures(evaluation),
        "names": names,
        "rows": _table(names, confusion) if small else (),
        "picture": None if small else data_uri(_matrix_pixels(confusion)),
        "pairs": confused_pairs(names, confusion),
        "classes": _classes(names, confusion),
        "shown": CLASSES,
        "protocol": _protocol(evaluation),
        "mistakes": [_mistake(evaluation, i) for i in worst_mistakes(evaluation, worst)],
        "wrong": int((evaluation.probabilities.argmax(axis=1) != evaluation.labels).sum()),
        "videos": len(evaluation.labels),
        "failures": evaluation.failures,
    }


def figures(evaluation):
    """`{caption: (text, note)}`: the large numbers at the top."""
    videos = len(evaluation.labels)
    low, high = wilson_interval(round(evaluation.video1 * videos), videos)
    shown = {
        "of videos are right (video@1)": (
            f"{evaluation.video1:.1%}",
            f"95% interval {low:.1%} – {high:.1%}",
        ),
        "of clips (clip@1)": (f"{evaluation.clip1:.1%}", f"{evaluation.clips} clips"),
    }
    if len(evaluation.class_names) > 5:
        shown["among the first five (video@5)"] = (f"{evaluation.video5:.1%}", "")
    most = np.bincount(evaluation.labels, minlength=1).max() / max(1, videos)
    shown["by always naming the commonest class"] = (f"{most:.1%}", "")
    return shown


def wilson_interval(right: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Between which shares the true one lies, when `right` of `total` were right.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA
    22 (1927). Unlike the normal approximation it holds for few videos and near 0 and 1.

    Args:
        right: How many were right.
        total: Of how many.
        confidence: Share of such intervals that hold the true value.

    Returns:
        `(low, high)`; `(0.0, 1.0)` of none.

    Raises:
        ValueError: If `right` is not from 0 to `total`, or `confidence` not between 0 and 1.
    """
    if not 0 <= right <= total:
        raise ValueError(f"`right` must be from 0 to `total`. Received: right={right} of {total}")
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be between 0 and 1. Received: {confidence}")
    if not total:
        return 0.0, 1.0
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = right / total, z * z / total
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / total / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def confused_pairs(names, confusion, most=PAIRS):
    """What is taken for what, the most frequent first.

    Args:
        names: Of the classes.
        confusion: Integer array `(classes, classes)`: rows are labels, columns predictions.
        most: Pairs to list.

    Returns:
        A list of dictionaries: `label`, `said`, `count`, and `share` of the label's videos.
    """
    wrong = confusion * (1 - np.eye(len(confusion), dtype=confusion.dtype))
    shares = wrong / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    order = np.lexsort((-shares.ravel(), -wrong.ravel()))[:most]
    return [
        {"label": names[i], "said": names[j], "count": int(wrong[i, j]), "share": shares[i, j]}
        for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[i, j]
    ]


def worst_mistakes(evaluation, most):
    """Places of the videos that are wrong, those first of whose wrong class it is surest."""
    probabilities = evaluation.probabilities
    every = np.arange(len(probabilities))
    said = probabilities.argmax(axis=1)
    margin = probabilities[every, said] - probabilities[every, evaluation.labels]
    order = np.argsort(-margin, kind="stable")
    return [int(i) for i in order if said[i] != evaluation.labels[i]][:most]


def _mistake(evaluation, place):
    from keras_stc.data import VideoError

    row, label = evaluation.probabilities[place], evaluation.labels[place]
    best = np.argsort(-row, kind="stable")[:3]
    video = evaluation.videos[place] if evaluation.videos else evaluation.paths[place]
    try:
        frames, reason = strip(read_strip(video)), None
    except VideoError as error:  # moved since
        frames, reason = [], str(error)
    return {
        "name": getattr(video, "name", video),
        "label": evaluation.class_names[label],
        "probability": float(row[label]),
        "said": [(evaluation.class_names[i], float(row[i])) for i in best],
        "frames": frames,
        "reason": reason,
    }


def _table(names, confusion):
    totals = np.maximum(1, confusion.sum(axis=1, keepdims=True))
    return [
        (name, list(zip(counts.tolist(), shares.tolist(), strict=True)))
        for name, counts, shares in zip(names, confusion, confusion / totals, strict=True)
    ]


def _matrix_pixels(confusion):
    """RGBA of the matrix, a pixel for each pair; what is rare stays visible by a square root."""
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    pixels = np.empty((*confusion.shape, 4), np.uint8)
    pixels[..., :3] = WRONG
    pixels[np.diag_indices(len(confusion))] = (*RIGHT, 0)
    pixels[..., 3] = np.round(255 * np.sqrt(shares))
    return pixels


def _classes(names, confusion):
    """Each class, the worst first; those without a video at the end."""
    totals = confusion.sum(axis=1)
    rows = []
    for name, right, total in zip(names, confusion.diagonal(), totals, strict=True):
        low, high = wilson_interval(right, total)
        share = right / total if total else math.nan
        rows.append(
            {"name": name, "right": right, "total": total, "share": share, "low": low, "high": high}
        )
    return sorted(rows, key=lambda row: (not row["total"], row["share"], -row["total"]))


def _protocol(evaluation):
    return {
        **{key.replace("_", " "): value for key, value in evaluation.protocol.items()},
        "videos": len(evaluation.labels),
        "clips": evaluation.clips,
    }
