"""`evaluate_videos`: a classifier on all clips of videos, averaged by video."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_stc.checks import one_of
from keras_stc.evaluation.partial import Partial, fingerprint
from keras_stc.evaluation.protocol import PROTOCOLS
from keras_stc.evaluation.result import Evaluation
from keras_stc.predict import class_names, classify, model_config
from keras_stc.predict.classify import network_for

if TYPE_CHECKING:
    import keras

    from keras_stc.data.sets.video import Video


def evaluate_videos(
    model: keras.Model,
    videos: Sequence[Video],
    batch_size: int = 8,
    max_clips: int | None = None,
    progress: Callable[[int], object] | None = None,
    *,
    protocol: str = "paper",
    partial: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Evaluates a model on whole videos.

    By default each video is covered by non-overlapping clips, cropped at the centre; the softmax
    probabilities of its clips are averaged (paper, section 4.2). Videos that cannot be read do
    not count and are listed in the result. Memory holds some batches of clips, however many
    videos there are.

    Example:

    ```python
    test = keras_stc.data.VideoFolder("videos/test")
    print(keras_stc.evaluate_videos(model, test))
    ```

    Args:
        model: A `keras_stc.VideoModel` with a classifier.
        videos: A `keras_stc.data.VideoSet` with labels, its classes in the model's order; or a list
            of `Video`s.
        batch_size: Clips in a batch.
        max_clips: Most clips of one video, spread evenly; `None` for all.
        protocol: `"paper"`, or `"30-views"`: ten clips spread evenly over the video and three
            crops of each, as SlowFast and its successors test.
        partial: Path of a file that keeps what has been measured until all is; with the same
            file, an evaluation that was killed goes on. `None` keeps nothing.
        progress: Called with the number of videos done, after each; `None` for silence.

    Returns:
        An `Evaluation`.

    Raises:
        ValueError: If the classes differ from the model's, a video has no label, or there is no
            such protocol.
        VideoError: If more than half of the videos cannot be read.
    """
    from keras_stc.data import Quarantine, VideoError, VideoSet
    from keras_stc.data.clips.whole_video import shared_batches
    from keras_stc.data.sets.video import checked_videos

    config = model_config(model)
    names = class_names(model)
    if not isinstance(videos, VideoSet):
        videos = VideoSet(checked_videos(videos), names)
    _check_classes(config.class_names, videos, len(names))
    views = _check_protocol(protocol, max_clips, config)
    described = views.describe(config, max_clips)
    quarantine = Quarantine()
    quarantine.watch(video.name for video in videos)

    sums = np.zeros((len(videos), len(names)))
    counts, right = np.zeros((2, len(videos)), dtype="int64")
    labels = np.array([video.label for video in videos])
    measured = Partial(partial, fingerprint(model, videos, described) if partial else None)
    for i, figures in measured.done.items():
        counts[i], right[i], sums[i] = figures
    # How many clips a video has is known when its last one is decoded.
    totals, begun = {}, set()
    options = {"max_clips": max_clips, "uniform": views.clips, "crops": views.crops}
    left = [i for i in range(len(videos)) if i not in measured.done]
    network = network_for(model, len(left))
    numbers = itertools.count(1)
    report = (lambda: None) if progress is None else lambda: progress(next(numbers))
    try:
        for _ in measured.done:
            report()
        for owners, clips, ended in shared_batches(
            [videos[i] for i in left], config, batch_size=batch_size, **options
        ):
            for place, end in ended.items():
                if isinstance(end, VideoError):
                    quarantine.add(videos[left[place]].name, end)
                else:
                    totals[left[place]] = end
                report()
            if clips is not None:
                owners = np.array(left)[owners]
                probabilities = classify(network, clips.clips)
                np.add.at(sums, owners, probabilities)
                np.add.at(counts, owners, 1)
                np.add.at(right, owners, probabilities.argmax(axis=1) == labels[owners])
                begun.update(owners.tolist())
            for i in [i for i in begun if counts[i] == totals.get(i)]:
                begun.remove(i)
                measured.add(i, counts[i], right[i], sums[i])
        measured.finish()
    finally:
        measured.close()

    # A video that broke off in the middle is bad, not short.
    good = [i for i, video in enumerate(videos) if counts[i] and video.name not in quarantine]
    clips = int(counts[good].sum())
    return Evaluation(
        class_names=names,
        labels=labels[good],
        probabilities=sums[good] / counts[good, None],
        clip1=int(right[good].sum()) / max(1, clips),
        clips=clips,
        protocol=described,
        paths=tuple(videos[i].path for i in good),
        failures=quarantine.reasons,
        videos=tuple(videos[i] for i in good),
    )


def _check_protocol(name, max_clips, config):
    one_of(PROTOCOLS, protocol=name)
    protocol = PROTOCOLS[name]
    if protocol.clips and max_clips is not None:
        raise ValueError(
            f"`max_clips` must be None with the protocol {name!r}, which has {protocol.clips} "
            f"clips. Received: max_clips={max_clips!r}"
        )
    if protocol.crops > 1 and config.crop[0] != config.crop[1]:
        raise ValueError(
            f"`protocol` {name!r} must be used with square crops. Received: crop={config.crop}"
        )
    return protocol


def _check_classes(names, videos, classes):
    if names is not None and videos.class_names and tuple(videos.class_names) != tuple(names):
        unknown = [name for name in videos.class_names if name not in names]
        fault = "they are in another order"
        if unknown:
            fault = f"the model does not know {unknown[0]!r}"
        raise ValueError(
            f"`videos` must have the model's {len(names)} classes in its order, but {fault}: read "
            "them with class_names=model.video_config.class_names."
        )
    if not len(videos):
        raise ValueError("`videos` must hold at least one video. Received: none")
    for video in videos:
        if video.label is None or not 0 <= video.label < classes:
            raise ValueError(
                f"`videos` must have a label between 0 and {classes - 1} each. "
                f"Received: label {video.label} of {video.path}"
            )
