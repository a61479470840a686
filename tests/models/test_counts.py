"""Parameters and multiply-accumulates: the notes' figures, the reference, our table, our models."""

import pytest

torch = pytest.importorskip("torch")

import torch_reference  # noqa: E402
import torch_rivals  # noqa: E402

from keras_stc.models.complexity import count_macs, count_parameters, zoo_complexity  # noqa: E402
from keras_stc.models.configs import VARIANTS  # noqa: E402

pytestmark = pytest.mark.torch


def reference(network, **kwargs):
    """The reference without memory for its weights: only shapes are counted."""
    with torch.device("meta"):
        rival = network.removeprefix("STC") in torch_rivals.NETWORKS
        return (torch_rivals if rival else torch_reference).create(network, **kwargs)


@pytest.mark.parametrize(
    ("network", "options", "parameters"),
    [
        ("STCResNet18", {"stc_placement": "stage"}, 33_970_880),
        ("STCResNet50", {"stc_placement": "stage"}, 55_974_928),
        ("STCResNet101", {"stc_placement": "stage"}, 95_021_072),
        ("STCResNeXt101", {"stc_placement": "stage"}, 57_297_168),
        # In millions, where only rounded figures were noted.
        ("ResNet3D18", {}, 33.409),
        ("ResNet3D18", {"shortcut": "padding"}, 33.235),
        ("ResNet3D50", {}, 47.019),
        ("ResNet3D101", {}, 86.065),
        ("ResNeXt3D101", {}, 48.341),
        ("STCResNet18", {"stc_placement": "stage", "frames": 32}, 34.88),
        ("STCResNet50", {"stc_placement": "stage", "frames": 32}, 70.53),
        ("STCResNet101", {"stc_placement": "stage", "frames": 32}, 109.57),
        ("STCResNeXt101", {"stc_placement": "stage", "frames": 32}, 71.85),
        ("STCResNet18", {}, 34.53),
        ("STCResNet50", {}, 81.63),
        ("STCResNet101", {}, 156.38),
        ("STCResNeXt101", {}, 118.65),
        ("STCResNet18", {"frames": 32}, 36.35),
        ("STCResNet50", {"frames": 32}, 139.70),
        ("STCResNet101", {"frames": 32}, 276.85),
        ("STCResNeXt101", {"frames": 32}, 239.12),
        ("STCResNet101", {"frames": 64}, 725),
        # torchvision's own counts of its weights, 400 classes ("num_params").
        ("R3D18", {}, 33_371_472),
        ("MC318", {}, 11_695_440),
        ("R2Plus1D18", {}, 31_505_325),
    ],
)
def test_reference_against_the_notes(network, options, parameters):
    count = torch_reference.count_parameters(reference(network, **options))
    if isinstance(parameters, float):
        decimals = 3 if network.startswith("Res") else 2
        count = round(count / 1e6, decimals)
    elif parameters < 1000:
        count = round(count / 1e6)
    assert count == parameters


@pytest.mark.parametrize(
    ("network", "giga"),
    [
        ("ResNet3D18", (8.31, 16.62)),
        ("ResNet3D50", (10.07, 20.14)),
        ("ResNet3D101", (13.89, 27.78)),
        ("ResNeXt3D101", (9.57, 19.13)),
    ],
)
def test_reference_macs_against_the_notes(network, giga):
    counts = [torch_reference.count_macs(reference(network), frames) for frames in (16, 32)]
    assert tuple(round(count / 1e9, 2) for count in counts) == giga


def test_stem_macs_by_hand():
    """16x56x56 positions, 64 filters of 7x7x7x3; layer1 of the 18: 8x28x28, four of 3x3x3x64."""
    model = reference("ResNet3D18", classes=1)
    for stage in (2, 3, 4):
        setattr(model, f"layer{stage}", torch.nn.Identity())
    with torch.device("meta"):
        model.fc = torch.nn.Linear(64, 1)
    stem = 16 * 56 * 56 * 64 * 7**3 * 3
    layer1 = 4 * 8 * 28 * 28 * 64 * 3**3 * 64
    assert torch_reference.count_macs(model) == stem + layer1 + 64


@pytest.mark.parametrize("name", VARIANTS)
def test_our_table_against_the_reference(name):
    """Every entry of the zoo's table, exactly."""
    entry = zoo_complexity()[name]
    constructor = VARIANTS[name].constructor
    for key in entry["parameters"]:
        *placement, frames = key.split("-")
        options = {"stc_placement": placement[0]} if placement else {}
        model = reference(constructor, frames=int(frames), **options)
        assert entry["parameters"][key] == torch_reference.count_parameters(model), key
        assert entry["macs"][key] == torch_reference.count_macs(model, int(frames)), key


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("ResNet3D18", {"shortcut": "padding"}),
        ("ResNet3D50", {"shortcut": "padding", "stem": "table1", "preactivation": True}),
        ("STCResNet18", {"stc_branches": ("temporal",)}),
        ("STCResNet18", {"stc_branches": ("spatial",), "reduction_ratio": 16}),
        ("STCResNet18", {"alpha": 0.5}),
        ("ResNeXt3D50", {"alpha": 2}),
    ],
)
def test_our_models_against_the_reference(network, options):
    """Variants that the zoo's table does not list."""
    from keras_stc import models

    theirs = reference(network, classes=400, frames=16, **options)
    ours = getattr(models, network)(input_shape=(16, 112, 112, 3), **options)
    assert count_parameters(ours) == torch_reference.count_parameters(theirs)
    assert count_macs(ours) == torch_reference.count_macs(theirs)
