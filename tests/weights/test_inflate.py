"""Inflated 3D networks on a clip of one repeated frame against the 2D network on the frame."""

import keras
import numpy as np
import pytest
import resnet2d
from helpers import answers
from safetensors.numpy import save_file

import keras_stc
from keras_stc.weights.inflate import frames_met

RNG = np.random.default_rng(3)
IMAGE = RNG.uniform(0, 255, (1, 40, 40, 3))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """`name -> (path of a safetensors file with timm's keys, its arrays)`."""
    folder, made = tmp_path_factory.mktemp("timm"), {}

    def get(name):
        if name not in made:
            made[name] = (folder / f"{name}.safetensors", resnet2d.random_state(name))
            save_file(made[name][1], made[name][0])
        return made[name]

    return get


def repeated(image, frames):
    return np.repeat(image[:, None], frames, axis=1).astype("float32")


def our_name(key):
    """`layer3.0.conv2` -> `layer3_block1_conv2`."""
    stage, *rest = key.split(".")
    if not rest:
        return stage
    part = "shortcut_conv" if rest[1] == "downsample" else rest[1]
    return f"{stage}_block{int(rest[0]) + 1}_{part}"


@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "resnext50"),
        pytest.param("resnet50", marks=pytest.mark.slow),
        pytest.param("wideresnet50", marks=pytest.mark.slow),  # 158 million parameters
    ],
)
def test_every_convolution_answers_as_in_2d(name, checkpoints):
    """Fed with the 2D network's own feature map, repeated over the frames."""
    path, state = checkpoints(name)
    model = keras_stc.create_model(
        name.replace("t", "t3d", 1), weights=path, input_shape=(16, 40, 40, 3)
    )
    inputs_of, *_ = resnet2d.run(name, state, IMAGE)
    groups = resnet2d.NETWORKS[name][-1]
    for key, x in inputs_of.items():
        layer = model.get_layer(our_name(key))
        kernel = state[f"{key}.weight"]
        pad, stride = kernel.shape[-1] // 2, layer.strides[1]
        padded = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
        group = groups if kernel.shape[1] != x.shape[-1] else 1
        want = np.concatenate(
            [
                keras.ops.convert_to_numpy(
                    keras.ops.conv(part, k.transpose(2, 3, 1, 0), strides=stride, padding="valid")
                )
                for part, k in zip(
                    np.split(padded, group, -1), np.split(kernel, group), strict=True
                )
            ],
            -1,
        )
        frames = layer.input.shape[1] - (2 * (layer.kernel_size[0] // 2) if stride > 1 else 0)
        clip = repeated(x, frames)
        if layer.padding == "valid":
            half = layer.kernel_size[0] // 2
            clip = np.pad(clip, [(0, 0), (half, half), (pad, pad), (pad, pad), (0, 0)])
        got = keras.ops.convert_to_numpy(layer(clip))
        length, step = layer.kernel_size[0], layer.strides[0]
        met = [
            sum(0 <= t * step - length // 2 + tap < frames for tap in range(length))
            for t in range(got.shape[1])
        ]
        interior = [t for t in range(got.shape[1]) if met[t] == max(met)]
        assert interior
        for t in interior:
            scale = np.abs(want).max()
            np.testing.assert_allclose(got[:, t], want, atol=1e-5 * scale, err_msg=f"{key}, {t}")


@pytest.mark.parametrize("name", [pytest.param("resnet18", marks=pytest.mark.slow), "resnet50"])
def test_the_whole_network_far_from_both_ends(name, checkpoints):
    """The middle of a clip so long that no padding in time reaches it."""
    path, state = checkpoints(name)
    model = keras_stc.create_model(
        name.replace("t", "t3d", 1), weights=path, include_top=False, input_shape=(256, 32, 32, 3)
    )
    _, want, _ = resnet2d.run(name, state, IMAGE[:, :32, :32])
    got = answers(model, repeated(IMAGE[:, :32, :32], 256))
    assert got.shape[1] == 16
    np.testing.assert_allclose(got[:, 8], want, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("frames", [1, 2])
def test_short_clips_have_no_ends(frames, checkpoints):
    """One or two frames meet every kernel everywhere: the logits are the 2D network's."""
    path, state = checkpoints("resnet18")
    model = keras_stc.STCResNet18(
        weights=path, input_shape=(frames, 40, 40, 3), classes=1000, classifier_activation=None
    )
    *_, want = resnet2d.run("resnet18", state, IMAGE)
    got = answers(model, repeated(IMAGE, frames))
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize(
    ("depth", "blocks"),
    [
        pytest.param(121, {"stc": True}, marks=pytest.mark.slow),
        pytest.param(169, {}, marks=pytest.mark.slow),
    ],
)
def test_densenets_answer_as_those_of_keras(depth, blocks, tmp_path):
    """On four repeated frames, which every kernel meets everywhere, and in blocks that start shut.

    Pooling halves both in the same way; Keras' normalisation has another epsilon.
    """
    keras.utils.set_random_seed(0)
    applications = keras.applications.densenet
    flat = getattr(applications, f"DenseNet{depth}")(
        weights=None, input_shape=(40, 40, 3), classes=9, classifier_activation=None
    )
    for layer in flat.layers:
        if isinstance(layer, keras.layers.BatchNormalization):  # as a trained network's
            mean, variance = layer.moving_mean, layer.moving_variance
            mean.assign(RNG.uniform(-0.2, 0.2, mean.shape))
            variance.assign(RNG.uniform(0.7, 1.3, variance.shape))
    flat.save_weights(tmp_path / "2d.weights.h5")
    want = answers(flat, applications.preprocess_input(IMAGE.copy()))
    model = keras_stc.create_model(
        f"densenet3d{depth}",
        weights=tmp_path / "2d.weights.h5",
        input_shape=(4, 40, 40, 3),
        classifier_activation=None,
        **blocks,
    )
    assert model.output_shape == (None, 9)
    got = answers(model, repeated(IMAGE, 4))
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("preactivation", [False, True])
@pytest.mark.parametrize("branches", [("temporal", "spatial"), ("temporal",), ("spatial",)])
def test_stc_blocks_start_neutral(branches, preactivation, tmp_path):
    shape = (4, 32, 32, 3)
    base = keras_stc.ResNet3D18(
        classes=3, input_shape=shape, preactivation=preactivation, alpha=0.25
    )
    base.save(tmp_path / "base.keras")
    model = keras_stc.STCResNet18(
        weights=tmp_path / "base.keras", stc_branches=branches, preactivation=preactivation
    )
    clips = RNG.uniform(0, 255, (2, *shape)).astype("float32")
    want = answers(base, clips)
    np.testing.assert_allclose(answers(model, clips), want, rtol=1e-4, atol=1e-6)


def test_stc_blocks_after_a_stage_start_near_neutral(tmp_path):
    shape = (4, 32, 32, 3)
    base = keras_stc.ResNet3D18(
        classes=3, input_shape=shape, classifier_activation=None, alpha=0.25
    )
    base.save(tmp_path / "base.keras")
    model = keras_stc.STCResNet18(
        weights=tmp_path / "base.keras", stc_placement="stage", classifier_activation=None
    )
    clips = RNG.uniform(0, 255, (2, *shape)).astype("float32")
    want = answers(base, clips)
    np.testing.assert_allclose(answers(model, clips), want, atol=0.1 * np.abs(want).max())


def test_the_gates_of_a_neutral_block_learn(tmp_path):
    """Zero kernels must not be a place without a gradient."""
    keras.utils.set_random_seed(1)
    shape = (4, 32, 32, 3)
    keras_stc.ResNet3D18(classes=3, input_shape=shape, alpha=0.25).save(tmp_path / "base.keras")
    model = keras_stc.STCResNet18(weights=tmp_path / "base.keras", classifier_activation=None)
    # On scores, not on a softmax: one that is sure of its answer has no gradient either.
    model.compile(keras.optimizers.SGD(0.01), "mse")
    block = model.get_layer("layer4_block2_stc")
    before = [np.array(weight) for weight in block.get_weights()]
    clips = RNG.uniform(0, 255, (2, *shape)).astype("float32")
    for _ in range(2):
        model.train_on_batch(clips, np.array([[9.0, -9.0, 0.0], [-9.0, 0.0, 9.0]]))
    for variable, old, new in zip(block.weights, before, block.get_weights(), strict=True):
        assert np.abs(new - old).max() > 0, variable.path


@pytest.mark.parametrize(
    ("frames", "length", "stride", "met"),
    [(None, 7, 1, 7), (16, 7, 1, 7), (4, 7, 1, 4), (1, 3, 1, 1), (2, 3, 1, 2), (3, 3, 1, 3)]
    + [(2, 3, 2, 2), (4, 3, 2, 3), (1, 1, 2, 1)],
)
def test_frames_met(frames, length, stride, met):
    assert frames_met(frames, length, stride) == met


def test_the_model_subtracts_imagenets_mean(checkpoints):
    path, _ = checkpoints("resnet18")
    config = keras_stc.ResNet3D18(weights=path, input_shape=(2, 32, 32, 3), classes=5).video_config
    np.testing.assert_allclose(config.mean, resnet2d.MEAN, rtol=1e-6)
    np.testing.assert_allclose(config.std, resnet2d.STD, rtol=1e-6)
    with pytest.raises(ValueError, match="`video_config` must have the mean and std"):
        keras_stc.ResNet3D18(weights=path, video_config=keras_stc.VideoConfig())


def test_other_classes_are_said(checkpoints, caplog):
    path, state = checkpoints("resnet18")
    with caplog.at_level("WARNING", logger="keras_stc"):
        model = keras_stc.STCResNet18(weights=path, input_shape=(2, 32, 32, 3), classes=5)
    assert "classifier starts at random" in caplog.text and "1000 classes" in caplog.text
    assert model.output_shape == (None, 5)
    np.testing.assert_allclose(
        model.get_layer("conv1_bn").get_weights()[2], state["bn1.running_mean"]
    )
