"""A small transfer and distillations on replicas: `transfer_replicas.py REPLICAS FOLDER`."""

import pathlib
import sys

import numpy as np
import tensorflow as tf
import transfer_parts

import keras_stc

replicas, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy([f"CPU:{k}" for k in range(replicas)])
assert strategy.num_replicas_in_sync == replicas


def transfer():
    student = transfer_parts.small_student(synchronized=True)
    return transfer_parts.small_transfer(student), transfer_parts.batch(tuple(range(40)))


def distillation():
    student = transfer_parts.small_classifier(synchronized=True)
    samples = transfer_parts.distillation_batch(40)
    samples["label"][4:8] = [1, 0, 2, 1]  # fewer are missing there than of the other replica
    model = transfer_parts.small_distillation(student, label_weight=0.5, feature_weight=1.0)
    return model, samples


def features_of_frames():
    student = transfer_parts.small_student(synchronized=True)
    teacher = transfer_parts.frame_teacher()
    model = transfer_parts.small_distillation(student, teacher, feature_weight=1.0)
    return model, transfer_parts.distillation_batch(40, frames=(4, 4))


for kind in (transfer, distillation, features_of_frames):
    with strategy.scope():
        model, samples = kind()
        model.compile(keras_stc.training.SGD(0.05, momentum=0.9, nesterov=True, l2=1e-3))
    teacher = model.teacher.fingerprint()
    # Five steps of eight videos, which a strategy divides among its replicas.
    batches = tf.data.Dataset.from_tensor_slices(samples).batch(8, drop_remainder=True)
    rows = [model.fit(batches.skip(k).take(1), verbose=0).history for k in range(5)]
    assert model.teacher.fingerprint() == teacher
    figures = {name: [row[name][0] for row in rows] for name in rows[0]}
    np.savez(folder / f"{kind.__name__}-{replicas}.npz", *model.get_weights(), **figures)
