"""Clips as a `keras.utils.PyDataset`, and augmentations, from folders of small pictures."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from test_same_samples import CONFIG, SMALL, TRAINING, write_pictures

from keras_stc.data import (
    ClipSequence,
    Crops,
    Geometry,
    RandomCrops,
    Video,
    clip_dataset,
    find_video_error,
)
from keras_stc.transfer import pair_dataset


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def clips(videos, **options):
    options = {"video_config": CONFIG, **TRAINING, **options}
    return clip_dataset(videos, **options)


def sequence(videos, **options):
    return clips(videos, backend="pydataset", **options)


def arrays(batches):
    return [tuple(map(np.asarray, batch)) for batch in batches]


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


class Seen(keras.Model):
    """A network that remembers the labels it was trained on, and learns nothing."""

    def __init__(self):
        super().__init__()
        self.labels = []
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, x):
        return keras.ops.mean(keras.ops.cast(x, "float32"), axis=(1, 2, 3)) * self.scale

    def train_on_labels(self, sequence, **options):
        """Labels of each epoch, in the order in which they came."""
        self.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
        self.compute_loss = self._loss
        self.fit(sequence, verbose=0, **options)
        return self.labels

    def _loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if len(getattr(y, "shape", ())) and not isinstance(y, keras.KerasTensor):
            self.labels.append(keras.ops.convert_to_numpy(y).tolist())
        return keras.ops.mean(y_pred)


def test_what_a_sequence_says_of_itself(videos):
    made = sequence(videos)
    assert isinstance(made, ClipSequence) and isinstance(made, keras.utils.PyDataset)
    assert (made.batches, made.num_batches, len(made)) == (4, 4, 4)
    assert made.video_config == CONFIG and len(made.quarantine) == 0
    assert [spec.shape for spec in made.element_spec] == [(None, 4, 16, 16, 3), (None,)]
    assert [spec.dtype for spec in made.element_spec] == ["uint8", "int32"]
    late = sequence(videos, first_batch=1, drop_remainder=True)
    assert (late.batches, len(late)) == (4, 3) and late.element_spec[1].shape == (3,)
    for index in (4, -1, "a", slice(2)):
        with pytest.raises(IndexError, match="`index` must be the number of a batch, from 0 to 3"):
            made[index]


def test_batches_by_number_are_those_of_the_epoch_that_comes(videos):
    made = sequence(videos)
    for number in (2, 0):
        batch = made[number]
        made.set_epoch(7)
        again = made[number]
        whole = arrays(clips(videos, first_epoch=7))
        assert_same([again], [whole[number]])
        made.set_epoch(0)
        assert_same([batch], [arrays(clips(videos))[number]])
    mixed = sequence(videos, clips_per_decode=2)
    assert_same([mixed[3]], [arrays(clips(videos, clips_per_decode=2))[3]])


def test_fit_gets_every_epoch_in_its_own_order(videos):
    """Though `fit` shuffles what it takes for numbers of batches, and looks at one before."""
    made = sequence(videos)
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: made.set_epoch(epoch))
    labels = Seen().train_on_labels(made, epochs=3, callbacks=[begin])[-3 * len(made) :]
    expected = clips(videos)
    assert labels == [y.tolist() for _ in range(3) for _, y in arrays(expected)]


def test_an_iteration_that_is_left_begins_anew(videos):
    made = sequence(videos)
    first = arrays(made)
    made.set_epoch(0)
    for _ in made:
        break
    made.set_epoch(0)
    assert_same(arrays(made), first)


def test_too_many_bad_videos_stop_fit_with_one_sentence(videos, tmp_path):
    bad = [Video(str(tmp_path / f"{k}"), 0) for k in range(12)]
    made = sequence([*videos, *bad])
    model = keras.Sequential([keras.layers.GlobalAveragePooling3D(), keras.layers.Dense(5)])
    model.compile("sgd", "mse")
    with pytest.raises(Exception) as caught:
        model.fit(made, verbose=0)
    assert "videos cannot be used, too many to go on" in str(find_video_error(caught.value))


def test_an_unknown_backend_is_refused(videos):
    with pytest.raises(ValueError, match="`backend` must be one of tf.data, pydataset. .*'numpy'"):
        clips(videos, backend="numpy")


def test_random_crops_say_what_the_keywords_say(videos):
    for options, crops in (
        ({}, RandomCrops()),
        ({"flip": False}, RandomCrops(flip=False)),
        ({"multiscale": True}, RandomCrops(multiscale=True)),
        (
            {"resize_when_smaller": True, "video_config": SMALL},
            RandomCrops(when_smaller=True),
        ),
    ):
        config = options.get("video_config", CONFIG)
        by_object = clips(videos, crops=crops, video_config=config)
        assert_same(arrays(by_object), arrays(clips(videos, **options)))
    assert_same(arrays(clips(videos, crops=Crops())), arrays(clips(videos, crops=Centre())))


class Centre(Crops):
    """Says the same by itself."""

    def geometry(self, video_config, rng):
        return Geometry(video_config.crop, video_config.resize)


class Darker(RandomCrops):
    """By a random number, which is subtracted."""

    def pixels(self, clip, rng):
        return clip - np.minimum(clip, rng.integers(1, 50, dtype=np.uint8))


@pytest.mark.parametrize("backend", ["tf.data", "pydataset"])
@pytest.mark.parametrize("together", [1, 2])
def test_augmentations_of_ones_own(videos, backend, together):
    options = {"backend": backend, "clips_per_decode": together}
    plain = arrays(clips(videos, **options))
    made = clips(videos, crops=Darker(), **options)
    darker, other = arrays(made), arrays(made)
    drawn = set()
    for (before, labels), (after, same_labels) in zip(plain, darker, strict=True):
        np.testing.assert_array_equal(labels, same_labels)
        for one, two in zip(before, after, strict=True):
            by = np.unique((one - two)[one > 50])
            assert len(by) == 1 and 1 <= by[0] < 50
            drawn.add(by[0])
    assert len(drawn) > 4  # each clip has a number of its own
    made.set_epoch(0)
    assert_same(arrays(made), darker)
    assert any((a[0] != b[0]).any() for a, b in zip(darker, other, strict=True))


def test_pairs_are_augmented_alike(videos):
    options = {"video_config": CONFIG, "frame_size": 16, "batch_size": 3, "seed": 3}
    made = {}
    for crops in (RandomCrops(), Darker()):
        dataset = pair_dataset(videos, crops=crops, backend="pydataset", **options)
        made[type(crops)] = dataset[0]
    for name in ("frames", "clip"):
        by = made[RandomCrops][name].astype(int) - made[Darker][name]
        for clip, difference in zip(made[RandomCrops][name], by, strict=True):
            assert len(np.unique(difference[clip > 50])) == 1
    np.testing.assert_array_equal(made[Darker]["frames"], made[Darker]["clip"])


class Larger(Crops):
    def geometry(self, video_config, rng):
        return Geometry((20, 20), video_config.resize)


class Nowhere(Crops):
    def geometry(self, video_config, rng):
        return None


class Floats(Crops):
    def pixels(self, clip, rng):
        return clip / 255


class Nothing(Crops):
    def pixels(self, clip, rng):
        return None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crops": lambda clip: clip}, "`crops` must be a `keras_stc.data.Crops`"),
        ({"crops": RandomCrops(), "flip": False}, "`crops` must be left out where `flip`"),
        ({"crops": Larger()}, "`crops` must cut crops of .16, 16., .*cuts .20, 20."),
        ({"crops": Nowhere()}, "`crops` must cut crops of .16, 16., .*cuts None"),
        ({"crops": Floats()}, "`crops.pixels` must return uint8 pixels of shape .*float64"),
        ({"crops": Nothing()}, "`crops.pixels` must return uint8 pixels .*NoneType of shape None"),
        ({"num_parallel_calls": -1}, "`num_parallel_calls` must be at least 1"),
        ({"prefetch": -1}, "`prefetch` must be at least 0"),
        ({"share": 2}, "`share` must be .index, count."),
        ({"share": "01"}, "`share` must be .index, count."),
    ],
)
def test_what_does_not_fit_is_refused(videos, options, message):
    with pytest.raises(ValueError, match=message):
        sequence(videos, **options)[0]


def test_without_tensorflow_clips_are_a_sequence(videos, monkeypatch):
    from keras_stc.data.clips import backends

    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    assert isinstance(clips(videos), ClipSequence)
    with pytest.raises(ImportError, match="need TensorFlow: pip install tensorflow"):
        clips(videos, backend="tf.data")


def test_fit_prints_no_warning(videos, tmp_path):
    """In a process of its own, as the README's lines are."""
    folder = write_pictures(tmp_path / "classes")[0].path
    program = f"""
import keras, keras_stc
videos = [keras_stc.data.Video({folder!r}, 0)] * 4
clips = keras_stc.data.clip_dataset(videos, 4, 2, 16, 2, training=True)
held_out = keras_stc.data.clip_dataset(videos, 4, 2, 16, 2)
model = keras.Sequential([keras.layers.GlobalAveragePooling3D(), keras.layers.Dense(2)])
model.compile("sgd", "mse")
model.fit(clips, validation_data=held_out, verbose=0)
model.evaluate(held_out, verbose=0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "UserWarning" not in done.stderr and "shuffle" not in done.stderr
