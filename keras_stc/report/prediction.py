"""A prediction as a page shows it: the best classes, and each of them over time."""

from typing import Any

from keras_stc.report.charts import line_chart
from keras_stc.report.pictures import read_strip, strip

#: Classes that are listed, and those that are drawn over time.
LISTED, DRAWN = 5, 4

#: Probability that a class reaches somewhere, to be drawn.
SEEN = 0.02


def prediction_view(prediction, frames: Any = True, label=None):
    """What the template of a prediction shows.

    Args:
        prediction: A `keras_stc.VideoPrediction`.
        frames: Frames to show, uint8 `(T, H, W, 3)`; `True` reads some, `False` shows none.
        label: What the video shows, where that is known.

    Returns:
        A dictionary.
    """
    from keras_stc.data import VideoError

    reason = None
    if frames is True:
        try:
            frames = read_strip(prediction.video or prediction.path)
        except VideoError as error:
            frames, reason = False, str(error)
    return {
        "path": prediction.path,
        "label": label,
        "top": prediction.top(LISTED),
        "clips": len(prediction.clip_times),
        "seconds": float(prediction.clip_times.max()),
        "timeline": timeline_chart(prediction),
        "changes": changes(prediction),
        "frames": [] if frames is False else strip(frames),
        "reason": reason,
    }


def timeline_chart(prediction):
    """The best classes' probabilities over time; empty of a single clip."""
    if len(prediction.clip_times) < 2:
        return ""
    middles = prediction.clip_times.mean(axis=1)
    places = {name: i for i, name in enumerate(prediction.class_names)}
    columns = {name: prediction.clip_probabilities[:, places[name]] for name in _drawn(prediction)}
    lines = {
        name: list(zip(middles.tolist(), column.tolist(), strict=True))
        for name, column in list(columns.items())[:DRAWN]
        if column.max() >= SEEN
    }
    return line_chart(lines, "Probabilities over time", "second", shares=True)


def changes(prediction):
    """Neighbouring clips that show the same, put together: `(start, end, label, probability)`."""
    stretches = []
    for clip in prediction.timeline:
        if stretches and stretches[-1]["label"] == clip.label:
            stretches[-1]["end"] = clip.end
            stretches[-1]["each"].append(clip.probability)
        else:
            each = {"start": clip.start, "end": clip.end, "label": clip.label}
            stretches.append({**each, "each": [clip.probability]})
    for row in stretches:
        row["probability"] = sum(row["each"]) / len(row.pop("each"))
    return stretches


def _drawn(prediction):
    """The best classes of the video, and then those that are the best of some clip."""
    best = [name for name, _ in prediction.top(2)]
    somewhere = sorted(prediction.timeline, key=lambda clip: -clip.probability)
    others = [clip.label for clip in somewhere] + [name for name, _ in prediction.top(DRAWN)]
    return dict.fromkeys(best + others)
