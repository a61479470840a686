"""A video explained: where the network looks in it, and what its gates do meanwhile."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.checks import did_you_mean
from keras_stc.explain.gates import ClassGates, gates_of
from keras_stc.explain.grad_cam import GradCAM, feature_layer, upsampled
from keras_stc.explain.sanity import PARTS, randomized, rank_correlation
from keras_stc.layers.stc import stc_blocks
from keras_stc.predict import class_names, classify, model_config

if TYPE_CHECKING:
    import keras

    from keras_stc.data import VideoError
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
    probabilities: dict[str, float]
    layer: str
    map_size: tuple[int, int, int]
    clips: np.ndarray
    clip_times: np.ndarray
    maps: np.ndarray
    checks: dict[str, float]
    random_maps: np.ndarray | None
    gates: dict[str, dict[str, np.ndarray]]
    gate_times: np.ndarray
    class_gates: ClassGates | None = None

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
    gates: bool = True,
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
        gates: Whether to look at the gates of STC blocks, which takes clips of their own.

    Returns:
        A `VideoExplanation`.

    Raises:
        ValueError: If there is no such class or layer, or the model has no classifier.
        VideoError: If the video cannot be read.
    """
    (explanation,) = explain_videos(
        model, [video], label, layer, max_clips, check, compare_with, gates
    )
    if isinstance(explanation, ValueError):
        raise explanation
    return explanation


def explain_videos(
    model: keras.Model,
    videos: Iterable[str | os.PathLike[str] | Video],
    label: str | None = None,
    layer: str | None = None,
    max_clips: int = 3,
    check: bool = True,
    compare_with: ClassGates | None = None,
    gates: bool = True,
) -> Iterator[VideoExplanation | VideoError]:
    """Explains what a network sees in videos, one after the other, as `explain_video` does.

    The shuffled networks are made once.

    Example:

    ```python
    for explanation in keras_stc.explain.explain_videos(model, ["a.mp4", "b.mp4"]):
        print(explanation if isinstance(explanation, ValueError) else explanation.label)
    ```

    Args:
        videos: A list of paths or of `keras_stc.data.Video`s.

    The other arguments are those of `explain_video`.

    Yields:
        For each video, in order, a `VideoExplanation`; or the `VideoError` because of which there
        is none.

    Raises:
        ValueError: See `explain_video`.
    """
    from keras_stc.data import VideoError

    config, names = model_config(model), class_names(model)
    config.check_rgb()
    if label is not None and label not in names:
        raise ValueError(
            f"`label` must be one of the model's {len(names)} classes, such as {names[0]!r}."
            f"{did_you_mean(label, names)} Received: {label!r}"
        )
    end = feature_layer(model, layer)
    cam = GradCAM(model, end.name)
    shuffled, gates_in = {}, gates_of(model) if gates and stc_blocks(model) else None
    for video in videos:
        try:
            clips, times = _clips(video, config, max_clips=max_clips)
            found, gate_times = {}, np.empty(0)
            if gates_in is not None:
                many, spans = _clips(video, config, uniform=GATE_CLIPS, batch_size=4)
                found, gate_times = gates_in(many), spans.mean(axis=1)
        except VideoError as error:
            yield error
            continue
        if check and not shuffled:  # not before there is a video that can be read
            shuffled = {part: GradCAM(randomized(model, part), end.name) for part in PARTS}
        probabilities = np.mean([classify(model, clip[None])[0] for clip in clips], axis=0)
        best = np.argsort(-probabilities, kind="stable")[:5]
        place = names.index(label) if label is not None else int(best[0])
        raw = cam(clips, place)
        others = {part: grad_cam(clips, place) for part, grad_cam in shuffled.items()}
        yield VideoExplanation(
            path=str(getattr(video, "path", video)),
            label=names[place],
            probabilities={names[i]: float(probabilities[i]) for i in (*best, place)},
            layer=end.name,
            map_size=raw.shape[1:],
            clips=clips,
            clip_times=times,
            maps=_shown(raw, clips),
            checks={part: rank_correlation(raw, other) for part, other in others.items()},
            random_maps=_shown(others[PARTS[-1]], clips) if check else None,
            gates=found,
            gate_times=gate_times,
            class_gates=compare_with,
        )


def _clips(video, config, **options):
    """Clips of a video, `(N, T, H, W, 3)`, and where they start and end in seconds, `(N, 2)`."""
    from keras_stc.data.clips.whole_video import video_clips

    batches = list(video_clips(video, config, **options))
    clips, _, starts, ends = (np.concatenate(part) for part in zip(*batches, strict=True))
    return clips, np.stack([starts, ends], axis=1)


def _shown(maps, clips):
    """At the clips' resolution, over all clips of the video 1 at most."""
    maps = upsampled(maps, clips.shape[1:4])
    return maps / max(float(maps.max()), np.finfo("float32").tiny)
