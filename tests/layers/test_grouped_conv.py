"""GroupedConv3D against a convolution written out in NumPy, and against Keras' own layer."""

import itertools

import keras
import numpy as np
import pytest

from keras_stc.layers import GroupedConv3D
from keras_stc.layers.grouped_conv import groups_per_block


def by_hand(x, kernel, groups, strides, padding, dilation=1):
    """A grouped convolution as four loops over positions and groups."""
    size = kernel.shape[0]
    span = dilation * (size - 1) + 1
    spatial = x.shape[1:4]
    if padding == "same":
        out = [-(-n // strides) for n in spatial]
        total = [max((o - 1) * strides + span - n, 0) for o, n in zip(out, spatial, strict=True)]
        x = np.pad(x, [(0, 0), *[(t // 2, t - t // 2) for t in total], (0, 0)])
    else:
        out = [(n - span) // strides + 1 for n in spatial]
    inputs, outputs = x.shape[-1] // groups, kernel.shape[-1] // groups
    y = np.zeros((x.shape[0], *out, kernel.shape[-1]))
    for t, h, w in itertools.product(*map(range, out)):
        patch = x[
            :,
            t * strides : t * strides + span : dilation,
            h * strides : h * strides + span : dilation,
            w * strides : w * strides + span : dilation,
        ]
        for g in range(groups):
            part = patch[..., g * inputs : (g + 1) * inputs]
            filters = kernel[..., g * outputs : (g + 1) * outputs]
            y[:, t, h, w, g * outputs : (g + 1) * outputs] = np.tensordot(part, filters, 4)
    return y


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(
    ("channels", "filters", "groups", "strides", "padding", "dilation"),
    [
        (128, 128, 32, 1, "same", 1),  # 4 channels a group: 4 groups share a block
        (64, 128, 32, 2, "same", 1),  # more outputs than inputs
        (128, 64, 8, 2, "valid", 1),  # 16 channels a group: one group a block
        (96, 96, 2, 1, "valid", 1),  # 48 channels a group
        (12, 24, 3, 1, "same", 1),  # narrower than a block: dense
        (27, 27, 9, 2, "same", 1),  # odd counts: 9 groups of 3 make 27 channels
        (127, 127, 127, 1, "same", 1),  # no block fits: the native operation
        (32, 32, 8, 1, "same", 2),
    ],
)
def test_matches_loops(channels, filters, groups, strides, padding, dilation, frames):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, frames, 4, 5, channels)).astype("float32")
    if padding == "valid":
        x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0), (0, 0)])
    layer = GroupedConv3D(
        filters,
        3,
        strides=strides,
        padding=padding,
        dilation_rate=dilation,
        groups=groups,
        bias_initializer="random_normal",
    )
    got = keras.ops.convert_to_numpy(layer(x))
    kernel, bias = layer.get_weights()
    assert kernel.shape == (3, 3, 3, channels // groups, filters)
    want = by_hand(x, kernel, groups, strides, padding, dilation) + bias
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 7), (5, 10), (8, 9)])
def test_single_frames_of_any_size(height, width):
    """Small ones are matrix products, larger ones convolutions with one slice of the kernel."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 1, height, width, 64)).astype("float32")
    layer = GroupedConv3D(32, (3, 3, 3), padding="same", groups=16, use_bias=False)
    got = keras.ops.convert_to_numpy(layer(x))
    want = by_hand(x, layer.get_weights()[0], 16, 1, "same")
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_weights_pass_to_keras_own_layer_and_back(tmp_path):
    x = np.random.default_rng(0).normal(size=(1, 2, 4, 4, 64)).astype("float32")
    arguments = {"filters": 64, "kernel_size": 3, "padding": "same", "groups": 16}
    ours, theirs = GroupedConv3D(**arguments), keras.layers.Conv3D(**arguments)
    ours.build(x.shape)
    theirs.build(x.shape)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(ours(x)),
        keras.ops.convert_to_numpy(theirs(x)),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("groups", "channels", "merged"),
    [
        *((32, 4, 4), (32, 8, 2), (32, 16, 2), (32, 32, 2), (64, 64, 1), (2, 128, 1)),
        *((3, 4, 3), (6, 5, 6), (127, 1, None)),
    ],
)
def test_groups_per_block(groups, channels, merged):
    assert groups_per_block(groups, channels) == merged


def test_mixed_precision():
    x = np.random.default_rng(0).normal(size=(1, 2, 4, 4, 64)).astype("float32")
    layer = GroupedConv3D(64, 3, groups=16, padding="same", dtype="mixed_bfloat16")
    got = layer(x)
    assert keras.backend.standardize_dtype(got.dtype) == "bfloat16"
    assert layer.kernel.dtype == "float32"
    want = by_hand(x, layer.get_weights()[0], 16, 1, "same")
    got = keras.ops.convert_to_numpy(keras.ops.cast(got, "float32"))
    # bfloat16 has 8 bits of mantissa.
    np.testing.assert_allclose(got, want, atol=0.03 * np.abs(want).max())


def test_inside_a_model_that_is_saved(tmp_path):
    inputs = keras.Input((2, 4, 4, 32))
    model = keras.Model(inputs, GroupedConv3D(32, 1, groups=8, name="grouped")(inputs))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert isinstance(again.get_layer("grouped"), GroupedConv3D)
    x = np.ones((1, 2, 4, 4, 32), "float32")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
