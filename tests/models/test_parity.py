"""Our networks against an independent PyTorch implementation with the same weights."""

import keras
import numpy as np
import parity
import pytest

from keras_stc import VideoConfig
from keras_stc.models import inception_i3d

torch = pytest.importorskip("torch")

import torch_rivals  # noqa: E402
from torch_rivals import s3d  # noqa: E402

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
        self.size, self.strides = np.broadcast_to(pool_size, 3), np.broadcast_to(strides, 3)

    def call(self, inputs):
        for axis, size, stride in zip((1, 2, 3), self.size, self.strides, strict=True):
            count = (inputs.shape[axis] - size) // stride + 1
            starts = [np.arange(count) * stride + k for k in range(size)]
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
    check_training_step(case, config, model, variables, reference, momentum=0.9)


#: S3D to its first Inception module, with a quarter of the channels or so.
THIN_S3D = {
    "Conv3d_1a_7x7": ("conv", 16, 7, 2),
    "MaxPool3d_2a_3x3": ("pool", (1, 3, 3), (1, 2, 2)),
    "Conv3d_2b_1x1": ("conv", 16, 1, 1),
    "Conv3d_2c_3x3": ("conv", 48, 3, 1),
    "MaxPool3d_3a_3x3": ("pool", (1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ("mixed", 16, 24, 32, 4, 8, 8),
}


def thin_s3d(classes):
    reference = torch_rivals.create("S3D", classes=classes)
    reference.features = torch.nn.Sequential(
        s3d.separated(3, 16, 7, 2),
        reference.features[1],
        s3d.normalized(16, 16, 1),
        s3d.separated(16, 48, 3),
        reference.features[4],
        s3d.Inception(48, 16, 24, 32, 4, 8, 8),
    )
    # Without dropout.
    reference.classifier = torch.nn.Sequential(
        torch.nn.Identity(), torch.nn.Conv3d(16 + 32 + 8 + 8, classes, 1)
    )
    return reference


def test_gradients_and_moving_statistics_of_s3d(float64, monkeypatch):
    """It keeps its statistics otherwise than the residual networks, and pools in its modules."""
    monkeypatch.setattr(inception_i3d, "END_POINTS", THIN_S3D)
    case = parity.Case("S3D", "S3D", (8, 33, 33))
    config = VideoConfig(mean=(128,) * 3, std=(64,) * 3)
    model = case.keras_model(video_config=config)
    reference = thin_s3d(case.classes)
    variables = {
        f"{torch_rivals.module_of(layer.name, 'S3D')}.{theirs}": getattr(layer, ours)
        for layer in model.layers
        for ours, theirs in parity.LEAVES.items()
        if getattr(layer, ours, None) is not None
    }
    state = reference.state_dict()
    weights = parity.seeded_weights({name: tuple(state[name].shape) for name in variables})
    for name, value in weights.items():
        variables[name].assign(parity.to_keras_layout(value))
    reference.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, strict=False)
    # torchvision: `BatchNorm3d(eps=0.001, momentum=0.001)`.
    check_training_step(case, config, model, variables, reference, momentum=0.999)


def check_training_step(case, config, model, variables, reference, momentum):
    """One step of ours, `variables` by the reference's names, against one of the reference."""
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
    # running variance. So with m for `momentum`, where theirs is m old + (1 - m) n / (n - 1) v,
    # ours is m old + (1 - m) v.
    after = reference.state_dict()
    assert len(moving) == 2 * len(positions)
    for name, value in moving.items():
        module, leaf = name.rsplit(".", 1)
        expected = after[name].numpy()
        if leaf == "running_var":
            n = positions[module]
            kept = momentum * state[name]
            expected = kept + (expected - kept) * (n - 1) / n
        share = 1 - momentum
        assert np.abs(expected - state[name]).max() > 0.1 * share  # the step moved it
        tolerances = {"rtol": 1e-4 * share, "atol": 1e-6 * share}
        np.testing.assert_allclose(value, expected, **tolerances, err_msg=name)
