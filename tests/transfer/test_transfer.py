"""Knowledge transfer: the frozen teacher, the pairs and their training, on every backend."""

import inspect

import keras
import numpy as np
import pytest
import transfer_parts
from keras import ops

import keras_stc
from keras_stc.transfer import CorrespondenceTransfer, FrameTeacher, create_transfer
from keras_stc.transfer.pairs import negative_partners
from keras_stc.transfer.teachers import create_teacher


def array(value):
    return ops.convert_to_numpy(value)


def compiled(model, rate=0.05, **options):
    model.compile(keras_stc.training.SGD(rate, **options))
    return model


# === The teacher ===


def test_features_are_the_mean_over_frames():
    teacher = transfer_parts.frame_teacher()
    frames = transfer_parts.batch()["frames"]
    # Caffe's preparation by hand: BGR minus ImageNet's means.
    images = frames[..., ::-1].astype("float32") - [103.939, 116.779, 123.68]
    wanted = np.stack([array(teacher.model(clip, training=False)).mean(axis=0) for clip in images])
    got = array(teacher(frames))
    assert got.shape == (4, 6) and got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_feature_maps_are_averaged():
    pooled = transfer_parts.image_model()
    mapped = keras.Model(pooled.input, pooled.layers[-2].output)
    frames = transfer_parts.batch()["frames"]
    both = [array(FrameTeacher(model, "resnet")(frames)) for model in (pooled, mapped)]
    np.testing.assert_allclose(*both, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 16])
def test_frames_run_in_chunks(chunk):
    """No more at a time than asked for, and the same features."""
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, images):
            seen.append(images.shape[0])
            return images

    inner = transfer_parts.image_model()
    images = keras.Input(inner.input_shape[1:])
    model = keras.Model(images, inner(Spy()(images)))
    seen.clear()
    frames = transfer_parts.batch()["frames"]
    got = array(FrameTeacher(model, "resnet", chunk)(frames))
    assert seen and max(seen) <= chunk
    np.testing.assert_allclose(got, array(FrameTeacher(inner, "resnet")(frames)), 1e-4, 1e-5)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("resnet50", "resnet"),
        ("resnet152", "resnet"),
        ("resnet50v2", "resnet_v2"),
        ("mobilenetv2_1.00_224", "mobilenet_v2"),
        ("mobilenet_1.00_224", "mobilenet"),
        ("mobilenetv2_1.00_None", "mobilenet_v2"),
        ("efficientnetv2-b0", "efficientnet_v2"),
        ("efficientnetb7", "efficientnet"),
        ("MobileNetV3Small", "mobilenet_v3"),
        ("convnext_tiny", "convnext"),
        ("inception_resnet_v2", "inception_resnet_v2"),
    ],
)
def test_preprocessing_goes_by_name(name, module):
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images), name=name)
    teacher = FrameTeacher(model)
    assert teacher.preprocess == module
    preprocess = getattr(keras.applications, module).preprocess_input
    x = transfer_parts.batch(frame_size=8)["frames"].astype("float32")
    wanted = np.stack([array(preprocess(ops.convert_to_tensor(c))).mean((0, 1, 2)) for c in x])
    np.testing.assert_allclose(array(teacher(x)), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda m: (m,), "`preprocess` must say how .* 'small2d'"),
        (lambda m: (keras.Model(m.inputs, m.outputs, name="resnet18"),), "'resnet18', is none of"),
        (lambda m: (keras.Model(m.inputs, m.outputs, name="vgg16_bn"),), "'vgg16_bn', is none of"),
        (
            lambda m: (keras.Model(m.input, keras.layers.Dense(5, "softmax")(m.output)), "resnet"),
            "include_top=False",
        ),
        (lambda m: (m, "alexnet"), "`preprocess` must be one of .* Received: preprocess='alexnet'"),
        (lambda m: (m, "resnet", 0), "`chunk` must be a positive"),
        (lambda m: (m.layers[1], "resnet"), "`model` must be a Keras model"),
        (lambda m: (transfer_parts.small_student(), "resnet"), "`model` must map images"),
        (
            lambda m: (
                keras.Model(m.input, keras.layers.Dense(5, name="predictions")(m.output)),
                "resnet",
            ),
            "include_top=False",
        ),
    ],
)
def test_bad_teachers_get_a_sentence(arguments, words):
    with pytest.raises(ValueError, match=words):
        FrameTeacher(*arguments(transfer_parts.image_model()))


def test_a_file_for_a_teacher_that_would_scale_otherwise_is_refused(tmp_path):
    """Keras' EfficientNets have one more layer with weights="imagenet" than with that file."""
    (tmp_path / "x.weights.h5").write_bytes(b"x")
    with pytest.raises(ValueError, match="EfficientNetB0 scales pixels otherwise"):
        create_teacher("efficientnetb0", str(tmp_path / "x.weights.h5"))


def test_teacher_is_bit_identical_after_training():
    teacher = transfer_parts.frame_teacher(chunk=4)
    student = transfer_parts.small_student()
    transfer = compiled(transfer_parts.small_transfer(student, teacher), l2=0.1, momentum=0.9)
    before = [w.copy() for w in teacher.model.get_weights()]
    trained = [w.copy() for w in transfer.get_weights()]
    fingerprint = teacher.fingerprint()
    batch = transfer_parts.batch()
    features = array(teacher(batch["frames"]))
    # Somebody sets the flag of the whole.
    transfer.trainable = False
    transfer.trainable = True
    for _ in range(3):
        transfer.train_on_batch(batch)
    for old, new in zip(before, teacher.model.get_weights(), strict=True):
        assert old.tobytes() == new.tobytes()
    assert teacher.fingerprint() == fingerprint
    np.testing.assert_array_equal(array(teacher(batch["frames"])), features)
    assert not teacher.model.trainable_weights
    # And everything else did learn, the student's batch normalisation too.
    for variable, old in zip(transfer.weights, trained, strict=True):
        assert np.abs(array(variable) - old).max() > 0, variable.path


def test_teacher_is_in_no_list_of_weights(tmp_path):
    h5py = pytest.importorskip("h5py")
    transfer = transfer_parts.small_transfer()
    theirs = {id(w) for w in transfer.teacher.model.weights}
    assert not theirs & {id(v) for v in transfer.variables}
    transfer.save_weights(tmp_path / "t.weights.h5")
    with h5py.File(tmp_path / "t.weights.h5") as file:
        sizes = {}
        file.visititems(
            lambda name, node: sizes.update({name: node.size}) if hasattr(node, "size") else None
        )
    assert sum(sizes.values()) == sum(w.size for w in transfer.get_weights())


# === The pairs ===


def partners(videos):
    return array(negative_partners(ops.convert_to_tensor(np.array(videos, "int32")))).tolist()


def test_neighbours_swap():
    assert partners([7, 3, 9, 1]) == [1, 0, 3, 2]
    # The pairs of the parts are those of the whole.
    assert partners([7, 3]) + [2 + p for p in partners([9, 1])] == partners([7, 3, 9, 1])


def test_negatives_are_of_another_video():
    rng = np.random.default_rng(0)
    for _ in range(200):
        videos = rng.integers(0, rng.integers(2, 9), rng.integers(2, 12))
        if len(set(videos.tolist())) == 1:
            continue
        got = partners(videos)
        assert all(videos[i] != videos[j] for i, j in enumerate(got)), (videos, got)


@pytest.mark.parametrize("videos", [[0, 0, 1, 1], [0, 0, 1, 1, 2, 2], [5, 5, 5, 2, 1, 3]])
def test_two_clips_of_a_video_leave_a_permutation(videos):
    assert sorted(partners(videos)) == list(range(len(videos)))


@pytest.mark.parametrize("videos", [(3,), (3, 3, 3)])
def test_a_batch_of_one_video_is_an_error(videos):
    transfer = compiled(transfer_parts.small_transfer())
    with pytest.raises(Exception, match="A batch must hold clips of at least two videos"):
        transfer.train_on_batch(transfer_parts.batch(videos))


# === The model ===


def plain_model(transfer, frame_shape, clip_shape):
    """Pairs at the input: every pair goes through both networks, as the text of the paper reads."""
    frames, clip = keras.Input(frame_shape), keras.Input(clip_shape)
    mean = np.array([103.939, 116.779, 123.68], "float32")

    def features(x):  # a functional model would hand `training=True` on
        images = [ops.flip(x[:, t], axis=-1) - mean for t in range(frame_shape[0])]
        return sum(transfer.teacher.model(image, training=False) for image in images) / len(images)

    seen = keras.layers.Lambda(features, output_shape=(transfer.teacher.features,))(frames)
    x = keras.layers.Concatenate()(
        [transfer.frame_projection(seen), transfer.clip_projection(transfer.student(clip))]
    )
    for layer in transfer.classifier.layers:
        x = layer(x)
    return keras.Model([frames, clip], keras.layers.Activation("sigmoid")(x))


@pytest.mark.parametrize("network", ["small", "stc_resnet18"])
def test_gradients_are_those_of_pairing_at_the_input(network, short):
    """Within 1e-4, read off a step of SGD with a rate of 1; batch statistics included."""
    shape = (4, 16, 16, 3)
    student = None
    if network != "small":
        keras.utils.set_random_seed(1)
        # At 32 pixels the last stage would normalise four values a channel: rounding, enlarged.
        shape = (4, 64, 64, 3)
        student = keras_stc.create_model(
            network, include_top=False, pooling="avg", input_shape=shape, alpha=0.5
        )
    transfer = transfer_parts.small_transfer(student)
    batch = transfer_parts.batch(size=shape[1])
    start = transfer.get_weights()

    transfer.compile(keras.optimizers.SGD(1.0))
    ours = transfer.train_on_batch(batch, return_dict=True)
    after = transfer.get_weights()
    transfer.set_weights(start)

    other = [1, 0, 3, 2]
    frames = np.concatenate([batch["frames"]] * 2).astype("float32")
    clips = np.concatenate([batch["clip"], batch["clip"][other]]).astype("float32")
    plain = plain_model(transfer, frames.shape[1:], clips.shape[1:])
    plain.compile(keras.optimizers.SGD(1.0), "binary_crossentropy")
    theirs = plain.train_on_batch([frames, clips], np.repeat([1.0, 0.0], 4)[:, None])

    assert ours["loss"] == pytest.approx(float(theirs), rel=1e-5)
    moved = 0
    for variable, was, mine, his in zip(
        transfer.weights, start, after, transfer.get_weights(), strict=True
    ):
        if variable.trainable:
            np.testing.assert_allclose(mine - was, his - was, atol=1e-4, err_msg=variable.path)
            moved += np.abs(mine - was).max() > 1e-3
    assert moved > 5


@pytest.mark.parametrize("name", ["resnet3d18", "resnext3d50", "stc_resnet18", "stc_resnext50"])
def test_the_students_of_the_paper(name, short):
    """One network of each family: a step moves its first and last convolution."""
    student = keras_stc.create_model(
        name, include_top=False, pooling="avg", input_shape=(2, 32, 32, 3)
    )
    transfer = transfer_parts.small_transfer(student)
    # A single step is not worth its compilation, but for JAX, which compiles every operation.
    eagerly = keras.backend.backend() != "jax"
    transfer.compile(keras_stc.training.SGD(0.1), run_eagerly=eagerly)
    kernels = [w for w in student.trainable_weights if w.path.endswith("kernel")]
    before = [array(kernels[i]).copy() for i in (0, -1)]
    logs = transfer.train_on_batch(transfer_parts.batch((0, 1), 2, size=32), return_dict=True)
    assert set(logs) == {"loss", "pair_accuracy", "auc"}
    for i, old in zip((0, -1), before, strict=True):
        assert np.abs(array(kernels[i]) - old).max() > 0


def test_features_of_frames_take_their_place():
    """The logits of the frames; and the teacher is not asked."""
    transfer, batch = transfer_parts.small_transfer(), transfer_parts.batch()
    wanted = array(transfer(batch))
    features = array(transfer.teacher(batch.pop("frames")))
    transfer.teacher.model = None
    got = array(transfer({**batch, "frame_features": features}))
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    assert (
        np.abs(array(transfer({**batch, "frame_features": features[::-1]})) - wanted).max() > 1e-3
    )


def test_metrics_by_hand():
    transfer, batch = transfer_parts.small_transfer(), transfer_parts.batch()
    # The same numbers on every backend; features and clips that differ from sample to sample.
    rng = np.random.default_rng(120)  # by which they lie apart
    lowest = [0.1 if w.path.endswith("variance") else -0.5 for w in transfer.weights]
    pairs = zip(lowest, transfer.weights, strict=True)
    transfer.set_weights([rng.uniform(low, 0.5, w.shape) for low, w in pairs])
    batch["frame_features"] = rng.uniform(0, 4, (4, 6)).astype("float32")
    del batch["frames"]
    batch["clip"] = batch["clip"] // np.uint8([1, 2, 4, 16])[:, None, None, None, None]
    raw = array(transfer(batch, training=False))
    match = transfer.classifier.get_layer("match")
    match.kernel.assign(match.kernel * (2 / raw.std()))
    match.bias.assign((match.bias - raw.mean()) * (2 / raw.std()))
    transfer = compiled(transfer)
    logs = transfer.test_on_batch(batch, return_dict=True)
    logits = array(transfer(batch, training=False))[:, 0]
    assert logits.shape == (8,)
    p, n = logits[:4], logits[4:]
    loss = (np.log1p(np.exp(-p)).sum() + np.log1p(np.exp(n)).sum()) / 8
    assert float(logs["loss"]) == pytest.approx(loss, rel=1e-5)
    accuracy = ((p > 0).sum() + (n <= 0).sum()) / 8
    assert float(logs["pair_accuracy"]) == pytest.approx(accuracy)
    auc = (p[:, None] > n[None]).mean()
    assert abs(auc - 0.5) > 0.1
    # Keras counts at 200 thresholds, of which each of these probabilities has one of its own.
    probabilities = np.sort(1 / (1 + np.exp(-logits)))
    assert np.diff(probabilities).min() > 0.01
    assert float(logs["auc"]) == pytest.approx(auc, abs=0.01)


def test_it_learns_which_belong_together():
    """Frames and clip of one colour belong together: far from chance after a few steps."""
    rng = np.random.default_rng(0)

    def coloured(count):
        colours = rng.integers(0, 256, (count, 1, 1, 1, 3)).astype("uint8")
        frames = np.broadcast_to(colours, (count, 4, 16, 16, 3))
        return {"frames": frames, "clip": frames, "video": np.arange(count, dtype="int32")}

    transfer = transfer_parts.small_transfer()
    transfer.compile(keras.optimizers.Adam(0.01))
    transfer.fit(coloured(64), batch_size=16, epochs=20, verbose=0)
    # Of 64 pairs; a guess is right 0.5 +- 0.06 of the time.
    assert transfer.evaluate(coloured(32), verbose=0, return_dict=True)["pair_accuracy"] > 0.7


def test_accumulated_steps_are_one_step():
    """Two batches of two make the update of one of four; without batch statistics, that is."""
    whole = transfer_parts.batch()
    weights = []
    for steps in (None, 2):
        student = keras.Sequential(
            [
                keras.Input((4, 16, 16, 3)),
                keras.layers.Rescaling(1 / 64, offset=-2),
                keras.layers.Conv3D(4, 3, strides=2, activation="relu"),
            ]
        )
        keras.utils.set_random_seed(5)
        transfer = transfer_parts.small_transfer(student)
        keras.utils.set_random_seed(6)
        rng = np.random.default_rng(0)
        transfer.set_weights([rng.normal(0, 0.1, w.shape) for w in transfer.get_weights()])
        transfer.compile(keras.optimizers.SGD(1.0, gradient_accumulation_steps=steps))
        for k in range(steps or 1):
            part = slice(None) if steps is None else slice(2 * k, 2 * k + 2)
            transfer.train_on_batch({name: value[part] for name, value in whole.items()})
        weights.append(transfer.get_weights())
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_accumulation_of_our_sgd_is_one_step():
    """The same with the optimizer of the recipes, on every backend."""
    weights = []
    for steps in (1, 2):
        keras.utils.set_random_seed(5)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])
        settings = {"momentum": 0.9, "nesterov": True, "l2": 0.01, "accumulation": steps}
        model.compile(keras_stc.training.SGD(0.1, **settings), "mse")
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 1))
        model.fit(x, y, batch_size=4 // steps, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_created_with_a_teacher_or_what_makes_one():
    teacher = transfer_parts.frame_teacher()
    for given in (teacher, lambda: teacher):
        transfer = create_transfer("resnet3d18", given, (2, 32, 32, 3), stride=3)
        assert transfer.teacher is teacher and transfer.student.video_config.stride == 3


def test_the_heads_of_the_paper():
    """What the heads compute, by hand from their weights; a feature map is averaged."""
    defaults = inspect.signature(CorrespondenceTransfer).parameters
    assert defaults["projection"].default == 1024 and defaults["hidden"].default == (512, 128)
    small = transfer_parts.small_student()
    student = keras.Model(small.inputs[0], small.layers[-2].output)  # (B, T, H, W, D)
    assert len(student.output_shape) == 5
    transfer = transfer_parts.small_transfer(student)
    batch = transfer_parts.batch(videos=(0, 1))
    clips = array(student(batch["clip"], training=False)).mean((1, 2, 3))
    frames = array(transfer.teacher(batch["frames"]))

    def dense(layer, x, relu=True):
        x = x @ array(layer.kernel) + array(layer.bias)
        return np.maximum(x, 0) if relu else x

    frames, clips = dense(transfer.frame_projection, frames), dense(transfer.clip_projection, clips)
    x = np.concatenate([np.hstack([frames, clips]), np.hstack([frames, clips[::-1]])])
    *hidden, match = transfer.classifier.layers
    for layer in hidden:
        x = dense(layer, x)
    wanted = dense(match, x, relu=False)
    assert (clips == 0).any() and (clips > 0).any()  # so that ReLU makes a difference
    np.testing.assert_allclose(array(transfer(batch, training=False)), wanted, 1e-4, 1e-5)


def test_sample_weights_count_for_both_pairs():
    transfer = compiled(transfer_parts.small_transfer())
    batch = transfer_parts.batch()
    logits = array(transfer(batch, training=False))[:, 0]
    losses = np.log1p(np.exp(np.concatenate([-logits[:4], logits[4:]])))
    weights = np.array([1.0, 0.0, 2.0, 0.0], "float32")
    got = transfer.test_on_batch(batch, sample_weight=weights, return_dict=True)["loss"]
    assert float(got) == pytest.approx((losses * np.tile(weights, 2)).sum() / 8, rel=1e-4)


def test_the_precision_of_the_heads_is_saved(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        small = transfer_parts.small_student()
        config = keras_stc.VideoConfig(4, 1, 16)
        student = keras_stc.VideoModel(small.inputs[0], small.outputs[0], video_config=config)
        transfer = transfer_parts.small_transfer(student)
    finally:
        keras.config.set_dtype_policy("float32")
    transfer.save(tmp_path / "t.keras")
    loaded = keras.models.load_model(tmp_path / "t.keras")
    assert loaded.clip_projection.compute_dtype == "bfloat16"
    assert loaded.classifier.layers[0].compute_dtype == "bfloat16"
    batch = transfer_parts.batch()
    np.testing.assert_array_equal(array(loaded(batch)), array(transfer(batch)))


def test_mixed_precision():
    """Half precision where it belongs, float32 logits, and nearly the same loss."""
    batch = transfer_parts.batch()
    wanted = compiled(transfer_parts.small_transfer()).test_on_batch(batch)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        transfer = compiled(transfer_parts.small_transfer())
    finally:
        keras.config.set_dtype_policy("float32")
    assert transfer.student.layers[1].compute_dtype == "bfloat16"
    assert transfer.clip_projection.compute_dtype == "bfloat16"
    got = transfer.test_on_batch(batch)
    assert float(got[0]) == pytest.approx(float(wanted[0]), rel=0.05)
    before = array(transfer.student.weights[0]).copy()
    assert np.isfinite(transfer.train_on_batch(batch)[0])
    assert np.abs(array(transfer.student.weights[0]) - before).max() > 0
    assert "float32" in str(transfer(batch).dtype)


def test_saved_whole_and_gone_on_with(tmp_path):
    """Teacher, optimizer and all: the next step is the one the original makes."""
    small = transfer_parts.small_student()
    config = keras_stc.VideoConfig(4, 1, 16)
    student = keras_stc.VideoModel(small.inputs[0], small.outputs[0], video_config=config)
    transfer = compiled(transfer_parts.small_transfer(student), 0.01, momentum=0.9)
    batch = transfer_parts.batch()
    transfer.train_on_batch(batch)
    transfer.save(tmp_path / "t.keras")
    loaded = keras.models.load_model(tmp_path / "t.keras")
    assert loaded.teacher.fingerprint() == transfer.teacher.fingerprint()
    assert loaded.teacher.preprocess == "resnet" and not loaded.teacher.model.trainable_weights
    assert loaded.student.video_config == config
    for model in (transfer, loaded):
        model.train_on_batch(batch)
    for one, other in zip(transfer.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"student": lambda: keras_stc.STCResNet18(input_shape=(2, 32, 32, 3))}, "include_top"),
        ({"student": transfer_parts.image_model}, "`student` must be a functional"),
        ({"student": lambda: keras.layers.Dense(2)}, "`student` must be a functional"),
        ({"teacher": transfer_parts.image_model}, "`teacher` must be a keras_stc.transfer.Frame"),
        ({"projection": lambda: 0}, "`projection` must be positive"),
        ({"hidden": lambda: (12, 0)}, "`hidden` must be positive"),
        ({"hidden": lambda: 512}, "`hidden` must be positive integers. Received: hidden=512"),
    ],
)
def test_bad_arguments_get_a_sentence(change, words):
    parts = {"student": transfer_parts.small_student, "teacher": transfer_parts.frame_teacher}
    with pytest.raises(ValueError, match=words):
        CorrespondenceTransfer(**{key: make() for key, make in {**parts, **change}.items()})
