"""Weights files into models: by name, never by order."""

import keras
import numpy as np
import pytest

import keras_stc
from keras_stc.weights.load import assign_by_name, read_weights_file

CLIP = (4, 32, 32, 3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An STC-ResNet18 with random weights everywhere, and its files."""
    folder = tmp_path_factory.mktemp("weights")
    model = keras_stc.STCResNet18(classes=3, input_shape=CLIP)
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
    with caplog.at_level("INFO", logger="keras_stc"):
        other = keras_stc.STCResNet18(classes=7, input_shape=CLIP, weights=folder / "m.keras")
    assert "3 classes in the file, 7 in the model" in caplog.text
    np.testing.assert_array_equal(
        layer_weights(other, "layer4_block2_conv2")[0],
        layer_weights(model, "layer4_block2_conv2")[0],
    )
    assert layer_weights(other, "predictions")[0].shape == (512, 7)


def test_without_top_from_a_full_file(saved):
    model, folder = saved
    bare = keras_stc.STCResNet18(
        include_top=False, pooling="avg", input_shape=CLIP, weights=folder / "m.weights.h5"
    )
    x = np.random.default_rng(1).integers(0, 256, (1, *CLIP)).astype("float32")
    features = keras.Model(model.input, model.get_layer("avg_pool").output)
    np.testing.assert_allclose(
        bare.predict(x, verbose=0), features.predict(x, verbose=0), rtol=1e-6
    )


def test_wrong_files_get_a_sentence_and_change_nothing(saved, tmp_path):
    _, folder = saved
    with pytest.raises(ValueError, match="layer1_block1_stc/spatial_squeeze/kernel .* clip length"):
        keras_stc.STCResNet18(classes=3, input_shape=(8, 32, 32, 3), weights=folder / "m.keras")
    with pytest.raises(ValueError, match="no weights for layer 'layer1_block3_conv1'"):
        keras_stc.STCResNet34(classes=3, input_shape=CLIP, weights=folder / "m.keras")
    (tmp_path / "text.weights.h5").write_text("not HDF5")
    with pytest.raises(ValueError, match="not a weights file that Keras wrote"):
        keras_stc.STCResNet18(weights=tmp_path / "text.weights.h5")

    model = keras_stc.ResNet3D18(classes=3, input_shape=CLIP)
    before = model.get_weights()
    layers = read_weights_file(folder / "m.keras")
    layers["layer4_block2_bn2"][""][3] = np.zeros(3)
    with pytest.raises(ValueError, match="layer4_block2_bn2"):
        assign_by_name(model, layers, "changed")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
