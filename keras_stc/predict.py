"""A file to labels: all clips of a video, their probabilities averaged."""

import collections
import dataclasses
import os

import numpy as np

from keras_stc.models.classifier import ends_in_softmax


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
    class_names: tuple
    clip_probabilities: np.ndarray
    clip_times: np.ndarray
    video: object = None

    @property
    def probabilities(self):
        """Array `(classes,)`: the mean over the clips (paper, section 4.2)."""
        return self.clip_probabilities.mean(axis=0)

    def top(self, k=5):
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
    def timeline(self):
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


def predict_video(model, video, batch_size=None, max_clips=None):
    """Classifies a whole video.

    Non-overlapping clips cover it from start to end, each cropped at its centre; their softmax
    probabilities are averaged (paper, section 4.2). Memory holds one batch of clips at a time.

    Example:

    ```python
    model = keras_stc.load_model("runs/a")
    keras_stc.predict_video(model, "x.mp4").top(5)
    ```

    Args:
        model: A `keras_stc.VideoModel` with a classifier.
        video: Path of a video, or a `keras_stc.data.Video`.
        batch_size: Clips in a batch; by default 8, or fewer of large clips.
        max_clips: Most clips to look at, spread evenly; `None` for all.

    Returns:
        A `VideoPrediction`.

    Raises:
        ValueError: If the model carries no `video_config` or has no classifier.
        VideoError: If the video cannot be read.
    """
    (prediction,) = predict_videos(model, [video], batch_size, max_clips)
    if isinstance(prediction, ValueError):
        raise prediction
    return prediction


def predict_videos(model, videos, batch_size=None, max_clips=None):
    """Classifies whole videos, one after the other, as `predict_video` does.

    Clips of several videos share a batch, and the next videos are decoded while the model works:
    many short videos take hardly longer than one that is as long as all of them.

    Example:

    ```python
    for prediction in keras_stc.predict_videos(model, ["a.mp4", "b.mp4"]):
        print(prediction if isinstance(prediction, ValueError) else prediction.top(1))
    ```

    Args:
        model: See `predict_video`.
        videos: A list of paths or of `keras_stc.data.Video`s.
        batch_size: See `predict_video`.
        max_clips: See `predict_video`.

    Yields:
        For each video, in order and as soon as it is known, a `VideoPrediction`; or the
        `VideoError` because of which there is none.

    Raises:
        ValueError: If the model carries no `video_config` or has no classifier, or `videos` is a
            single one.
    """
    from keras_stc.data import Video, VideoError
    from keras_stc.data.clips.whole_video import shared_batches

    if isinstance(videos, (str, bytes, os.PathLike)):
        raise ValueError(
            "`videos` must be a list of videos; `predict_video` takes a single one. "
            f"Received: videos={videos!r}"
        )
    videos = list(videos)
    config, names = model_config(model), class_names(model)
    batch_size = batch_size or _batch_size(config)
    ends, rows, following = {}, collections.defaultdict(list), 0
    for batch in shared_batches(videos, config, batch_size=batch_size, max_clips=max_clips):
        ends.update(batch.ended)
        if batch.clips is not None:
            clips = batch.clips
            probabilities = classify(model, clips.clips)
            for i, *row in zip(batch.owners, probabilities, clips.start, clips.end, strict=True):
                rows[i].append(row)
        # A video may end with this batch, or be known to have ended while clips of it are to come.
        while following in ends:
            end = ends[following]
            if not isinstance(end, VideoError):
                if len(rows[following]) < end:
                    break
                probabilities, starts, stops = zip(*rows.pop(following), strict=True)
                video = videos[following]
                end = VideoPrediction(
                    path=os.fspath(getattr(video, "path", video)),
                    class_names=names,
                    clip_probabilities=np.stack(probabilities),
                    clip_times=np.stack([starts, stops], axis=1),
                    video=video if isinstance(video, Video) else None,
                )
            following += 1
            yield end


def classify(model, clips):
    """Softmax probabilities of a batch of clips, of a classifier with softmax or with logits.

    Args:
        model: A `keras_stc.VideoModel` with a classifier.
        clips: `(B, T, H, W, 3)`, RGB 0-255.

    Returns:
        float32 array `(B, classes)`.
    """
    outputs = np.asarray(model.predict_on_batch(clips), dtype="float32")
    if ends_in_softmax(model):
        return outputs
    # Logits: the softmax in a form that does not overflow.
    outputs = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return outputs / outputs.sum(axis=-1, keepdims=True)


def model_config(model):
    """The `video_config` of a model that can classify, or a `ValueError` that says what lacks."""
    config = getattr(model, "video_config", None)
    if config is None:
        raise ValueError(
            "`model` must carry a video_config, which says how to feed it; models that keras_stc "
            f"builds do. Received: a {type(model).__name__} without one"
        )
    has_top = (getattr(model, "architecture", None) or {}).get("include_top", True)
    if len(model.output_shape) != 2 or not has_top:
        raise ValueError(
            "`model` must have a classifier (include_top=True). "
            f"Received: a model with outputs of shape {model.output_shape}"
        )
    ends_in_softmax(model)
    return config


def class_names(model):
    """Names of a model's classes; numbers where it carries none."""
    names = model.video_config.class_names
    return names or tuple(f"class {i}" for i in range(model.output_shape[-1]))


def _batch_size(config):
    """8 clips, or as many as have the pixels of 8 clips of 32 frames at 112x112, at least one."""
    frames, height, width, _ = config.clip_shape
    return max(1, min(8, 8 * 32 * 112 * 112 // (frames * height * width)))
