"""How fast the networks train and answer on one GPU: Keras on JAX against PyTorch, bfloat16.

    python benchmarks/gpu_steps.py --out gpu_steps.json          # four minutes on an H100
    python benchmarks/gpu_steps.py --small                       # proves the script on a CPU

TensorFlow need not be installed. Clips of 16 x 112 x 112 lie on the device already: what is
measured is the network. Ours is Keras on JAX, the step that `fit` compiles (forward, cross-entropy,
backward, SGD with momentum), as XLA lays it out and with channels last; theirs the PyTorch networks
of `tests/torch_reference.py` in channels_last_3d and autocast, eager and under `torch.compile`.
Each side has a process of its own for each network; all compile at once, then they are timed one
after the other.

Utilisation is 6 (training) or 2 (inference) x MAC x clips/s over what a matrix product of
8192 x 8192 x 8192 reaches on the same card. Memory is the peak of the compiled step (JAX) or of the
allocator (PyTorch).
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
NETWORKS = ("STCResNet18", "STCResNet50", "STCResNet101", "STCResNeXt101")
KINDS = ("train", "infer")
SIDES = ("keras", "keras nhwc", "torch", "torch.compile")

#: XLA lays 3D convolutions out channels-first unless told otherwise.
NHWC = "--xla_gpu_force_conv_nhwc=true"

#: From one wait for the device to the next.
STEPS = 4

#: Grouped 3x3x3 convolutions of ResNeXt-101: input (T, H, W, C), 32 groups.
GROUPED = ((8, 28, 28, 128), (4, 14, 14, 256), (2, 7, 7, 512), (1, 4, 4, 1024))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--batches", nargs="+", type=int, default=(64, 32))
    parser.add_argument("--sides", nargs="+", default=SIDES)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--compiling", type=float, default=120, help="seconds for it")
    parser.add_argument("--limit", type=float, default=240, help="seconds for all of it")
    parser.add_argument("--small", action="store_true", help="one network, tiny clips, no GPU")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    args.shape = (16, 112, 112, 3)
    if args.small:
        args.shape, args.networks, args.batches = (4, 32, 32, 3), NETWORKS[:1], (2,)
        args.sides = [side for side in args.sides if side != "keras nhwc"]
        args.seconds, args.compiling, args.limit = 0.1, 400, 500
    Table(args).fill()


class Table:
    """Rows of figures, printed and written as they come."""

    def __init__(self, args):
        self.args, self.rows, self.began = args, [], time.time()
        self.context = multiprocessing.get_context("spawn")

    def passed(self):
        return time.time() - self.began

    def note(self, **row):
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        if self.args.out:
            self.args.out.write_text("[\n" + ",\n".join(map(json.dumps, self.rows)) + "\n]\n")

    def start(self, function, *arguments):
        ours, theirs = self.context.Pipe()
        process = self.context.Process(
            target=function, args=(theirs, *arguments, self.args), daemon=True
        )
        process.start()
        theirs.close()
        return ours

    def fill(self):
        args = self.args
        sides = {(n, s): self.start(serve, s, n) for n in args.networks for s in args.sides}
        compiled = {key: {} for key in sides}
        building = set(sides)
        while building and self.passed() < args.compiling:
            for key in list(building):
                if sides[key].poll(0.02):
                    said = heard(sides[key])
                    if said is None or said == "all":
                        building.discard(key)
                        if said is None:
                            self.note(network=key[0], side=key[1], error="its process ended")
                    else:
                        compiled[key][said[0]] = said[1]
        for key in building:
            sides[key].send("stop")
        for key in building:  # what is being compiled is waited for
            while self.passed() < args.compiling + 40:
                if not sides[key].poll(1):
                    continue
                said = heard(sides[key])
                if said is None or said == "all":
                    break
                compiled[key][said[0]] = said[1]
        print(f"compiled in {self.passed():.0f} s", flush=True)
        self.note(**{"ceiling TFLOP/s": heard(self.start(answer, ceiling))})
        for batch in args.batches:
            for (network, side), functions in compiled.items():
                for kind in KINDS:
                    if (kind, batch) not in functions or self.passed() > args.limit - 15:
                        continue
                    with contextlib.suppress(BrokenPipeError):
                        sides[network, side].send((kind, batch))
                    result = heard(sides[network, side])
                    while isinstance(result, (tuple, str)):  # of the compiling, come late
                        result = heard(sides[network, side])
                    result = result or {"error": "its process ended"}
                    first = functions[kind, batch]
                    self.note(
                        network=network, side=side, kind=kind, batch=batch, first=first, **result
                    )
        if self.passed() < args.limit - 15:
            for row in heard(self.start(answer, grouped)) or ():
                self.note(**row)
        self.print()

    def print(self):
        macs = json.loads((HERE.parent / "keras_stc/models/complexity.json").read_text())
        top = next((r["ceiling TFLOP/s"] for r in self.rows if "ceiling TFLOP/s" in r), None)
        print(
            f"{'network':16s}{'kind':7s}{'batch':>6s}{'side':>15s}{'clips/s':>10s}{'of peak':>9s}"
            f"{'GB':>7s}{'first':>9s}"
        )
        for r in self.rows:
            if "clips/s" not in r:
                continue
            name = r["network"].lower().replace("stc", "stc_")
            used = ""
            if top and not self.args.small:
                flops = (6 if r["kind"] == "train" else 2) * macs[name]["macs"]["block-16"]
                used = f"{flops * r['clips/s'] / top / 1e12:.0%}"
            print(
                f"{r['network']:16s}{r['kind']:7s}{r['batch']:6d}{r['side']:>15s}"
                f"{r['clips/s']:10.1f}{used:>9s}{r['peak GB']:7.1f}{r['first']:8.1f}s"
            )


def heard(pipe):
    """What a process says, or `None` where it has ended."""
    try:
        return pipe.recv()
    except EOFError:
        return None


def answer(pipe, function, args):
    pipe.send(function(args))


def serve(pipe, side, network, args):
    """Compiles every step, then measures those it is asked for."""
    steps = (keras_steps if side.startswith("keras") else torch_steps)(side, network, args)
    functions = {}
    for batch in args.batches:
        for kind in KINDS:
            if pipe.poll():
                continue
            began = time.time()
            try:
                functions[kind, batch] = steps(kind, batch)
            except Exception as error:  # as where memory ends, of many types
                functions[kind, batch] = f"{type(error).__name__}: {str(error)[:200]}"
            pipe.send(((kind, batch), round(time.time() - began, 1)))
    pipe.send("all")
    while True:
        asked = heard(pipe)
        if asked is None:
            return
        if asked == "stop":
            continue
        function = functions[asked]
        try:
            if isinstance(function, str):
                raise RuntimeError(function)
            pipe.send(measured(*function, asked[1], args.seconds))
        except Exception as error:
            pipe.send({"error": f"{type(error).__name__}: {str(error)[:200]}"})


def measured(run, memory, batch, seconds):
    """The median of three rates."""
    run()
    rates = []
    for _ in range(3):
        count, began = 0, time.time()
        while time.time() - began < seconds / 3 or not count:
            run()
            count += 1
        rates.append(count * STEPS * batch / (time.time() - began))
    return {"clips/s": round(sorted(rates)[1], 1), "peak GB": memory()}


# === Keras on JAX ===


def keras_steps(side, network, args):
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if side == "keras nhwc":
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {NHWC}"
    import jax
    import jax.numpy as jnp
    import keras
    import numpy as np

    import keras_stc

    keras.config.set_dtype_policy("mixed_bfloat16")
    device = jax.devices()[0]
    with jax.default_device(jax.devices("cpu")[0]):
        model = getattr(keras_stc, network)(input_shape=args.shape)
        model.compile(
            keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
            "sparse_categorical_crossentropy",
        )
        model.optimizer.build(model.trainable_variables)
        rng = np.random.default_rng(0)
        example = rng.integers(0, 256, (2, *args.shape)).astype("uint8")
        model.test_on_batch(example, np.zeros(2, "int32"))
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )

    def fresh():
        return jax.device_put(tuple([jnp.copy(v.value) for v in group] for group in groups), device)

    def steps(kind, batch):
        clips = rng.integers(0, 256, (batch, *args.shape)).astype("uint8")
        data = jax.device_put((clips, np.zeros(batch, "int32")), device)
        if kind == "train":
            step = jax.jit(model.train_step, donate_argnums=0)
            compiled = step.lower(jax.eval_shape(lambda: fresh()), data).compile()
            held = []

            def run():
                if not held:
                    held.append(fresh())
                for _ in range(STEPS):
                    logs, held[0] = compiled(held[0], data)
                jax.block_until_ready(held[0])

            used = compiled.memory_analysis()
        else:
            state = []
            infer = jax.jit(lambda t, n, x: model.stateless_call(t, n, x, training=False)[0])
            compiled = infer.lower(*jax.eval_shape(lambda: fresh())[:2], data[0]).compile()

            def run():
                if not state:
                    state.extend(fresh()[:2])
                for _ in range(STEPS):
                    out = compiled(*state, data[0])
                jax.block_until_ready(out)

            used = compiled.memory_analysis()

        def memory():
            peak = getattr(used, "peak_memory_in_bytes", 0) or (
                used.temp_size_in_bytes + used.argument_size_in_bytes
            )
            return round(peak / 2**30, 2)

        return run, memory

    return steps


# === PyTorch ===


def torch_steps(side, network, args):
    sys.path.insert(0, str(HERE.parent / "tests"))
    import torch
    import torch_reference

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    model = torch_reference.create(network, frames=args.shape[0])
    model = model.to(device, memory_format=torch.channels_last_3d)
    frames, height, width, _ = args.shape
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, nesterov=True)
    # A graph for each batch, as the other side has one.
    call = torch.compile(model, dynamic=False) if side == "torch.compile" else model

    def steps(kind, batch):
        clips = torch.randint(0, 256, (batch, 3, frames, height, width), dtype=torch.uint8)
        clips = clips.to(device).to(memory_format=torch.channels_last_3d)
        labels = torch.zeros(batch, dtype=torch.int64, device=device)

        def one():
            x = (clips.float() - 110) / 58
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                if kind == "infer":
                    with torch.no_grad():
                        return call(x)
                loss = torch.nn.functional.cross_entropy(call(x).float(), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        def run():
            model.train(kind == "train")
            if kind == "infer":
                optimizer.state.clear()  # its memory is no part of an inference
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            for _ in range(STEPS):
                one()
            if device == "cuda":
                torch.cuda.synchronize()

        run()

        def memory():
            peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
            torch.cuda.empty_cache() if device == "cuda" else None
            return round(peak / 2**30, 2)

        return run, memory

    return steps


# === The card, and grouped convolutions ===


def ceiling(args):
    """TFLOP/s of a bfloat16 matrix product."""
    import torch

    if not torch.cuda.is_available():
        return None
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    began = time.time()
    for _ in range(20):
        a @ b
    torch.cuda.synchronize()
    return round(20 * 2 * 8192**3 / (time.time() - began) / 1e12, 1)


def grouped(args):
    """Forward and backward of 3x3x3 convolutions in 32 groups: native, and split into blocks."""
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    import jax
    import jax.numpy as jnp

    from keras_stc.layers import GroupedConv3D
    from keras_stc.layers.grouped_conv import groups_per_block

    batch, rows = (2, []) if args.small else (32, [])
    for shape in GROUPED[-1:] if args.small else GROUPED:
        channels = shape[-1]
        x = jax.random.normal(jax.random.key(0), (batch, *shape), jnp.bfloat16)
        kernel = jax.random.normal(
            jax.random.key(1), (3, 3, 3, channels // 32, channels), jnp.bfloat16
        )
        times = {}
        layer = GroupedConv3D(
            channels, 3, padding="same", groups=32, use_bias=False, dtype="bfloat16"
        )
        layer.build(x.shape)
        for name, merge in {"native": None, "split": groups_per_block(32, channels // 32)}.items():
            layer._groups_per_block = lambda merge=merge: merge

            def convolve(x, kernel, layer=layer):
                return (layer.convolution_op(x, kernel).astype(jnp.float32) ** 2).mean()

            step = jax.jit(jax.grad(convolve, argnums=(0, 1)))
            try:
                jax.block_until_ready(step(x, kernel))
                began = time.time()
                for _ in range(10):
                    out = step(x, kernel)
                jax.block_until_ready(out)
                times[name] = round((time.time() - began) * 100, 3)
            except Exception as error:
                times[name] = f"{type(error).__name__}: {str(error)[:100]}"
        rows.append(
            {
                "grouped": "x".join(map(str, shape)),
                "batch": batch,
                **{f"{k} ms": v for k, v in times.items()},
            }
        )
    return rows


if __name__ == "__main__":
    main()
