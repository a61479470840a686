"""BatchNormalization against Keras' own layer, in everything that either computes or keeps."""

import keras
import numpy as np
import pytest

from keras_stc.layers import BatchNormalization

CASES = {
    "training": {},
    "no scale": {"scale": False},
    "no offset": {"center": False},
    "one position": {"shape": (1, 1, 1, 1, 6)},
    "frozen": {"trainable": False},
    "inference": {"training": False},
}


def pair(options, dtype):
    """Ours and Keras' with the same state, none of it what a layer begins with."""
    layers = [
        each(momentum=0.9, epsilon=1e-5, dtype=dtype, **options)
        for each in (BatchNormalization, keras.layers.BatchNormalization)
    ]
    rng = np.random.default_rng(1)
    for layer in layers:
        layer.build((None, None, None, None, 6))
    for ours, theirs in zip(layers[0].weights, layers[1].weights, strict=True):
        assert ours.path.split("/")[-1] == theirs.path.split("/")[-1]
        value = rng.uniform(0.5, 2, ours.shape)
        ours.assign(value)
        theirs.assign(value)
    return layers


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("case", CASES)
def test_as_keras_does(case, dtype):
    options = dict(CASES[case])
    shape = options.pop("shape", (2, 3, 5, 4, 6))
    training = options.pop("training", True)
    x = np.random.default_rng(0).normal(3, 2, shape).astype("float32")
    x = keras.ops.cast(x, keras.DTypePolicy(dtype).compute_dtype)
    ours, theirs = pair(options, dtype)
    got, want = (layer(x, training=training) for layer in (ours, theirs))
    assert got.dtype == want.dtype and got.shape == want.shape
    # Half precision rounds the result once, and Keras' layer a step before it.
    tolerance = {"float32": 1e-5, "mixed_bfloat16": 2e-2, "mixed_float16": 2e-3}[dtype]
    if case == "one position":  # of which the last digit is divided by the root of epsilon
        tolerance = max(tolerance, 1e-3)
    as_float = [keras.ops.convert_to_numpy(keras.ops.cast(y, "float32")) for y in (got, want)]
    np.testing.assert_allclose(*as_float, atol=tolerance, rtol=tolerance)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(np.asarray(mine), np.asarray(other), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's kernel")
@pytest.mark.parametrize("trainable", [True, False])
def test_gradients_in_a_graph_of_unknown_sizes(trainable):
    """By input, scale and offset; the kernel is there, and no time axis is lost."""
    import tensorflow as tf

    ours, theirs = pair({"trainable": trainable}, "float32")
    rng = np.random.default_rng(0)
    x, weights = (rng.normal(1, 2, (2, 3, 5, 4, 6)).astype("float32") for _ in range(2))

    def gradients(layer):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, None, 6))] * 2)
        def run(x, weights):
            with tf.GradientTape() as tape:
                tape.watch([x, layer.gamma.value, layer.beta.value])
                y = layer(x, training=True)
                assert y.shape.as_list() == [None, None, None, None, 6]
                total = tf.reduce_sum(y * weights)
            return tape.gradient(total, [x, layer.gamma.value, layer.beta.value])

        nodes = run.get_concrete_function().graph.get_operations()
        return [np.asarray(g) for g in run(x, weights)], {node.type for node in nodes}

    (got, kernels), (want, composed) = gradients(ours), gradients(theirs)
    assert "FusedBatchNormV3" in kernels and "FusedBatchNormV3" not in composed
    for mine, other in zip(got, want, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)


#: Half precision -> error of the gradient by the input, of its largest: two roundings.
ROUNDING = {"float32": 1e-5, "bfloat16": 2**-7, "float16": 2**-10}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's kernel")
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("trainable", [True, False])
def test_gradients_by_the_formula(trainable, dtype):
    """Of input and weights as they were rounded, in float64; sums over positions stay float32."""
    import tensorflow as tf

    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    layer, _ = pair({"trainable": trainable}, policy)
    rng = np.random.default_rng(0)
    x, dy = (tf.cast(rng.normal(mean, 2, (4, 3, 5, 4, 6)), dtype) for mean in (3, 0.5))
    mean, variance = (np.asarray(each, "float64") for each in layer.weights[2:])
    with tf.GradientTape() as tape:
        tape.watch([x, layer.gamma.value, layer.beta.value])
        y = layer(x, training=True)
    got = tape.gradient(y, [x, layer.gamma.value, layer.beta.value], dy)
    assert y.dtype == got[0].dtype == dtype and got[1].dtype == got[2].dtype == "float32"

    x, dy = (np.asarray(each, "float64") for each in (x, dy))
    if trainable:
        mean, variance = x.mean(axis=(0, 1, 2, 3)), x.var(axis=(0, 1, 2, 3))
    factor = 1 / np.sqrt(variance + layer.epsilon)
    normal = (x - mean) * factor
    gamma, beta = (dy * normal).sum(axis=(0, 1, 2, 3)), dy.sum(axis=(0, 1, 2, 3))
    if trainable:  # mean and variance move with the input
        dy = dy - (beta + normal * gamma) / x[..., 0].size
    want = [dy * factor * np.asarray(layer.gamma), gamma, beta]
    for mine, other, error in zip(got, want, (ROUNDING[dtype], 1e-5, 1e-5), strict=True):
        mine = np.asarray(tf.cast(mine, tf.float64))
        np.testing.assert_allclose(mine, other, rtol=0, atol=error * np.abs(other).max())


def test_configuration_and_file(tmp_path):
    inputs = keras.Input((2, 4, 4, 6))
    model = keras.Model(inputs, BatchNormalization(momentum=0.9, name="bn")(inputs))
    keras_own = keras.layers.BatchNormalization(momentum=0.9, name="bn")
    assert model.get_layer("bn").get_config() == keras_own.get_config()
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert type(again.get_layer("bn")) is BatchNormalization


def test_synchronized_and_other_maps_are_keras_own():
    """Five axes alone go through the kernel, and not where devices exchange their statistics."""
    layer = BatchNormalization()
    layer.build((None, 6))
    assert layer(np.ones((2, 6), "float32"), training=True).shape == (2, 6)
    if keras.backend.backend() == "tensorflow":
        layer = BatchNormalization(synchronized=True)
        layer.build((None, 2, 2, 2, 6))
        assert not layer._is_fused(np.ones((1, 2, 2, 2, 6), "float32"))
        layer.synchronized = False
        assert layer._is_fused(np.ones((1, 2, 2, 2, 6), "float32"))
