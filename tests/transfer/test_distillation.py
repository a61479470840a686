"""Distillation: its losses by hand, the frozen teacher, a model saved and gone on with."""

import keras
import numpy as np
import pytest
import transfer_parts
from helpers import softmax
from keras import ops

import keras_stc
from keras_stc.transfer import ClipTeacher, Distillation


def array(value):
    return ops.convert_to_numpy(value)


def test_the_losses_are_those_of_the_paper():
    student, teacher = transfer_parts.small_classifier(), transfer_parts.clip_teacher()
    model = transfer_parts.small_distillation(
        student, teacher, temperature=3.0, label_weight=0.25, feature_weight=2.0
    )
    model.compile(keras_stc.training.SGD(0.1))
    x = transfer_parts.distillation_batch()
    got = model.evaluate(x, batch_size=4, verbose=0, return_dict=True)
    theirs = np.log(softmax(teacher.predict_on_batch(x["teacher_clip"])))
    ours = np.log(student.predict_on_batch(x["clip"]))
    wanted, soft = softmax(theirs / 3), softmax(ours / 3)
    divergence = 9 * (wanted * np.log(wanted / soft)).sum(-1).mean()
    entropy = -ours[[0, 2, 3], [0, 2, 1]].sum() / 4  # the second one has no label

    def pooled(network, clip):
        end = network.get_layer("avg_pool").output
        found = keras.Model(network.input, end).predict_on_batch(clip)
        return found.reshape(len(found), -1, found.shape[-1]).mean(1)

    features = pooled(student, x["clip"]) @ array(model.projection.kernel)
    features = features + array(model.projection.bias)
    theirs_features = pooled(teacher, x["teacher_clip"])
    lengths = np.linalg.norm(features, axis=-1) * np.linalg.norm(theirs_features, axis=-1)
    distance = 1 - ((features * theirs_features).sum(-1) / lengths).mean()
    np.testing.assert_allclose(got["answers_loss"], divergence, rtol=1e-3)
    np.testing.assert_allclose(got["label_loss"], entropy, rtol=1e-3)
    np.testing.assert_allclose(got["features_loss"], distance, rtol=1e-3)
    whole = 0.75 * divergence + 0.25 * entropy + 2 * distance
    np.testing.assert_allclose(got["loss"], whole, rtol=1e-3)
    agreed = (theirs.argmax(-1) == ours.argmax(-1)).mean()
    np.testing.assert_allclose(got["answers_agreement"], agreed)
    right = (ours.argmax(-1)[[0, 2, 3]] == [0, 2, 1]).mean()
    np.testing.assert_allclose(got["label_accuracy"], right, rtol=1e-6)


@pytest.mark.parametrize("label_weight", [0, 0.25])
def test_features_of_frames_are_the_teachers(label_weight):
    """The mean over frames of what the 2D network says of each, prepared as Caffe's."""
    student = transfer_parts.small_classifier() if label_weight else transfer_parts.small_student()
    teacher = transfer_parts.frame_teacher()
    model = transfer_parts.small_distillation(
        student, teacher, label_weight=label_weight, feature_weight=2.0
    )
    model.compile(keras_stc.training.SGD(0.1))
    x = transfer_parts.distillation_batch(frames=(4, 4))
    got = model.evaluate(x, batch_size=4, verbose=0, return_dict=True)
    frames = x["teacher_clip"].astype("float32").reshape(-1, 16, 16, 3)
    frames = frames[..., ::-1] - np.array([103.939, 116.779, 123.68], "float32")
    wanted = teacher.model.predict_on_batch(frames).reshape(4, 4, -1).mean(1)
    pooled = student
    if label_weight:
        pooled = keras.Model(student.input, student.get_layer("avg_pool").output)
    features = pooled.predict_on_batch(x["clip"]) @ array(model.projection.kernel)
    features = features + array(model.projection.bias)
    lengths = np.linalg.norm(features, axis=-1) * np.linalg.norm(wanted, axis=-1)
    distance = 1 - ((features * wanted).sum(-1) / lengths).mean()
    losses = {"loss": 2 * distance}  # the only one has no name of its own
    if label_weight:
        ours = np.log(student.predict_on_batch(x["clip"]))
        entropy = -ours[[0, 2, 3], [0, 2, 1]].sum() / 4  # one has no label
        losses = {"loss": 2 * distance + label_weight * entropy}
        losses |= {"features_loss": distance, "label_loss": entropy}
    for name, value in losses.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-3, err_msg=name)
    assert {name for name in got if name.endswith("loss")} == set(losses)


TEACHERS = {"clip": transfer_parts.clip_teacher, "frames": transfer_parts.frame_teacher}


def taught_by(teacher, **options):
    """A distillation by a teacher of this kind, and a batch for it."""
    model = transfer_parts.small_distillation(teacher=TEACHERS[teacher](), **options)
    frames = (4, 8 if teacher == "clip" else 4)
    return model, transfer_parts.distillation_batch(frames=frames)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_the_student_learns_and_the_teacher_does_not(teacher):
    student = None if teacher == "clip" else transfer_parts.small_student()
    model, x = taught_by(teacher, student=student, feature_weight=1.0)
    teacher = model.teacher.model
    model.compile(keras_stc.training.SGD(0.05, momentum=0.9))
    before = [array(weight).copy() for weight in teacher.weights]
    history = model.fit(x, batch_size=4, epochs=15, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    for weight, was in zip(teacher.weights, before, strict=True):
        np.testing.assert_array_equal(array(weight), was)
    kept = {id(weight) for weight in model.weights}
    assert not kept & {id(weight) for weight in teacher.weights}


@pytest.mark.parametrize("teacher", TEACHERS)
def test_saved_whole_and_gone_on_with(tmp_path, teacher):
    """Teacher, optimizer and all: the next step is the one the original makes."""
    model, x = taught_by(teacher, feature_weight=1.0, label_weight=0.5)
    model.compile(keras_stc.training.SGD(0.01, momentum=0.9))
    model.train_on_batch(x)
    model.save(tmp_path / "d.keras")
    loaded = keras.models.load_model(tmp_path / "d.keras")
    assert loaded.teacher.fingerprint() == model.teacher.fingerprint()
    assert not loaded.teacher.model.trainable_weights
    assert loaded.student.video_config == model.student.video_config
    for each in (model, loaded):
        each.train_on_batch(x)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_what_the_teacher_said_takes_its_place():
    model = transfer_parts.small_distillation(feature_weight=1.0)
    model.compile("sgd")
    x = transfer_parts.distillation_batch()
    answers, features = model.teacher.outputs.predict_on_batch(x["teacher_clip"])
    said = {**x, "answers": answers, "features": features}
    del said["teacher_clip"]
    live, kept = (model.evaluate(part, batch_size=4, verbose=0) for part in (x, said))
    np.testing.assert_allclose(live, kept, rtol=1e-4)


def test_without_a_pooling_what_the_classifier_takes_is_taught():
    """As C3D's `fc7`, before its dropout."""
    pooled = transfer_parts.small_student()
    x = keras.layers.Dense(5, activation="relu", name="fc7")(pooled.outputs[0])
    x = keras.layers.Dropout(0.5)(x)
    answers = keras.layers.Dense(3, activation="softmax", name="predictions")(x)
    config = keras_stc.VideoConfig(4, 1, 16)
    network = keras_stc.VideoModel(pooled.inputs[0], answers, video_config=config)
    clip = transfer_parts.distillation_batch()["clip"]
    said, features = ClipTeacher(network).outputs.predict_on_batch(clip)
    assert features.shape == (4, 5) and features.std() > 0
    head = network.get_layer("predictions")
    logits = features @ array(head.kernel) + array(head.bias)
    np.testing.assert_allclose(np.exp(said), softmax(logits), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.exp(said), network.predict_on_batch(clip), rtol=1e-4, atol=1e-6)


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
    student = transfer_parts.small_classifier(classes=classes)
    with pytest.raises(ValueError, match=sentence):
        Distillation(student, transfer_parts.clip_teacher(), **options)


def test_what_a_2d_network_alone_does_not_teach_is_told():
    teacher = transfer_parts.frame_teacher()
    with pytest.raises(ValueError, match="`student` must end in pooled features"):
        Distillation(transfer_parts.small_classifier(), teacher, feature_weight=1)
    with pytest.raises(ValueError, match="`student` must be a network of the zoo with its class"):
        Distillation(transfer_parts.small_student(), teacher, label_weight=1, feature_weight=1)
    with pytest.raises(ValueError, match="`feature_weight` must be positive where .* a 2D network"):
        Distillation(transfer_parts.small_student(), teacher)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_networks_without_classifier_are_told(role):
    parts = {"student": transfer_parts.small_classifier(), "teacher": transfer_parts.clip_teacher()}
    parts[role] = transfer_parts.small_student()
    with pytest.raises(ValueError, match=f"`{role}` must be a network of the zoo with its class"):
        Distillation(**parts)


def test_other_classes_learn_from_features_alone():
    student = transfer_parts.small_classifier(classes=2)
    model = transfer_parts.small_distillation(student, label_weight=1, feature_weight=1)
    assert set(model.weights_of_losses) == {"label", "features"}
