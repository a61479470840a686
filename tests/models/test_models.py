"""One table of models: names, shapes, round trips, and what bad arguments get."""

import contextlib
import dataclasses
import inspect
import json

import distributed_worker
import keras
import numpy as np
import pytest
from helpers import answers

import keras_stc
from keras_stc.models import densenet3d, inception_i3d, load, p3d
from keras_stc.models.complexity import count_macs, count_parameters, shown, zoo_complexity
from keras_stc.models.configs import VARIANTS, takes_weights_of
from keras_stc.runs import RunError

CLIP = (4, 32, 32, 3)
SMALL = {"input_shape": CLIP, "alpha": 0.125}


def clips(count=2, shape=CLIP, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype="uint8")


def small_mobilenet(include_top, weights, input_tensor):
    """In the place of `keras.applications.MobileNetV2`."""
    x = keras.layers.Conv2D(32, 5, 4, use_bias=False, name="Conv1")(input_tensor)
    x = keras.layers.BatchNormalization(name="bn_Conv1")(x)
    x = keras.layers.ReLU(6.0, name="Conv1_relu")(x)
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x)


@pytest.fixture
def few_layers(short, monkeypatch):
    """Networks with few modules of each kind, also those outside the table of residual ones."""
    first = list(inception_i3d.END_POINTS.items())[:6]  # to Mixed_3b; S3D's too
    monkeypatch.setattr(inception_i3d, "END_POINTS", dict(first))
    monkeypatch.setattr(densenet3d, "DEPTHS", {121: (1, 1, 1, 1)})
    monkeypatch.setattr(p3d, "UNITS", (1, 1, 1, 1))
    monkeypatch.setattr(keras.applications, "MobileNetV2", small_mobilenet)


def norms(model):
    return [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]


def test_what_another_version_wrote_is_said():
    with pytest.raises(ValueError, match="VideoConfig has no zoom: .* another version"):
        keras_stc.VideoConfig.from_dict({"frames": 4, "zoom": 2})
    config = {"architecture": {"name": "resnet3d18", "zoom": 2}, "video_config": {}}
    with pytest.raises(RunError, match="x.h5 is of a network built with zoom, which"):
        load._rebuilt(config, "x.h5")


def test_every_constructor_of_the_contract_is_public():
    contract = {
        *(f"ResNet3D{depth}" for depth in (18, 34, 50, 101, 152)),
        *(f"ResNeXt3D{depth}" for depth in (50, 101)),
        *(f"STCResNet{depth}" for depth in (18, 34, 50, 101, 152)),
        *(f"STCResNeXt{depth}" for depth in (50, 101)),
        *("WideResNet3D50", "PreResNet3D200", "R2Plus1D18", "MC318"),
        *("STCWideResNet50", "STCPreResNet200", "STCR2Plus1D18", "STCMC318"),
    }
    assert contract == {spec.constructor for spec in VARIANTS.values()}
    for name in contract:
        constructor = getattr(keras_stc, name)
        assert constructor.__name__ == name
        parameters = inspect.signature(constructor).parameters
        assert list(parameters)[:8] == [
            *["include_top", "weights", "input_tensor", "input_shape"],
            *["pooling", "classes", "classifier_activation", "name"],
        ]
        assert parameters["classes"].default == 400
        assert parameters["stc_placement"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", ["stc_resnet18", "resnext3d50"])
def test_forward_save_and_load(name, tmp_path, short):
    arguments = {"classes": 5, **SMALL}
    model = keras_stc.create_model(name, **arguments)
    model.video_config = model.video_config.replace(stride=3, class_names=tuple("abcde"))
    x = clips()
    want = answers(model, x)
    assert want.shape == (2, 5)
    np.testing.assert_allclose(want.sum(axis=1), 1, rtol=1e-5)

    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.video_config == model.video_config
    assert again.architecture == model.architecture
    np.testing.assert_array_equal(answers(again, x), want)

    model.save_weights(tmp_path / "m.weights.h5")
    fresh = keras_stc.create_model(name, **arguments, weights=tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(answers(fresh, x), want)
    rebuilt = keras_stc.create_model(**model.architecture)
    rebuilt.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(answers(rebuilt, x), want)


def test_normalisation_is_part_of_the_model():
    """A clip of the mean colour is zero behind the first layer, whatever its type."""
    model = keras_stc.ResNet3D18(include_top=False, **SMALL)
    inner = keras.Model(model.input, model.get_layer("normalization").output)
    mean = np.array([114.7748, 107.7354, 99.4750])
    np.testing.assert_allclose(answers(inner, np.tile(mean, (1, 4, 32, 32, 1))), 0, atol=1e-4)
    config = keras_stc.VideoConfig(mean=(127.5,) * 3, std=(127.5,) * 3)
    model = keras_stc.ResNet3D18(include_top=False, **SMALL, video_config=config)
    inner = keras.Model(model.input, model.get_layer("normalization").output)
    x = clips(1)
    np.testing.assert_allclose(answers(inner, x), x / 127.5 - 1, atol=1e-6)


def test_without_top_and_pooling(short):
    arguments = {"include_top": False, "input_shape": (16, 64, 48, 3), "alpha": 0.125}
    features = keras_stc.ResNet3D18(**arguments)
    assert features.output_shape == (None, 1, 2, 2, 64)
    x = clips(1, (16, 64, 48, 3))
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        pooled = keras_stc.ResNet3D18(**arguments, pooling=pooling)
        pooled.set_weights(features.get_weights())
        np.testing.assert_allclose(
            answers(pooled, x), reduce(answers(features, x), axis=(1, 2, 3)), rtol=1e-4, atol=1e-5
        )


def test_logits_and_softmax(short):
    logits = keras_stc.ResNet3D18(classes=4, **SMALL, classifier_activation=None)
    softmax = keras_stc.ResNet3D18(classes=4, **SMALL)
    kernel, bias = logits.get_layer("predictions").get_weights()
    scale = np.abs(answers(logits, clips())).max()
    logits.get_layer("predictions").set_weights([kernel / scale, bias])  # no class is sure
    softmax.set_weights(logits.get_weights())
    exponential = np.exp(answers(logits, clips()))
    np.testing.assert_allclose(
        answers(softmax, clips()), exponential / exponential.sum(axis=1, keepdims=True), rtol=1e-4
    )


def test_input_tensor_behind_other_layers(tmp_path, short):
    small = keras.Input((4, 16, 16, 3))
    upsampled = keras.layers.UpSampling3D((1, 2, 2))(small)
    model = keras_stc.STCResNet18(classes=2, input_tensor=upsampled, alpha=0.125)
    assert model.input_shape == (None, 4, 16, 16, 3)
    model.save(tmp_path / "m.keras")
    x = clips(1, (4, 16, 16, 3))
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(answers(again, x), answers(model, x))


def test_input_tensor_of_a_clip():
    clip = keras.Input(CLIP)
    assert keras_stc.STCResNet18(classes=2, input_tensor=clip, alpha=0.125).input is clip


def test_networks_without_stc_take_clips_of_any_length():
    model = keras_stc.ResNet3D18(classes=2, input_shape=(None, None, None, 3), alpha=0.125)
    assert answers(model, clips(1, (5, 40, 33, 3))).shape == (1, 2)


def test_layer_names():
    model = keras_stc.STCResNet50(classes=2, **SMALL)
    names = {layer.name for layer in model.layers}
    assert {
        *("clip", "normalization", "conv1", "conv1_bn", "pool1", "avg_pool", "predictions"),
        *("layer3_block6_conv2", "layer3_block6_bn3", "layer3_block6_stc", "layer3_block6_out"),
        *("layer2_block1_shortcut_conv", "layer2_block1_shortcut_bn"),
    } <= names
    assert not [name for name in names if name.rsplit("_", 1)[-1].isdigit()]


def test_placement_branches_and_stems_change_the_network():
    def stc_layers(**arguments):
        model = keras_stc.STCResNet18(classes=2, **SMALL, **arguments)
        return [layer for layer in model.layers if isinstance(layer, keras_stc.layers.STCBlock)]

    assert len(stc_layers()) == 8
    assert [layer.name for layer in stc_layers(stc_placement="stage")] == [
        f"layer{stage}_stc" for stage in (1, 2, 3, 4)
    ]
    assert {layer.branches for layer in stc_layers(stc_branches=("spatial",))} == {("spatial",)}
    model = keras_stc.ResNet3D18(input_shape=(16, 112, 112, 3), stem="table1")
    assert model.get_layer("conv1").output.shape == (None, 8, 56, 56, 64)
    assert model.get_layer("pool1").output.shape == (None, 8, 56, 56, 64)


#: PyTorch's defaults, `BatchNorm3d(eps=1e-5, momentum=0.1)`, which Hara et al., Tran et al. and
#: P3D's PyTorch code leave as they are; Keras' momentum is 1 minus PyTorch's.
PYTORCH = (1e-5, 0.9)

#: Sonnet's of DeepMind's release of I3D; torchvision's S3D: `eps=0.001, momentum=0.001`.
INCEPTION = (1e-3, 0.999)


#: Of one network of each family.
BATCH_NORM = {
    **dict.fromkeys(("resnet3d18", "stc_resnext50", "preresnet3d200"), PYTORCH),
    **dict.fromkeys(("stc_r2plus1d18", "stc_mc318"), PYTORCH),
    **dict.fromkeys(("c3d_bn", "densenet3d121", "p3d199"), PYTORCH),
    **dict.fromkeys(("inception_i3d", "s3d"), INCEPTION),
}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the same on any backend")
@pytest.mark.parametrize("name", BATCH_NORM)
def test_batch_norm_constants(name, few_layers):
    model = keras_stc.create_model(name, include_top=False, input_shape=(8, 32, 32, 3))
    assert {(each.epsilon, each.momentum) for each in norms(model)} == {BATCH_NORM[name]}


@pytest.mark.parametrize(
    "name",
    [
        *("resnet3d18", "stc_resnet18", "resnext3d50"),
        pytest.param("stc_resnet50", marks=pytest.mark.slow),  # 82 million parameters
    ],
)
def test_zoo_table_is_what_built_models_count(name):
    """Rebuild the table with `python -m keras_stc.models.complexity`."""
    entry = zoo_complexity()[name]
    for placement in ("block", "stage") if VARIANTS[name].stc else ("block",):
        model = keras_stc.create_model(name, stc_placement=placement)
        key = f"{placement}-16" if VARIANTS[name].stc else "16"
        assert entry["parameters"][key] == count_parameters(model)
        assert entry["macs"][key] == count_macs(model)


def test_zoo_table_shows_constructors_and_clips():
    for name, entry in zoo_complexity().items():
        assert {key: entry[key] for key in ("constructor", "clip")} == shown(name)
        assert getattr(keras_stc, entry["constructor"]).__name__ == entry["constructor"]


def test_zoo_table_is_complete():
    assert (
        list(zoo_complexity())
        == keras_stc.list_models()
        == [
            *VARIANTS,
            "inception_i3d",
            *("s3d", "c3d", "c3d_bn", "densenet3d121", "densenet3d169", "p3d199"),
            *("tsn_resnet50", "tsn_resnet101", "tsn_densenet121", "tsn_mobilenetv2"),
        ]
    )


def test_zoo_table_agrees_with_the_paper_notes():
    """Figures worked out by hand from the architecture: millions, and 10^9 MAC."""
    table = zoo_complexity()

    def figure(name, kind, key):
        unit = 1e6 if kind == "parameters" else 1e9
        return round(table[name][kind][key] / unit, 2)

    for base, stc, parameters, macs, stage, block in [
        ("resnet3d18", "stc_resnet18", 33.41, (8.31, 16.62), (33.97, 34.88), (34.53, 36.35)),
        ("resnet3d50", "stc_resnet50", 47.02, (10.07, 20.14), (55.97, 70.53), (81.63, 139.70)),
        ("resnet3d101", "stc_resnet101", 86.06, (13.89, 27.78), (95.02, 109.57), (156.38, 276.85)),
        ("resnext3d101", "stc_resnext101", 48.34, (9.57, 19.13), (57.30, 71.85), (118.65, 239.12)),
    ]:
        assert figure(base, "parameters", "16") == parameters
        assert (figure(base, "macs", "16"), figure(base, "macs", "32")) == macs
        for placement, want in (("stage", stage), ("block", block)):
            got = tuple(figure(stc, "parameters", f"{placement}-{t}") for t in (16, 32))
            assert got == want


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"input_shape": (None, 112, 112, 3)}, "must fix the number of frames"),
        ({"input_shape": (16, 31, 112, 3)}, "at least 32 pixels"),
        ({"input_shape": (3, 16, 112, 112)}, "Channels come last"),
        ({"input_shape": (112, 112, 3)}, "(frames, height, width, 3)"),
        ({"input_shape": 112}, "(frames, height, width, 3)"),
        ({"input_shape": (16, "a", 112, 3)}, "(frames, height, width, 3)"),
        ({"input_shape": (0, 112, 112, 3)}, "at least one frame"),
        ({"reduction_ratio": 3}, "`reduction_ratio` must divide"),
        ({"reduction_ratio": 128}, "`reduction_ratio` must divide"),
        ({"alpha": 0.5, "reduction_ratio": 64}, "1, 2, 4, 8, 16 or 32"),
        ({"alpha": 0}, "`alpha` must be a positive number"),
        ({"stc_placement": "unit"}, "`stc_placement` must be one of"),
        ({"stc_branches": ("time",)}, "`branches` must be"),
        ({"stc_branches": None}, "`branches` must be"),
        ({"weights": 5}, "`weights` must be a tag, a path"),
        ({"shortcut": "identity"}, "`shortcut` must be one of"),
        ({"stem": "resnet"}, "`stem` must be one of"),
        ({"classes": 0}, "`classes` must be a positive integer"),
        ({"include_top": False, "pooling": "mean"}, "`pooling` must be"),
        ({"input_tensor": np.zeros((1, 16, 112, 112, 3))}, "must be a Keras tensor"),
        ({"weights": "kinetics400"}, "cannot be fetched from anywhere"),
        ({"video_config": 5}, "a VideoConfig or a dictionary of some of its fields"),
        ({"weights": "nowhere/x.weights.h5"}, "does not exist"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments, words):
    with pytest.raises(ValueError) as caught:
        keras_stc.STCResNet18(**arguments)
    message = str(caught.value)
    assert words in message and "\n" not in message


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="channels last"):
            keras_stc.STCResNet18()
    finally:
        keras.config.set_image_data_format("channels_last")


def test_unknown_model_names_the_close_ones():
    with pytest.raises(ValueError, match="Did you mean 'stc_resnet18'"):
        keras_stc.create_model("stc_resnet81")
    assert keras_stc.create_model("STCResNet18", **SMALL, classes=2).name == "stc_resnet18"
    assert keras_stc.list_models("stc_resnext") == ["stc_resnext50", "stc_resnext101"]


def test_video_config_must_fit_the_model():
    model = keras_stc.STCResNet18(classes=2, **SMALL)
    assert model.video_config.clip_shape == CLIP
    with pytest.raises(ValueError, match="model's input shape"):
        model.video_config = model.video_config.replace(frames=8)
    with pytest.raises(ValueError, match="part of the model"):
        model.video_config = model.video_config.replace(mean=(0, 0, 0))
    with pytest.raises(ValueError, match="each of the model's 2 outputs"):
        model.video_config = model.video_config.replace(class_names=("a", "b", "c"))


def test_a_new_stride_takes_the_place_of_frames_a_second():
    config = keras_stc.VideoConfig(fps=5)
    assert config.step(25) == 5 and config.replace(stride=3).step(25) == 3
    assert config.replace(frames=8).fps == 5 and config.replace(stride=3, fps=4).fps == 4


@pytest.mark.parametrize("change", [{"size": s} for s in ((32,), "112", 112.5, 0, (32, "a"))])
def test_sizes_are_whole_numbers(change):
    with pytest.raises(ValueError, match="`size` must be a positive integer or two"):
        keras_stc.VideoConfig(**change)


@pytest.mark.parametrize("resize", ["256", 122.5, float("nan"), (128, 171, 3), 100])
def test_resized_sides_are_whole_and_large_enough(resize):
    with pytest.raises(ValueError, match="`resize`, the short side before the crop, must be"):
        keras_stc.VideoConfig(resize=resize)


def test_numbers_of_numpy_are_written_as_json():
    config = keras_stc.VideoConfig(resize=np.int64(128), fps=np.float32(12.5))
    assert json.loads(json.dumps(config.to_dict()))["resize"] == 128 and config.fps == 12.5
    assert keras_stc.VideoConfig(resize=(np.int32(128), np.int32(171))).resize == (128, 171)
    model = keras_stc.STCResNet18(classes=2, reduction_ratio=np.int64(8), **SMALL)
    assert json.loads(json.dumps(model.architecture))["reduction_ratio"] == 8


@pytest.mark.parametrize(
    ("precision", "full"), [("float64", "float64"), ("mixed_bfloat16", "float32")]
)
def test_logits_and_normalised_pixels_keep_their_precision(precision, full):
    with distributed_worker.precision(precision):
        model = keras_stc.STCResNet18(classes=2, **SMALL)
    assert model.output.dtype == model.get_layer("normalization").compute_dtype == full
    assert model.get_layer("conv1").compute_dtype == precision.removeprefix("mixed_")


def test_a_clone_is_made_from_the_config():
    model = keras_stc.ResNet3D18(classes=2, **SMALL)
    model.video_config = model.video_config.replace(stride=4, class_names=("a", "b"))
    with pytest.raises(ValueError, match="clone_model leaves it out"):
        keras.models.clone_model(model)
    clone = keras_stc.VideoModel.from_config(model.get_config())
    assert clone.video_config == model.video_config and clone.architecture == model.architecture


def test_an_activation_may_be_a_function():
    arguments = {"classes": 2, **SMALL}
    model = keras_stc.ResNet3D18(**arguments, classifier_activation=keras.activations.softmax)
    assert model.architecture["classifier_activation"] == "softmax"
    assert keras_stc.create_model(**model.architecture).architecture == model.architecture


@contextlib.contextmanager
def precision_of(policy):
    """A block in which networks are built in a precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def test_mixed_precision_model_says_what_it_is(short):
    """However it is read again."""
    with precision_of("mixed_bfloat16"):
        model = keras_stc.STCResNet18(classes=3, **SMALL)
    again = keras_stc.VideoModel.from_config(model.get_config())
    assert model.dtype_policy.name == again.dtype_policy.name == "mixed_bfloat16"
    for each in (model, again):
        assert keras.backend.standardize_dtype(each.get_layer("conv1").compute_dtype) == "bfloat16"


#: Of a network: its clip and arguments, layers that stay in float32, and some that do not.
HALF = {
    "stc_resnet18": (CLIP, {"alpha": 0.125}, [], ["conv1", "conv1_bn", "layer4_block1_stc"]),
    "resnext3d50": (CLIP, {"alpha": 0.25}, [], ["conv1", "layer2_block1_conv2"]),
    "inception_i3d": ((8, 32, 32, 3), {}, ["Logits"], ["Conv3d_1a_7x7_conv", "Mixed_3b"]),
    "tsn_mobilenetv2": ((3, 32, 32, 3), {}, ["consensus"], ["Conv1", "unfold_frames", "avg_pool"]),
}

#: Largest error, of how far the logits of clips lie apart: roundings to 8 binary digits, and to 11.
ROUNDING = {"mixed_bfloat16": 0.05, "mixed_float16": 0.01}


def randomize(model):
    """Kernels that keep the size of activations, and statistics as if it had learnt."""
    rng = np.random.default_rng(0)
    bounds = {"beta": (-0.3, 0.3), "moving_mean": (-0.3, 0.3), "kernel": (-1, 1)}
    for variable in model.weights:
        name = variable.path.rsplit("/", 1)[-1]
        value = rng.uniform(*bounds.get(name, (0.5, 1.5)), variable.shape)
        if name == "kernel":
            value *= (6 / np.prod(variable.shape[:-1])) ** 0.5
        variable.assign(value)


def compute_dtypes(model, names):
    return {keras.backend.standardize_dtype(model.get_layer(n).compute_dtype) for n in names}


@pytest.mark.parametrize("name", HALF)
def test_half_precision_answers_as_float32(name, few_layers):
    """The same weights; pixels are normalised in float32, and classes told apart in float32."""
    clip, arguments, float32, half = HALF[name]
    arguments = {"classes": 5, "input_shape": clip, "classifier_activation": None, **arguments}
    exact = keras_stc.create_model(name, **arguments)
    randomize(exact)
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (4, 1, 1, 1, 3)) + rng.uniform(0, 255, (4, *clip))
    x = (x / 2).astype("float32")
    want = answers(exact, x)
    apart = np.ptp(want, axis=0).max()
    assert apart > 0.1 * np.abs(want).max()
    mean, std = exact.video_config.mean, exact.video_config.std
    for precision, tolerance in ROUNDING.items():
        with precision_of(precision):
            model = keras_stc.create_model(name, **arguments)
        model.set_weights(exact.get_weights())
        names = ["normalization", "predictions", *float32]
        assert compute_dtypes(model, names) == {"float32"}
        assert compute_dtypes(model, half) == {precision.removeprefix("mixed_")}
        assert {weight.dtype for weight in model.weights} == {"float32"}

        normalization = keras.Model(model.input, model.get_layer("normalization").output)
        pixels = keras.ops.convert_to_numpy(normalization(x))
        np.testing.assert_allclose(pixels, (x - np.array(mean)) / std, rtol=1e-4, atol=1e-4)
        got = answers(model, x)
        assert got.dtype == np.float32
        assert np.abs(got - want).max() < tolerance * apart, precision


def test_alpha_rounds_to_what_convolutions_and_groups_need():
    """Widths of 64·2^k times alpha, by hand."""
    third = VARIANTS["stc_resnet18"].scaled(1 / 3)  # 21.3, 42.7, 85.3, 170.7
    assert third.widths == third.filters == (24, 40, 88, 168) and third.stem == 24
    grouped = VARIANTS["resnext3d50"].scaled(0.3)  # 38.4, 76.8, 153.6, 307.2 in 32 groups
    assert grouped.widths == (32, 64, 160, 320) and grouped.filters == (64, 128, 320, 640)
    assert VARIANTS["resnet3d50"].scaled(0.01).filters == (32, 32, 32, 32)
    assert VARIANTS["resnet3d50"].scaled(1) is VARIANTS["resnet3d50"]


def test_the_base_of_a_network_with_stc_blocks_is_the_same_without():
    """In the table every row with STC blocks names the row that differs in them alone."""
    for name, spec in VARIANTS.items():
        assert spec.stc == (spec.base is not None), name
        if spec.base:
            base = VARIANTS[spec.base]
            changes = {key: getattr(spec, key) for key in ("constructor", "stc", "base", "source")}
            same = dataclasses.replace(base, **changes)
            assert same == spec, name
            assert takes_weights_of(name, spec.base) and not takes_weights_of(spec.base, name)
    assert takes_weights_of("inception_i3d", "inception_i3d")
    assert not takes_weights_of("stc_resnet18", "resnet3d34")
