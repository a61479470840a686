"""Clips that are not RGB: grey, optical flow, and what a user's own graph makes RGB of."""

import keras
import numpy as np
import pytest
from helpers import answers

import keras_stc

SHAPE = (4, 32, 32)


def network(channels, **options):
    options = {"alpha": 0.25, "classes": 5, "classifier_activation": None, **options}
    return keras_stc.STCResNet18(input_shape=(*SHAPE, channels), **options)


@pytest.mark.parametrize(
    ("channels", "mean"), [(1, 108.90), (2, 127.5), pytest.param(5, 127.5, marks=pytest.mark.slow)]
)
def test_a_network_for_other_channels(channels, mean, tmp_path):
    model = network(channels)
    clip = np.full((1, *SHAPE, channels), 90.0, "float32")
    assert answers(model, clip).shape == (1, 5)
    config = model.video_config
    assert config.channels == channels and config.clip_shape == (*SHAPE, channels)
    assert config.mean == pytest.approx((mean,) * channels, abs=0.01)
    normalised = keras.Model(model.input, model.get_layer("normalization").output)
    np.testing.assert_allclose(np.asarray(normalised(clip)), 90 - mean, atol=0.01)
    model.save(tmp_path / "m.keras")
    again = keras_stc.load_model(tmp_path / "m.keras")
    assert again.video_config == config
    np.testing.assert_array_equal(answers(again, clip), answers(model, clip))


@pytest.mark.parametrize("channels", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_weights_for_rgb_answer_alike_where_all_channels_are(channels, tmp_path):
    """A clip whose channels are all the same is answered as by the network for RGB."""
    rgb = network(3, video_config={"mean": (127.5,) * 3, "std": (60.0,) * 3})
    for layer in rgb.layers:  # as a trained network's
        if layer.name.endswith("_bn"):
            layer.moving_mean.assign(np.linspace(-1, 1, layer.moving_mean.shape[0]))
    rgb.save(tmp_path / "rgb.keras")
    other = network(channels, weights=str(tmp_path / "rgb.keras"))
    assert other.video_config.mean == pytest.approx((127.5,) * channels)
    assert other.video_config.std == (60.0,) * channels
    one = np.random.default_rng(0).uniform(0, 255, (2, *SHAPE, 1)).astype("float32")
    want = answers(rgb, np.repeat(one, 3, -1))
    got = answers(other, np.repeat(one, channels, -1))
    assert np.ptp(want) > 1e-3
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


def test_a_grey_clip_made_rgb_in_the_users_graph(tmp_path):
    grey = keras.Input((*SHAPE, 1))
    model = keras_stc.STCResNet18(
        input_tensor=keras.layers.Concatenate()([grey] * 3), alpha=0.25, classes=2
    )
    assert model.input_shape == (None, *SHAPE, 1) and model.video_config.channels == 1
    clip = np.random.default_rng(0).uniform(0, 255, (2, *SHAPE, 1))
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(clip, np.arange(2), verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras_stc.load_model(tmp_path / "m.keras")
    want = answers(model, clip)
    np.testing.assert_allclose(answers(again, clip), want, atol=1e-6)


def test_what_no_video_can_give_is_refused():
    config = keras_stc.VideoConfig(*SHAPE[:1], 1, 32, channels=1, mean=(1,), std=(1,))
    videos = keras_stc.data.VideoSet([keras_stc.data.Video("x.mp4", 0)], ["any"])
    with pytest.raises(ValueError, match="videos are read as RGB.*channels=1"):
        keras_stc.data.clip_dataset(videos, video_config=config)
    with pytest.raises(ValueError, match="videos are read as RGB"):
        keras_stc.predict_video(network(1, classifier_activation="softmax"), "x.mp4")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"channels": 0}, "`channels` must be a positive integer"),
        ({"channels": 1, "mean": (1, 2)}, "must hold 1 numbers, one for each of 1 channels"),
        ({"mean": (1,)}, "must hold three numbers"),
    ],
)
def test_wrong_configurations(arguments, words):
    with pytest.raises(ValueError, match=words):
        keras_stc.VideoConfig(**arguments)


@pytest.mark.parametrize("shape", [(4, 32, 32, 0), (4, 32, 32, 17), (4, 32, 32, None)])
def test_wrong_shapes(shape):
    with pytest.raises(ValueError, match="with 3 channels for RGB"):
        keras_stc.STCResNet18(input_shape=shape)
