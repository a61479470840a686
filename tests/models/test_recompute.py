"""Recomputed units: the step of a network that keeps everything, and where it can be had."""

import keras
import numpy as np
import pytest
from short import short_networks

import keras_stc
from keras_stc import VideoConfig, VideoModel
from keras_stc.models import VideoResNet
from keras_stc.models.recompute import UnitByUnit, recomputing
from keras_stc.training.freeze import frozen

CLIP = (2, 32, 32, 3)
CLIPS = np.random.default_rng(0).uniform(0, 255, (4, *CLIP)).astype("float32")
LABELS = np.arange(4) % 3

#: Form of the network -> arguments, what is frozen, and how many parts are run twice.
FORMS = {
    "STC": ({"variant": "stc_resnet18"}, None, 5),
    "preactivation": ({"variant": "resnet3d18", "preactivation": True}, None, 5),
    "a stage's STC": ({"variant": "stc_resnet18", "stc_placement": "stage"}, "layer2", 4),
    "no pooling": ({"variant": "r2plus1d18"}, None, 5),
}


def network(variant, **options):
    """A network with one unit in each stage."""
    keras.utils.set_random_seed(1)
    with short_networks():
        return VideoResNet(variant, input_shape=CLIP, classes=3, alpha=0.125, **options)


def trained(model):
    """Losses of two steps, and what has been learnt and counted by then."""
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    losses = [float(model.train_on_batch(CLIPS, LABELS)) for _ in range(2)]
    return losses, {each.path: keras.ops.convert_to_numpy(each) for each in model.weights}


@pytest.fixture
def asked(monkeypatch):
    """Functions that `keras.remat` was asked for."""
    asked, remat = [], keras.remat
    monkeypatch.setattr(keras, "remat", lambda function: asked.append(function) or remat(function))
    return asked


@pytest.mark.parametrize("form", FORMS)
def test_learns_the_same(form, asked):
    """Statistics of batch normalisation as well, of which a second change would be a tenth off."""
    options, freeze, parts = FORMS[form]
    with frozen(plain := network(**options), freeze):
        losses, weights = trained(plain)
    assert not asked
    model = network(**options)
    names = [layer.name for layer in model.layers]
    with frozen(model, freeze), recomputing(model, "unit"):
        again, recomputed = trained(model)
    assert asked and len(asked) % parts == 0
    np.testing.assert_allclose(again, losses, rtol=1e-4)
    for path, want in weights.items():
        np.testing.assert_allclose(recomputed[path], want, rtol=1e-3, atol=1e-4, err_msg=path)
    assert model.recompute is None and [layer.name for layer in model.layers] == names


def test_a_saved_model_says_nothing_of_it(tmp_path):
    model = network("stc_resnet18")
    paths, answers = [each.path for each in model.weights], model.predict_on_batch(CLIPS)
    model.recompute = "unit"
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.recompute is None and [each.path for each in again.weights] == paths
    np.testing.assert_allclose(again.predict_on_batch(CLIPS), answers, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_poolings_between_stages_end_nothing():
    """Of P3D, of which there are 50 units, and before them a convolution and a pooling."""
    model = keras_stc.P3D199(input_shape=(4, 32, 32, 3), classes=3)
    parts = UnitByUnit(model)._parts
    assert len(parts) == 2 + 50 + 1
    assert sum(part.count_params() for part in parts) == model.count_params()


def test_what_cannot_be_recomputed():
    clip = keras.Input(CLIP)
    model = VideoModel(clip, clip, video_config=VideoConfig(2, 1, 32))
    with pytest.raises(ValueError, match="since .* has no residual units"):
        model.recompute = "unit"
    with pytest.raises(ValueError, match='`recompute` must be None or "unit". Received'):
        model.recompute = "stage"
    assert model.recompute is None
