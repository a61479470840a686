"""Features that are computed once: the same clips, kept through a kill, whole networks after."""

import dataclasses
import functools

import distributed_worker
import helpers
import keras
import numpy as np
import pytest

import keras_stc
from keras_stc.data import VideoFolder, clip_dataset
from keras_stc.models.load import load_model
from keras_stc.runs import Run
from keras_stc.training import features, train
from keras_stc.training.features import FeatureBatches, split

#: All but the classifier frozen: `layer2` is the last stage.
RECIPE = dataclasses.replace(distributed_worker.PLAIN, freeze="layer2", feature_passes=2, epochs=4)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return helpers.write_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def finished(videos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return out, *distributed_worker.run(videos, out, RECIPE)


def test_the_head_of_the_trunk_is_the_network():
    model = distributed_worker.small_model()
    parts = split(model, "layer2")
    clips = np.random.default_rng(0).uniform(0, 255, (3, 4, 16, 16, 3)).astype("float32")
    np.testing.assert_allclose(
        parts.head(parts.trunk(clips)), model(clips, training=False), rtol=1e-6
    )
    assert parts.head.trainable_variables == model.layers[-1].trainable_variables
    assert parts.trunk.output_shape == (None, 8)  # after the pooling, not before it


def test_the_loss_of_a_head_in_float16_is_scaled():
    with distributed_worker.precision("mixed_float16"):
        model = distributed_worker.small_model()
    head = split(model, "layer1").head
    head.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    assert isinstance(head.optimizer, keras.optimizers.LossScaleOptimizer)


def test_recomputing_what_is_computed_once_is_refused(videos, tmp_path):
    recipe = dataclasses.replace(RECIPE, recompute="unit")
    with pytest.raises(ValueError, match="`recompute` must be 'none' where features are kept"):
        distributed_worker.run(videos, tmp_path / "run", recipe)


def test_it_trains_as_without_them(videos, finished, tmp_path):
    """With the clips of one pass, SGD on features is SGD on clips: the same weights."""
    recipe = dataclasses.replace(RECIPE, epochs=1, feature_passes=1, batch_size=12)
    _, kept = distributed_worker.run(videos, tmp_path / "kept", recipe)
    model, sets = distributed_worker.small_model(), VideoFolder(videos / "train")
    clips, labels = [], []
    options = {"video_config": model.video_config, "flip": False}
    for batch in clip_dataset(sets, training=True, shuffle=False, batch_size=12, **options):
        clips.append(np.asarray(batch[0]))
        labels.append(np.asarray(batch[1]))
    clips, labels = np.concatenate(clips), np.concatenate(labels)
    order = FeatureBatches(
        np.arange(len(labels))[None], labels[None], 12, seed=0, repeats=-(-64 // len(labels))
    )
    with features.frozen(model, "layer2"):
        model.compile(recipe.optimizer(order.batches, 12), "sparse_categorical_crossentropy")
        for i in range(order.batches):
            model.train_on_batch(clips[order[i][0]].astype("float32"), labels[order[i][0]])
    for got, want in zip(kept.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)


def test_the_network_is_whole_and_so_is_its_best(videos, finished):
    out, history, model = finished
    assert history[-1]["loss"] < history[0]["loss"]
    last = load_model(out)
    for got, want in zip(last.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)
    assert all(layer.trainable for layer in model.layers)
    row = max(history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert distributed_worker.validated(Run(out).best_path, videos) == pytest.approx(
        (row["val_loss"], row["val_accuracy"]), abs=1e-5
    )


def test_killed_on_the_way_it_goes_on(videos, finished, tmp_path, monkeypatch):
    """What was computed is not computed again, and the run is the one that was not killed."""
    _, history, _ = finished
    monkeypatch.setattr(features, "BATCHES_PER_FILE", 1)
    write, written = features._write, []

    def break_off(path, *arrays):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *arrays)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(features, "_write", break_off)
        distributed_worker.run(videos, tmp_path / "run", RECIPE)
    seen = []
    predict = keras.Model.predict_on_batch
    monkeypatch.setattr(
        keras.Model, "predict_on_batch", lambda self, x: seen.append(len(x)) or predict(self, x)
    )
    again, _ = distributed_worker.run(videos, tmp_path / "run", RECIPE)
    count = len(VideoFolder(videos / "train"))
    assert sum(seen) == 2 * count + 3 - 12  # three are validated on
    for one, other in zip(again, history, strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    seen.clear()
    distributed_worker.run(videos, tmp_path / "run", RECIPE)
    assert not seen


def test_other_weights_are_other_features(videos, tmp_path):
    distributed_worker.run(videos, tmp_path / "run", dataclasses.replace(RECIPE, epochs=1))
    keys = {path.name for path in (tmp_path / "run" / "features").iterdir()}
    assert {name.split("-")[0] for name in keys} == {"train", "validation"}
    model = distributed_worker.small_model()
    model.layers[2].kernel.assign(2 * np.asarray(model.layers[2].kernel))
    recipe = dataclasses.replace(RECIPE, epochs=1)
    sets = [VideoFolder(videos / subset) for subset in ("train", "test")]
    (tmp_path / "run" / "state.json").unlink()
    train(model, sets[0], recipe, tmp_path / "run", sets[1], verbose=0)
    others = {path.name for path in (tmp_path / "run" / "features").iterdir()}
    assert len(others) == 2 and not keys & others


def test_those_of_another_key_go_when_all_are_there(videos, tmp_path, monkeypatch):
    def kept(path):
        sets, model = VideoFolder(path), distributed_worker.small_model()
        clips = functools.partial(clip_dataset, sets, video_config=model.video_config)
        trunk = split(model, "layer2").trunk
        about = features.clips_key(sets, model.video_config)
        features.cached_features(tmp_path, "train", trunk, clips, 1, about, verbose=0)
        return {path.name for path in tmp_path.iterdir()}

    def stop(*_):
        raise KeyboardInterrupt

    first = kept(videos / "train")
    with monkeypatch.context() as patch:
        patch.setattr(features, "_write", lambda *_: pytest.fail("computed again"))
        patch.chdir(videos)
        assert kept("train") == first
        patch.setattr(features, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            kept(videos / "test")
    assert first < {path.name for path in tmp_path.iterdir()}
    assert len(kept(videos / "test")) == 1


def test_every_pass_has_its_turn():
    labels = np.array([[0, 1, 2, 3, 4], [10, 11, 12, 13, 14]])
    batches = FeatureBatches(labels * 1.0, labels, 2, seed=3)
    epochs = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        epochs.append(np.concatenate([batches[i][1] for i in range(len(batches))]).tolist())
    assert len(epochs[0]) == 4  # a last batch that is not full is left out
    assert max(epochs[0]) < 10 <= min(epochs[1]) and max(epochs[2]) < 10
    assert epochs[0] != epochs[2]
    rest = FeatureBatches(labels * 1.0, labels, 2, seed=3, first_batch=1)
    rest.set_epoch(1)
    assert rest[0][1].tolist() == epochs[1][2:]
    whole = FeatureBatches(labels[:1] * 1.0, labels[:1], 2)
    assert [batch[1].tolist() for batch in (whole[0], whole[1], whole[2])] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("freeze", [None, "normalization"])
def test_a_network_that_learns_everywhere_has_none(videos, tmp_path, freeze):
    recipe = dataclasses.replace(RECIPE, freeze=freeze)
    with pytest.raises(ValueError, match="`feature_passes` needs a network of which all"):
        distributed_worker.run(videos, tmp_path / "run", recipe)
    assert not (tmp_path / "run").exists()


def test_i3d_divides_before_its_classifier():
    model = keras_stc.InceptionI3D(classes=2, input_shape=(16, 64, 64, 3))
    parts = split(model, "Mixed_5c")
    assert parts.head.count_params() == 2 * 1025
    assert parts.trunk.output_shape == (None, 1, 1, 1, 1024)


@pytest.mark.parametrize(("freeze", "shape"), [("layer3", (1, 2, 2, 256)), ("layer4", (512,))])
def test_residual_networks_divide_where_a_unit_begins(freeze, shape):
    """A unit has two ways: what its first layer sees is not all that the unit sees."""
    model = keras_stc.STCResNet18(classes=2, input_shape=(8, 32, 32, 3))
    parts = split(model, freeze)
    assert parts.trunk.output_shape == (None, *shape)
    assert not {v.path for v in parts.trunk.variables} & {v.path for v in parts.head.variables}
