"""Cost of a training step against frames, size, batch and depth, and its peak memory.

    python benchmarks/scale.py                       # about eight minutes on two cores, and 6 GB

Every form takes turns with the one they are all held against, STC-ResNet18 on 4 clips of
16 x 112 x 112; the ratio is that of the best steps of the same turns, for a clip. Of a form with
`unit recompute`, residual units are computed twice (`model.recompute`). MACs are those of
`keras_stc.models.complexity`. Peak memory is that of a process which does nothing else, TensorFlow
and Keras included.
"""

import argparse
import os

from model_steps import Side, random_batch, resident

BASE = {"network": "STCResNet18", "frames": 16, "size": 112, "batch": 4, "recompute": None}
FORMS = (
    {"frames": 8},
    {"frames": 32},
    {"size": 80},
    {"size": 160},
    {"batch": 1},
    {"batch": 8},
    {"network": "STCResNet50"},
    {"network": "STCResNet101"},
    {"network": "STCResNeXt101"},
    {"recompute": "unit"},
    {"frames": 32, "recompute": "unit"},
    {"network": "STCResNet101", "recompute": "unit"},
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=tuple(BASE))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=4)
    args = parser.parse_args()
    os.environ.update(
        KERAS_BACKEND="tensorflow",
        TF_ENABLE_ONEDNN_OPTS="1",
        TF_CPP_MIN_LOG_LEVEL="3",
        OMP_NUM_THREADS=str(args.threads),
        OMP_WAIT_POLICY="PASSIVE",
    )
    print("| | MACs of a clip | training, a clip | peak memory, GB |\n|---|---|---|---|")
    base = Side(named(BASE), training, argparse.Namespace(**BASE, threads=args.threads))
    base.seconds("step")
    macs = base.value("macs")
    print(f"| {named(BASE)} | 1 ({macs / 1e9:.1f} GMAC) | 1 | {base.value('peak'):.1f} |")
    for form in FORMS:
        if not set(form) & set(args.only):
            continue
        given = argparse.Namespace(**{**BASE, **form}, threads=args.threads)
        side = Side(named(form), training, given)
        side.seconds("step")
        turns = [(side.seconds("step"), base.seconds("step")) for _ in range(args.repeats)]
        seconds, held = (min(each) for each in zip(*turns, strict=True))
        ratio = seconds / given.batch / (held / BASE["batch"])
        print(
            f"| {named(form)} | {side.value('macs') / macs:.2f} | {ratio:.2f} "
            f"| {side.value('peak'):.1f} |",
            flush=True,
        )
        side.close()
    base.close()


def named(form):
    return ", ".join(
        str(v) if k == "network" else f"{v} {k}" for k, v in form.items() if v is not None
    )


def training(args):
    import keras
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)

    import keras_stc
    from keras_stc.models.complexity import count_macs

    shape = (args.frames, args.size, args.size, 3)
    model = getattr(keras_stc, args.network)(input_shape=shape, classifier_activation=None)
    model.recompute = args.recompute
    model.compile(
        keras_stc.training.SGD(0.01, momentum=0.9, l2=1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    clips, labels = random_batch(np, args)
    return {
        "step": lambda: model.train_on_batch(clips, labels),
        "macs": lambda: count_macs(model),
        "peak": resident,
    }


if __name__ == "__main__":
    main()
