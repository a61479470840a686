"""Videos to a `tf.data.Dataset` of clips."""

import contextlib

import numpy as np

from keras_stc.data.clips import sampling
from keras_stc.data.clips.plan import (
    Epochs,
    check_share,
    planned,
    renamed_share,
    share_positions,
)
from keras_stc.data.clips.prefetch import prefetched
from keras_stc.data.clips.quarantine import Quarantine
from keras_stc.data.cores import available_cores
from keras_stc.data.errors import VideoError
from keras_stc.data.geometry import evaluation_geometry, generator, training_geometry
from keras_stc.data.sets.sources import checked_videos
from keras_stc.data.video.isolated import open_isolated
from keras_stc.data.video.open import check_decoder, open_video
from keras_stc.data.video.shard import clip_of_jpegs, is_packed_video, open_shard
from keras_stc.video_config import VideoConfig

#: Videos whose clips are mixed with one another where several are cut from one decoding.
MIXED_VIDEOS = 16


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
    first_batch=0,
    share=(0, 1),
    drop_remainder=False,
    quarantine=None,
    num_parallel_calls=None,
    prefetch=2,
    fps=None,
    clips_per_decode=1,
    decoder="pyav",
    isolate=True,
    shard=None,
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

    Videos in packed shards are read several times as fast as video files, most of all where
    `resize` is the short side they were packed at.

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
        batch_size: Clips in a batch, those of all shares together.
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
        first_batch: Number of the batch with which every iteration begins: the dataset is the rest
            of an epoch, and nothing before it is decoded.
        share: `(index, count)`: of every batch, only part number `index` of `count` equal ones.
            Together the `count` datasets have the clips of the one with `(0, 1)`. A last batch that
            is not full is divided as evenly as it can be.
        drop_remainder: Whether a last batch that is not full is left out.
        quarantine: A `Quarantine` to share, or `None` for a new one.
        num_parallel_calls: Clips decoded at a time. Defaults to the number of processor cores.
        prefetch: Batches made in advance.
        fps: Frames of a clip per second of video; replaces `stride`.
        clips_per_decode: Clips that are cut out of a video each time it is decoded; divides
            `clips_per_video`. Decoding costs less so, and clips of one video lie closer together:
            in training they share crop and mirroring and are mixed with those of fifteen other
            videos.
        decoder: What decodes video files; see `open_video`.
        isolate: Whether video files are decoded in helper processes, so that one that crashes or
            hangs its decoder is put aside like others that cannot be used.
        shard: The old name of `share`.

    Returns:
        A `tf.data.Dataset` of `(clips, labels)`: uint8 `(B, T, H, W, 3)`, RGB 0-255, and int32
        `(B,)`, -1 where a video has no label; with the attributes `batches`, their number in an
        epoch, `quarantine`, `set_epoch` and `video_config`.

    Raises:
        ValueError: If an argument is out of range.
        VideoError: If there are no videos, or no labels to train on.
    """
    import tensorflow as tf

    share = renamed_share(share, shard)
    config = video_config or VideoConfig(frames, stride, size, resize, fps=fps)
    for name, value in (("batch_size", batch_size), ("clips_per_video", clips_per_video)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value!r}")
    if clips_per_decode < 1 or clips_per_video % clips_per_decode:
        raise ValueError(
            "`clips_per_decode` must divide `clips_per_video`. Received: "
            f"clips_per_decode={clips_per_decode!r}, clips_per_video={clips_per_video!r}"
        )
    for name, value in (("seed", seed), ("first_epoch", first_epoch), ("first_batch", first_batch)):
        if value < 0:
            raise ValueError(f"`{name}` must not be negative. Received: {name}={value!r}")
    count = share[1]
    if clips_per_decode > 1 and (count > 1 or first_batch):
        raise ValueError(
            "`clips_per_decode` must be 1 where only a part of an epoch is decoded, by `share` or "
            f"`first_batch`. Received: clips_per_decode={clips_per_decode!r}"
        )
    check_share(share, batch_size)
    videos = checked_videos(videos)
    check_decoder(decoder)
    _check_videos(videos, training)
    shuffle = training if shuffle is None else shuffle
    quarantine = Quarantine() if quarantine is None else quarantine
    quarantine.watch(video.name for video in videos)

    def cut(rng):
        if not training:
            return evaluation_geometry(config.crop, config.resize)
        return training_geometry(
            config.crop,
            config.resize,
            rng,
            when_smaller=resize_when_smaller,
            flip=flip,
            multiscale=multiscale,
        )

    opened = open_isolated if isolate else open_video
    as_jpeg = clips_per_decode == 1 and not multiscale and _are_cut_alone(videos, cut)

    def read(video, numbers, rng):
        """What `sample` returns of a video, but for the label."""
        with opened(video.path, threads=1, decoder=decoder) as reader:
            first, count = video.frame_range(reader.info)
            step = config.step(reader.info.fps)
            if training:
                clips = [sampling.training_clip(count, config.frames, step, rng) for _ in numbers]
                clips.sort(key=lambda clip: clip[0])
            else:
                clips = sampling.uniform_clips(count, config.frames, step, clips_per_video)[numbers]
            geometry = cut(rng)
            if as_jpeg:
                info = reader.info
                window = np.int32([*geometry.window(info.height, info.width), *geometry.crop])
                jpegs = np.array(reader.encoded(first + clips[0]), object)
                return jpegs, window, np.bool_(geometry.flip)
            pixels = list(reader.clips([first + clip for clip in clips], geometry))
            return (pixels[0][None] if len(pixels) == 1 else np.stack(pixels),)

    def sample(epoch, position, chosen, number):
        """One row of the plan: clips, or what the graph makes one of; and their label."""
        numbers = np.arange(number, number + clips_per_decode)
        # A replacement draws the same random numbers, so that who comes first to a bad video makes
        # no difference.
        video, made = quarantine.first_usable(
            videos,
            chosen,
            lambda video: read(video, numbers, generator(seed, epoch, 1 + position)),
        )
        return *made, np.int32(-1 if video.label is None else video.label)

    def begin():
        """The next epoch: int64 `(N, 4)`, a row the arguments of `sample`."""
        epoch = epochs.take()
        order = np.arange(rows)
        if shuffle:
            order = generator(seed, epoch, 0).permutation(rows)
        chosen, number = np.divmod(order * clips_per_decode, clips_per_video)
        plan = np.stack([np.full(rows, epoch), np.arange(rows), chosen, number], axis=1)
        if clips_per_decode > 1:
            return plan
        return plan[positions[positions >= first_batch * batch_size]]

    def decoded(plan):
        """`(clips, labels)`, uint8 `(clips_per_decode, T, H, W, 3)` and int32."""
        types = (tf.string, tf.int32, tf.bool, tf.int32) if as_jpeg else (tf.uint8, tf.int32)
        *made, label = tf.numpy_function(lambda plan: sample(*map(int, plan)), [plan], types)
        clips = clip_of_jpegs(*made, config.frames)[None] if as_jpeg else made[0]
        clips = tf.ensure_shape(clips, (clips_per_decode, *config.clip_shape))
        return clips, tf.fill([clips_per_decode], tf.ensure_shape(label, ()))

    def shuffled(plan, count):
        epoch, position = plan[:2]
        return generator(seed, epoch, 1 + position, 0).permutation(count)

    def mixed(plans, clips, labels):
        """The clips of some videos, in an order that depends on seed and epoch alone."""
        clips, labels = (tf.reshape(x, (-1, *x.shape[2:])) for x in (clips, labels))
        order = tf.numpy_function(shuffled, [plans[0], tf.shape(labels)[0]], tf.int64)
        order = tf.ensure_shape(order, [None])
        return tf.gather(clips, order), tf.gather(labels, order)

    samples = len(videos) * clips_per_video
    rows = samples // clips_per_decode
    positions = share_positions(samples, batch_size, share, drop_remainder)
    epochs = Epochs(first_epoch)
    dataset = planned(begin, 4)
    options = {"num_parallel_calls": num_parallel_calls or available_cores(), "deterministic": True}
    if clips_per_decode == 1:
        # Each clip by itself, without the axis of clips: one copy less.
        dataset = dataset.map(lambda plan: tuple(x[0] for x in decoded(plan)), **options)
    elif shuffle:
        dataset = dataset.map(lambda plan: (plan, *decoded(plan)), **options)
        dataset = dataset.batch(MIXED_VIDEOS).map(mixed).unbatch()
    else:
        dataset = dataset.map(decoded, **options).unbatch()
    dataset = dataset.batch(batch_size // count, drop_remainder=drop_remainder)
    batches = len(np.unique(positions // batch_size))
    # Keras must know where an epoch ends: what it finds out by itself counts for all epochs.
    left = max(0, batches - first_batch)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(left))
    dataset = prefetched(dataset, prefetch)
    dataset.batches = batches
    dataset.quarantine = quarantine
    dataset.set_epoch = epochs.set
    dataset.video_config = config
    return dataset


def _are_cut_alone(videos, cut):
    """Whether videos are JPEG frames of which a geometry only cuts a part, without resizing."""
    if not all(is_packed_video(video.path) for video in videos):
        return False
    shards = {video.path.rpartition("#")[0] for video in videos}
    sizes = set()
    for shard in shards:
        with contextlib.suppress(VideoError):  # its videos are put aside when their turn comes
            sizes.update((video["height"], video["width"]) for video in open_shard(shard).videos)
    geometry = cut(np.random.default_rng(0))
    return all(geometry.frame_size(*size) == size for size in sizes)


def _check_videos(videos, training):
    if not videos:
        raise VideoError("`videos` holds no video; expected at least one.")
    for video in videos:
        if training and video.label is None:
            raise VideoError(f"{video.path} has no label; training needs one for every video.")
