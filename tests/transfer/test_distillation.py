"""Distillation: its losses by hand, the frozen teacher, clips for both, a run that goes on."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_stc
from keras_stc.data import VideoSet
from keras_stc.transfer import (
    Answers,
    ClipTeacher,
    Distillation,
    distillation_dataset,
    train_distillation,
)


def array(value):
    return ops.convert_to_numpy(value)


def network(name, frames, classes=3, **options):
    keras.utils.set_random_seed(len(name))
    build = keras_stc.create_model
    return build(name, classes=classes, input_shape=(frames, 32, 32, 3), alpha=0.0625, **options)


def clips(frames, count=4):
    return np.random.default_rng(frames).integers(0, 256, (count, frames, 32, 32, 3), "uint8")


def batch(labels=(0, -1, 2, 1)):
    return {
        "clip": clips(4),
        "teacher_clip": clips(8),
        "label": np.array(labels, "int32"),
    }


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_the_losses_are_those_of_the_paper():
    student, teacher = network("stc_resnet18", 4), network("resnet3d18", 8)
    model = Distillation(student, teacher, 3.0, label_weight=0.25, feature_weight=2.0)
    model.compile(keras_stc.training.SGD(0.1))
    x = batch()
    got = model.evaluate(x, batch_size=4, verbose=0, return_dict=True)
    theirs = np.log(array(teacher(x["teacher_clip"], training=False)))
    ours = np.log(array(student(x["clip"], training=False)))
    wanted, soft = softmax(theirs / 3), softmax(ours / 3)
    divergence = 9 * (wanted * np.log(wanted / soft)).sum(-1).mean()
    entropy = -ours[[0, 2, 3], [0, 2, 1]].mean()  # the second one has no label

    def pooled(model, clip):
        layer = model.get_layer("avg_pool")
        return array(keras.Model(model.input, layer.output)(clip, training=False))

    features = pooled(student, x["clip"]) @ array(model.projection.kernel)
    features = features + array(model.projection.bias)
    theirs_features = pooled(teacher, x["teacher_clip"])
    lengths = np.linalg.norm(features, axis=-1) * np.linalg.norm(theirs_features, axis=-1)
    distance = 1 - ((features * theirs_features).sum(-1) / lengths).mean()
    np.testing.assert_allclose(got["answers_loss"], divergence, rtol=1e-3)
    np.testing.assert_allclose(got["label_loss"], entropy, rtol=1e-3)
    np.testing.assert_allclose(got["features_loss"], distance, rtol=1e-3)
    agreed = (theirs.argmax(-1) == ours.argmax(-1)).mean()
    np.testing.assert_allclose(got["answers_agreement"], agreed)
    right = (ours.argmax(-1)[[0, 2, 3]] == [0, 2, 1]).mean()
    np.testing.assert_allclose(got["label_accuracy"], right, rtol=1e-6)


def test_the_student_learns_and_the_teacher_does_not(tmp_path):
    student, teacher = network("stc_resnet18", 4), network("resnet3d18", 8)
    model = Distillation(student, teacher, feature_weight=1.0)
    model.compile(keras_stc.training.SGD(0.05, momentum=0.9))
    before = [array(weight).copy() for weight in teacher.weights]
    history = model.fit(batch(), batch_size=4, epochs=15, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    for weight, was in zip(teacher.weights, before, strict=True):
        np.testing.assert_array_equal(array(weight), was)
    kept = {id(weight) for weight in model.weights}
    assert not kept & {id(weight) for weight in teacher.weights}
    model.save(tmp_path / "d.keras")
    loaded = keras.models.load_model(tmp_path / "d.keras")
    for name, value in model(batch(), training=False).items():
        np.testing.assert_allclose(
            array(loaded(batch(), training=False)[name]), array(value), rtol=1e-4, atol=1e-5
        )


def test_what_the_teacher_said_takes_its_place():
    student, teacher = network("stc_resnet18", 4), network("resnet3d18", 8)
    model = Distillation(student, teacher, feature_weight=1.0)
    model.compile("sgd")
    x = batch()
    answers, features = ClipTeacher(teacher)(x["teacher_clip"])
    said = {**x, "answers": array(answers), "features": array(features)}
    del said["teacher_clip"]
    live, kept = (model.evaluate(part, batch_size=4, verbose=0) for part in (x, said))
    np.testing.assert_allclose(live, kept, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "classes", "sentence"),
    [
        ({"temperature": 0.5}, 3, "`temperature` must be at least 1"),
        ({"label_weight": 1.5}, 3, "`label_weight` must be from 0 to 1"),
        ({"feature_weight": -1}, 3, "`feature_weight` must be at least 0"),
        ({"label_weight": 1}, 3, "`feature_weight` must be positive"),
        ({}, 2, "`student` must have the teacher's 3 classes"),
    ],
)
def test_wrong_arguments_are_told(options, classes, sentence):
    student = network("stc_resnet18", 4, classes)
    with pytest.raises(ValueError, match=sentence):
        Distillation(student, network("resnet3d18", 8), **options)


def test_other_classes_learn_from_features_alone():
    student = network("stc_resnet18", 4, classes=2)
    model = Distillation(student, network("resnet3d18", 8), label_weight=1, feature_weight=1)
    assert set(model.weights_of_losses) == {"label", "features"}


def test_both_see_the_same_moment(small_run):
    """The teacher's clip has the student's middle, crop and mirroring, at its own size."""
    videos = keras_stc.data.open_unlabelled(small_run.videos)
    config = keras_stc.VideoConfig
    student, teacher = config(4, 2, 32, 36), config(8, 1, 32, 36)
    for seed in range(3):
        made = distillation_dataset(
            videos, student, teacher, batch_size=2, seed=seed, backend="pydataset"
        )
        part = made[0]
        for clip, theirs in zip(part["clip"], part["teacher_clip"], strict=True):
            # The student's seven frames lie in the teacher's eight, from the first or second on.
            assert any(np.array_equal(clip, theirs[first : first + 7 : 2]) for first in (0, 1))
        assert (part["label"] == -1).all()
    with pytest.raises(ValueError, match="clips of a moment .* Received: segments=True"):
        distillation_dataset(videos, student, teacher.replace(segments=True))


def test_the_nearest_window_teaches():
    values = np.arange(3, dtype="float32").reshape(1, 3, 1)
    answers = Answers(values, -values, keras_stc.VideoConfig(10, 1, 32))
    # Windows of 10 of 110 frames begin at 0, 50 and 100: middles 4.5, 54.5, 104.5.
    for middle, window in ((0, 0), (29, 0), (30, 1), (79, 1), (80, 2), (109, 2)):
        said, features = answers.nearest(0, 110, 25.0, middle)
        assert (said[0], features[0]) == (window, -window)


@pytest.mark.parametrize("windows", [0, 2])
def test_a_run_goes_on_where_it_was(small_run, tmp_path, windows):
    videos = VideoSet(list(keras_stc.data.open_unlabelled(small_run.videos))[:4])
    recipe = keras_stc.training.RECIPES["default"].replace(epochs=2, batch_size=4)

    def made():
        return Distillation(network("stc_resnet18", 4), network("resnet3d18", 8))

    def run(model, out):
        return train_distillation(model, videos, recipe, tmp_path / out, videos, windows, verbose=0)

    whole = run(made(), "whole")

    class Killed(Exception):
        pass

    model, fit = made(), keras.Model.fit

    def cut(*args, **options):
        def kill(epoch, _):
            if epoch == 1:
                raise Killed

        options["callbacks"] = [
            *options["callbacks"],
            keras.callbacks.LambdaCallback(on_epoch_begin=kill),
        ]
        return fit(model, *args, **options)

    model.fit = cut
    with pytest.raises(Killed):
        run(model, "cut")
    assert keras_stc.runs.Run(tmp_path / "cut").state()["epoch"] == 1
    resumed = run(made(), "cut")
    assert [row["loss"] for row in resumed] == pytest.approx([row["loss"] for row in whole], 1e-3)
    loaded = keras_stc.load_model(tmp_path / "cut")
    assert loaded.output_shape == (None, 3)
    with pytest.raises(keras_stc.runs.RunError, match="teacher"):
        run(Distillation(network("stc_resnet18", 4), network("stc_resnet18", 8)), "cut")
