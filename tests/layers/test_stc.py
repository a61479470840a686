"""The STC block against arithmetic written out by hand."""

import keras
import numpy as np
import pytest

from keras_stc.layers import STCBlock


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(x, block, branches):
    """The table of the paper's section 3.1, loop by loop."""
    batch, frames, _, _, channels = x.shape
    outputs = []
    if "temporal" in branches:
        w1, b1 = map(np.asarray, block.temporal_squeeze.get_weights())
        w2, b2 = map(np.asarray, block.temporal_excite.get_weights())
        out = np.empty_like(x)
        for b in range(batch):
            z = np.array([x[b, ..., c].mean() for c in range(channels)])
            out[b] = x[b] * sigmoid(relu(z @ w1 + b1) @ w2 + b2)
        outputs.append(out)
    if "spatial" in branches:
        w1, b1 = map(np.asarray, block.spatial_squeeze.get_weights())
        w2, b2 = map(np.asarray, block.spatial_excite.get_weights())
        out = np.empty_like(x)
        for b in range(batch):
            z = [x[b, t, :, :, c].mean() for t in range(frames) for c in range(channels)]
            out[b] = x[b] * sigmoid(relu(np.array(z) @ w1 + b1) @ w2 + b2)
        outputs.append(out)
    return sum(outputs) / len(outputs)


@pytest.mark.parametrize("branches", [("temporal", "spatial"), ("temporal",), ("spatial",)])
def test_matches_the_paper_by_hand(branches):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4, 5, 8)).astype("float32")
    block = STCBlock(reduction_ratio=2, branches=branches)
    block.build(x.shape)
    for variable in block.weights:
        variable.assign(rng.normal(size=variable.shape))
    got = keras.ops.convert_to_numpy(block(x))
    np.testing.assert_allclose(got, by_hand(x, block, branches), rtol=1e-4, atol=1e-5)


def test_shapes_of_its_weights():
    block = STCBlock(reduction_ratio=4)
    block.build((None, 8, None, None, 64))
    assert [tuple(v.shape) for v in block.weights] == [
        *[(64, 16), (16,), (16, 64), (64,)],
        *[(512, 128), (128,), (128, 64), (64,)],
    ]


def test_one_branch_has_only_its_weights():
    block = STCBlock(branches="temporal")
    block.build((None, None, None, None, 64))
    assert block.branches == ("temporal",) and len(block.weights) == 4


def test_inner_activation_is_applied():
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 3, 4)).astype("float32")
    blocks = [STCBlock(inner_activation=name) for name in ("relu", "tanh")]
    for block in blocks:
        block.build(x.shape)
    blocks[1].set_weights(blocks[0].get_weights())
    outputs = [keras.ops.convert_to_numpy(block(x)) for block in blocks]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-4


def test_round_trip_through_a_saved_model(tmp_path):
    inputs = keras.Input((4, 6, 6, 8))
    block = STCBlock(reduction_ratio=2, branches=("spatial",), inner_activation="tanh", name="stc")
    model = keras.Model(inputs, block(inputs))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.get_layer("stc").get_config() == block.get_config()
    x = np.ones((1, 4, 6, 6, 8), "float32")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("arguments", "shape", "words"),
    [
        ({}, (None, None, 7, 7, 64), "fixed number of frames"),
        ({"reduction_ratio": 3}, (None, 4, 7, 7, 64), "`reduction_ratio` must divide"),
        ({"reduction_ratio": 0}, None, "positive integer"),
        ({"branches": ("space",)}, None, "`branches` must be"),
        ({"branches": ()}, None, "`branches` must be"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments, shape, words):
    with pytest.raises(ValueError, match=words):
        STCBlock(**arguments).build(shape)


def test_mixed_precision_keeps_float32_weights():
    block = STCBlock(dtype="mixed_bfloat16")
    outputs = block(np.ones((1, 2, 3, 3, 8), "float32"))
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert {v.dtype for v in block.weights} == {"float32"}
