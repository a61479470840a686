"""Our networks against an independent PyTorch implementation with the same weights."""

import keras
import numpy as np
import parity
import pytest

from keras_stc import VideoConfig

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.torch

#: Gradients are compared in float64. In float32 a value near zero that falls on the other side of
#: a ReLU, or two equal ones under the pooling (of which TensorFlow lets both pass, PyTorch one),
#: change some gradients by 1e-3 to 1e-1, in either library against its own float64. The classifier
#: stays in float32 in our models, and batch normalisation enlarges what it rounds: up to 2e-5.
GRADIENT_TOLERANCE = 1e-4


@pytest.mark.parametrize("case", parity.params(parity.FORWARD, lambda case: case.slow))
def test_outputs(case):
    model = case.keras_model()
    variables = parity.set_seeded_weights(model)
    reference, shapes = parity.reference_with_seeded_weights(case)
    ours = {
        name: parity.to_torch_layout(np.empty(variable.shape, bool)).shape
        for name, variable in variables.items()
    }
    assert ours == shapes

    clips = parity.clips(case)
    with torch.no_grad():
        expected = reference(torch.from_numpy(parity.to_torch_clips(clips))).numpy()
    assert np.ptp(expected, axis=0).max() > 1e-2 * np.abs(expected).max()  # clips are told apart
    assert parity.relative_error(parity.logits(model, clips), expected) < parity.OUTPUT_TOLERANCE
    # What machines without PyTorch compare with is what the reference says today.
    assert parity.relative_error(parity.golden(case), expected) < 1e-5


class MaxPooling3D(keras.layers.Layer):
    """`keras.layers.MaxPooling3D`, which TensorFlow does not have in float64."""

    def __init__(self, pool_size, strides, padding, **kwargs):
        super().__init__(**kwargs)
        assert padding == "valid"
        self.size, self.strides = pool_size, strides

    def call(self, inputs):
        for axis in (1, 2, 3):
            count = (inputs.shape[axis] - self.size) // self.strides + 1
            starts = [np.arange(count) * self.strides + k for k in range(self.size)]
            taken = [keras.ops.take(inputs, start, axis=axis) for start in starts]
            inputs = keras.ops.max(keras.ops.stack(taken), axis=0)
        return inputs


@pytest.fixture
def float64(monkeypatch):
    """Keras in float64 for the length of a test."""
    monkeypatch.setattr(keras.layers, "MaxPooling3D", MaxPooling3D)
    if keras.backend.backend() != "tensorflow":
        # There Keras promotes float64 to float32, and so batch normalisation computes in float32.
        from keras.src.backend.common import dtypes

        monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    yield
    if keras.backend.backend() == "jax":
        jax.config.update("jax_enable_x64", False)
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


def _training_cases():
    networks = ("ResNet3D18", "ResNet3D50", "ResNeXt3D50")
    networks += ("STCResNet18", "STCResNet50", "STCResNeXt50")
    for network in networks:
        yield f"{network}-post", network, {}
    for network in ("ResNet3D18", "STCResNet50"):
        yield f"{network}-pre", network, parity.PRE
    yield "STCResNet18-stage-padding", "STCResNet18", {**parity.STAGE, **parity.PADDING}


# A quarter of the width, and sides that are odd and even in turn: 33, 17, 9, 5, 3, 2.
TRAINING = [
    parity.Case(name, network, (4, 33, 33), {**options, "alpha": 0.25}, units=parity.SHORT)
    for name, network, options in _training_cases()
]


@pytest.mark.parametrize("case", parity.params(TRAINING))
def test_gradients_and_moving_statistics(case, float64):
    # Whole pixels and a whole mean: models normalise in float32, and this way exactly.
    config = VideoConfig(mean=(115, 108, 99))
    model = case.keras_model(video_config=config)
    variables = parity.set_seeded_weights(model)
    reference, _ = parity.reference_with_seeded_weights(case)
    reference.double()
    clips = np.round(parity.clips(case))
    cotangent = np.random.RandomState(1).standard_normal((len(clips), case.classes))

    state = {name: value.numpy().copy() for name, value in reference.state_dict().items()}
    positions = {}
    for name, module in reference.named_modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.register_forward_hook(
                lambda _, __, output, name=name: positions.update(
                    {name: output.numel() // output.shape[1]}
                )
            )
    reference.train()
    outputs = reference(torch.from_numpy(parity.to_torch_clips(clips, config)).double())
    (outputs * torch.from_numpy(cotangent)).sum().backward()
    gradients, moving = parity.training_step(model, variables, clips, cotangent)

    expected = {name: value.grad.numpy() for name, value in reference.named_parameters()}
    assert gradients.keys() == expected.keys()
    # A shift that the next normalisation takes away again has a gradient of rounding noise only:
    # errors count against the usual size of a gradient (0.1 to 20 here) where that is more.
    floor = np.median([np.abs(value).max() for value in expected.values()])
    errors = {n: parity.relative_error(gradients[n], expected[n], floor) for n in expected}
    assert not {n: error for n, error in errors.items() if not error < GRADIENT_TOLERANCE}

    # PyTorch normalises by the biased variance v, as Keras does, but puts n / (n - 1) v into its
    # running variance. So where theirs is 0.9 old + 0.1 n / (n - 1) v, ours is 0.9 old + 0.1 v.
    after = reference.state_dict()
    assert len(moving) == 2 * len(positions)
    for name, value in moving.items():
        module, leaf = name.rsplit(".", 1)
        expected = after[name].numpy()
        if leaf == "running_var":
            n = positions[module]
            expected = 0.9 * state[name] + (expected - 0.9 * state[name]) * (n - 1) / n
        assert np.abs(expected - state[name]).max() > 1e-2  # the step moved it
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7, err_msg=name)
