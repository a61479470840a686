"""Folded batch normalisation: what every kind of unit puts out, without it."""

import importlib

import keras
import numpy as np
import pytest

import keras_stc
from keras_stc import VideoConfig, VideoModel
from keras_stc.data import VideoFolder
from keras_stc.demo.motion import write_motion_videos
from keras_stc.layers.residual import residual_unit
from keras_stc.models import densenet3d, fold_batch_norm, inception_i3d, p3d, s3d
from keras_stc.predict.classify import MANY_VIDEOS, network_for

CLIP = (4, 8, 8, 16)


def correlate(x, name):
    return x


def mixed(module):
    return lambda x: module._mixed(x, 8, 8, 8, 8, 8, 8, name="mixed")


def residual(unit, **options):
    return lambda x: residual_unit(
        x, unit, 16 * options.get("groups", 1), 32, name="unit", **options
    )


def dense_block(x):
    for number in (1, 2):
        x = densenet3d._dense_layer(x, f"layer{number}")
    return densenet3d._normalized(x, "final_bn", "final_relu")


#: Kind of unit -> what builds it; normalisations it has, and those that stay.
UNITS = {
    "basic": (residual("basic", strides=2), 3, 0),
    "padding": (residual("basic", strides=2, shortcut="padding"), 2, 0),
    "bottleneck with STC": (residual("bottleneck", stc={}), 4, 0),
    "grouped": (residual("bottleneck", groups=4), 4, 0),
    # The first normalisation is that of the sum before it.
    "preactivation": (residual("bottleneck", preactivation=True), 4, 1),
    "2plus1d": (residual("basic", convolution="2plus1d"), 5, 0),
    "2d": (residual("basic", convolution="2d"), 3, 0),
    "I3D": (mixed(inception_i3d), 6, 0),
    "S3D": (mixed(s3d), 8, 0),
    "P3D, A": (lambda x: p3d._unit(x, 8, 1, "A", correlate, "unit"), 5, 0),
    "P3D, B": (lambda x: p3d._unit(x, 8, 1, "B", correlate, "unit"), 5, 0),
    "P3D, C": (lambda x: p3d._unit(x, 8, 1, "C", correlate, "unit"), 5, 0),
    "dense": (dense_block, 5, 3),
}


def network(unit):
    """A unit behind an addition, and logits; weights and statistics as if it had learnt."""
    clip = keras.Input(CLIP)
    x = unit(keras.layers.Add(name="sum")([clip, clip]))
    x = keras.layers.Dense(5, name="predictions")(keras.layers.GlobalAveragePooling3D()(x))
    config = VideoConfig(CLIP[0], 1, CLIP[1], channels=CLIP[-1]).replace(
        mean=(0.0,) * CLIP[-1], std=(1.0,) * CLIP[-1]
    )
    return with_statistics(VideoModel(clip, x, name="unit", video_config=config))


def with_statistics(model):
    """Scales, shifts and statistics as if it had learnt."""
    rng = np.random.default_rng(0)
    for layer in norms(model):
        for variable in layer.weights:
            low = -1 if variable.name in ("beta", "moving_mean") else 0.5
            variable.assign(rng.uniform(low, 2, variable.shape))
    return model


def norms(model):
    return [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]


def outputs(model, clips):
    return keras.ops.convert_to_numpy(model(clips, training=False))


@pytest.mark.parametrize("kind", UNITS)
def test_puts_out_the_same(kind):
    unit, before, after = UNITS[kind]
    model = network(unit)
    kept = [weight.copy() for weight in model.get_weights()]
    folded = fold_batch_norm(model)
    assert (len(norms(model)), len(norms(folded))) == (before, after)
    clips = np.random.default_rng(1).normal(size=(2, *CLIP)).astype("float32")
    want = outputs(model, clips)
    np.testing.assert_allclose(outputs(folded, clips), want, rtol=0, atol=1e-5 * np.ptp(want))
    for now, weight in zip(model.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(now, weight)
    assert folded.video_config == model.video_config


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("mixed_bfloat16", 0.03), ("mixed_float16", 0.004)]
)
@pytest.mark.parametrize("kind", ["bottleneck with STC", "grouped", "I3D"])
def test_half_precision_stays_and_puts_out_the_same(kind, precision, tolerance):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = network(UNITS[kind][0])
    finally:
        keras.config.set_dtype_policy(before)
    folded = fold_batch_norm(model)  # where the precision is another
    assert {layer.dtype_policy.name for layer in folded.layers if layer.weights} == {precision}
    clips = np.random.default_rng(1).normal(size=(2, *CLIP)).astype("float32")
    want = outputs(model, clips)
    got = outputs(folded, clips)
    assert got.dtype == want.dtype == precision.removeprefix("mixed_")
    want, got = want.astype("float32"), got.astype("float32")
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.ptp(want))


def test_leaves_what_others_read():
    """A convolution with two readers, one with an activation, one shared, one that is an output."""
    clip = keras.Input(CLIP)
    conv = {
        name: keras.layers.Conv3D(16, 1, activation=activation, name=name)
        for name, activation in (("read", None), ("active", "relu"), ("shared", None))
    }
    norm = {name: keras.layers.BatchNormalization(name=f"{name}_bn") for name in conv}
    x = conv["read"](clip)
    x = keras.layers.Add()([norm["read"](x), x])
    x = norm["active"](conv["active"](x))
    x = norm["shared"](conv["shared"](conv["shared"](x)))
    model = VideoModel(
        clip, x, video_config=VideoConfig(4, 1, 8, channels=16, mean=(0,) * 16, std=(1,) * 16)
    )
    assert len(norms(fold_batch_norm(model))) == 3


def test_which_networks_are_folded():
    model = keras_stc.STCResNet18(classes=3, input_shape=(2, 32, 32, 3), alpha=0.125)
    assert network_for(model, MANY_VIDEOS - 1) is model
    assert norms(model) and not norms(network_for(model, MANY_VIDEOS))
    made_by_a_user = VideoModel(model.input, model.output, video_config=model.video_config)
    assert network_for(made_by_a_user, MANY_VIDEOS) is made_by_a_user


def test_many_videos_are_answered_as_by_the_network_itself(short, tmp_path, monkeypatch):
    """Predicted and evaluated, from the number on that is many, which no test has."""
    write_motion_videos(tmp_path, 2, frames=12, size=40, classes=("move_left", "move_right"))
    videos = VideoFolder(tmp_path)
    assert len(videos) == 4
    model = with_statistics(
        keras_stc.STCResNet18(classes=2, input_shape=(4, 32, 32, 3), alpha=0.125)
    )
    # The logits of such weights are far apart.
    top = model.get_layer("predictions")
    top.set_weights([weight / 100 for weight in top.get_weights()])

    classify = importlib.import_module("keras_stc.predict.classify")
    original, asked = classify.classify, []

    def seen(network, clips):
        asked.append(len(norms(network)))
        return original(network, clips)

    for module in ("keras_stc.predict.videos", "keras_stc.evaluation.videos"):
        monkeypatch.setattr(importlib.import_module(module), "classify", seen)

    def answers(many):
        monkeypatch.setattr(classify, "MANY_VIDEOS", many)
        predicted = keras_stc.predict_videos(model, [video.path for video in videos])
        predicted = [each.probabilities for each in predicted]
        return np.stack([predicted, keras_stc.evaluate_videos(model, videos).probabilities])

    want, got = answers(many=5), answers(many=4)
    # One batch each.
    assert asked == [len(norms(model)), len(norms(model)), 0, 0]
    assert np.ptp(want, axis=1).max() > 0.01 and want.max() < 0.99  # videos are told apart
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_refuses_other_models():
    with pytest.raises(ValueError, match="`model` must be a keras_stc.VideoModel. Received: a Seq"):
        fold_batch_norm(keras.Sequential())
