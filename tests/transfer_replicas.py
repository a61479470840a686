"""A small transfer on one or two replicas: `python transfer_replicas.py REPLICAS OUT.npz`."""

import sys

import numpy as np
import tensorflow as tf
import transfer_parts

import keras_stc

replicas, out = int(sys.argv[1]), sys.argv[2]
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy([f"CPU:{k}" for k in range(replicas)])
assert strategy.num_replicas_in_sync == replicas
with strategy.scope():
    transfer = transfer_parts.small_transfer(transfer_parts.small_student(synchronized=True))
    transfer.compile(keras_stc.training.SGD(0.05, momentum=0.9, nesterov=True, l2=1e-3))
teacher = transfer.teacher.fingerprint()
# Five steps of eight videos, which a strategy divides among its replicas.
batches = tf.data.Dataset.from_tensor_slices(transfer_parts.batch(tuple(range(40)))).batch(
    8, drop_remainder=True
)
losses = [transfer.fit(batches.skip(k).take(1), verbose=0).history for k in range(5)]
assert transfer.teacher.fingerprint() == teacher
np.savez(
    out,
    *transfer.get_weights(),
    loss=[row["loss"][0] for row in losses],
    accuracy=[row["pair_accuracy"][0] for row in losses],
)
