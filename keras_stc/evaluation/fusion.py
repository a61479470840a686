"""Late fusion: the answers of several models on the same videos, averaged.

Source: Simonyan & Zisserman, "Two-Stream Convolutional Networks for Action Recognition in Videos",
NIPS 2014, section 2, which averages softmax scores.
"""

import dataclasses
import math
import numbers
from collections.abc import Iterable, Sequence

import numpy as np

from keras_stc.evaluation.result import Evaluation
from keras_stc.predict import VideoPrediction


def late_fusion(
    answers: Iterable[VideoPrediction] | Iterable[Evaluation],
    weights: Sequence[float] | None = None,
) -> VideoPrediction | Evaluation:
    """The mean, weighted or not, of what several models say of the same videos.

    Each model looks at a video in its own way, with clips of its own; what is averaged are its
    probabilities of the video.

    Example:

    ```python
    rgb, flow = (keras_stc.predict_video(model, "x.mp4") for model in (one, other))
    keras_stc.late_fusion([rgb, flow], weights=[1, 1.5]).top(5)
    keras_stc.late_fusion([keras_stc.evaluate_videos(model, test) for model in (one, other)])
    ```

    Args:
        answers: `VideoPrediction`s of one video, or `Evaluation`s of the same videos, two or more,
            whose classes are the same in the same order.
        weights: A number for each, not negative, of which their shares count; `None` for the mean.

    Returns:
        A `VideoPrediction`, clip by clip where the models saw the same clips, otherwise of one clip
        that is the whole video; or an `Evaluation` of the videos that all models could read, whose
        clips are whole videos.

    Raises:
        ValueError: If classes, videos or labels differ, or weights do not fit.
    """
    answers = list(answers)
    kinds = {type(answer) for answer in answers}
    if len(answers) < 2 or kinds not in ({VideoPrediction}, {Evaluation}):
        found = ", ".join(type(answer).__name__ for answer in answers)
        raise ValueError(
            "`answers` must hold two or more VideoPredictions of a video, or Evaluations. "
            f"Received: {found or 'none'}"
        )
    first = answers[0]
    for other in answers[1:]:
        if tuple(other.class_names) != tuple(first.class_names):
            raise ValueError(
                "`answers` must be of models with the same classes in the same order. Received: "
                f"{_difference(first.class_names, other.class_names)}"
            )
    shares = _shares(weights, len(answers))
    return (_prediction if kinds == {VideoPrediction} else _evaluation)(answers, shares)


def _prediction(predictions, shares):
    first = predictions[0]
    names = [prediction.path for prediction in predictions]
    if len(set(names)) > 1:
        raise ValueError(f"`answers` must be of one video. Received: {', '.join(names)}")
    times = [prediction.clip_times for prediction in predictions]
    if all(np.array_equal(each, times[0]) for each in times):
        rows, span = [prediction.clip_probabilities for prediction in predictions], times[0]
    else:
        rows = [prediction.probabilities[None] for prediction in predictions]
        span = np.array([[min(t.min() for t in times), max(t.max() for t in times)]])
    return dataclasses.replace(first, clip_probabilities=_mean(rows, shares), clip_times=span)


def _evaluation(evaluations, shares):
    names = [{name: i for i, name in enumerate(_names(each))} for each in evaluations]
    asked = [{*own, *each.failures} for own, each in zip(names, evaluations, strict=True)]
    if any(each != asked[0] for each in asked):
        counts = ", ".join(f"{len(each)} videos" for each in asked)
        raise ValueError(
            f"`answers` must be evaluations of the same videos. Received: {counts}, not the same"
        )
    # Of a video that one of them could not read, there is no answer of all.
    common = [name for name in names[0] if all(name in own for own in names)]
    places = [[own[name] for name in common] for own in names]
    labels = [each.labels[rows] for rows, each in zip(places, evaluations, strict=True)]
    if any((each != labels[0]).any() for each in labels):
        raise ValueError("`answers` must have one label of each video. Received: others of some")
    parts = [each.probabilities[rows] for rows, each in zip(places, evaluations, strict=True)]
    fused = dataclasses.replace(
        evaluations[0],
        labels=labels[0],
        probabilities=_mean(parts, shares),
        clips=len(common),
        protocol={
            "name": "late fusion",
            "source": "Simonyan & Zisserman, NIPS 2014",
            "weights": shares,
            "averaging": "softmax probabilities of videos over models",
            "models": [each.protocol for each in evaluations],
        },
        paths=tuple(evaluations[0].paths[i] for i in places[0]),
        failures={name: why for each in evaluations for name, why in each.failures.items()},
        videos=tuple(evaluations[0].videos[i] for i in places[0]) if evaluations[0].videos else (),
    )
    return dataclasses.replace(fused, clip1=fused.video1)


def _names(evaluation):
    return tuple(video.name for video in evaluation.videos) or evaluation.paths


def _mean(parts, shares):
    return sum(share * part for share, part in zip(shares, parts, strict=True))


def _shares(weights, count):
    """Weights that sum up to 1."""
    weights = [1] * count if weights is None else list(weights)
    real = all(isinstance(each, numbers.Real) and 0 <= each < math.inf for each in weights)
    if not real or len(weights) != count or not sum(weights):
        raise ValueError(
            f"`weights` must hold {count} numbers, none negative and not all zero. "
            f"Received: weights={weights!r}"
        )
    return [float(each / sum(weights)) for each in weights]


def _difference(names, others):
    if len(names) != len(others):
        return f"{len(names)} and {len(others)} classes"
    one, other = next(pair for pair in zip(names, others, strict=True) if pair[0] != pair[1])
    return f"{one!r} and {other!r} in the same place"
