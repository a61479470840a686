"""Checkpoints of other libraries, through real files, to outputs equal to PyTorch's."""

import json
import re

import h5py
import helpers
import keras
import numpy as np
import pytest
import resnet2d
from helpers import answers

import keras_stc
from keras_stc.cli.main import main
from keras_stc.weights.foreign import NORMALIZATIONS, is_of_keras, read_foreign
from keras_stc.weights.load import read_weights_file

SIZE = (8, 48, 48, 3)
RNG = np.random.default_rng(5)
CLIPS = RNG.uniform(0, 255, (2, *SIZE)).astype("float32")


def randomize(model):
    """Random statistics too, so that no array can be forgotten unnoticed."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith(("running_mean", "bias")):
                value.uniform_(-0.3, 0.3, generator=generator)
            elif key.endswith("running_var") or (key.endswith("weight") and value.ndim == 1):
                value.uniform_(0.7, 1.3, generator=generator)
            elif value.ndim > 1:
                value.normal_(0, value[0].numel() ** -0.5, generator=generator)
    return model.eval()


def torch_logits(model, clips, normalization):
    import torch

    mean, std = NORMALIZATIONS[normalization]
    x = torch.from_numpy(((clips - mean) / std).astype("float32")).permute(0, 4, 1, 2, 3)
    with torch.inference_mode():
        return model(x).numpy()


def our_logits(model, clips):
    logits = keras.Model(model.input, model.get_layer("avg_pool").output)
    kernel, bias = model.get_layer("predictions").get_weights()
    return answers(logits, clips) @ kernel + bias


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "shortcut", "classes", "module"),
    [
        ("ResNet3D18", "padding", 400, True),  # Hara et al.'s resnet-18-kinetics.pth
        ("ResNet3D34", "projection", 101, False),
        ("ResNet3D50", "projection", 400, False),  # Hara et al.'s r3d50_K_200ep.pth
        ("ResNeXt3D101", "projection", 51, True),  # Hara et al.'s, fine-tuned on HMDB51
        ("WideResNet3D50", "projection", 7, True),  # Hara et al.'s wideresnet-50-kinetics.pth
    ],
)
def test_hara(name, shortcut, classes, module, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    import torch_reference

    reference = torch_reference.create(name, shortcut=shortcut, classes=classes)
    state = randomize(reference).state_dict()
    prefix = "module." if module else ""
    optimizer = torch.optim.SGD(reference.parameters(), 0.1, momentum=0.9)
    content = {
        "epoch": 200,
        "arch": "resnet-18",
        "state_dict": {prefix + key: value for key, value in state.items()},
        "optimizer": optimizer.state_dict(),
    }
    torch.save(content, tmp_path / "save_200.pth")
    out = str(tmp_path / "out.keras")
    assert main(["convert", str(tmp_path / "save_200.pth"), out, "--json", "--size", "48"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["model"] == name.lower() and not done["inflated"]
    # Every key is consumed, or it is a counter and named.
    counters = {key for key in content["state_dict"] if key.endswith("num_batches_tracked")}
    assert set(done["arrays_unused"]) == counters
    assert done["arrays_used"] == len(state) - len(counters)
    assert done["normalization"] == ("hara-2017" if module else "hara-2020")

    model = keras_stc.load_model(out)
    assert model.output_shape == (None, classes)
    clips = RNG.uniform(0, 255, (1, 16, 48, 48, 3)).astype("float32")
    want = torch_logits(reference, clips, done["normalization"])
    got = our_logits(model, clips)
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


@pytest.mark.torch
@pytest.mark.parametrize("base", ["ResNet3D18", "ResNet3D50"])
def test_hara_preactivation(base, tmp_path):
    """As preresnet-200-kinetics.pth, less deep: nothing behind the last stage."""
    torch = pytest.importorskip("torch")
    import torch_reference

    reference = torch_reference.create(base, preactivation=True, classes=7)
    reference.preactivation = False  # of the whole, which is what stands behind its stages
    randomize(reference)
    state = {k: v for k, v in reference.state_dict().items() if not k.startswith("bn_last")}
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "x.pth")
    done = keras_stc.convert_checkpoint(tmp_path / "x.pth", input_shape=SIZE)
    assert done.arch == base.lower() and done.normalization == "hara-2017"
    assert all(key.endswith("num_batches_tracked") for key in done.unused)
    want = torch_logits(reference, CLIPS, "hara-2017")
    np.testing.assert_allclose(our_logits(done.model, CLIPS), want, atol=1e-4 * np.abs(want).max())
    done.model.save(tmp_path / "m.keras")
    again = keras_stc.create_model(**done.model.architecture, weights=tmp_path / "m.keras")
    np.testing.assert_allclose(our_logits(again, CLIPS), want, atol=1e-4 * np.abs(want).max())


@pytest.mark.torch
def test_torchvision_r3d_18(tmp_path):
    torch = pytest.importorskip("torch")
    reference = randomize(r3d_18(classes=7))
    torch.save(reference.state_dict(), tmp_path / "r3d_18.pth")
    done = keras_stc.convert_checkpoint(
        tmp_path / "r3d_18.pth", input_shape=SIZE, class_names=list("abcdefg")
    )
    assert done.arch == "resnet3d18" and done.model.architecture["stem"] == "r3d"
    assert done.model.video_config.class_names == tuple("abcdefg")
    want = torch_logits(reference, CLIPS, "torchvision")
    np.testing.assert_allclose(our_logits(done.model, CLIPS), want, atol=1e-4 * np.abs(want).max())


@pytest.mark.torch
@pytest.mark.parametrize(("release", "dot"), [("hara-2017", "."), ("hara-2020", "")])
def test_hara_densenet(release, dot, tmp_path):
    """Their names of modules: `norm.1` at first, `norm1` since PyTorch forbids the dot."""
    torch = pytest.importorskip("torch")
    import torch_rivals

    reference = randomize(torch_rivals.create("DenseNet3D121", classes=7))
    names = [
        (r"denseblock(\d)\.(\d+)\.(norm|conv)(\d)", None),
        (r"(norm|conv)_t(\d)", r"transition\2.\1"),
    ]

    def theirs(key):
        if key.startswith("classifier"):
            return key
        key = re.sub(names[1][0], names[1][1], key)
        layer = re.match(names[0][0], key)
        if layer:
            block, unit, kind, number = layer.groups()
            inner = f"denseblock{block}.denselayer{int(unit) + 1}.{kind}{dot}{number}"
            key = inner + key[layer.end() :]
        return f"features.{key}"

    prefix = "module." if release == "hara-2017" else ""
    state = {prefix + theirs(key): value for key, value in reference.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "x.pth")
    done = keras_stc.convert_checkpoint(tmp_path / "x.pth", input_shape=SIZE)
    assert (done.arch, done.normalization) == ("densenet3d121", release)
    assert all(key.endswith("num_batches_tracked") for key in done.unused)
    want = torch_logits(reference, CLIPS, release)
    np.testing.assert_allclose(our_logits(done.model, CLIPS), want, atol=1e-4 * np.abs(want).max())


def r3d_18(classes):
    """torchvision's network from its description (Tran et al., CVPR 2018), with its names."""
    import torch
    from torch import nn

    def conv_bn(inputs, outputs, stride):
        conv = nn.Conv3d(inputs, outputs, 3, stride, 1, bias=False)
        return [conv, nn.BatchNorm3d(outputs)]

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Sequential(*conv_bn(inputs, outputs, stride), nn.ReLU())
            self.conv2 = nn.Sequential(*conv_bn(outputs, outputs, 1))
            self.downsample = None
            if stride != 1:
                self.downsample = nn.Sequential(
                    nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs)
                )

        def forward(self, x):
            shortcut = x if self.downsample is None else self.downsample(x)
            return torch.relu(self.conv2(self.conv1(x)) + shortcut)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(
                nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
                nn.BatchNorm3d(64),
                nn.ReLU(),
            )
            width = 64
            for stage, (outputs, stride) in enumerate([(64, 1), (128, 2), (256, 2), (512, 2)]):
                blocks = nn.Sequential(Block(width, outputs, stride), Block(outputs, outputs, 1))
                setattr(self, f"layer{stage + 1}", blocks)
                width = outputs
            self.fc = nn.Linear(512, classes)

        def forward(self, x):
            x = self.stem(x)
            for stage in range(1, 5):
                x = getattr(self, f"layer{stage}")(x)
            return self.fc(x.mean((2, 3, 4)))

    return Net()


def test_keras_applications(tmp_path):
    """Convolutions with bias, another epsilon, BGR; one frame of our network is the 2D one.

    Keras strides the first convolution of a unit and we the second, so strides are taken out of
    both for the comparison: the first unit of each stage, up to the strided convolution.
    """
    theirs = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=11)
    for weight in theirs.weights:
        low, high = (
            (0.7, 1.3) if "variance" in weight.path or "gamma" in weight.path else (-0.3, 0.3)
        )
        if len(weight.shape) < 2:
            weight.assign(RNG.uniform(low, high, weight.shape))
    theirs.save_weights(tmp_path / "r50.weights.h5")
    assert is_of_keras(read_weights_file(tmp_path / "r50.weights.h5"))
    done = keras_stc.convert_checkpoint(tmp_path / "r50.weights.h5", input_shape=(1, 64, 64, 3))
    assert done.arch == "resnet3d50" and done.inflated and done.normalization == "caffe"
    assert done.model.output_shape == (None, 11)

    image = RNG.uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    bgr = keras.applications.resnet.preprocess_input(image.copy())
    # Stage 1 has no stride: the same to its end.
    want = keras.Model(theirs.input, theirs.get_layer("conv2_block3_out").output)(bgr)
    got = keras.Model(done.model.input, done.model.get_layer("layer1_block3_out").output)(
        image[:, None]
    )
    want, got = keras.ops.convert_to_numpy(want), keras.ops.convert_to_numpy(got)[:, 0]
    np.testing.assert_allclose(got, want, atol=2e-4 * np.abs(want).max())
    # Later units without stride, each on the same random map.
    for stage, unit in ((2, 4), (3, 6), (4, 3)):
        name, ours = f"conv{stage + 1}_block{unit}", f"layer{stage}_block{unit}"
        channels = 128 * 2**stage
        x = RNG.normal(size=(1, 6, 6, channels)).astype("float32")
        want = run_unit(theirs, [f"{name}_{i}" for i in (1, 2, 3)], x, "{}_conv", "{}_bn")
        got = run_unit(done.model, [f"{ours}_{{}}{i}" for i in (1, 2, 3)], x[:, None], "conv", "bn")
        np.testing.assert_allclose(got[:, 0], want, atol=2e-4 * np.abs(want).max(), err_msg=name)


def run_unit(model, names, x, conv, norm):
    for i, name in enumerate(names):
        pair = (
            (conv.format(name), norm.format(name))
            if "{}" in conv
            else (
                name.format(conv),
                name.format(norm),
            )
        )
        for layer in pair:
            x = model.get_layer(layer)(x)
        x = keras.ops.relu(x) if i < 2 else x
    return keras.ops.convert_to_numpy(x)


@pytest.mark.slow
def test_the_real_imagenet_resnet50(shared, imagenet_resnet50):
    """Keras' own file of ImageNet weights; the picture it knows is still known after inflation."""
    import av

    model = keras_stc.ResNet3D50(
        weights=imagenet_resnet50, input_shape=(1, 224, 224, 3), classes=1000
    )
    with av.open(str(shared / "clips" / "abseiling_k400.mp4")) as file:
        frame = next(file.decode(video=0)).reformat(298, 224, "rgb24").to_ndarray()
    probabilities = answers(model, frame[None, None, :, 37:261])[0]
    assert probabilities.argmax() == 972  # cliff
    # 0.99 in 2D, 0.68 with the stride on the second convolution instead of the first.
    assert probabilities[972] > 0.6


@pytest.mark.parametrize("legacy", [False, True])
def test_keras_2_files_too(legacy, tmp_path):
    """`keras.applications` still hands out files in Keras 2's format."""
    model = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=3)
    path = tmp_path / ("old.h5" if legacy else "new.weights.h5")
    if legacy:
        helpers.write_keras_2(model, path)
    else:
        model.save_weights(path)
    layers = read_foreign(path).layers
    kernel = model.get_layer("conv4_block6_2_conv").get_weights()[0]
    np.testing.assert_array_equal(layers["layer3_block6_conv2"][""][0], kernel)
    assert len(layers) == 107


#: keras-kinetics-i3d's names of the units of a module, in the order of DeepMind's.
I3D_UNITS = {
    "0a_1x1": "Branch_0_Conv3d_0a_1x1",
    "1a_1x1": "Branch_1_Conv3d_0a_1x1",
    "1b_3x3": "Branch_1_Conv3d_0b_3x3",
    "2a_1x1": "Branch_2_Conv3d_0a_1x1",
    "2b_3x3": "Branch_2_Conv3d_0b_3x3",
    "3b_1x1": "Branch_3_Conv3d_0b_1x1",
}


@pytest.mark.slow
@pytest.mark.parametrize("channels", [2, 3])
def test_keras_kinetics_i3d(channels, tmp_path):
    """Flow-I3D and RGB-I3D: the clips they want, and the answers of the weights' own network."""
    keras.utils.set_random_seed(0)
    model = keras_stc.InceptionI3D(
        input_shape=(8, 32, 32, channels), classes=5, video_config={"size": 32}
    )
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            beta, mean, _ = layer.get_weights()
            spread = [rng.normal(0, 0.1, beta.shape), rng.normal(0, 0.1, mean.shape)]
            layer.set_weights([*spread, rng.uniform(0.5, 1.5, mean.shape)])
    names = {"predictions": "Conv3d_6a_1x1_conv"}
    for module in ("3b", "3c", *(f"4{letter}" for letter in "bcdef"), "5b", "5c"):
        for theirs, ours in I3D_UNITS.items():
            for kind in ("conv", "bn"):
                names[f"Mixed_{module}_{ours}_{kind}"] = f"Conv3d_{module}_{theirs}_{kind}"
    with h5py.File(tmp_path / "i3d.h5", "w") as file:
        layers = [layer for layer in model.layers if layer.weights]
        file.attrs["layer_names"] = [names.get(e.name, e.name).encode() for e in layers]
        for layer in layers:
            group = file.create_group(names.get(layer.name, layer.name))
            group.attrs["weight_names"] = [str(k).encode() for k in range(len(layer.weights))]
            for k, value in enumerate(layer.get_weights()):
                group[str(k)] = value
    done = keras_stc.convert_checkpoint(tmp_path / "i3d.h5", input_shape=(8, 32, 32, channels))
    config = done.model.video_config
    assert done.arch == "inception_i3d" and not done.unused
    assert config.flow == ("tvl1" if channels == 2 else None)
    assert (config.mean, config.std) == ((127.5,) * channels, (127.5,) * channels)
    clip = rng.integers(0, 256, (2, 8, 32, 32, channels)).astype("float32")
    want = answers(model, clip)
    np.testing.assert_allclose(answers(done.model, clip), want, atol=1e-6)
    assert np.abs(want[0] - want[1]).max() > 1e-4


def test_an_stc_network_takes_its_base(tmp_path, capsys):
    from safetensors.numpy import save_file

    save_file(resnet2d.random_state("resnet18"), tmp_path / "r18.safetensors")
    out = str(tmp_path / "stc.keras")
    source = str(tmp_path / "r18.safetensors")
    assert main(["convert", source, out, "--model", "stc_resnet18", "--frames", "4"]) == 0
    assert "is a stc_resnet18, inflated along time" in capsys.readouterr().out
    assert keras_stc.load_model(out).architecture["name"] == "stc_resnet18"
    assert main(["convert", source, out, "--model", "stc_resnet34"]) == 1
    assert "holds a resnet3d18, which cannot become a stc_resnet34" in capsys.readouterr().err


def test_what_cannot_be_converted_gets_a_sentence(tmp_path, capsys):
    from safetensors.numpy import save_file

    def fails(source, *arguments):
        assert main(["convert", str(source), str(tmp_path / "o.keras"), *arguments]) == 1
        error = capsys.readouterr().err
        assert "Traceback" not in error and error.count("\n") == 1
        return error

    state = resnet2d.random_state("resnet18")
    good = tmp_path / "good.safetensors"
    save_file(state, good)
    assert "must name the 1000 outputs" in fails(good, "--classes", __file__)
    backbone = tmp_path / "backbone.safetensors"
    save_file({name: array for name, array in state.items() if "fc." not in name}, backbone)
    assert "has no classifier, whose outputs" in fails(backbone, "--classes", __file__)
    assert "`normalization` must be one of imagenet" in fails(good, "--normalization", "x")
    assert "must end in one of .safetensors" in fails(tmp_path / "x.onnx")
    for name in ("no.safetensors", "no.h5"):
        missing = tmp_path / name
        assert str(missing) in fails(missing)

    save_file(
        {k: v for k, v in state.items() if not k.startswith("layer4")}, tmp_path / "a.safetensors"
    )
    assert "lacks layer4_block1_conv2" in fails(tmp_path / "a.safetensors")
    save_file({**state, "head.weight": state["fc.bias"]}, tmp_path / "b.safetensors")
    assert "no place: head.weight" in fails(tmp_path / "b.safetensors")
    cut = {k: v for k, v in state.items() if "layer3.1" not in k}
    save_file(cut, tmp_path / "c.safetensors")
    assert "2-2-1-2 basic units" in fails(tmp_path / "c.safetensors")
    (tmp_path / "d.safetensors").write_bytes(b"no such thing")
    assert "cannot be read as safetensors" in fails(tmp_path / "d.safetensors")
    (tmp_path / "e.h5").write_bytes(b"no such thing")
    assert f"{tmp_path / 'e.h5'} is damaged, or not a weights file that Keras wrote" in fails(
        tmp_path / "e.h5"
    )
    assert not (tmp_path / "o.keras").exists()
    assert main(["convert", str(good), str(tmp_path / "o.h5")]) == 1
    assert "OUT must end in .keras" in capsys.readouterr().err


@pytest.mark.torch
def test_a_pickle_with_code_is_refused(tmp_path, capsys):
    torch = pytest.importorskip("torch")

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    torch.save({"state_dict": {"conv1.weight": Evil()}}, tmp_path / "evil.pth")
    assert main(["convert", str(tmp_path / "evil.pth"), str(tmp_path / "o.keras")]) == 1
    assert "asks for more than tensors" in capsys.readouterr().err
    assert not (tmp_path / "written").exists()
