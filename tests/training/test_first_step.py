"""The first step of a training on TensorFlow's CPU: nothing is rewritten, nothing else changes."""

import keras
import numpy as np
import pytest

from keras_stc import VideoConfig, VideoModel
from keras_stc.layers.residual import residual_unit
from keras_stc.training import SGD

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's graphs"
)

CLIPS = np.random.default_rng(0).uniform(0, 255, (2, 4, 8, 8, 3)).astype("float32")


def fitted(optimizer, optimize_graph=False):
    """Weights after three steps of a small network that always begins alike."""
    keras.utils.set_random_seed(0)
    clip = keras.Input(CLIPS.shape[1:])
    x = keras.layers.Rescaling(1 / 255)(clip)
    x = residual_unit(x, "bottleneck", width=8, filters=8, stc={}, name="unit")
    x = keras.layers.Dense(2, "softmax")(keras.layers.GlobalAveragePooling3D()(x))
    model = VideoModel(clip, x, video_config=VideoConfig(4, 1, 8))
    model.optimize_graph = optimize_graph
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(CLIPS, np.array([0, 1]), epochs=3, batch_size=2, verbose=0)
    return model.get_weights()


def assert_close(got, want):
    for mine, other in zip(got, want, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_graph_optimizer_is_off_in_training_alone(monkeypatch):
    switch, seen = tf.config.optimizer.set_experimental_options, []
    monkeypatch.setattr(
        tf.config.optimizer,
        "set_experimental_options",
        lambda options: seen.append(options["disable_meta_optimizer"]) or switch(options),
    )
    without = fitted(keras.optimizers.SGD(0.1))
    assert seen == [True, False] * 3
    assert not tf.config.optimizer.get_experimental_options()["disable_meta_optimizer"]
    assert_close(without, fitted(keras.optimizers.SGD(0.1), optimize_graph=True))
    assert len(seen) == 6


def test_traced_once(monkeypatch):
    pool, calls = keras.layers.GlobalAveragePooling3D, []
    call = pool.call
    monkeypatch.setattr(pool, "call", lambda self, x: calls.append(x) or call(self, x))
    fitted(SGD(0.1, momentum=0.9))
    assert len(calls) == 1


@pytest.mark.parametrize("nesterov", [False, True])
def test_one_operation_updates_as_keras_does(nesterov):
    options = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": nesterov}
    assert_close(fitted(SGD(**options)), fitted(keras.optimizers.SGD(**options)))
