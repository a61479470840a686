"""Videos to a `tf.data.Dataset` of clips; the only file here that needs TensorFlow."""

import itertools
import os

import numpy as np

from keras_stc.data import sampling, transforms
from keras_stc.data.decode import VideoReader
from keras_stc.data.errors import VideoError
from keras_stc.data.quarantine import Quarantine
from keras_stc.video_config import VideoConfig


def clip_dataset(
    videos,
    frames=16,
    stride=2,
    size=112,
    batch_size=8,
    *,
    training=False,
    video_config=None,
    resize=None,
    resize_when_smaller=False,
    flip=True,
    multiscale=False,
    clips_per_video=1,
    shuffle=None,
    seed=0,
    first_epoch=0,
    drop_remainder=False,
    quarantine=None,
    num_parallel_calls=None,
    prefetch=2,
):
    """Clips of videos, with labels, ready for `model.fit`, `evaluate` and `predict`.

    In training, a clip lies anywhere in its video and is cropped at one of five positions and
    mirrored at random; otherwise it is the centre clip with the centre crop (paper, section 4.2).

    The same arguments give the same clips, however many are decoded at once. Iteration number k
    over the dataset is epoch `first_epoch + k`, with an order and with clips of its own.
    `dataset.set_epoch(e)` makes the next iteration epoch e: call it at the start of every epoch
    where somebody else iterates too (`fit` looks at one batch before its first epoch).

    A video that cannot be used is replaced by the next one in the list that can, and put down in
    `dataset.quarantine`; with more than half of them bad, iterating fails with one sentence (see
    `find_video_error`).

    Example:

    ```python
    train, held_out = keras_stc.data.VideoFolder("actions").split(0.2)
    clips = keras_stc.data.clip_dataset(train, frames=16, stride=2, size=112, training=True)
    model.fit(clips, validation_data=keras_stc.data.clip_dataset(held_out))
    ```

    Args:
        videos: A `VideoSet`, or a list of `Video`s.
        frames: Frames in a clip.
        stride: Distance between two frames of a clip, in frames of the video.
        size: Side of the square crop in pixels, or `(height, width)`.
        batch_size: Clips in a batch.
        training: Whether clips and crops are random; needs labels.
        video_config: A model's `VideoConfig`; replaces `frames`, `stride`, `size`, `resize`.
        resize: Pixels on the frame's short side before the crop. Defaults to 122/112 of the
            crop's.
        resize_when_smaller: In training, whether larger frames keep their size.
        flip: In training, whether half of the clips are mirrored. Switch it off where left and
            right are the classes.
        multiscale: In training, Hara et al.'s multi-scale corner crop.
        clips_per_video: Clips of every video in an epoch; spread evenly where not in training.
        shuffle: Whether every epoch has a random order. Defaults to `training`.
        seed: A non-negative integer; chooses all that is random.
        first_epoch: Number of the first iteration, for a training that goes on.
        drop_remainder: Whether a last batch that is not full is left out.
        quarantine: A `Quarantine` to share, or `None` for a new one.
        num_parallel_calls: Clips decoded at a time. Defaults to the number of processor cores.
        prefetch: Batches made in advance.

    Returns:
        A `tf.data.Dataset` of `(clips, labels)`: uint8 `(B, T, H, W, 3)`, RGB 0-255, and int32
        `(B,)`, -1 where a video has no label; with a known number of batches, and the attributes
        `quarantine`, `set_epoch` and `video_config`.

    Raises:
        ValueError: If an argument is out of range.
        VideoError: If there are no videos, or no labels to train on.
    """
    import tensorflow as tf

    config = video_config or VideoConfig(frames, stride, size, resize)
    for name, value in (("batch_size", batch_size), ("clips_per_video", clips_per_video)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value!r}")
    if seed < 0 or first_epoch < 0:
        raise ValueError(
            "`seed` and `first_epoch` must not be negative. "
            f"Received: seed={seed!r}, first_epoch={first_epoch!r}"
        )
    videos = tuple(videos)
    _check_videos(videos, training)
    quarantine = Quarantine() if quarantine is None else quarantine
    quarantine.watch(video.path for video in videos)

    def cut(rng):
        if not training:
            return transforms.evaluation_geometry(config.crop, config.resize)
        return transforms.training_geometry(
            config.crop,
            config.resize,
            rng,
            when_smaller=resize_when_smaller,
            flip=flip,
            multiscale=multiscale,
        )

    def read(video, number, rng):
        with VideoReader(video.path, threads=1) as reader:
            first, count = video.frame_range(reader.info)
            if training:
                indices = sampling.training_clip(count, config.frames, config.stride, rng)
            else:
                indices = sampling.uniform_clips(
                    count, config.frames, config.stride, clips_per_video
                )[number]
            return reader.read(first + indices, cut(rng))

    def sample(epoch, position, chosen, number):
        for index in itertools.islice(itertools.cycle(range(len(videos))), chosen, None):
            video = videos[index]
            quarantine.check()
            if video.path in quarantine:
                continue
            try:
                # A replacement draws the same random numbers, so that who comes first to a bad
                # video makes no difference.
                clip = read(video, number, transforms.generator(seed, epoch, 1 + position))
            except VideoError as error:
                quarantine.add(video.path, error)
                continue
            return clip, np.int32(-1 if video.label is None else video.label)

    def begin():
        """The samples of the next epoch: int64 `(N, 4)`, the arguments of `sample`."""
        epoch = next(epochs.numbers)
        order = np.arange(samples)
        if training if shuffle is None else shuffle:
            order = transforms.generator(seed, epoch, 0).permutation(samples)
        chosen, number = np.divmod(order, clips_per_video)
        return np.stack([np.full(samples, epoch), np.arange(samples), chosen, number], axis=1)

    def shaped(plan):
        clip, label = tf.numpy_function(
            lambda plan: sample(*map(int, plan)), [plan], (tf.uint8, tf.int32)
        )
        return tf.ensure_shape(clip, config.clip_shape), tf.ensure_shape(label, ())

    samples = len(videos) * clips_per_video
    epochs = _Epochs(first_epoch)
    dataset = tf.data.Dataset.from_tensors(0)
    dataset = dataset.map(
        lambda _: tf.ensure_shape(tf.numpy_function(begin, [], tf.int64), (samples, 4))
    )
    dataset = dataset.flat_map(tf.data.Dataset.from_tensor_slices)
    dataset = dataset.map(
        shaped, num_parallel_calls=num_parallel_calls or _cores(), deterministic=True
    )
    dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
    batches = samples // batch_size if drop_remainder else -(-samples // batch_size)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    dataset = dataset.prefetch(prefetch)
    dataset.quarantine = quarantine
    dataset.set_epoch = epochs.set
    dataset.video_config = config
    return dataset


class _Epochs:
    """Counts iterations over a dataset."""

    def __init__(self, first):
        self.set(first)

    def set(self, epoch):
        """Makes the next iteration over the dataset epoch `epoch`."""
        self.numbers = itertools.count(epoch)


def _check_videos(videos, training):
    if not videos:
        raise VideoError("`videos` holds no video; expected at least one.")
    for video in videos:
        if training and video.label is None:
            raise VideoError(f"{video.path} has no label; training needs one for every video.")


def _cores():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
