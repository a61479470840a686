"""StridedConv3D against the loops that the grouped convolution is held to."""

import keras
import numpy as np
import pytest
from test_grouped_conv import by_hand

from keras_stc.layers import StridedConv3D, strided_conv


@pytest.fixture(autouse=True, params=["moved", "native"])
def form(request, monkeypatch):
    """Both forms of the layer; on backends other than TensorFlow they are one."""
    monkeypatch.setattr(strided_conv, "has_onednn", lambda: request.param == "native")
    return request.param


def test_which_form_runs(form, monkeypatch):
    layer = StridedConv3D(4, 7, strides=(1, 2, 2))
    seen = []
    convolve = keras.ops.conv
    monkeypatch.setattr(
        keras.ops,
        "conv",
        lambda x, *rest, **named: seen.append(x.shape[-1]) or convolve(x, *rest, **named),
    )
    layer(np.zeros((1, 8, 11, 12, 3), "float32"))
    moved = form == "moved" and keras.backend.backend() == "tensorflow"
    assert (seen == [12]) == moved


@pytest.mark.parametrize(
    ("shape", "kernel", "strides"),
    [
        ((10, 14, 14), 7, (1, 2, 2)),  # the stem
        ((9, 13, 12), 7, (1, 2, 2)),  # odd sizes
        ((10, 13, 14), 7, (2, 2, 2)),  # the stem of the paper's table 1
        ((7, 7, 7), 3, (3, 2, 1)),
        ((8, 8, 8), 2, (3, 3, 3)),  # a kernel smaller than its stride
        ((8, 9, 9), 4, (2, 2, 2)),
    ],
)
def test_matches_loops(shape, kernel, strides):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *shape, 3)).astype("float32")
    layer = StridedConv3D(5, kernel, strides=strides, bias_initializer="random_normal")
    got = keras.ops.convert_to_numpy(layer(x))
    weights, bias = layer.get_weights()
    assert weights.shape == (kernel, kernel, kernel, 3, 5)
    # The loops know one stride: convolve densely, then keep every stride's first position.
    dense = by_hand(x, weights, 1, 1, "valid")
    want = dense[:, :: strides[0], :: strides[1], :: strides[2]] + bias
    assert layer.compute_output_shape(x.shape) == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_unknown_sizes_and_mixed_precision():
    clip = keras.Input((None, None, None, 3))
    open_model = keras.Model(clip, StridedConv3D(4, 7, strides=(1, 2, 2), name="conv")(clip))
    x = np.random.default_rng(0).normal(size=(1, 8, 11, 12, 3)).astype("float32")
    layer = StridedConv3D(4, 7, strides=(1, 2, 2))
    want = keras.ops.convert_to_numpy(layer(x))
    open_model.set_weights(layer.get_weights())
    np.testing.assert_allclose(np.asarray(open_model.predict(x, verbose=0)), want, atol=1e-4)
    half = StridedConv3D(4, 7, strides=(1, 2, 2), dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(half(x).dtype) == "bfloat16"
