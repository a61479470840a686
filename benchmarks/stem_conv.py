"""The stem convolution, 7x7x7 with stride (1, 2, 2), forward and with its kernel's gradient.

    python benchmarks/stem_conv.py        # about three minutes on two cores

`keras_stc.layers.StridedConv3D` against `keras.layers.Conv3D`, in one run, in milliseconds, without
TensorFlow's oneDNN kernels; with them (`TF_ENABLE_ONEDNN_OPTS=1`) the two are the same.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import argparse  # noqa: E402
import time  # noqa: E402

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from keras_stc.layers import StridedConv3D  # noqa: E402

#: (clips, frames, side): with padding, as they come to the stem.
SHAPES = [(8, 10, 38), (2, 14, 70), (2, 22, 118)]


def milliseconds(function, x, repeats):
    function(x)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function(x)
        best = min(best, time.perf_counter() - start)
    return 1000 * best


def functions(layer):
    @tf.function
    def forward(x):
        return layer(x)

    @tf.function
    def forward_backward(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x))
        return tape.gradient(loss, layer.kernel.value)

    return forward, forward_backward


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(f"{'clips':>18s}  {'':18s}{'Keras':>10s}{'ours':>10s}{'ratio':>8s}")
    for clips, frames, side in SHAPES:
        x = tf.random.normal((clips, frames, side, side, 3))
        layers = [
            cls(64, 7, strides=(1, 2, 2), use_bias=False)
            for cls in (keras.layers.Conv3D, StridedConv3D)
        ]
        for layer in layers:
            layer.build(x.shape)
        for i, what in enumerate(("forward", "forward, backward")):
            theirs, ours = (milliseconds(functions(layer)[i], x, repeats=3) for layer in layers)
            shape = f"{clips}x{frames}x{side}x{side}"
            print(f"{shape:>18s}  {what:18s}{theirs:10.1f}{ours:10.1f}{theirs / ours:8.1f}")


if __name__ == "__main__":
    main()
