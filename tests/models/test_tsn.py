"""Temporal segment networks against the 2D networks of keras.applications, frame by frame."""

import helpers
import keras
import numpy as np
import pytest
from helpers import answers
from keras.applications import imagenet_utils

import keras_stc
from keras_stc.models.complexity import zoo_complexity
from keras_stc.models.tsn import BACKBONES
from keras_stc.models.zoo import NETWORKS
from keras_stc.transfer.distillation import answering
from keras_stc.weights import registry

CLIP = (3, 48, 40, 3)


def clips(shape=CLIP, count=2):
    """Every frame of another brightness, so that none may take another's place."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, *shape)) * rng.uniform(0, 1, (count, shape[0], 1, 1, 1))
    return pixels.astype("uint8")


def application(backbone, **arguments):
    return getattr(keras.applications, backbone.application)(
        classifier_activation=None, **{"weights": None, **arguments}
    )


def scaled(frames, mode):
    """As Keras' users do it."""
    return imagenet_utils.preprocess_input(frames.astype("float32"), "channels_last", mode)


def mean_logits(model, x, mode):
    return np.mean([answers(model, scaled(frames, mode)) for frames in np.swapaxes(x, 0, 1)], 0)


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(0)
    return keras_stc.TSNMobileNetV2(input_shape=CLIP, classes=5)


def test_what_it_teaches_is_of_the_clip_and_not_of_a_frame(small):
    shapes = [tuple(output.shape) for output in answering(small, "teacher").outputs]
    assert shapes == [(None, 5), (None, 1280)]


@pytest.fixture(scope="module")
def resnet():
    return keras_stc.TSNResNet50(input_shape=(2, 32, 32, 3), classes=3)


def test_pixels_are_those_of_keras(small, resnet):
    """RGB 0-255 to what the 2D network is fed, the order of colours included."""
    for model, mode in ((small, "tf"), (resnet, "caffe")):
        inner = keras.Model(model.input, model.get_layer("fold_frames").output)
        x = clips(model.input_shape[1:])
        want = scaled(x.reshape(-1, *x.shape[2:]), mode)
        np.testing.assert_allclose(answers(inner, x), want, atol=1e-4)
    config = NETWORKS["tsn_densenet121"].config
    want = scaled(clips(), "torch")
    np.testing.assert_allclose((clips() - config.mean) / config.std, want, atol=1e-4)


#: One for each way of preparing pixels.
OF_MODES = {each.mode: each for each in reversed(BACKBONES)}


@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param(each, marks=[] if mode == "tf" else pytest.mark.slow, id=each.application)
        for mode, each in OF_MODES.items()
    ],
)
def test_logits_are_the_mean_of_the_2d_networks(backbone, tmp_path):
    keras.utils.set_random_seed(0)
    model = application(backbone, classes=7, input_shape=CLIP[1:])
    x = clips()
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0  # keeps the statistics of one batch, as a trained network has them
    model(scaled(x.reshape(-1, *CLIP[1:]), backbone.mode), training=True)
    model.save_weights(tmp_path / "2d.weights.h5")
    tsn = keras_stc.create_model(
        f"tsn_{backbone.application.lower()}",
        weights=tmp_path / "2d.weights.h5",
        input_shape=CLIP,
    )
    want = mean_logits(model, x, backbone.mode)
    assert np.ptp(want, axis=0).max() > 1e-2 * np.abs(want).max()
    logits = keras.Model(tsn.input, tsn.get_layer("consensus").output)
    np.testing.assert_allclose(answers(logits, x), want, atol=1e-4 * np.abs(want).max())
    exponential = np.exp(want - want.max(axis=1, keepdims=True))
    softmax = exponential / exponential.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers(tsn, x), softmax, atol=1e-4)


@pytest.mark.slow
@pytest.mark.shared
def test_the_real_imagenet_network_on_a_real_video(shared, imagenet_resnet50):
    from keras_stc.data import video_clips

    model = keras_stc.TSNResNet50(weights=imagenet_resnet50, classifier_activation=None)
    (batch,) = video_clips(shared / "clips" / "abseiling_k400.mp4", model.video_config)
    two = keras.applications.ResNet50(weights=imagenet_resnet50, classifier_activation=None)
    want = mean_logits(two, batch.clips, "caffe")
    assert want.argmax() == 972  # cliff
    np.testing.assert_allclose(answers(model, batch.clips), want, atol=1e-4)


@pytest.mark.slow
def test_it_is_a_model_of_the_zoo(small, tmp_path):
    assert small.video_config.segments and small.video_config.step(25) is None
    x = clips()
    want = answers(small, x)
    small.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert (again.video_config, again.architecture) == (small.video_config, small.architecture)
    np.testing.assert_allclose(answers(again, x), want, atol=1e-6)
    # Any number of segments, of any size, and the weights of a file with another classifier.
    small.save_weights(tmp_path / "m.weights.h5")
    free = keras_stc.TSNMobileNetV2(
        weights=tmp_path / "m.weights.h5", input_shape=(None, None, None, 3), classes=5
    )
    np.testing.assert_allclose(answers(free, x), want, atol=1e-6)
    assert answers(free, clips((7, 40, 64, 3))).shape == (2, 5)
    features = keras.Model(small.input, small.get_layer("unfold_frames").output)
    assert features.output_shape == (None, 3, 2, 2, 1280)
    order = np.swapaxes(answers(features, x[:, ::-1]), 0, 1)[::-1]
    np.testing.assert_allclose(np.swapaxes(answers(features, x), 0, 1), order, atol=1e-5)


@pytest.mark.slow
def test_an_stc_block_on_the_segments_starts_neutral(small, tmp_path):
    small.save(tmp_path / "m.keras")
    model = keras_stc.TSNMobileNetV2(weights=tmp_path / "m.keras", stc=True)
    assert model.get_layer("frames_stc").input.shape == (None, 3, 2, 2, 1280)
    np.testing.assert_allclose(answers(model, clips()), answers(small, clips()), atol=1e-5)


def test_channels_that_are_no_colours():
    model = keras_stc.TSNResNet50(input_shape=(2, 32, 32, 2), classes=3)
    assert model.video_config.channels == 2 and not model.get_layer("fold_frames").reverse_channels
    assert answers(model, clips((2, 32, 32, 2))).shape == (2, 3)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="for the other backends")
def test_a_step_moves_every_kernel():
    """Gradients go through the consensus, all frames and every layer of the 2D network."""
    keras.utils.set_random_seed(0)
    model = keras_stc.TSNMobileNetV2(input_shape=(2, 32, 32, 3), classes=3, dropout_rate=0.0)
    before = [np.array(keras.ops.convert_to_numpy(each)) for each in model.trainable_variables]
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    loss = model.train_on_batch(clips((2, 32, 32, 3), 4), np.arange(4) % 3)
    assert np.isfinite(loss)
    for variable, was in zip(model.trainable_variables, before, strict=True):
        now = keras.ops.convert_to_numpy(variable)
        assert np.isfinite(now).all() and (now != was).any(), variable.path


def test_stages_freeze(resnet):
    from keras_stc.training.freeze import frozen

    with frozen(resnet, "conv4"):
        learning = {v.path.split("/")[0].split("_")[0] for v in resnet.trainable_variables}
    assert learning == {"conv5", "predictions"}


#: With 1,000 classes: parameters as Keras' documentation has them, those of them that do not learn,
#: features before the classifier; 10^9 multiply-accumulates of a picture as the papers have them.
COUNTS = {
    "tsn_resnet50": (25_636_712, 53_120, 2048, 3.9),
    "tsn_resnet101": (44_707_176, 105_344, 2048, 7.6),
    "tsn_densenet121": (8_062_504, 83_648, 1024, 2.8),
    "tsn_mobilenetv2": (3_538_984, 34_112, 1280, 0.3),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_zoo_against_the_sources(name):
    parameters, statistics, features, giga = COUNTS[name]
    entry = zoo_complexity()[name]
    assert entry["parameters"]["8"] == parameters - statistics - 600 * (features + 1)
    assert round(entry["macs"]["8"] / 8e9, 1) == giga
    record = registry.find_record(name, "imagenet")
    assert keras_stc.VideoConfig.from_dict(record.video_config) == NETWORKS[name].config


def test_what_keras_fetched_goes_in_as_it_is(tmp_path, monkeypatch):
    """Its file is of Keras 2's format, and lies in its own cache."""
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    record = registry.find_record("tsn_mobilenetv2", "imagenet")
    path = tmp_path / "models" / record.file
    path.parent.mkdir()
    path.write_text("text")
    with pytest.raises(ValueError, match="of keras.applications.MobileNetV2 cannot be had"):
        keras_stc.TSNMobileNetV2(weights="imagenet")
    model = keras.applications.MobileNetV2(weights=None)
    helpers.write_keras_2(model, path)
    by_tag = keras_stc.TSNMobileNetV2(weights="imagenet", input_shape=CLIP)
    assert by_tag.output_shape == (None, 1000)
    for layer in model.layers:
        for array, ours in zip(
            layer.get_weights(),
            by_tag.get_layer(layer.name).get_weights() if layer.weights else (),
            strict=True,
        ):
            np.testing.assert_array_equal(ours, array)
    by_path = keras_stc.TSNMobileNetV2(weights=path, input_shape=CLIP, classes=5)
    np.testing.assert_array_equal(
        by_path.get_layer("Conv_1").get_weights()[0], model.get_layer("Conv_1").get_weights()[0]
    )


def test_weights_that_do_not_fit_get_a_sentence(small, tmp_path):
    (tmp_path / "text.weights.h5").write_text("text")
    with pytest.raises(ValueError, match="is damaged"):
        keras_stc.TSNMobileNetV2(weights=tmp_path / "text.weights.h5")
    small.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match="belongs to another network"):
        keras_stc.TSNResNet50(weights=tmp_path / "m.weights.h5", input_shape=(2, 32, 32, 3))
    with pytest.raises(ValueError, match="must have the mean and std that the weights"):
        keras_stc.TSNMobileNetV2(
            weights=tmp_path / "m.weights.h5", video_config=keras_stc.VideoConfig()
        )
