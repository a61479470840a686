"""A video explained: where the network looks in it, and what its gates do meanwhile."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.explain.gates import ClassGates, stc_gates
from keras_stc.explain.grad_cam import feature_layer, grad_cam, upsampled
from keras_stc.explain.sanity import PARTS, randomized, rank_correlation
from keras_stc.layers.stc import stc_blocks
from keras_stc.predict import class_names, classify, model_config

if TYPE_CHECKING:
    import keras

    from keras_stc.data.sets.video import Video

#: Clips that gates are followed through, spread evenly, overlapping where the video is short.
GATE_CLIPS = 16


@dataclasses.dataclass(frozen=True)
class VideoExplanation:
    """Why a network sees a class in a video.

    Attributes:
        path: Of the video.
        label: Name of the class that is explained.
        probabilities: `{class name: probability}` of the best five, over the clips shown.
        layer: Name of the layer whose features were looked at.
        map_size: `(T', H', W')`: positions that it tells apart.
        clips: uint8 `(N, T, H, W, 3)`.
        clip_times: `(N, 2)`: start and end of each clip in seconds.
        maps: float32 `(N, T, H, W)`, 0 to 1: Grad-CAM, 1 where the class is seen most.
        checks: `{part of the network: rank correlation}` of the maps with those of a network of
            which that part was shuffled; near 0 or below where maps show what was learned.
        random_maps: Maps of the wholly shuffled network, as `maps`; `None` without the check.
        gates: `{block: {branch: array (clips, C)}}` over time; empty of a network without STC.
        gate_times: Array `(clips,)`: the middle of each in seconds.
        class_gates: A `ClassGates` to compare with, or `None`.
    """

    path: str
    label: str
    probabilities: dict
    layer: str
    map_size: tuple
    clips: np.ndarray
    clip_times: np.ndarray
    maps: np.ndarray
    checks: dict
    random_maps: np.ndarray | None
    gates: dict
    gate_times: np.ndarray
    class_gates: object = None

    def _repr_html_(self):
        """What a notebook shows."""
        from keras_stc.explain.view import explanation_view
        from keras_stc.report.render import render

        return render("explanation_fragment.html", view=explanation_view(self))


def explain_video(
    model: keras.Model,
    video: str | os.PathLike[str] | Video,
    label: str | None = None,
    layer: str | None = None,
    max_clips: int = 3,
    check: bool = True,
    compare_with: ClassGates | None = None,
) -> VideoExplanation:
    """Explains what a network sees in a video.

    Example:

    ```python
    explanation = keras_stc.explain.explain_video(model, "x.mp4")
    explanation.maps  # in a notebook, the explanation itself shows frames and gates
    ```

    Args:
        model: A `keras_stc.VideoModel` with a classifier.
        video: Path of a video, or a `keras_stc.data.Video`.
        label: Name of the class to explain; `None` for the most probable one.
        layer: Name of a layer, as `feature_layer` takes it.
        max_clips: Clips to look at, spread evenly over the video.
        check: Whether to compare with networks whose weights are shuffled.
        compare_with: A `ClassGates`, from `class_gates`, to hold the video's gates against.

    Returns:
        A `VideoExplanation`.

    Raises:
        ValueError: If there is no such class or layer, or the model has no classifier.
        VideoError: If the video cannot be read.
    """
    from keras_stc.data.clips.whole_video import video_clips

    config, names = model_config(model), class_names(model)
    if label is not None and label not in names:
        raise ValueError(f"`label` must be a class of the model. {_likely(label, names)}")
    end = feature_layer(model, layer)
    batches = list(video_clips(video, config, max_clips=max_clips))
    clips, _, starts, ends = (np.concatenate(part) for part in zip(*batches, strict=True))
    probabilities = np.mean([classify(model, clip[None])[0] for clip in clips], axis=0)
    best = np.argsort(-probabilities, kind="stable")[:5]
    place = names.index(label) if label is not None else int(best[0])
    raw = grad_cam(model, clips, place, end.name)
    maps = _shown(raw, clips)
    checks, random_maps = {}, None
    for part in PARTS if check else ():
        other = grad_cam(randomized(model, part), clips, place, end.name)
        checks[part] = rank_correlation(raw, other)
        random_maps = _shown(other, clips)
    gates, times = {}, np.empty(0)
    if stc_blocks(model):
        found = list(video_clips(video, config, uniform=GATE_CLIPS, batch_size=4))
        many, _, first, last = (np.concatenate(part) for part in zip(*found, strict=True))
        gates, times = stc_gates(model, many), (first + last) / 2
    return VideoExplanation(
        path=str(getattr(video, "path", video)),
        label=names[place],
        probabilities={names[i]: float(probabilities[i]) for i in (*best, place)},
        layer=end.name,
        map_size=raw.shape[1:],
        clips=clips,
        clip_times=np.stack([starts, ends], axis=1),
        maps=maps,
        checks=checks,
        random_maps=random_maps,
        gates=gates,
        gate_times=times,
        class_gates=compare_with,
    )


def _shown(maps, clips):
    """At the clips' resolution, over all clips of the video 1 at most."""
    maps = upsampled(maps, clips.shape[1:4])
    return maps / max(float(maps.max()), np.finfo("float32").tiny)


def _likely(label, names):
    import difflib

    near = difflib.get_close_matches(label, names, 3, cutoff=0.4) or names[:3]
    return f"Received: {label!r}; there are {', '.join(near)} ({len(names)} in all)"
