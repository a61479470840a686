"""Networks that end early, and one STC block behind their end."""

import keras
import numpy as np
import pytest
from helpers import answers

import keras_stc
from keras_stc.layers.stc import stc_blocks
from keras_stc.training.freeze import frozen

CLIP = (8, 32, 32, 3)
CLIPS = np.random.default_rng(0).uniform(0, 255, (2, *CLIP)).astype("float32")
NAMES = tuple(f"class {i}" for i in range(6))


def map_of(model, layer):
    return keras.Model(model.input, model.get_layer(layer).output).predict(CLIPS, verbose=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A network to its end, and its file."""
    keras.utils.set_random_seed(0)
    config = keras_stc.VideoConfig(mean=(127.5,) * 3, std=(127.5,) * 3, class_names=NAMES)
    model = keras_stc.InceptionI3D(classes=6, input_shape=CLIP, video_config=config)
    path = tmp_path_factory.mktemp("whole") / "whole.keras"
    model.save(path)
    return model, path


def test_what_comes_after_it_is_no_part(whole):
    model, path = whole
    short = keras_stc.InceptionI3D(weights=path, include_top=False, final_endpoint="Mixed_4c")
    names = [layer.name for layer in short.layers]
    assert names[-1] == "Mixed_4c" and not any("4d" in name or "_5" in name for name in names)
    np.testing.assert_array_equal(answers(short, CLIPS), map_of(model, "Mixed_4c"))


def test_a_classifier_of_other_features_starts_at_random(whole, caplog):
    _, path = whole
    short = keras_stc.InceptionI3D(weights=path, classes=6, final_endpoint="Mixed_3c")
    assert "the classifier starts at random" in caplog.text
    assert short.video_config.class_names is None
    assert short.get_layer("predictions").kernel.shape == (1, 1, 1, 480, 6)
    # The number of theirs is no more than that of any other network.
    assert keras_stc.InceptionI3D(weights=path, final_endpoint="Mixed_3b").output_shape == (
        None,
        400,
    )


def test_one_block_behind_the_end_changes_nothing_at_first(whole):
    model, path = whole
    ends = {"final_endpoint": "Mixed_4b", "stc": True, "stc_placement": "last"}
    short = keras_stc.InceptionI3D(weights=path, classes=3, reduction_ratio=16, **ends)
    (block,) = stc_blocks(short)
    assert block.name == "Mixed_4b_stc" and block.get_config()["reduction_ratio"] == 16
    np.testing.assert_array_equal(map_of(short, block.name), map_of(model, "Mixed_4b"))


@pytest.mark.slow
def test_its_own_weights_say_how_it_is_built(whole, tmp_path):
    _, path = whole
    ends = {"final_endpoint": "Mixed_4b", "stc": True, "stc_placement": "last"}
    short = keras_stc.InceptionI3D(weights=path, classes=3, reduction_ratio=16, **ends)
    short.save(tmp_path / "short.keras")
    again = keras_stc.InceptionI3D(weights=tmp_path / "short.keras")
    assert again.architecture == short.architecture
    np.testing.assert_array_equal(*(answers(each, CLIPS) for each in (again, short)))
    # And they are no weights of a network that goes on.
    with pytest.raises(ValueError, match="has no weights for layer 'Mixed_4c_"):
        keras_stc.InceptionI3D(weights=tmp_path / "short.keras", final_endpoint="Mixed_4c")


def test_frozen_to_the_end_the_block_behind_it_learns():
    """`Mixed_4b` is a layer, and no stage whose `Mixed_4b_stc` is frozen as well."""
    ends = {"final_endpoint": "Mixed_4b", "stc": True, "stc_placement": "last"}
    short = keras_stc.InceptionI3D(classes=3, input_shape=CLIP, **ends)
    with frozen(short, "Mixed_4b"):
        learning = {variable.path.split("/")[0] for variable in short.trainable_variables}
    assert learning == {"Mixed_4b_stc", "predictions"}


@pytest.mark.parametrize(("name", "end"), [("c3d", "conv3"), ("densenet3d121", "dense2")])
def test_every_network_has_ends(name, end):
    short = keras_stc.create_model(
        name, include_top=False, final_endpoint=end, input_shape=(8, 32, 32, 3), stc=True
    )
    assert short.layers[-1].name == f"{end}_stc"


def test_wrong_names_get_a_sentence():
    with pytest.raises(ValueError, match="`final_endpoint` must be one of Mixed_3b.*'Mixed_6a'"):
        keras_stc.InceptionI3D(final_endpoint="Mixed_6a", input_shape=CLIP)
    with pytest.raises(ValueError, match="`stc_placement` must be one of module, last"):
        keras_stc.InceptionI3D(stc=True, stc_placement="block", input_shape=CLIP)
