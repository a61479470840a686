"""The registry of weights: complete, true to the zoo, and what people are told of it."""

import json
import re
import types
import typing

import pytest

import keras_stc
from keras_stc.cli.main import main
from keras_stc.models.complexity import zoo_complexity
from keras_stc.weights import registry


def fields(record):
    """`(name, value, types it may have)` of each field."""
    for name, kind in typing.get_type_hints(type(record)).items():
        origin = typing.get_origin(kind)
        kinds = typing.get_args(kind) if origin is types.UnionType else (origin or kind,)
        yield name, getattr(record, name), kinds


RECORDS = [record for model in keras_stc.list_models() for record in registry.records_of(model)]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_schema(record):
    for name, value, kinds in (*fields(record), *(f for m in record.metrics for f in fields(m))):
        assert isinstance(value, kinds), name
        assert value != "", name
    assert record.source in (None, *registry.SOURCES)
    assert record.arch in keras_stc.list_models()
    if record.status == "available":
        assert record.repository and record.revision and record.file and record.license
    else:
        assert not any((record.repository, record.file, record.sha256, record.metrics))
    if record.sha256:
        assert re.fullmatch("[0-9a-f]{64}", record.sha256)
    if record.source == "hub-2d":
        assert re.fullmatch("[0-9a-f]{40}|main", record.revision)
        # A branch may move: only a file that is pinned by its hash, or none at all, may hang on it.
        assert record.sha256 or record.revision == "main"
    if record.classes:
        names = registry.PATH.with_name(record.classes).read_text(encoding="utf-8").splitlines()
        assert len(names) == len(set(names)) == {"ucf101-35": 35}.get(record.tag, 400)
    if record.status == "available":
        keras_stc.VideoConfig.from_dict(record.video_config)
        counts = zoo_complexity()[record.arch]["parameters"].values()
        # torchvision's r3d_18 has another stem than the zoo's network of 18 layers.
        own = record.architecture or record.file.startswith("r3d_18")
        assert (record.parameters in counts) != bool(own)
    for metric in record.metrics:
        assert 0 < metric.value < 100 and metric.protocol and metric.measured_by


def test_every_network_has_its_tags():
    names = [record.name for record in RECORDS]
    assert len(names) == len(set(names)) and set(keras_stc.list_weights()) <= set(names)
    for model in keras_stc.list_models():
        tags = {record.tag for record in registry.records_of(model)}
        tags -= {"kinetics400-r3d", "kinetics400-mc3", "kinetics400-r2plus1d"}  # without STC blocks
        tags -= {"ucf101-35"}  # of two networks
        assert tags == {"kinetics400"} | ({"imagenet"} if has_2d_parent(model) else set())


def has_2d_parent(model):
    """Whether there are weights of a 2D network whose kernels are the network's, without time."""
    parts = ("_resnet", "resnext", "wideresnet", "mc3", "tsn_", "densenet")
    return any(part in model for part in parts) or model.startswith("resn")


def test_list_weights():
    assert keras_stc.list_weights("stc_resnext101") == ["imagenet"]
    assert keras_stc.list_weights("inception_i3d") == ["kinetics400", "ucf101-35"]
    assert "resnet3d18.imagenet" in keras_stc.list_weights()
    # Nobody has trained one with STC blocks; "kinetics400-r3d" is of the network without.
    assert not any("stc" in name and name.endswith("400") for name in keras_stc.list_weights())
    assert keras_stc.list_weights("stc_resnet18") == ["imagenet", "kinetics400-r3d", "ucf101-35"]
    assert keras_stc.list_weights("s3d") == ["kinetics400"]
    with pytest.raises(ValueError, match="`model` must be one of .* Received: model='resnet'"):
        keras_stc.list_weights("resnet")


def test_the_command_line_lists_them(capsys):
    assert main(["models", "--weights", "resnext101", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["arch"], row["tag"]) for row in rows] == [
        ("stc_resnext101", "imagenet"),
        ("stc_resnext101", "kinetics400"),
    ]
    assert main(["models", "--weights", "stc_resnext101"]) == 0
    shown = capsys.readouterr().out
    assert "unpublished" in shown and "timm/resnext101_32x4d.gluon_in1k" in shown
