"""A small transfer or distillation on replicas: `transfer_replicas.py KIND REPLICAS OUT.npz`."""

import sys

import numpy as np
import tensorflow as tf
import transfer_parts

import keras_stc

kind, replicas, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy([f"CPU:{k}" for k in range(replicas)])
assert strategy.num_replicas_in_sync == replicas
with strategy.scope():
    if kind == "transfer":
        model = transfer_parts.small_transfer(transfer_parts.small_student(synchronized=True))
        samples = transfer_parts.batch(tuple(range(40)))
    else:
        student = transfer_parts.small_classifier(synchronized=True)
        # Of every eight labels two are missing, of one half of them or of both.
        samples = transfer_parts.distillation_batch(40)
        samples["label"][4:8] = [1, 0, 2, 1]
        model = transfer_parts.small_distillation(student, label_weight=0.5, feature_weight=1.0)
    model.compile(keras_stc.training.SGD(0.05, momentum=0.9, nesterov=True, l2=1e-3))
teacher = model.teacher.fingerprint()
# Five steps of eight videos, which a strategy divides among its replicas.
batches = tf.data.Dataset.from_tensor_slices(samples).batch(8, drop_remainder=True)
rows = [model.fit(batches.skip(k).take(1), verbose=0).history for k in range(5)]
assert model.teacher.fingerprint() == teacher
np.savez(out, *model.get_weights(), **{name: [row[name][0] for row in rows] for name in rows[0]})
