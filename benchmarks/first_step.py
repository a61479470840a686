"""From `model.fit` to the end of its first step, and what has a part in it.

    python benchmarks/first_step.py                                      # STC-ResNet101
    python benchmarks/first_step.py --network STCResNeXt101 --rounds 3
    python benchmarks/first_step.py --network STCResNet50 --teacher resnet50     # of a transfer

About five minutes on two cores, and 6 GB. Every side is a process of its own, in turns: a training
as Keras has it; with the step traced once; with TensorFlow's graph optimizer off, too, as a
`VideoModel` trains; and with `keras_stc.training.SGD`. The best of the rounds counts, in seconds;
the peak is of memory, in gigabytes.
"""

import argparse
import concurrent.futures.process
import functools
import multiprocessing
import os
import resource
import sys
import time

#: Side -> (whether `fit` is Keras' own, `optimize_graph`, whether the optimizer is ours).
SIDES = {
    "Keras' own": (True, True, False),
    "traced once": (False, True, False),
    "graph optimizer off": (False, False, False),
    "training.SGD": (False, False, True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="STCResNet101", help="name of a constructor")
    parser.add_argument("--teacher", help="2D network it learns from, by correspondence transfer")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3")
    context = multiprocessing.get_context("spawn")
    found = {name: [] for name in SIDES}
    for _ in range(args.rounds):
        for name, side in SIDES.items():
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
                call = pool.submit(measure, args.network, args.teacher, args.batch, *side)
                try:
                    found[name].append(call.result())
                except concurrent.futures.process.BrokenProcessPool:
                    sys.exit(f"{name}: its process was ended, for want of memory?")
    learner = f"{args.network} from {args.teacher}" if args.teacher else args.network
    print(f"{learner}, {args.batch} clips of 16 x 112 x 112, best of {args.rounds}")
    print(f"{'':22s}{'construction':>14s}{'first step':>12s}{'step':>8s}{'peak':>8s}")
    for name, rounds in found.items():
        build, first, step, peak = map(min, zip(*rounds, strict=True))
        print(f"{name:22s}{build:14.1f}{first:12.1f}{step:8.2f}{peak:8.2f}")


def measure(network, teacher, batch, is_keras_own, optimize_graph, is_ours):
    import keras_stc  # isort: skip; first, for TensorFlow's faster CPU kernels
    import keras
    import numpy as np
    import tensorflow as tf

    start = time.perf_counter()
    model = make(getattr(keras_stc, network), teacher)
    build = time.perf_counter() - start
    model.optimize_graph = optimize_graph
    if is_keras_own:
        model.make_train_function = functools.partial(keras.Model.make_train_function, model)
    optimizer = keras_stc.training.SGD if is_ours else keras.optimizers.SGD
    sgd = optimizer(0.01, momentum=0.9, nesterov=True)
    model.compile(sgd, None if teacher else "sparse_categorical_crossentropy")
    clips = np.random.default_rng(0).uniform(0, 255, (batch, 16, 112, 112, 3)).astype("float32")
    numbers = np.arange(batch, dtype="int32")
    data = {"frames": clips, "clip": clips, "video": numbers} if teacher else (clips, numbers)
    ends = [time.perf_counter()]
    end = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs=None: ends.append(time.perf_counter())
    )
    dataset = tf.data.Dataset.from_tensors(data).cache().repeat(5)
    model.fit(dataset, callbacks=[end], verbose=0)
    first, *steps = np.diff(ends).tolist()
    return build, first, min(steps), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def make(network, teacher):
    """A classifier, or a transfer to the network without one."""
    if teacher is None:
        return network()
    from keras_stc.transfer import CorrespondenceTransfer
    from keras_stc.transfer.teachers import create_teacher

    student = network(include_top=False, pooling="avg")
    return CorrespondenceTransfer(student, create_teacher(teacher, "random"))


if __name__ == "__main__":
    main()
