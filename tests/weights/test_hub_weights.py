"""`weights=` and `load_model` from the Hub: the real client against a Hub on the loopback."""

import dataclasses
import hashlib
import json

import hub_server
import numpy as np
import pytest
import resnet2d
from helpers import answers
from safetensors.numpy import save

import keras_stc
from keras_stc.publish import publish
from keras_stc.training import RECIPES, train
from keras_stc.weights import find, registry

REPO = "lab/stc_resnet18-kinetics400"


@pytest.fixture
def published(hub, small_run, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hub_server.WRITER)
    return hub, publish(small_run.folder, REPO, license="apache-2.0")


def clips(model, seed=0):
    shape = (2, *model.video_config.clip_shape)
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


def test_the_exact_model_from_its_address(published, small_run):
    hub, upload = published
    trained = keras_stc.load_model(small_run.folder)
    x = clips(trained)
    want = answers(trained, x)
    name = trained.architecture["name"]
    for model in (
        keras_stc.load_model(upload.address),
        keras_stc.create_model(name, weights=upload.address),
        keras_stc.create_model(name, weights=f"{upload.address}@{upload.revision}"),
    ):
        np.testing.assert_array_equal(answers(model, x), want)
        assert model.video_config == trained.video_config
        assert model.architecture == trained.architecture


def test_a_later_versions_network_is_not_built_as_if_it_were_this_ones(published):
    hub, upload = published
    files = hub.repositories[REPO].commits[upload.revision]
    config = json.loads(files["config.json"])
    config["architecture"]["attention_heads"] = 8
    files["config.json"] = json.dumps(config).encode()
    for build in (
        lambda: keras_stc.load_model(upload.address),
        lambda: keras_stc.create_model(config["architecture"]["name"], weights=upload.address),
    ):
        with pytest.raises(ValueError, match="attention_heads, which this version .* a newer one"):
            build()


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_a_network_keeps_what_it_puts_out(hub, short, monkeypatch, tmp_path, activation):
    """Logits stay logits, and are refused by what asks for probabilities."""
    monkeypatch.setenv("HF_TOKEN", hub_server.WRITER)
    model = keras_stc.ResNet3D18(
        classes=2, classifier_activation=activation, input_shape=(2, 32, 32, 3), alpha=0.25
    )
    model.video_config = model.video_config.replace(class_names=("a", "b"))
    model.save(tmp_path / "m.keras")
    upload = publish(tmp_path / "m.keras", REPO, license="apache-2.0")
    again = keras_stc.load_model(upload.address)
    assert again.architecture == model.architecture
    x = clips(model)
    np.testing.assert_array_equal(answers(again, x), answers(model, x))
    with pytest.raises(ValueError, match="`model` must end in softmax"):
        train(again, None, RECIPES["default"], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_record_of_ours_is_of_its_commit(published, small_run, monkeypatch):
    """As weights/README.md says that weights become a tag of everybody's."""
    hub, upload = published
    trained = keras_stc.load_model(small_run.folder)
    arch = trained.architecture["name"]
    file = "model.weights.h5"
    content = hub.repositories[REPO].commits[upload.revision][file]
    record = dataclasses.replace(
        find.find_record(arch, "kinetics400"),
        source="hub",
        repository=REPO,
        revision=upload.revision,
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setattr(find, "find_record", lambda arch, tag: record)
    model = keras_stc.create_model(arch, weights="kinetics400")
    np.testing.assert_array_equal(answers(model, clips(trained)), answers(trained, clips(trained)))
    record = dataclasses.replace(record, sha256="0" * 64)
    with pytest.raises(ValueError, match="another SHA-256"):
        keras_stc.create_model(arch, weights="kinetics400")


def test_a_labs_own_organisation_stands_for_a_tag(published, small_run, monkeypatch):
    trained = keras_stc.load_model(small_run.folder)
    arch = trained.architecture["name"]
    hub, upload = published
    files = hub.repositories[REPO].commits[upload.revision]
    hub.put(f"other/{arch}-kinetics400", files)
    with pytest.raises(ValueError, match="cannot be fetched from anywhere"):
        keras_stc.create_model(arch, weights="kinetics400")
    monkeypatch.setenv("KERAS_STC_HUB_OWNER", "other")
    model = keras_stc.create_model(arch, weights="kinetics400")
    np.testing.assert_array_equal(answers(model, clips(trained)), answers(trained, clips(trained)))
    monkeypatch.setenv("KERAS_STC_HUB_OWNER", "nobody")
    with pytest.raises(ValueError, match=f"nobody/{arch}-kinetics400"):
        keras_stc.create_model(arch, weights="kinetics400")


def test_another_network_is_named(published):
    _, upload = published
    with pytest.raises(ValueError, match="and this is resnet3d34: build that with"):
        keras_stc.ResNet3D34(weights=upload.address)


def test_imagenet_weights_come_from_the_hub(hub):
    """By the registry's repository, revision and hash; the file behind is made up here."""
    record = registry.find_record("resnet3d18", "imagenet")
    hub.put(record.repository, {record.file: save(resnet2d.random_state("resnet18"))})
    # The registry pins a commit that this Hub does not have.
    with pytest.raises(ValueError, match=record.revision):
        keras_stc.ResNet3D18(weights="imagenet", input_shape=(2, 32, 32, 3))
    repository = hub.repositories[record.repository]
    repository.refs[record.revision] = repository.refs["main"]
    # And it pins a hash: another file is refused, and not kept.
    with pytest.raises(ValueError, match=record.sha256):
        keras_stc.ResNet3D18(weights="imagenet", input_shape=(2, 32, 32, 3))


def test_imagenet_weights_are_inflated(hub, monkeypatch):
    state = resnet2d.random_state("resnet18")
    record = registry.find_record("stc_resnet18", "imagenet")
    hub.put(record.repository, {record.file: save(state)})
    row = {**vars(record), "revision": "main", "sha256": None}
    rows = (registry.Record(**row),)
    monkeypatch.setattr(registry, "records", lambda: rows)
    model = keras_stc.STCResNet18(weights="imagenet", input_shape=(2, 32, 32, 3), classes=5)
    kernel = model.get_layer("conv1").get_weights()[0]
    assert kernel.shape == (7, 7, 7, 3, 64)
    # Each of its seven slices meets one of two frames.
    np.testing.assert_allclose(2 * kernel[6], state["conv1.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_allclose(model.video_config.mean, resnet2d.MEAN, rtol=1e-6)
