"""A whole network's steps: ours on Keras with TensorFlow against the PyTorch reference.

    python benchmarks/model_steps.py                              # STC-ResNeXt101, 16 x 112 x 112
    python benchmarks/model_steps.py STCResNet18 STCResNet101 --precision float32 bfloat16

About six minutes a network on two cores, and 10 GB. Each side runs in a process of its own with the
same number of threads; the measurements alternate, and the best of the repeats counts, PyTorch's
in the better of two memory layouts, or three sides with `--compile`. A training step is forward,
cross-entropy, backward and SGD with momentum, on the Keras side in the function that `fit` calls,
with the optimizer of `keras-stc train`; bfloat16 is mixed precision there and autocast in PyTorch.
`folded` is inference with batch normalisation in the convolutions' kernels, by
`keras_stc.models.fold_batch_norm`; PyTorch's is as it is there, too. Peak memory is that of a
process that takes three training steps and does nothing else, the libraries included.

TensorFlow runs with its oneDNN kernels, as `keras-stc` on the command line does; processors without
AVX-512 need `TF_ENABLE_ONEDNN_OPTS=1` for them. Set it to 0 to see the difference.
"""

import argparse
import functools
import multiprocessing
import os
import pathlib
import resource
import signal
import sys
import time

LAYOUTS = ("contiguous", "channels_last_3d")
PRECISIONS = ("float32", "bfloat16")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "networks", nargs="*", default=["STCResNeXt101"], help="names of constructors"
    )
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=PRECISIONS)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=112, help="side of a frame in pixels")
    parser.add_argument("--batch", type=int, help="clips in a step (8 of 18 layers, 4 of others)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--placement", default="block", choices=("block", "stage"))
    parser.add_argument(
        "--composed", action="store_true", help="also ours with Keras' own batch normalisation"
    )
    parser.add_argument("--compile", action="store_true", help="also PyTorch's torch.compile")
    args = parser.parse_args()
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.update(
        KERAS_BACKEND="tensorflow",
        TF_CPP_MIN_LOG_LEVEL="3",
        OMP_NUM_THREADS=str(args.threads),
        OMP_WAIT_POLICY="PASSIVE",  # idle threads must not spin beside the other process
    )
    print(
        f"Clips of {args.frames} x {args.size} x {args.size}, {args.threads} threads; clips/s, "
        f"best of {args.repeats}; TF_ENABLE_ONEDNN_OPTS={os.environ['TF_ENABLE_ONEDNN_OPTS']}\n"
    )
    columns = [*KINDS, *(f"first {kind}" for kind in KINDS), "peak memory, GB"]
    print(f"| | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}", flush=True)
    for network in args.networks:
        for precision in args.precision:
            batch = args.batch or (8 if network.endswith("18") else 4)
            form = {"network": network, "precision": precision, "batch": batch}
            measure(argparse.Namespace(**{**vars(args), **form}))


def measure(args):
    """Prints a network's rows in one precision."""
    made = {"Keras": (keras_side, args)}
    if args.composed:
        made["Keras' own batch norm"] = (keras_side, args, False)
    for layout in LAYOUTS:
        made[f"PyTorch {layout}"] = (torch_side, args, layout)
    if args.compile:
        made["PyTorch compiled"] = (torch_side, args, LAYOUTS[-1], True)
    sides = {name: Side(name, *side) for name, side in made.items()}
    # The first step traces (Keras) or plans (PyTorch): reported apart.
    first = {name: {kind: side.seconds(kind) for kind in KINDS} for name, side in sides.items()}
    best = {name: dict.fromkeys(KINDS, float("inf")) for name in sides}
    for _ in range(args.repeats):
        for kind in KINDS:
            for name, side in sides.items():
                best[name][kind] = min(best[name][kind], side.seconds(kind))
    for side in sides.values():
        side.close()
    peak = {name: peak_memory(name, side) for name, side in made.items()}
    title = f"{args.network}, {args.batch} clips, {args.precision}"
    for name in made:
        rates = [f"{args.batch / best[name][kind]:.2f}" for kind in KINDS]
        seconds = [f"{first[name][kind]:.1f} s" for kind in KINDS]
        print(f"| {title}: {name} | {' | '.join([*rates, *seconds, f'{peak[name]:.2f}'])} |")
    theirs = [name for name in made if name.startswith("PyTorch")]
    ratios = [
        f"{min(best[name][kind] for name in theirs) / best['Keras'][kind]:.2f}x" for kind in KINDS
    ]
    memory = peak["Keras"] / min(peak[name] for name in theirs)
    blank = [""] * len(KINDS)
    print(f"| Keras / best PyTorch | {' | '.join([*ratios, *blank, f'{memory:.2f}x'])} |")
    sys.stdout.flush()


def peak_memory(name, made):
    """Gigabytes of a process that trains."""
    side = Side(name, *made)
    for _ in range(3):
        side.seconds("train")
    peak = side.value("peak")
    side.close()
    return peak


def resident():
    """The most gigabytes of main memory that this process has had."""
    unit = 1e9 if sys.platform == "darwin" else 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


KINDS = ("infer", "folded", "train")


class Side:
    """One implementation in a process of its own, which measures a step when asked.

    If it fails or dies, all of it ends in a sentence.
    """

    def __init__(self, name, function, *args):
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, function, args), daemon=True)
        self.process.start()
        theirs.close()  # so that nobody waits for a process that is gone

    def seconds(self, kind):
        return self._asked(kind)[0]

    def value(self, kind):
        return self._asked(kind)[1]

    def close(self):
        self.pipe.send(None)
        self.process.join()

    def _asked(self, kind):
        try:
            self.pipe.send(kind)
            answer = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            answer = self._end()
        if isinstance(answer, str):
            sys.exit(f"{self.name}, asked for {kind}, {answer}.")
        return answer

    def _end(self):
        code = self.process.exitcode
        if code >= 0:
            return f"ended with exit status {code}"
        cause = " (by the system, for want of memory?)" if code == -signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-code).name}{cause}"


def serve(pipe, function, args):
    try:
        steps = function(*args)
        while (kind := pipe.recv()) is not None:
            start = time.perf_counter()
            value = steps[kind]()
            pipe.send((time.perf_counter() - start, value))
    except Exception as error:
        text = " ".join(str(error).split())
        pipe.send(f"failed with {type(error).__name__}: {text}")


def keras_side(args, fused=True):
    import keras
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)

    from keras_stc import models
    from keras_stc.layers import BatchNormalization
    from keras_stc.training import SGD

    if not fused:
        BatchNormalization._is_fused = lambda self, inputs: False
    if args.precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    options = {"stc_placement": args.placement} if args.network.startswith("STC") else {}
    model = getattr(models, args.network)(
        input_shape=(args.frames, args.size, args.size, 3), classifier_activation=None, **options
    )
    model.compile(
        SGD(0.01, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    clips, labels = random_batch(np, args)
    folded = functools.cache(lambda: models.fold_batch_norm(model))  # weights of its own

    batches = iter(tf.data.Dataset.from_tensors((clips, labels)).cache().repeat())
    model.make_train_function()
    return {
        "infer": lambda: model.predict_on_batch(clips),
        "folded": lambda: folded().predict_on_batch(clips),
        "train": lambda: float(model.train_function(batches)["loss"]),
        "peak": resident,
    }


def torch_side(args, layout, compiled=False):
    import numpy as np
    import torch

    torch.set_num_threads(args.threads)
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))
    import torch_reference

    memory_format = {
        "contiguous": torch.contiguous_format,
        "channels_last_3d": torch.channels_last_3d,
    }[layout]
    options = {"stc_placement": args.placement} if args.network.startswith("STC") else {}
    model = torch_reference.create(args.network, frames=args.frames, **options)
    model = model.to(memory_format=memory_format)
    if compiled:
        model = torch.compile(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    clips, labels = random_batch(np, args)
    clips = torch.from_numpy(clips - 128).permute(0, 4, 1, 2, 3)
    clips = clips.contiguous(memory_format=memory_format)
    labels = torch.from_numpy(labels).long()

    half = torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bfloat16")

    def infer():
        model.eval()
        with torch.inference_mode(), half:
            return model(clips).float().numpy()

    def train():
        model.train()
        optimizer.zero_grad()
        with half:
            logits = model(clips)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return {"infer": infer, "folded": infer, "train": train, "peak": resident}


def random_batch(np, args):
    rng = np.random.default_rng(0)
    clips = rng.uniform(0, 255, (args.batch, args.frames, args.size, args.size, 3))
    return clips.astype("float32"), rng.integers(0, 400, args.batch).astype("int32")


if __name__ == "__main__":
    main()
