"""One 3x3x3 convolution in 32 groups, as in the four stages of ResNeXt at 16 x 112 x 112.

    python benchmarks/grouped_conv.py        # about a minute on two cores

`keras_stc.layers.GroupedConv3D` against `keras.layers.Conv3D(groups=32)`, inside `tf.function` as
a model runs them, and against PyTorch where it is installed (the better of its two memory
layouts): forward, and forward with the gradients of input and kernel, in milliseconds.

TensorFlow runs with its oneDNN kernels, as `keras-stc` on the command line does; processors without
AVX-512 need `TF_ENABLE_ONEDNN_OPTS=1` for them. Set it to 0 to see the difference.
"""

import importlib.util
import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse  # noqa: E402
import time  # noqa: E402

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from keras_stc.layers import GroupedConv3D  # noqa: E402

SHAPES = [(8, 28, 28, 128), (4, 14, 14, 256), (2, 7, 7, 512), (1, 4, 4, 1024)]
GROUPS = 32


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=2, help="clips in a step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)

    contestants = {
        "Keras": lambda x: tensorflow_steps(keras.layers.Conv3D, x),
        "ours": lambda x: tensorflow_steps(GroupedConv3D, x),
    }
    if importlib.util.find_spec("torch"):
        contestants["PyTorch"] = lambda x: torch_steps(x, args.threads)

    print(
        f"{args.batch} clips, {args.threads} threads, ms, best of {args.repeats}; "
        f"TF_ENABLE_ONEDNN_OPTS={os.environ['TF_ENABLE_ONEDNN_OPTS']}"
    )
    names = "".join(f"{name:>10s}" for name in contestants)
    print(f"{'input':16s}{'':18s}{names}{'Keras/ours':>12s}{'ours/PyTorch':>14s}")
    for shape in SHAPES:
        x = np.random.default_rng(0).standard_normal((args.batch, *shape)).astype("float32")
        steps = {name: make(x) for name, make in contestants.items()}
        for kind in ("forward", "forward+backward"):
            best = dict.fromkeys(steps, float("inf"))
            for repeat in range(args.repeats + 1):
                for name in steps:  # interleaved: a busy moment hits all
                    for function in steps[name][kind]:
                        start = time.perf_counter()
                        function()
                        if repeat:  # the first call compiles
                            best[name] = min(best[name], 1000 * (time.perf_counter() - start))
            row = "".join(f"{value:10.1f}" for value in best.values())
            row += f"{best['Keras'] / best['ours']:11.1f}x"
            if "PyTorch" in best:
                row += f"{best['ours'] / best['PyTorch']:13.1f}x"
            print(f"{'x'.join(map(str, shape)):16s}{kind:18s}{row}", flush=True)


def tensorflow_steps(layer_class, x):
    layer = layer_class(x.shape[-1], 3, padding="same", groups=GROUPS, use_bias=False)
    layer.build(x.shape)
    x = tf.constant(x)

    @tf.function
    def forward():
        return layer(x)

    @tf.function
    def forward_backward():
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(loss, [x, layer.kernel.value])

    return {
        "forward": [lambda: forward().numpy()],
        "forward+backward": [lambda: [value.numpy() for value in forward_backward()]],
    }


def torch_steps(x, threads):
    import torch

    torch.set_num_threads(threads)
    steps = {"forward": [], "forward+backward": []}
    for memory_format in (torch.contiguous_format, torch.channels_last_3d):
        conv = torch.nn.Conv3d(x.shape[-1], x.shape[-1], 3, padding=1, groups=GROUPS, bias=False)
        conv = conv.to(memory_format=memory_format)
        inputs = torch.from_numpy(x).permute(0, 4, 1, 2, 3).contiguous(memory_format=memory_format)
        inputs.requires_grad_()

        def forward(conv=conv, inputs=inputs):
            with torch.inference_mode():
                return conv(inputs)

        def forward_backward(conv=conv, inputs=inputs):
            conv.weight.grad = inputs.grad = None
            conv(inputs).square().sum().backward()

        steps["forward"].append(forward)
        steps["forward+backward"].append(forward_backward)
    return steps


if __name__ == "__main__":
    main()
