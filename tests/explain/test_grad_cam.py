"""Grad-CAM and gates against what is worked out by hand, on the backend that there is."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_stc
from keras_stc.explain import (
    class_gates,
    feature_layer,
    grad_cam,
    randomized,
    rank_correlation,
    stc_gates,
    upsampled,
)
from keras_stc.explain.gradients import scores_and_gradients, split_at

CLIP = (4, 32, 32, 3)


@pytest.fixture(scope="module")
def clips():
    return np.random.default_rng(1).integers(0, 256, (2, *CLIP)).astype("float32")


@pytest.fixture(scope="module")
def stc():
    keras.utils.set_random_seed(0)
    return keras_stc.STCResNet18(classes=3, input_shape=CLIP, alpha=0.125)


def tiny(softmax):
    """Clip, a convolution, its mean, three classes."""
    keras.utils.set_random_seed(0)
    clip = keras.Input((2, 4, 6, 3))
    x = keras.layers.Conv3D(5, 1, activation="relu", name="conv")(clip)
    x = keras.layers.GlobalAveragePooling3D()(x)
    x = keras.layers.Dense(3, activation="softmax" if softmax == "dense" else None)(x)
    if softmax == "layer":
        x = keras.layers.Softmax()(x)
    return keras_stc.VideoModel(clip, x, video_config=keras_stc.VideoConfig(2, 1, (4, 6)))


@pytest.mark.parametrize("softmax", ["dense", "layer", "none"])
def test_grad_cam_by_hand(softmax):
    """With a mean and a dense layer behind it, the map is that of Zhou et al.'s CAM."""
    model = tiny(softmax)
    clips = np.random.default_rng(0).normal(size=(2, 2, 4, 6, 3)).astype("float32")
    kernel, bias, weights, _ = model.get_weights()
    features = np.maximum(0, clips @ kernel[0, 0, 0] + bias)
    seen = 0
    for label in range(3):
        wanted = np.maximum(0, features @ weights[:, label]) / (2 * 4 * 6)
        found = grad_cam(model, clips, label)
        np.testing.assert_allclose(found, wanted, atol=1e-6)
        seen += wanted.max() > 0.001
    assert seen


@pytest.mark.parametrize("name", ["layer2_block2_out", "layer3_block1_out"])
def test_gradients_by_differences(stc, clips, name):
    """Through STC blocks and what follows, against differences of the scores."""
    features, scores = split_at(stc, stc.get_layer(name))
    x = ops.convert_to_numpy(features(clips, training=False))
    found, gradients = scores_and_gradients(scores, x, 1)
    rng = np.random.default_rng(0)
    direction = rng.normal(size=x.shape).astype("float32")
    # The features are zero in places, where a ReLU would break; a step that is small to them.
    step = 1e-3 * np.abs(x).max()
    there, back = (
        ops.convert_to_numpy(scores(x + sign * step * direction, training=False))[:, 1]
        for sign in (1, -1)
    )
    slope = (gradients * direction).sum(axis=(1, 2, 3, 4))
    np.testing.assert_allclose((there - back) / (2 * step), slope, rtol=0.05, atol=1e-4)
    assert found.shape == (2,) and np.abs(slope).min() > 1e-4


@pytest.mark.parametrize(
    ("name", "arguments", "shape", "layer", "positions"),
    [
        ("resnet3d18", {}, (8, 64, 64, 3), "layer2_block2_out", (2, 8, 8)),
        ("resnext3d50", {"preactivation": True}, (16, 112, 112, 3), "layer3_block6_add", (2, 7, 7)),
        ("inception_i3d", {}, (16, 128, 128, 3), "Mixed_4f", (4, 8, 8)),
        ("inception_i3d", {}, (None, None, None, 3), "Mixed_5c", (None, None, None)),
    ],
)
def test_the_layer_that_is_looked_at(name, arguments, shape, layer, positions):
    model = keras_stc.create_model(name, classes=3, input_shape=shape, **arguments)
    found = feature_layer(model)
    assert (found.name, found.output.shape[1:4]) == (layer, positions)


def test_mistakes_are_named(stc, clips):
    with pytest.raises(ValueError, match="`layer` must be a layer with a feature map, such as"):
        feature_layer(stc, "layer9")
    with pytest.raises(ValueError, match="something goes past 'layer2_block2_conv1'"):
        grad_cam(stc, clips, 0, "layer2_block2_conv1")
    with pytest.raises(ValueError, match="`label` must be from 0 to 2"):
        grad_cam(stc, clips, 3)
    with pytest.raises(ValueError, match="`part` must be one of"):
        randomized(stc, "head")


def test_upsampled_keeps_a_plane_and_the_ends():
    t, h, w = np.meshgrid(np.arange(2), np.arange(3), np.arange(4), indexing="ij")
    found = upsampled((t + 10 * h + 100 * w)[None].astype("float32"), (2, 9, 8))[0]
    # A linear function stays one between the first and the last centre, and level beyond them.
    places = np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3)
    np.testing.assert_allclose(found[0, 0], 100 * places, atol=1e-4)
    np.testing.assert_allclose(found[1, -1], 1 + 20 + 100 * places, atol=1e-4)
    assert upsampled(np.ones((1, 1, 1, 1), "float32"), (4, 5, 6)).min() == 1


def test_gates_by_hand(stc, clips):
    """Gates from the block's weights and its input; they are what the block multiplies by."""
    gates = stc_gates(stc, clips)
    assert len(gates) == 8
    for name in ("layer1_block1_stc", "layer3_block2_stc"):
        block = stc.get_layer(name)
        both = keras.Model(stc.input, [block.input, block.output])
        x, y = (ops.convert_to_numpy(each) for each in both(clips, training=False))
        seen = x.mean(axis=(2, 3))
        weights = {w.path.split(name + "/")[1]: ops.convert_to_numpy(w) for w in block.weights}
        for branch, squeezed in (
            ("temporal", seen.mean(axis=1)),
            ("spatial", seen.reshape(len(seen), -1)),
        ):
            hidden = squeezed @ weights[f"{branch}_squeeze/kernel"]
            hidden = np.maximum(0, hidden + weights[f"{branch}_squeeze/bias"])
            raw = hidden @ weights[f"{branch}_excite/kernel"] + weights[f"{branch}_excite/bias"]
            np.testing.assert_allclose(gates[name][branch], 1 / (1 + np.exp(-raw)), atol=1e-4)
        mean = (gates[name]["temporal"] + gates[name]["spatial"]) / 2
        np.testing.assert_allclose(x * mean[:, None, None, None], y, rtol=1e-3, atol=1e-4)


def test_networks_without_stc_have_no_gates(clips):
    with pytest.raises(ValueError, match="must have STC blocks"):
        stc_gates(tiny("dense"), clips)


def test_shuffled_networks(stc):
    """Each kernel has its own numbers in another order; a part leaves the rest alone."""
    for part, changed in (("classifier", 1), ("whole network", None)):
        other = randomized(stc, part)
        moved = 0
        for mine, its in zip(stc.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(np.sort(mine.ravel()), np.sort(its.ravel()))
            moved += (mine != its).any()
        kernels = sum(w.ndim > 1 for w in stc.get_weights())
        assert moved == (changed or kernels)


def test_rank_correlation():
    assert rank_correlation([1, 2, 2, 3], [1, 3, 2, 4]) == pytest.approx(0.9 / 0.9**0.5, abs=1e-3)
    rng = np.random.default_rng(0)
    a = rng.integers(0, 9, (5, 6, 7))
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(a, np.zeros_like(a)) == 0
    stats = pytest.importorskip("scipy.stats")
    b = rng.integers(0, 4, a.shape)
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel())[0])


def test_class_gates(small_run):
    """The mean of each class's videos, by their centre clips."""
    from keras_stc.data.clips.whole_video import video_clips

    model = keras_stc.load_model(small_run.folder)
    videos = keras_stc.data.VideoFolder(small_run.videos / "train")
    found = class_gates(model, videos, per_class=2)
    assert found.counts.tolist() == [2, 2]
    for label in (0, 1):
        own = [video for video in videos if video.label == label][:2]
        middle = np.concatenate(
            [next(video_clips(v, model.video_config, uniform=1)).clips for v in own]
        )
        block = "layer2_block1_stc"
        for branch, gates in stc_gates(model, middle)[block].items():
            np.testing.assert_allclose(
                found.gates[block][branch][label], gates.mean(axis=0), atol=1e-4
            )
    spread = found.selectivity()["temporal"]
    # A block whose units are all shut, which so small a network may have, tells no classes apart.
    assert len(spread) == 8 and min(spread) >= 0 and max(spread) > 0
