"""A whole network's steps: ours on Keras with TensorFlow against the PyTorch reference.

    python benchmarks/model_steps.py                              # STC-ResNeXt101, 16 x 112 x 112
    python benchmarks/model_steps.py --network ResNet3D50 --batch 8

About five minutes on two cores, and 10 GB. Each side runs in a process of its own with the same
number of threads; the measurements alternate, and the best of the repeats counts. PyTorch runs in
both memory layouts. A training step is forward, cross-entropy, backward and SGD with momentum, on
the Keras side in the function that `fit` calls. `folded` is inference with batch normalisation in
the convolutions' kernels, by `keras_stc.models.fold_batch_norm`; PyTorch's is as it is there, too.

TensorFlow runs with its oneDNN kernels, as `keras-stc` on the command line does; processors without
AVX-512 need `TF_ENABLE_ONEDNN_OPTS=1` for them. Set it to 0 to see the difference.
"""

import argparse
import multiprocessing
import os
import pathlib
import signal
import sys
import time

LAYOUTS = ("contiguous", "channels_last_3d")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="STCResNeXt101", help="name of a constructor")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=112, help="side of a frame in pixels")
    parser.add_argument("--batch", type=int, default=4, help="clips in a step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--placement", default="block", choices=("block", "stage"))
    parser.add_argument("--bfloat16", action="store_true", help="mixed precision on both sides")
    parser.add_argument(
        "--composed", action="store_true", help="also ours with Keras' own batch normalisation"
    )
    args = parser.parse_args()
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.update(
        KERAS_BACKEND="tensorflow",
        TF_CPP_MIN_LOG_LEVEL="3",
        OMP_NUM_THREADS=str(args.threads),
        OMP_WAIT_POLICY="PASSIVE",  # idle threads must not spin beside the other process
    )

    sides = {"Keras": (keras_side, args)}
    if args.composed:
        sides["Keras' own batch norm"] = (keras_side, args, False)
    for layout in LAYOUTS:
        sides[f"PyTorch {layout}"] = (torch_side, args, layout)
    sides = {name: Side(name, *side) for name, side in sides.items()}
    print(
        f"{args.network}, {args.batch} clips of {args.frames} x {args.size} x {args.size}, "
        f"{args.threads} threads, {'bfloat16' if args.bfloat16 else 'float32'}; "
        f"clips/s, best of {args.repeats}; "
        f"TF_ENABLE_ONEDNN_OPTS={os.environ['TF_ENABLE_ONEDNN_OPTS']}"
    )
    rates, firsts = (f"{kind:>9s}" for kind in KINDS), (f"first {kind}" for kind in KINDS)
    print(" " * 28 + "".join(rates) + "".join(f"{first:>14s}" for first in firsts))
    # The first step traces (Keras) or plans (PyTorch): reported apart.
    first = {name: {kind: side.seconds(kind) for kind in KINDS} for name, side in sides.items()}
    best = {name: dict.fromkeys(KINDS, float("inf")) for name in sides}
    for _ in range(args.repeats):
        for kind in KINDS:
            for name, side in sides.items():
                best[name][kind] = min(best[name][kind], side.seconds(kind))
    for name in sides:
        rates = "".join(f"{args.batch / best[name][kind]:9.2f}" for kind in KINDS)
        firsts = "".join(f"{first[name][kind]:12.1f} s" for kind in KINDS)
        print(f"{name:28s}{rates}{firsts}")
    ratios = [
        min(best[name][kind] for name in sides if name.startswith("PyTorch")) / best["Keras"][kind]
        for kind in KINDS
    ]
    print(f"{'Keras / best PyTorch':28s}" + "".join(f"{ratio:8.2f}x" for ratio in ratios))
    for side in sides.values():
        side.close()


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

    if not fused:
        BatchNormalization._is_fused = lambda self, inputs: False
    if args.bfloat16:
        keras.config.set_dtype_policy("mixed_bfloat16")
    options = {"stc_placement": args.placement} if args.network.startswith("STC") else {}
    model = getattr(models, args.network)(
        input_shape=(args.frames, args.size, args.size, 3), classifier_activation=None, **options
    )
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    clips, labels = random_batch(np, args)
    folded = models.fold_batch_norm(model)

    batches = iter(tf.data.Dataset.from_tensors((clips, labels)).cache().repeat())
    model.make_train_function()
    return {
        "infer": lambda: model.predict_on_batch(clips),
        "folded": lambda: folded.predict_on_batch(clips),
        "train": lambda: float(model.train_function(batches)["loss"]),
    }


def torch_side(args, layout):
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
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    clips, labels = random_batch(np, args)
    clips = torch.from_numpy(clips - 128).permute(0, 4, 1, 2, 3)
    clips = clips.contiguous(memory_format=memory_format)
    labels = torch.from_numpy(labels).long()

    half = torch.autocast("cpu", torch.bfloat16, enabled=args.bfloat16)

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

    return {"infer": infer, "folded": infer, "train": train}


def random_batch(np, args):
    rng = np.random.default_rng(0)
    clips = rng.uniform(0, 255, (args.batch, args.frames, args.size, args.size, 3))
    return clips.astype("float32"), rng.integers(0, 400, args.batch).astype("int32")


if __name__ == "__main__":
    main()
