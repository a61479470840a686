"""A step of knowledge transfer: pairs of features, ours, against pairs at the input.

    python benchmarks/transfer_step.py                        # about two minutes on two cores
    python benchmarks/transfer_step.py --frames 16 --size 112 --frame-size 224 --batch 8

Both sides train the same student with the same teacher on B positive and B negative pairs. At the
input, as the paper reads, that is 2 B passes through each network; ours takes B of each. The
measurements alternate in one process, and the best of the repeats counts.
"""

import argparse
import os
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_stc
from keras_stc.transfer import CorrespondenceTransfer
from keras_stc.transfer.teachers import TEACHERS, create_teacher


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", default="stc_resnet18")
    parser.add_argument("--teacher", default="resnet50", choices=TEACHERS)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=64, help="side of the student's clip in pixels")
    parser.add_argument("--frame-size", type=int, default=112, help="side of the teacher's frames")
    parser.add_argument("--batch", type=int, default=4, help="videos in a step")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    teacher = create_teacher(args.teacher, "random")
    shape = (args.frames, args.size, args.size, 3)
    student = keras_stc.create_model(
        args.student, include_top=False, pooling="avg", input_shape=shape
    )
    ours = CorrespondenceTransfer(student, teacher)
    ours.compile(optimizer())
    rng = np.random.default_rng(0)
    frame_shape = (args.frames, args.frame_size, args.frame_size, 3)
    batch = {
        "frames": rng.integers(0, 256, (args.batch, *frame_shape), "uint8"),
        "clip": rng.integers(0, 256, (args.batch, *shape), "uint8"),
        "video": np.arange(args.batch, dtype="int32"),
    }
    plain = paired_at_the_input(ours, frame_shape, shape)
    plain.compile(optimizer(), "binary_crossentropy")
    pairs = (
        np.concatenate([batch["frames"]] * 2),
        np.concatenate([batch["clip"], np.roll(batch["clip"], 1, axis=0)]),
    )
    labels = np.repeat([1.0, 0.0], args.batch)[:, None]

    steps = {
        "pairs of features": step(ours, batch),
        "pairs at the input": step(plain, pairs, labels),
    }
    best = {}
    for name, run in steps.items():
        run()  # traces
        best[name] = float("inf")
    for _ in range(args.repeats):
        for name, run in steps.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    print(
        f"{args.student}, {args.frames} x {args.size} x {args.size}; {args.teacher} at "
        f"{args.frame_size}; {args.batch} videos a step; best of {args.repeats}"
    )
    for name, seconds in best.items():
        print(f"{name:20s}{1000 * seconds:10.0f} ms")
    ours, plain = best.values()
    print(f"{'ratio':20s}{ours / plain:13.2f}")


def optimizer():
    return keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)


def paired_at_the_input(transfer, frame_shape, clip_shape):
    """A plain Keras model of pairs, with the same networks and heads."""
    frames, clip = keras.Input(frame_shape), keras.Input(clip_shape)
    seen = keras.layers.Lambda(transfer.teacher, output_shape=(transfer.teacher.features,))(frames)
    x = keras.layers.Concatenate()(
        [transfer.frame_projection(seen), transfer.clip_projection(transfer.student(clip))]
    )
    return keras.Model([frames, clip], keras.ops.sigmoid(transfer.classifier(x)))


def step(model, *data):
    """A function that makes one step, in the function that `fit` calls."""
    batches = iter(tf.data.Dataset.from_tensors(data).cache().repeat())
    if len(data) == 1:
        batches = iter(tf.data.Dataset.from_tensors(data[0]).cache().repeat())
    model._symbolic_build(data_batch=next(batches))
    model.make_train_function()
    return lambda: float(model.train_function(batches)["loss"])


if __name__ == "__main__":
    main()
