"""Weights files into models: by name, never by order."""

import zipfile

import h5py
import keras
import numpy as np
import pytest
from helpers import answers

import keras_stc
from keras_stc.weights.load import assign_by_name, read_weights_file, write_weights_file

CLIP = (4, 32, 32, 3)
SMALL = {"input_shape": CLIP, "alpha": 0.125}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An STC-ResNet18 with random weights everywhere, and its files."""
    folder = tmp_path_factory.mktemp("weights")
    model = keras_stc.STCResNet18(classes=3, **SMALL)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    model.save(folder / "m.keras")
    model.save_weights(folder / "m.weights.h5")
    return model, folder


def layer_weights(model, name):
    return model.get_layer(name).get_weights()


@pytest.mark.parametrize("file", ["m.keras", "m.weights.h5"])
def test_reads_every_array_by_layer_name(saved, file):
    model, folder = saved
    layers = read_weights_file(folder / file)
    assert set(layers) == {layer.name for layer in model.layers if layer.weights}
    stc = layers["layer4_block2_stc"]
    np.testing.assert_array_equal(
        stc["spatial_squeeze"][0],
        model.get_layer("layer4_block2_stc").spatial_squeeze.get_weights()[0],
    )
    # gamma, beta, moving mean, moving variance
    for got, want in zip(layers["conv1_bn"][""], layer_weights(model, "conv1_bn"), strict=True):
        np.testing.assert_array_equal(got, want)


def test_order_does_not_matter(saved):
    """Two layers of one shape in another order: Keras' own loader would swap them."""
    model, folder = saved

    def chain(names):
        x = inputs = keras.Input((2, 2, 2, 4))
        for name in names:
            x = keras.layers.Conv3D(4, 1, name=name)(x)
        return keras.Model(inputs, x)

    first, second = chain(["a", "b"]), chain(["b", "a"])
    first.save_weights(folder / "ab.weights.h5")
    assert assign_by_name(second, read_weights_file(folder / "ab.weights.h5"), "ab") == ""
    for name in "ab":
        np.testing.assert_array_equal(layer_weights(second, name)[0], layer_weights(first, name)[0])


def test_other_classes_keep_the_backbone(saved, caplog):
    model, folder = saved
    with caplog.at_level("WARNING", logger="keras_stc"):
        other = keras_stc.STCResNet18(classes=7, **SMALL, weights=folder / "m.keras")
    assert "3 classes in the file, 7 in the model" in caplog.text
    np.testing.assert_array_equal(
        layer_weights(other, "layer4_block2_conv2")[0],
        layer_weights(model, "layer4_block2_conv2")[0],
    )
    assert layer_weights(other, "predictions")[0].shape == (64, 7)


def test_without_top_from_a_full_file(saved):
    model, folder = saved
    bare = keras_stc.STCResNet18(
        include_top=False, pooling="avg", **SMALL, weights=folder / "m.weights.h5"
    )
    x = np.random.default_rng(1).integers(0, 256, (1, *CLIP)).astype("float32")
    features = keras.Model(model.input, model.get_layer("avg_pool").output)
    np.testing.assert_allclose(answers(bare, x), answers(features, x), rtol=1e-6)


def test_arrays_that_lie_elsewhere_are_refused(tmp_path):
    """HDF5 would read other files of this machine into the network."""
    (tmp_path / "secret").write_bytes(b"TOPSECRETDATA123")

    def outside(file):
        outer = [(tmp_path / "secret", 0, 16)]
        file.create_dataset("layers/conv/vars/0", (4,), "f4", external=outer)

    def link(file):
        with h5py.File(tmp_path / "other.h5", "w") as other:
            other["conv/vars/0"] = np.ones(4, "f4")
        file["layers"] = h5py.ExternalLink(tmp_path / "other.h5", "/")

    def virtual(file):
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "conv/vars/0", (4,))
        file.create_virtual_dataset("layers/conv/vars/0", layout)

    def swollen(file):
        zeros = np.zeros(10**7, "f4")
        file.create_dataset("layers/conv/vars/0", data=zeros, compression="gzip")

    for write, words in (
        (outside, "vars/0 in it lies somewhere else"),
        (link, "layers in it is a link"),
        (virtual, "vars/0 in it lies somewhere else"),
        (swollen, "vars/0 in it is far larger than the file"),
    ):
        path = tmp_path / f"{write.__name__}.weights.h5"
        with h5py.File(path, "w") as file:
            write(file)
            if write is not link:
                file["layers/conv/vars"].attrs["name"] = "conv"
        with pytest.raises(ValueError, match=f"{path.name} is damaged, or not a.*{words}"):
            read_weights_file(path)


def test_damaged_files_are_named(saved, tmp_path):
    _, folder = saved
    data = bytearray((folder / "m.keras").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.keras").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as archive:
        archive.writestr("x", "x")
    (tmp_path / "cut.weights.h5").write_bytes((folder / "m.weights.h5").read_bytes()[:100_000])
    for name in ("flipped.keras", "empty.keras", "cut.weights.h5"):
        with pytest.raises(ValueError, match=f"{name} is damaged, or not a") as caught:
            keras_stc.STCResNet18(classes=3, **SMALL, weights=tmp_path / name)
        assert "\n" not in str(caught.value)


def test_members_and_arrays_far_larger_than_the_file_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(10**7))
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        for number in range(30):  # each is not too large
            file.create_dataset(f"layers/{number}/vars/0", (100_000,), chunks=(1000,))
    assert 400_000 < 20 * (tmp_path / "x.weights.h5").stat().st_size < 30 * 400_000
    for name in ("x.keras", "x.weights.h5"):
        with pytest.raises(ValueError, match=f"{name} is damaged.*far larger than the file"):
            read_weights_file(tmp_path / name)


def test_wrong_files_get_a_sentence_and_change_nothing(saved, tmp_path):
    _, folder = saved
    with pytest.raises(ValueError, match="m.keras holds a stc_resnet18, and this is stc_resnet34"):
        keras_stc.STCResNet34(classes=3, **SMALL, weights=folder / "m.keras")
    with pytest.raises(ValueError, match="no weights for layer 'layer1_block3_conv1'"):
        keras_stc.STCResNet34(classes=3, **SMALL, weights=folder / "m.weights.h5")
    with pytest.raises(ValueError, match="'layer1_block1_stc', which resnet3d18 lacks"):
        keras_stc.ResNet3D18(classes=3, **SMALL, weights=folder / "m.weights.h5")
    with pytest.raises(ValueError, match="layer1_block1_stc/temporal_squeeze/kernel .* must be"):
        keras_stc.STCResNet18(reduction_ratio=2, **SMALL, weights=folder / "m.weights.h5")
    with pytest.raises(ValueError, match="The weights file nowhere.keras does not exist"):
        keras_stc.STCResNet18(weights="nowhere.keras")
    with pytest.raises(ValueError, match="Its tags are: 'imagenet'"):
        keras_stc.STCResNet18(weights="kinetic400")
    with pytest.raises(ValueError, match="from anywhere: start from weights='imagenet'"):
        keras_stc.STCResNet18(weights="kinetics400")
    with pytest.raises(ValueError, match="holds no finished run"):
        keras_stc.STCResNet18(weights=tmp_path)
    (tmp_path / "text.weights.h5").write_text("not HDF5")
    with pytest.raises(ValueError, match="not a weights file that Keras wrote"):
        keras_stc.STCResNet18(weights=tmp_path / "text.weights.h5")

    model = keras_stc.STCResNet18(classes=3, **SMALL)
    before = model.get_weights()
    layers = read_weights_file(folder / "m.keras")
    layers["layer4_block2_bn2"][""][3] = np.zeros(3)
    with pytest.raises(ValueError, match="layer4_block2_bn2"):
        assign_by_name(model, layers, "changed")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_the_caller_leaves_out_follows_the_weights(tmp_path):
    config = keras_stc.VideoConfig(
        frames=4, size=32, stride=5, mean=(1, 2, 3), std=(4, 5, 6), class_names=("a", "b")
    )
    model = keras_stc.STCResNet18(
        classes=2, **SMALL, stc_placement="stage", stem="table1", video_config=config
    )
    model.save(tmp_path / "m.keras")
    again = keras_stc.STCResNet18(weights=tmp_path / "m.keras")
    assert again.video_config == model.video_config
    assert again.architecture == model.architecture
    x = np.random.default_rng(1).integers(0, 256, (1, *CLIP)).astype("float32")
    np.testing.assert_array_equal(answers(again, x), answers(model, x))
    # 400 said by the caller is not 400 left out.
    assert keras_stc.STCResNet18(weights=tmp_path / "m.keras", classes=400).output_shape[-1] == 400
    other = keras_stc.STCResNet18(weights=tmp_path / "m.keras", classes=3)
    assert other.video_config.class_names is None and other.video_config.stride == 5


def resampled(tmp_path, frames, new_frames, alike=1):
    """Outputs of an STC-ResNet18 with random gates, and of its weights for another length.

    Of its hidden units, each `alike` time steps that follow one another have the same.
    """
    model = keras_stc.STCResNet18(classes=3, input_shape=(frames, 32, 32, 3), alpha=0.125)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_stc"):
            layer.set_weights([rng.normal(0, 0.2, w.shape) for w in layer.get_weights()])
            steps = layer.input.shape[1]
            if alike > 1 and steps >= alike:
                squeeze, excite = layer.spatial_squeeze, layer.spatial_excite
                squeeze.kernel.assign(repeated(squeeze.kernel, 1, steps, alike))
                squeeze.bias.assign(repeated(squeeze.bias, 0, steps, alike))
                excite.kernel.assign(repeated(excite.kernel, 0, steps, alike))
    model.save(tmp_path / "m.keras")
    other = keras_stc.STCResNet18(weights=tmp_path / "m.keras", input_shape=(new_frames, 32, 32, 3))
    block, new_block = (m.get_layer("layer1_block1_stc") for m in (model, other))
    frames, new_frames = block.input.shape[1], new_block.input.shape[1]
    shape = (1, 1, *block.input.shape[2:])
    still = rng.normal(size=shape).astype("float32")
    outputs = [
        keras.ops.convert_to_numpy(layer(np.repeat(still, count, axis=1)))[:, 0]
        for layer, count in ((block, frames), (new_block, new_frames))
    ]
    return frames, new_frames, *outputs


def repeated(value, axis, steps, alike):
    """Hidden units lie on `axis`, those of each of `steps` time steps after one another."""
    parts = np.split(keras.ops.convert_to_numpy(value), steps, axis)
    return np.concatenate([parts[k - k % alike] for k in range(steps)], axis)


@pytest.mark.parametrize("new_frames", [16, 32])
def test_stc_weights_for_longer_clips(new_frames, tmp_path, caplog, short):
    """A video that stands still gets the gates it had."""
    with caplog.at_level("INFO", logger="keras_stc"):
        old, new, before, after = resampled(tmp_path, 8, new_frames)
    assert (old, new) == (4, new_frames // 2)
    assert f"weights for 4 time steps resampled to {new}" in caplog.text
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("new_frames", [4, 8])
def test_stc_weights_for_shorter_clips(new_frames, tmp_path, caplog, short):
    """Likewise, where the hidden units that are left out are like those that stay."""
    with caplog.at_level("INFO", logger="keras_stc"):
        old, new, before, after = resampled(tmp_path, 16, new_frames, alike=16 // new_frames)
    assert (old, new) == (8, new_frames // 2)
    assert f"weights for 8 time steps resampled to {new}" in caplog.text
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)


def resampled_by_hand(steps, channels, kernel, bias, excite):
    """What `fit_clip_length` makes of the arrays of a block, at a reduction ratio of 1."""
    from keras_stc.weights.clip_length import fit_clip_length

    class Dense:
        kernel = np.empty((steps * channels,) * 2)

    class Block:
        name = "stc"
        spatial_squeeze = Dense()

    gates = np.arange(3.0, 3 + channels)
    arrays = {
        "spatial_squeeze": [np.array(kernel, float), np.array(bias, float)],
        "spatial_excite": [np.array(excite, float), gates],
        "temporal_squeeze": ["untouched"],
    }
    got = fit_clip_length(Block(), arrays)
    np.testing.assert_array_equal(got["spatial_excite"][1], gates)
    assert got["temporal_squeeze"] == ["untouched"]
    return [*got["spatial_squeeze"], got["spatial_excite"][0]]


def test_interpolation_along_time_by_hand():
    # T = 2, C = 1: hidden unit 0 looks at the first frame alone, unit 1 at 10 times the second.
    kernel, bias, excite = resampled_by_hand(4, 1, [[1, 0], [0, 10]], [5, 6], [[2], [4]])
    # Middles of the new steps lie at 0, 1/4, 3/4 and 1 of the old ones; everything is halved.
    np.testing.assert_allclose(
        kernel,
        [[0.5, 0.5, 0, 0], [0.375, 0.375, 1.25, 1.25], [0.125, 0.125, 3.75, 3.75], [0, 0, 5, 5]],
    )
    np.testing.assert_allclose(bias, [5, 5, 6, 6])
    np.testing.assert_allclose(excite, [[1], [1], [2], [2]])


def test_half_as_many_time_steps_by_hand():
    """T = 4 to 2, C = 2: rows are (t, c), columns the hidden units, two of each time step."""
    kernel, bias, excite = resampled_by_hand(
        *(2, 2, np.arange(64).reshape(8, 8), np.arange(8)),
        [[1, 0], [2, 0], [3, 0], [4, 0], [5, 0], [6, 0], [7, 0], [8, 1]],
    )
    # The middles of the new steps, 1 and 3, lie in the second and the last: of these are units 2,
    # 3, 6 and 7. Means of two steps times 4 / 2 are their sums: of rows 0 and 2, 1 and 3, 4 and 6,
    # 5 and 7.
    np.testing.assert_allclose(
        kernel,
        [[20, 22, 28, 30], [36, 38, 44, 46], [84, 86, 92, 94], [100, 102, 108, 110]],
    )
    np.testing.assert_allclose(bias, [2, 3, 6, 7])
    np.testing.assert_allclose(excite, [[6, 0], [8, 0], [14, 0], [16, 2]])


def test_three_time_steps_of_four_by_hand():
    """C = 1. A new step is 4/3 of an old one, by which its mean is multiplied: it is the sum of
    what lies in it, all of the first and a third of the second, two thirds of each, and so on."""
    kernel, bias, excite = resampled_by_hand(
        *(3, 1, [[3, 6, 9, 12], [30, 60, 90, 120], [300, 600, 900, 1200], [0, 0, 0, 3000]]),
        *([5, 6, 7, 8], [[3], [6], [9], [12]]),
    )
    # The middles, 2/3, 2 and 10/3, lie in the first, third and last step.
    np.testing.assert_allclose(kernel, [[13, 39, 52], [220, 660, 880], [100, 300, 3400]])
    np.testing.assert_allclose(bias, [5, 7, 8])
    np.testing.assert_allclose(excite, [[4], [12], [16]])


def test_a_file_is_written_without_a_network(saved, tmp_path):
    """As the arrays of a package are kept: the network reads them, and Keras wrote no line."""
    model, folder = saved
    layers = read_weights_file(folder / "m.weights.h5")
    write_weights_file(tmp_path / "n.weights.h5", layers)
    again = keras_stc.STCResNet18(classes=3, **SMALL, weights=tmp_path / "n.weights.h5")
    for got, want in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)


def test_pixels_must_be_those_of_the_weights(saved, tmp_path):
    """The constructor follows the weights; a model that is built has its own normalisation."""
    _, folder = saved
    config = {"frames": 4, "size": 32, "mean": (0, 0, 0)}
    other = keras_stc.STCResNet18(classes=3, alpha=0.125, video_config=config)
    with pytest.raises(ValueError, match=r"the mean and std that .* Received: mean=\(0.0, 0.0"):
        keras_stc.weights.load_weights(other, folder / "m.keras")
    keras_stc.weights.load_weights(other, folder / "m.weights.h5")  # which says nothing of them
    plain = keras_stc.ResNet3D18(classes=3, **SMALL)
    plain.save_weights(tmp_path / "plain.weights.h5")
    with pytest.raises(ValueError, match="without STC blocks, which the constructor's `weights`"):
        keras_stc.weights.load_weights(other, tmp_path / "plain.weights.h5")
