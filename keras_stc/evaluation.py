"""Accuracy by clip and by video, under a protocol that is written into the result."""

import dataclasses
import queue
import threading

import numpy as np

from keras_stc.predict import class_names, classify, model_config


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Accuracies of a model on labelled videos.

    Attributes:
        class_names: Names of the classes.
        labels: Array `(V,)`: the label of each video that could be read.
        probabilities: Array `(V, classes)`: the mean over each video's clips.
        clip1: Share of clips whose most probable class is right.
        clips: Number of clips.
        protocol: What was done, as a dictionary: clip length, stride, crop, averaging.
        paths: Path of each video.
        failures: `{path: reason}` of videos that could not be read and do not count.
    """

    class_names: tuple
    labels: np.ndarray
    probabilities: np.ndarray
    clip1: float
    clips: int
    protocol: dict
    paths: tuple
    failures: dict

    @property
    def video1(self):
        """Share of videos whose most probable class is right."""
        return self._video_accuracy(1)

    @property
    def video5(self):
        """Share of videos whose class is among the five most probable."""
        return self._video_accuracy(5)

    @property
    def confusion(self):
        """Integer array `(classes, classes)`: rows are labels, columns predictions."""
        matrix = np.zeros((len(self.class_names),) * 2, dtype="int64")
        np.add.at(matrix, (self.labels, self.probabilities.argmax(axis=1)), 1)
        return matrix

    @property
    def per_class(self):
        """`{class name: share of its videos that are right}`; NaN for a class without videos."""
        matrix = self.confusion
        with np.errstate(invalid="ignore"):
            accuracy = matrix.diagonal() / matrix.sum(axis=1)
        return dict(zip(self.class_names, accuracy.tolist(), strict=True))

    def _video_accuracy(self, k):
        best = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return float((best == self.labels[:, None]).any(axis=1).mean())

    def to_dict(self):
        """Plain JSON types."""
        return {
            "protocol": self.protocol,
            "videos": len(self.labels),
            "clips": self.clips,
            "clip@1": self.clip1,
            "video@1": self.video1,
            "video@5": self.video5,
            "per_class": {k: None if v != v else v for k, v in self.per_class.items()},
            "class_names": list(self.class_names),
            "confusion": self.confusion.tolist(),
            "failures": self.failures,
        }

    def __str__(self):
        return (
            f"clip@1 {self.clip1:.1%}, video@1 {self.video1:.1%}, video@5 {self.video5:.1%} "
            f"({len(self.labels)} videos, {self.clips} clips)"
        )


def evaluate_videos(model, videos, batch_size=8, max_clips=None, progress=None):
    """Evaluates a model on whole videos.

    Each video is covered by non-overlapping clips, cropped at the centre; the softmax
    probabilities of its clips are averaged (paper, section 4.2). Videos that cannot be read do
    not count and are listed in the result.

    Example:

    ```python
    test = keras_stc.data.VideoFolder("videos/test")
    print(keras_stc.evaluate_videos(model, test))
    ```

    Args:
        model: A `keras_stc.VideoModel` with a classifier.
        videos: A `keras_stc.data.VideoSet` with labels, its classes in the model's order.
        batch_size: Clips in a batch.
        max_clips: Most clips of one video, spread evenly; `None` for all.
        progress: Called with the number of videos done, after each; `None` for silence.

    Returns:
        An `Evaluation`.

    Raises:
        ValueError: If the classes differ from the model's, or a video has no label.
        VideoError: If more than half of the videos cannot be read.
    """
    from keras_stc.data import Quarantine

    config = model_config(model)
    names = class_names(model)
    _check_classes(config.class_names, videos, len(names))
    quarantine = Quarantine()
    quarantine.watch(video.path for video in videos)

    sums = np.zeros((len(videos), len(names)))
    counts, right = np.zeros((2, len(videos)), dtype="int64")
    labels = np.array([video.label for video in videos])
    for owners, clips in _clip_batches(videos, config, batch_size, max_clips, quarantine, progress):
        probabilities = classify(model, clips)
        np.add.at(sums, owners, probabilities)
        np.add.at(counts, owners, 1)
        np.add.at(right, owners, probabilities.argmax(axis=1) == labels[owners])

    # A video that broke off in the middle is bad, not short.
    kept = [i for i, video in enumerate(videos) if counts[i] and video.path not in quarantine]
    clips = int(counts[kept].sum())
    return Evaluation(
        class_names=names,
        labels=labels[kept],
        probabilities=sums[kept] / counts[kept, None],
        clip1=int(right[kept].sum()) / max(1, clips),
        clips=clips,
        protocol={
            "frames": config.frames,
            "stride": config.stride,
            "resize": config.resize,
            "crop": list(config.crop),
            "crop_position": "centre",
            "clips_per_video": "all, non-overlapping" if max_clips is None else max_clips,
            "averaging": "softmax probabilities over clips",
        },
        paths=tuple(videos[i].path for i in kept),
        failures=quarantine.reasons,
    )


def _clip_batches(videos, config, batch_size, max_clips, quarantine, progress):
    """Full batches `(owners, clips)` across videos, decoded while the model works."""
    from keras_stc.data import VideoError, video_clips

    ready = queue.Queue(maxsize=4)
    stop = threading.Event()

    def put(item):
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def decode():
        owners, clips = [], []
        try:
            for i, video in enumerate(videos):
                try:
                    for batch in video_clips(
                        video, config, batch_size=batch_size, max_clips=max_clips
                    ):
                        owners += [i] * len(batch.clips)
                        clips += list(batch.clips)
                        while len(clips) >= batch_size:
                            put((np.array(owners[:batch_size]), np.stack(clips[:batch_size])))
                            del owners[:batch_size], clips[:batch_size]
                        if stop.is_set():
                            return
                except VideoError as error:
                    quarantine.add(video.path, error)
                if progress is not None:
                    progress(i + 1)
            if clips:
                put((np.array(owners), np.stack(clips)))
            put(None)
        except BaseException as error:  # Handed over to whoever consumes.
            put(error)

    thread = threading.Thread(target=decode, daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def _check_classes(names, videos, classes):
    if names is not None and videos.class_names and tuple(videos.class_names) != tuple(names):
        unknown = [name for name in videos.class_names if name not in names]
        what = f"the model does not know {unknown[0]!r}" if unknown else "they are in another order"
        raise ValueError(
            f"`videos` must have the model's {len(names)} classes in its order, but {what}: read "
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
