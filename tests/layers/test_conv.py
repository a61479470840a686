"""Conv3D in half precision: its values and gradients against those of float32."""

import pathlib
from unittest import mock

import keras
import numpy as np
import parity
import pytest

from keras_stc.layers import Conv3D, GroupedConv3D

CPU = pathlib.Path("/proc/cpuinfo")
tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's kernels"
)


def gradients(layer, x, weights):
    """Output and gradients of its weighted sum by input and kernel, in a graph, as float64."""
    import tensorflow as tf

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            total = tf.reduce_sum(tf.cast(y, "float32") * weights)
        return y, *tape.gradient(total, [x, layer.kernel.value])

    return [np.asarray(each, "float64") for each in run(x)]


@tensorflow_only
@pytest.mark.parametrize(
    ("make", "frames", "kernel", "strides"),
    [
        (Conv3D, 2, 3, 1),  # the third stage of 16 frames, the second of 8
        (Conv3D, 2, 3, (1, 2, 2)),
        (Conv3D, 3, 5, 2),
        (Conv3D, 4, 5, 1),
        (Conv3D, 2, (3, 1, 1), 1),
        (Conv3D, 1, 3, 1),
        (Conv3D, 4, 3, 1),
        (GroupedConv3D, 2, 3, 1),
    ],
)
def test_bfloat16_has_the_gradients_of_float32(make, frames, kernel, strides):
    """Two more or less digits; the kernel that this is about is off by all of them, or NaN."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, frames, 7, 7, 32)).astype("float32")
    options = {"groups": 4} if make is GroupedConv3D else {}
    arguments = (32, kernel), {"strides": strides, "padding": "same", "use_bias": False, **options}
    exact = keras.layers.Conv3D if make is Conv3D else GroupedConv3D
    reference = exact(*arguments[0], **arguments[1])
    layer = make(*arguments[0], **arguments[1], dtype="mixed_bfloat16")
    for each in (reference, layer):
        each.build(x.shape)
    layer.kernel.assign(reference.kernel)
    weights = rng.normal(size=reference.compute_output_shape(x.shape)).astype("float32")
    want = gradients(reference, keras.ops.convert_to_tensor(x), weights)
    for _ in range(3):  # what it reads differs from time to time
        got = gradients(layer, keras.ops.convert_to_tensor(x), weights)
        for ours, theirs in zip(got, want, strict=True):
            assert np.linalg.norm(ours - theirs) < 0.02 * np.linalg.norm(theirs)


#: Frames, kernel, and whether a gradient of bfloat16 would be wrong, by what `Conv3D` says of it:
#: more than one frame, but fewer than the kernel is long, padded in time.
SHORT_OF_FRAMES = [
    (1, 3, {}, False),
    (2, 3, {}, True),
    (3, 3, {}, False),
    (2, 5, {}, True),
    (4, 5, {}, True),
    (5, 5, {}, False),
    (2, 2, {}, False),
    (2, 1, {}, False),
    (2, (3, 1, 1), {}, True),
    (2, (1, 3, 3), {}, False),
    (2, 3, {"strides": 2}, True),
    # With gaps of one frame, three taps are five frames long.
    (3, 3, {"dilation_rate": 2}, True),
    (4, 3, {"dilation_rate": (2, 1, 1)}, True),
    (5, 3, {"dilation_rate": 2}, False),
    (3, 3, {"dilation_rate": (1, 2, 2)}, False),
    (2, 3, {"padding": "valid"}, False),
    (2, 3, {"dtype": "float32"}, False),
    (2, 3, {"dtype": "float16"}, False),
    (None, 3, {}, False),
    (2, 3, {"height": None}, False),
    (2, 3, {"width": None}, False),
    (2, 3, {"batch": 4}, True),
    (2, 3, {"data_format": "channels_first"}, False),
    (2, 3, {"groups": 2}, True),
]


@pytest.mark.parametrize(("frames", "kernel", "options", "needed"), SHORT_OF_FRAMES)
def test_where_padding_comes_first(frames, kernel, options, needed, monkeypatch):
    """On any machine as on TensorFlow's CPU; on other devices nowhere."""
    from keras_stc.layers import conv

    options = {"padding": "same", **options}
    sizes = [options.pop("batch", None), frames]
    sizes += [options.pop("height", 7), options.pop("width", 7)]
    x = keras.KerasTensor((*sizes, 8), options.pop("dtype", "bfloat16"))
    layer = (GroupedConv3D if "groups" in options else Conv3D)(8, kernel, **options)
    for here in (True, False):
        monkeypatch.setattr(conv, "on_tensorflow_cpu", lambda here=here: here)
        assert conv.needs_padding_first(layer, x) is (needed and here)


@pytest.mark.parametrize(
    ("kernel", "strides", "dilation", "groups"),
    [(3, 1, 1, 1), (5, 2, 1, 1), ((4, 2, 3), (1, 2, 3), 1, 1), (3, 1, 2, 1), (3, 1, 1, 2)],
)
def test_padding_first_is_the_same_sum(kernel, strides, dilation, groups, monkeypatch):
    """In float32, where nothing needs it, on every backend."""
    from keras_stc.layers import conv

    x = np.random.default_rng(0).normal(size=(2, 3, 6, 7, 4)).astype("float32")
    options = {"strides": strides, "dilation_rate": dilation, "groups": groups, "padding": "same"}
    theirs = keras.layers.Conv3D(6, kernel, **options)
    ours = (GroupedConv3D if groups > 1 else Conv3D)(6, kernel, **options)
    want = theirs(x)
    ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    padded = mock.Mock(wraps=conv.padded)
    monkeypatch.setattr(conv, "needs_padding_first", lambda *_: True)
    monkeypatch.setattr(conv, "padded", padded)
    got = ours(x)
    assert padded.call_count == 1
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (got, want)), atol=1e-5)


UNITS = {
    "basic": ("STCResNet18", {}),
    "stage": ("STCResNet18", {"stc_placement": "stage"}),
    "preactivation": ("STCResNet18", {"preactivation": True}),
    "bottleneck": ("STCResNet50", {}),
    "grouped": ("STCResNeXt50", {}),
}


@pytest.fixture(scope="module")
def real_clips(shared, tmp_path_factory):
    """64 clips of 8 frames, 32x32, of four classes, and their labels."""
    import keras_stc

    folder = tmp_path_factory.mktemp("videos")
    for name in ("Archery", "Biking", "Punch", "YoYo"):
        (folder / name).mkdir()
        for path in sorted((shared / "ucf101_35" / name).glob("*.mp4"))[::7][:16]:
            (folder / name / path.name).symlink_to(path)
    videos = keras_stc.data.VideoFolder(folder)
    clips = keras_stc.data.clip_dataset(videos, 8, 4, 32, batch_size=64, training=True)
    clip, label = next(iter(clips))
    return np.asarray(clip), np.asarray(label)


@tensorflow_only
def test_float16_is_as_exact_as_it_is_stored():
    """On TensorFlow's CPU the sums are float32's, rounded once."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 7, 7, 32)).astype("float16")
    for make, options in ((Conv3D, {}), (GroupedConv3D, {"groups": 4})):
        layer = make(32, 3, padding="same", use_bias=False, dtype="mixed_float16", **options)
        layer.build(x.shape)
        exact = make(32, 3, padding="same", use_bias=False, **options)
        exact.build(x.shape)
        exact.kernel.assign(np.asarray(layer.kernel).astype("float16").astype("float32"))
        got = np.asarray(layer(x))
        want = np.asarray(exact(x.astype("float32")))
        assert got.dtype == "float16"
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


# Elsewhere TensorFlow computes bfloat16 number by number, three seconds a step, and without the
# kernel that this is about.
has_bfloat16_kernels = pytest.mark.skipif(
    not CPU.is_file() or "avx512" not in CPU.read_text(), reason="needs a CPU with AVX-512"
)


@tensorflow_only
@pytest.mark.slow
@pytest.mark.parametrize(
    ("unit", "precision"),
    [
        *(pytest.param(unit, "mixed_bfloat16", marks=has_bfloat16_kernels) for unit in UNITS),
        ("basic", "mixed_float16"),
        ("grouped", "mixed_float16"),
    ],
)
def test_a_hundred_steps_in_half_precision(real_clips, unit, precision):
    """One unit a stage, which see four frames, two and one: no step is NaN, and it learns."""
    network, options = UNITS[unit]
    options = {**options, "alpha": 0.5}
    case = parity.Case("", network, (8, 32, 32), options, units=(1, 1, 1, 1), classes=4)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        keras.utils.set_random_seed(0)
        model = case.keras_model()
    finally:
        keras.config.set_dtype_policy(before)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), loss)
    losses = []
    each = keras.callbacks.LambdaCallback(
        # What is told is the mean since the metrics were reset.
        on_train_batch_begin=lambda batch, logs: model.reset_metrics(),
        on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]),
    )
    model.fit(*real_clips, 8, 13, verbose=0, shuffle=False, callbacks=[each])
    assert len(losses) == 104
    assert np.isfinite(losses).all()
    assert np.mean(losses[-16:]) < 0.7 * np.mean(losses[:16])
    assert all(np.isfinite(each).all() for each in model.get_weights())
