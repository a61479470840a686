"""The networks that STC is compared with: against PyTorch, with neutral blocks, on other clips."""

import keras
import numpy as np
import parity
import pytest
import resnet2d
from helpers import answers
from safetensors.numpy import save_file

import keras_stc
from keras_stc import VideoConfig
from keras_stc.models.complexity import count_macs, count_parameters, zoo_complexity
from keras_stc.models.zoo import CONSTRUCTORS

torch = pytest.importorskip("torch")

import torch_reference  # noqa: E402
import torch_rivals  # noqa: E402

pytestmark = pytest.mark.torch

#: Whole pixels, and of order 1 behind the first layer.
CONFIG = {"mean": (128.0,) * 3, "std": (64.0,) * 3}

STAGE = {"stc_placement": "stage"}

#: Ours, theirs, the clip, arguments of our constructor, and of both.
CASES = [
    ("ResNet3D18", "R3D18", (7, 45, 37), {"stem": "r3d"}, {}),
    ("MC318", "MC318", (8, 48, 48), {}, {}),
    ("R2Plus1D18", "R2Plus1D18", (7, 45, 37), {}, {}),
    ("STCMC318", "STCMC318", (5, 32, 32), {}, STAGE),
    ("STCR2Plus1D18", "STCR2Plus1D18", (9, 32, 32), {}, {}),
    ("S3D", "S3D", (17, 96, 64), {}, {}),
    ("S3D", "S3D", (8, 48, 40), {}, {"stc": True}),
    ("C3D", "C3D", (16, 64, 64), {}, {}),
    ("C3DBN", "C3DBN", (16, 32, 32), {}, {"stc": True}),
    ("DenseNet3D121", "DenseNet3D121", (16, 64, 48), {}, {}),
    ("DenseNet3D169", "DenseNet3D169", (6, 32, 32), {}, {"stc": True}),
    ("P3D199", "P3D199", (6, 32, 32), {}, {"stc": True}),
]


def variables_of(model, network):
    """`{name in the state_dict: variable}`; every variable exactly once."""
    variables = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        module = torch_rivals.module_of(layer.name, network.removeprefix("STC"))
        parts = {module: layer}
        if isinstance(layer, keras_stc.layers.STCBlock):
            parts = {
                f"{module}.{parity.STC_PARTS[part]}": getattr(layer, part)
                for part in parity.STC_PARTS
                if getattr(layer, part, None) is not None
            }
        for prefix, part in parts.items():
            for ours, theirs in parity.LEAVES.items():
                if getattr(part, ours, None) is not None:
                    assert f"{prefix}.{theirs}" not in variables
                    variables[f"{prefix}.{theirs}"] = getattr(part, ours)
    assert len(variables) == len(model.weights)
    return variables


@pytest.mark.parametrize(
    ("ours", "theirs", "clip", "own", "options"),
    CASES,
    ids=[f"{case[1]}-{case[2][0]}" for case in CASES],
)
def test_outputs(ours, theirs, clip, own, options):
    model = getattr(keras_stc, ours)(
        input_shape=(*clip, 3),
        classes=11,
        classifier_activation=None,
        video_config=CONFIG,
        **own,
        **options,
    )
    sizes = {"frames": clip[0], "classes": 11}
    if theirs.startswith("C3D"):
        sizes["size"] = clip[1]
    reference = torch_rivals.create(theirs, **sizes, **options).eval()
    variables = variables_of(model, theirs)
    state = {k: v for k, v in reference.state_dict().items() if not k.endswith("_tracked")}
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    assert shapes == {
        name: parity.to_torch_layout(np.empty(variable.shape, bool)).shape
        for name, variable in variables.items()
    }
    weights = parity.seeded_weights(shapes)
    if theirs == "P3D199":  # its shifts would drown the clips
        weights = {
            n: v / 8 if n.endswith(".bias") and ".bn" in n else v for n, v in weights.items()
        }
    for name, value in weights.items():
        variables[name].assign(parity.to_keras_layout(value))
    reference.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, strict=False)

    clips = np.random.default_rng(0).integers(0, 256, (2, *clip, 3)).astype("float32")
    clips = (clips + clips[:, :1, :1, :1]) / 2
    clips[1] /= 8  # far from the first, for 199 layers to tell apart
    with torch.no_grad():
        config = VideoConfig(**CONFIG)
        expected = reference(torch.from_numpy(parity.to_torch_clips(clips, config))).numpy()
    assert np.ptp(expected, axis=0).max() > 1e-2 * np.abs(expected).max()  # clips are told apart
    assert parity.relative_error(parity.logits(model, clips), expected) < parity.OUTPUT_TOLERANCE


@pytest.mark.parametrize(
    ("base", "name", "frames"),
    [
        ("mc318", "stc_mc318", 4),
        ("r2plus1d18", "stc_r2plus1d18", 4),
        ("inception_i3d", "inception_i3d", 8),
        ("s3d", "s3d", 8),
        ("c3d_bn", "c3d_bn", 4),
        ("densenet3d121", "densenet3d121", 4),
        pytest.param("p3d199", "p3d199", 4, marks=pytest.mark.slow),
    ],
)
def test_neutral_stc_blocks_answer_as_without(base, name, frames, tmp_path):
    keras.utils.set_random_seed(0)
    arguments = {"input_shape": (frames, 32, 32, 3), "classes": 5}
    model = keras_stc.create_model(base, **arguments, classifier_activation=None)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):  # as a trained network's
            layer.moving_mean.assign(rng.uniform(-0.2, 0.2, layer.moving_mean.shape))
            layer.beta.assign(rng.uniform(-0.2, 0.2, layer.beta.shape))
    model.save(tmp_path / "m.keras")
    blocks = {} if base != name else {"stc": True}
    other = keras_stc.create_model(
        name, weights=str(tmp_path / "m.keras"), classifier_activation=None, **blocks
    )
    assert other.architecture.get("stc", True)
    assert any(isinstance(layer, keras_stc.layers.STCBlock) for layer in other.layers)
    clips = rng.integers(0, 256, (2, frames, 32, 32, 3)).astype("float32")
    clips[1] /= 8
    want = parity.logits(model, clips)
    apart, largest = np.ptp(want, axis=0).max(), np.abs(want).max()
    assert apart > 1e-3 * largest
    atol = min(1e-4 * largest, 1e-2 * apart)
    np.testing.assert_allclose(parity.logits(other, clips), want, rtol=0, atol=atol)


def test_mc3_starts_from_a_2d_network(tmp_path):
    """Its 2D stages take the kernels as they are; one frame is answered as the image."""
    state = resnet2d.random_state("resnet18")
    save_file(state, tmp_path / "resnet18.safetensors")
    image = np.random.default_rng(3).uniform(0, 255, (1, 40, 40, 3))
    model = keras_stc.STCMC318(
        weights=tmp_path / "resnet18.safetensors",
        input_shape=(1, 40, 40, 3),
        classes=1000,
        classifier_activation=None,
    )
    assert model.architecture["stem"] == "resnet3d"  # the 2D network's stem, with its pooling
    *_, want = resnet2d.run("resnet18", state, image)
    got = answers(model, image[:, None].astype("float32"))
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


def test_unknown_convolutions_are_refused():
    with pytest.raises(ValueError, match="`convolution` must be one of"):
        keras_stc.layers.residual_unit(
            keras.Input((4, 8, 8, 8)), "basic", 8, 8, convolution="1d", name="unit"
        )


@pytest.mark.parametrize(
    ("name", "parameters", "giga"),
    [
        # torchvision: "num_params" and "_ops" of S3D_Weights, for 16 frames.
        ("S3D", 8_320_048, 17.979),
        # mmaction2's model zoo: 78.4 M for UCF101's classes, 38.5 GMAC.
        ("C3D", 78_409_573, 38.547),
    ],
)
def test_counts_against_the_sources(name, parameters, giga):
    arguments = {"S3D": {"input_shape": (16, 224, 224, 3)}, "C3D": {"classes": 101}}[name]
    model = getattr(keras_stc, name)(**arguments)
    assert count_parameters(model) == parameters
    assert round(count_macs(model) / 1e9, 3) == giga


@pytest.mark.parametrize("name", ["c3d", "c3d_bn", "densenet3d121", "densenet3d169", "p3d199"])
def test_our_table_against_the_reference(name):
    entry = zoo_complexity()[name]
    constructor = CONSTRUCTORS[name].__name__
    for key, options in (("16", {}), ("stc-16", {"stc": True})):
        with torch.device("meta"):
            reference = torch_rivals.create(constructor, **options)
        assert entry["parameters"][key] == torch_reference.count_parameters(reference)
        size = 160 if name == "p3d199" else 112
        assert entry["macs"][key] == torch_reference.count_macs(reference, 16, size)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("S3D", {"stc": "yes"}, "`stc` must be True or False"),
        ("S3D", {"input_shape": (7, 224, 224, 3)}, "at least 8 frames"),
        ("P3D199", {"dropout_rate": 1}, "`dropout_rate` must be at least 0 and below 1"),
        ("P3D199", {"dropout_rate": "x"}, "`dropout_rate` must be at least 0 and below 1"),
        ("C3D", {"input_shape": (None, 112, 112, 3)}, "must fix frames, height and width"),
        ("DenseNet3D121", {"stc": True, "reduction_ratio": 3}, "`reduction_ratio` must divide"),
        ("DenseNet3D121", {"stc": True, "input_shape": (None, 64, 64, 3)}, "must fix the number"),
        ("MC318", {"weights": "kinetics"}, "is not known for mc318"),
    ],
)
def test_bad_arguments_get_a_sentence(name, arguments, words):
    with pytest.raises(ValueError) as caught:
        getattr(keras_stc, name)(**arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)
