# ruff: noqa: E501
"""The paper's comparisons on UCF101-35, split 1, on one GPU: tables 3 to 7, distillation, few labels.

    python benchmarks/ucf101_35/store.py ucf101_35 frames
    python benchmarks/ucf101_35/weights_of.py i3d.npz inception_i3d kinetics400
    python benchmarks/ucf101_35/weights_of.py resnet50.npz ResNet50 imagenet      # or the path of a file
    python benchmarks/ucf101_35/study.py frames out --i3d i3d.npz --resnet50 resnet50.npz --minutes 7
    python benchmarks/ucf101_35/study.py frames out-zoo --zoo --epochs 20

`--zoo` is a table of its own: every network of the zoo, without and with STC blocks, from random
weights, with parameters, multiply-accumulates and clips a second of its training.

Keras on JAX, bfloat16. Every row is trained with the same schedule (`RECIPE`), chosen before; test groups are looked
at once. Rows come in the order of their use, those of seed 0 first; what time does not allow is left out, and run
again with the same folder, the study goes on with it, for as many epochs. `out/results.json` has a line for every
training.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import time

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.92")

import engine
import jax
import jax.numpy as jnp
import keras
import numpy as np
from engine import Clips
from store import Store

import keras_stc
from keras_stc.ablation.run import halve_residual_branches
from keras_stc.data.clips.sampling import evaluation_clips
from keras_stc.models.complexity import count_macs
from keras_stc.models.zoo import NETWORKS

#: Clips in an update, highest rate (0.1 for 128, as the paper has it), part of the steps that the rate rises.
RECIPE = {"batch": 64, "rate": 0.05, "warmup": 0.05}

#: Groups (source videos) of split 1.
TEST = range(1, 8)
FEW = range(8, 13)

SMALL = Clips(8, 64, "small", stride=4)
LARGE = Clips(16, 112, "large", stride=2)
I3D = Clips(64, 128, "large", stride=2, resize=160)
FRAME_STEP = 4
WINDOW_STEP = 32
FRAME_SIZE = 224

#: STUDY_TRY=1 is a small form, to walk through every route; its figures mean nothing. A CPU without
#: bfloat16 takes long for it.
if os.environ.get("STUDY_TRY"):
    RECIPE["batch"], FRAME_SIZE = 8, 64
    LARGE = Clips(16, 48, "large", stride=2)
    I3D = Clips(64, 128, "large", stride=2, resize=64)


def network(name, classes=35, clips=SMALL, **options):
    return keras_stc.create_model(
        name, classes=classes, input_shape=clips.shape, classifier_activation=None, **options
    )


def distilled_student(name, clips=SMALL, **options):
    """Logits of Kinetics-400 and the student's features, projected to the teacher's."""
    trunk = network(name, clips=clips, include_top=False, pooling="avg", **options)
    dense = keras.layers.Dense
    logits = dense(400, name="predictions", dtype="float32")(trunk.output)
    features = dense(1024, name="projection", dtype="float32")(trunk.output)
    return keras.Model(trunk.input, [logits, features])


def frame_student(name, clips=SMALL, **options):
    """The student's features, projected to those of the 2D network."""
    trunk = network(name, clips=clips, include_top=False, pooling="avg", **options)
    features = keras.layers.Dense(2048, name="projection", dtype="float32")(trunk.output)
    return keras.Model(trunk.input, features)


def pair_student(name, clips=SMALL, **options):
    """Logits of true and of false pairs, as `keras_stc.transfer.CorrespondenceTransfer` makes them."""
    trunk = network(name, clips=clips, include_top=False, pooling="avg", **options)
    frames = keras.Input((2048,))
    relu = {"activation": "relu"}
    clip_side = keras.layers.Dense(1024, name="clip_projection", **relu)(trunk.output)
    frame_side = keras.layers.Dense(1024, name="frame_projection", **relu)(frames)
    head = [keras.layers.Dense(n, name=f"hidden{n}", **relu) for n in (512, 128)]
    head.append(keras.layers.Dense(1, name="match", dtype="float32"))
    others = keras.layers.Lambda(lambda x: keras.ops.roll(x, 1, axis=0), name="others")(clip_side)
    outputs = []
    for clip in (clip_side, others):
        x = keras.layers.Concatenate()([frame_side, clip])
        for layer in head:
            x = layer(x)
        outputs.append(x)
    return keras.Model([trunk.input, frames], outputs)


#: Name of a graph -> (function that builds it, its arguments, clips, loss).
GRAPHS = {
    "both": (network, {"name": "stc_resnet18"}, SMALL, "labels"),
    "none": (network, {"name": "resnet3d18"}, SMALL, "labels"),
    "spatial": (network, {"name": "stc_resnet18", "stc_branches": ("spatial",)}, SMALL, "labels"),
    "temporal": (network, {"name": "stc_resnet18", "stc_branches": ("temporal",)}, SMALL, "labels"),
    "stage": (network, {"name": "stc_resnet18", "stc_placement": "stage"}, SMALL, "labels"),
    "r50": (network, {"name": "stc_resnet50"}, SMALL, "labels"),
    "16f": (network, {"name": "stc_resnet18"}, Clips(16, 64, "small", 4), "labels"),
    "pairs": (pair_student, {"name": "stc_resnet18"}, SMALL, "pairs"),
    "frames": (frame_student, {"name": "stc_resnet18"}, SMALL, "frames"),
    "distil": (distilled_student, {"name": "stc_resnet18"}, SMALL, "teacher"),
    "ship": (network, {"name": "stc_resnet18", "alpha": 0.5}, LARGE, "labels"),
    "ship-distil": (distilled_student, {"name": "stc_resnet18", "alpha": 0.5}, LARGE, "teacher"),
    "i3d": (network, {"name": "inception_i3d"}, LARGE, "labels"),
}
LOSSES = {
    "labels": engine.of_labels,
    "teacher": engine.of_teacher,
    "pairs": engine.of_pairs,
    "frames": engine.of_frames,
}


def row(key, graph, first, **options):
    """A line of the tables.

    `first` is the round in which it is trained, `after` the line whose trunk it starts from, `of` the training videos,
    `init` a start that is not random (`"built"`: what its initialisers drew), `rate` a factor of the learning rate, `seeds` how many trainings, `tests` further
    tests.
    """
    defaults = {"of": "all", "after": None, "init": None, "stride": None, "single": False}
    defaults |= {"rate": 1.0, "seeds": 3, "tests": ()}
    return {"key": key, "graph": graph, "first": first, **defaults, **options}


TIME = ("shuffled", "reversed", "frozen")
ROWS = [
    row("ship-distil", "ship-distil", 0, seeds=1),
    row("ship after distil", "ship", 0, after="ship-distil", tests=TIME),
    row("both", "both", 1, tests=TIME),
    row("none", "none", 1, tests=TIME),
    row("spatial", "spatial", 1),
    row("temporal", "temporal", 1),
    row("halved", "none", 1, init="halved"),
    row("stage", "stage", 1),
    row("single frame", "both", 1, single=True),
    row("few", "both", 1, of="few"),
    row("pairs", "pairs", 1),
    row("all after pairs", "both", 1, after="pairs"),
    row("few after pairs", "both", 1, after="pairs", of="few"),
    row("frame features", "frames", 1),
    row("all after frame features", "both", 1, after="frame features"),
    row("few after frame features", "both", 1, after="frame features", of="few"),
    row("distil", "distil", 2),
    row("all after distil", "both", 2, after="distil"),
    row("few after distil", "both", 2, after="distil", of="few"),
    row("stride 1", "both", 2, stride=1),
    row("stride 2", "both", 2, stride=2),
    row("16 frames", "16f", 2),
    row("ship", "ship", 3, seeds=1),
    row("r50 inflated", "r50", 3, init="imagenet", rate=0.2, seeds=1),
    row("r50 inflated, few", "r50", 3, init="imagenet", rate=0.2, of="few", seeds=1),
    row("r50", "r50", 3, seeds=1),
    row("i3d fine-tuned", "i3d", 3, init="i3d", rate=0.2, seeds=1),
]


def zoo_rows():
    """A line for every network of the zoo, without and with STC blocks; their graphs go into `GRAPHS`."""
    rows = []
    for name in keras_stc.list_models():
        lines = {name: {"name": name}}
        if name in NETWORKS:
            lines[f"{name}, STC blocks"] = {"name": name, "stc": True}
        for key, options in lines.items():
            GRAPHS[key] = network, options, SMALL, "labels"
            rows.append(row(key, key, 4, init="built", seeds=1))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=pathlib.Path, help="what store.py wrote")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument(
        "--state", type=pathlib.Path, help="folder of what is kept between calls (OUT)"
    )
    for name, of in (("--i3d", "RGB-I3D"), ("--resnet50", "ResNet50")):
        parser.add_argument(name, type=pathlib.Path, help=f"of {of}, by weights_of.py")
    parser.add_argument("--zoo", action="store_true", help="every network of the zoo instead")
    parser.add_argument("--minutes", type=float, default=7)
    parser.add_argument("--epochs", type=int, help="of every line; else by the time there is")
    parser.add_argument("--between", type=int, nargs=2, default=(24, 60), help="fewest and most")
    parser.add_argument("--ship-epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="*", metavar="ROW", help="these lines alone")
    parser.add_argument("--steps-of-epoch", type=int, help="to try it out")
    parser.add_argument("--compilers", type=int, default=6)
    args = parser.parse_args()
    for path in (args.frames, *(() if args.zoo else (args.i3d, args.resnet50))):
        if path is None or not path.exists():
            parser.error(f"{path} does not exist" if path else "--i3d and --resnet50 are needed")
    if args.zoo:
        ROWS[:] = zoo_rows()
    keys = [row["key"] for row in ROWS]
    for key in args.rows or ():
        if key not in keys:
            parser.error(f"--rows must be among {', '.join(keys)}. Received: {key}")
    Study(args).run()


class Study:
    def __init__(self, args):
        self.args, self.began = args, time.time()
        self.state = args.state or args.out
        for folder in (args.out, self.state):
            folder.mkdir(parents=True, exist_ok=True)
        keras.config.set_dtype_policy("mixed_bfloat16")
        jax.config.update("jax_compilation_cache_dir", str(self.state / "xla"))
        self.results_path = self.state / "results.json"
        self.results = (
            json.loads(self.results_path.read_text()) if self.results_path.exists() else []
        )
        self.schedule_path = self.state / "schedule.json"
        self.models, self.graphs, self.trunks, self.seconds = {}, {}, {}, {}
        self.cpu = jax.devices("cpu")[0]
        self.store = None
        self.pool = concurrent.futures.ThreadPoolExecutor(args.compilers)

    def left(self):
        return 60 * self.args.minutes - (time.time() - self.began)

    def say(self, *words):
        print(f"[{time.time() - self.began:5.0f} s]", *words, flush=True)

    def run(self):
        args = self.args
        rows = [r for r in ROWS if not args.rows or r["key"] in args.rows]
        self.store = Store(args.frames)
        self.say(
            len(self.store.names),
            "videos on the device:",
            {k: v.shape for k, v in self.store.frames.items()},
        )
        self.make_table()
        needed = list(dict.fromkeys(r["graph"] for r in rows))
        if not args.zoo:
            self.teachers()
        tracer = concurrent.futures.ThreadPoolExecutor(1)
        self.ready = {name: tracer.submit(self.compile, name) for name in needed}
        self.epochs = self.kept_epochs()
        done = {(r["row"], r["seed"]) for r in self.results}
        jobs = [
            (spec["first"], seed, spec)
            for spec in rows
            for seed in range(min(args.seeds, spec["seeds"]))
            if (spec["key"], seed) not in done
        ]
        self.trainings = len(jobs)
        for _, seed, spec in sorted(jobs, key=lambda job: job[:2]):
            if spec["after"] and self.trunk(spec["after"], seed) is None:
                continue
            if self.left() < self.seconds.get(spec["graph"], 10) + 5:
                self.say("no time left for", spec["key"], seed)
                continue
            self.train(spec, seed)
        self.say("done")

    def kept_epochs(self):
        """Those of the lines that are there, which all others have too; `None` before the first."""
        asked = {"recipe": RECIPE, "epochs": self.args.epochs}
        if self.schedule_path.exists():
            kept = json.loads(self.schedule_path.read_text())
            if kept["recipe"] != RECIPE or asked["epochs"] not in (None, kept["epochs"]):
                raise SystemExit(
                    f"{self.state} has lines of another schedule, {kept}: use another folder"
                )
            return kept["epochs"]
        if asked["epochs"]:
            self.schedule_path.write_text(json.dumps(asked))
        return asked["epochs"]

    def trunk(self, key, seed):
        """Weights that a line begins with; where only one seed is trained, all begin with it."""
        (seeds,) = (row["seeds"] for row in ROWS if row["key"] == key)
        place = key, min(seed, seeds - 1)
        if place not in self.trunks and self.trunk_path(*place).exists():
            self.trunks[place] = dict(np.load(self.trunk_path(*place)))
        return self.trunks.get(place)

    # === What networks learn from ===

    def make_table(self):
        s = self.store
        self.train_videos = {
            "all": np.flatnonzero(~np.isin(s.groups, TEST)),
            "few": np.flatnonzero(np.isin(s.groups, FEW)),
        }
        self.test_videos = {
            "test": np.flatnonzero(np.isin(s.groups, TEST)),
        }
        self.say({k: len(v) for k, v in (self.train_videos | self.test_videos).items()})
        span = I3D.frames
        windows = 1 + np.maximum(0, -(-(s.counts - span) // WINDOW_STEP))
        self.windows = windows
        features = -(-s.counts // FRAME_STEP)
        self.table = {
            "labels": jnp.asarray(s.labels, jnp.int32),
            "counts": jnp.asarray(s.counts),
            "windows": jnp.asarray(windows, jnp.int32),
            "first_window": jnp.asarray(np.cumsum([0, *windows[:-1]]), jnp.int32),
            "window_step": WINDOW_STEP,
            "window_span": float(span),
            "first_frame_feature": jnp.asarray(np.cumsum([0, *features[:-1]]), jnp.int32),
            "frame_step": FRAME_STEP,
        }
        self.frame_features = features

    def teachers(self):
        """Answers and features of RGB-I3D for every window, features of ResNet-50 for every fourth frame."""
        path = self.state / "teachers.npz"
        rows = np.array(
            [(v, WINDOW_STEP * w) for v, n in enumerate(self.windows) for w in range(n)], np.int32
        )
        frames = np.array(
            [(v, FRAME_STEP * k) for v, n in enumerate(self.frame_features) for k in range(n)],
            np.int32,
        )
        if not path.exists():
            # 32 of the window's 64 frames, since every second one is kept.
            clips = Clips(32, 128, "large", 2, resize=I3D.resize)
            with jax.default_device(self.cpu):
                i3d = keras_stc.InceptionI3D(input_shape=clips.shape, classifier_activation=None)
                set_weights(i3d, self.args.i3d)
                pooled = next(
                    layer
                    for layer in i3d.layers[::-1]
                    if len(layer.output.shape) == 5 and layer.output.shape[-1] == 1024
                )
                i3d = keras.Model(i3d.input, [i3d.output, pooled.output])
            predict = engine.predict_function(i3d, clips, lambda x: (x[0], x[1].mean((1, 2, 3))))
            logits, features = self.predict(
                predict, to_device(engine.state_of(i3d)), clips, rows, batch=64
            )
            self.say("RGB-I3D has seen", len(rows), "windows")
            with jax.default_device(self.cpu):
                resnet = keras.applications.ResNet50(include_top=False, weights=None, pooling="avg")
                set_weights(resnet, self.args.resnet50)
                image = keras.Input((1, FRAME_SIZE, FRAME_SIZE, 3))
                x = keras.layers.Lambda(
                    lambda x: keras.applications.resnet.preprocess_input(x[:, 0])
                )(image)
                resnet = keras.Model(image, resnet(x))
            pictures = Clips(1, 128, "large", 2, resize=FRAME_SIZE)
            predict = engine.predict_function(resnet, pictures, lambda x: x.astype("float16"))
            of_frames = self.predict(
                predict, to_device(engine.state_of(resnet)), pictures, frames, batch=512
            )
            self.say("ResNet-50 has seen", len(frames), "frames")
            np.savez(
                path,
                logits=logits.astype("float32"),
                features=features.astype("float32"),
                frames=of_frames,
            )
        kept = np.load(path)
        self.table["teacher_logits"] = jnp.asarray(kept["logits"])
        self.table["teacher_features"] = jnp.asarray(kept["features"])
        self.table["frame_features"] = jnp.asarray(kept["frames"])
        self.teacher_rows, self.teacher_logits = rows, kept["logits"]
        if not any(r["row"] == "i3d frozen" for r in self.results):
            for of in ("all", "few"):
                self.linear(kept["features"], rows, of)

    def linear(self, features, rows, of):
        """A linear classifier on the frozen teacher's features: Adam, 400 steps, L2 1e-4 (our choice)."""
        s = self.store
        train = np.isin(rows[:, 0], self.train_videos[of])
        mean, spread = features[train].mean(0), features[train].std(0) + 1e-3
        x, y = (features - mean) / spread, jnp.asarray(s.labels[rows[:, 0]])
        shown, truth = jnp.asarray(x[train]), y[train]

        def loss(w):
            chosen = jnp.take_along_axis(
                jax.nn.log_softmax(shown @ w[:-1] + w[-1]), truth[:, None], 1
            )
            return -chosen.mean() + 1e-4 * (w * w).sum()

        w = m = v = jnp.zeros((features.shape[1] + 1, len(s.classes)))
        step = jax.jit(jax.grad(loss))
        for t in range(1, 401):
            g = step(w)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w = w - 0.01 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
        test = np.isin(rows[:, 0], self.test_videos["test"])
        logits = np.asarray(jnp.asarray(x[test]) @ w[:-1] + w[-1])
        self.keep(
            {
                "row": "i3d frozen" + ("" if of == "all" else ", few"),
                "seed": 0,
                **engine.accuracy(logits, rows[test], s.labels),
            }
        )

    # === Graphs ===

    def build(self, name):
        function, options, clips, _ = GRAPHS[name]
        with jax.default_device(self.cpu):
            keras.utils.set_random_seed(0)
            return function(**options, clips=clips)

    def compile(self, name):
        """Traces a graph here and has it compiled by the pool."""
        keras.config.set_dtype_policy("mixed_bfloat16")
        _, _, clips, loss = GRAPHS[name]
        model = self.models[name] = self.build(name)
        batch, steps = RECIPE["batch"], self.steps()
        state = jax.eval_shape(lambda: engine.state_of(model))
        table = dict(self.table, first=jnp.asarray(self.store.first[clips.source]))
        pixels = self.store.frames[clips.source]
        i32 = jnp.int32
        epoch = engine.epoch_function(model, clips, LOSSES[loss]).lower(
            state,
            pixels,
            jax.random.key(0),
            jax.ShapeDtypeStruct((steps,), jnp.float32),
            jax.ShapeDtypeStruct((steps, batch), i32),
            table,
            1,
            False,
        )
        began = time.time()

        def finish():
            compiled = epoch.compile()
            self.say(f"compiled {name} in {time.time() - began:.0f} s")
            return compiled

        # Of pairs and of features of frames nothing is asked after training but the trunk.
        outputs = {"labels": None, "teacher": lambda said: said[0]}
        predict = None
        if loss in outputs:
            predict = engine.predict_function(model, clips, outputs[loss])
        return self.pool.submit(finish), predict, table, pixels

    def steps(self):
        return self.args.steps_of_epoch or len(self.train_videos["all"]) // RECIPE["batch"]

    # === A training ===

    def train(self, spec, seed):
        graph = spec["graph"]
        future, predict, table, pixels = self.ready[graph].result()
        epoch, (_, _, clips, loss) = future.result(), GRAPHS[graph]
        if predict is not None:
            self.graphs[graph] = predict
        model = self.models[graph]
        began = time.time()
        state = to_device(self.initial(spec, seed))
        steps = self.steps()
        stride = spec["stride"] or clips.stride
        rng, key = np.random.default_rng(seed), jax.random.key(seed)
        epochs = self.epochs_of(spec, epoch, state, pixels, table, steps, stride)
        rates = engine.cosine(
            RECIPE["rate"] * spec["rate"], epochs * steps, int(RECIPE["warmup"] * epochs * steps)
        )
        order = engine.schedule_videos(
            self.train_videos[spec["of"]], epochs * steps, RECIPE["batch"], rng
        )
        curve = []
        for number in range(epochs):
            part = slice(number * steps, (number + 1) * steps)
            state, value, hits = epoch(
                state, pixels, jax.random.fold_in(key, number), jnp.asarray(rates[part]), jnp.asarray(order[part]),
                table, stride, spec["single"],
            )  # fmt: skip
            curve.append((value, hits))
            if not number:
                jax.block_until_ready(value)
                first = time.time()
        jax.block_until_ready(value)
        rate = (epochs - 1) * steps * RECIPE["batch"] / (time.time() - first)
        curve = [(round(float(a), 4), round(float(b), 4)) for a, b in curve]
        seconds = time.time() - began
        result = {
            "row": spec["key"],
            "seed": seed,
            "epochs": epochs,
            "seconds": round(seconds, 1),
            "clips/s": round(rate, 1),
            "curve": curve[:: max(1, epochs // 10)] + curve[-1:],
        }
        self.remember(spec, seed, model, state)
        if loss == "labels":
            result |= {"parameters": model.count_params(), "macs": count_macs(model)}
            subset = "test"
            result |= self.test(spec, graph, state, clips, subset, stride)
            for kind in spec["tests"]:
                result |= {
                    f"{kind} {k}": v
                    for k, v in self.test(spec, graph, state, clips, subset, stride, kind).items()
                }
        elif loss == "teacher":
            rows = self.rows(clips, "test", stride)
            said = self.predict(predict, state, clips, rows, stride=stride)
            windows = np.clip(
                np.round((rows[:, 1] + clips.frames * stride / 2 - 32) / WINDOW_STEP),
                0,
                self.windows[rows[:, 0]] - 1,
            )
            first = np.asarray(self.table["first_window"])[rows[:, 0]]
            theirs = self.teacher_logits[(first + windows).astype(int)]
            top5 = np.argsort(-theirs, -1)[:, :5]
            mine = said.argmax(-1)
            result["agreement@1"] = 100 * float((mine == theirs.argmax(-1)).mean())
            result["in teacher's top 5"] = 100 * float((mine[:, None] == top5).any(-1).mean())
        elif loss == "pairs":
            result["pairs of test videos"] = self.test_pairs(model, state, clips, table, stride)
        self.seconds[graph] = time.time() - began
        self.keep(result)
        self.say(
            spec["key"],
            seed,
            {
                k: round(v, 1) if isinstance(v, float) else v
                for k, v in result.items()
                if k not in ("row", "seed", "curve")
            },
            "loss",
            curve[-1],
        )

    def epochs_of(self, spec, epoch, state, pixels, table, steps, stride):
        if spec["graph"].startswith("ship"):
            return self.args.ship_epochs
        if spec["graph"] == "i3d":
            return max(1, (self.epochs or 40) // 4)
        if self.epochs is None:
            copy = jax.tree.map(jnp.copy, state)
            places = jnp.zeros((steps, RECIPE["batch"]), jnp.int32)
            rest = (jnp.zeros(steps, jnp.float32), places, table, stride, False)
            copy = jax.block_until_ready(epoch(copy, pixels, jax.random.key(0), *rest)[0])
            began = time.time()
            jax.block_until_ready(epoch(copy, pixels, jax.random.key(0), *rest))
            one = time.time() - began
            wanted = (self.left() - 30) / self.trainings / one
            self.epochs = int(np.clip(wanted, *self.args.between))
            self.schedule_path.write_text(json.dumps({"recipe": RECIPE, "epochs": self.epochs}))
            rate = RECIPE["batch"] * steps / one
            self.say(f"{spec['key']}: {rate:.0f} clips/s; {self.epochs} epochs for each line")
        return self.epochs

    def initial(self, spec, seed):
        model = self.models[spec["graph"]]
        if spec["init"] != "built":
            draw_weights(model, np.random.default_rng(1000 + seed))
        if spec["init"] == "halved":
            halve_residual_branches(model)
        if spec["init"] == "imagenet":
            self.from_imagenet(model)
        if spec["init"] == "i3d":
            with np.load(self.args.i3d) as file:
                values = [file[name].astype(np.float32) for name in sorted(file)]
            for variable, value in zip(model.weights, values, strict=True):
                if tuple(variable.shape) == value.shape and "ogits" not in variable.path:
                    variable.assign(value)
        if spec["after"]:
            put_named(model, self.trunk(spec["after"], seed))
        return engine.state_of(model)

    def from_imagenet(self, model):
        path = self.state / "resnet50.weights.h5"
        if not path.exists():
            with jax.default_device(self.cpu):
                keras.config.set_dtype_policy("float32")
                resnet = keras.applications.ResNet50(weights=None)
                set_weights(resnet, self.args.resnet50, at_most=True)
                resnet.save_weights(path)
                keras.config.set_dtype_policy("mixed_bfloat16")
        with jax.default_device(self.cpu):
            inflated = keras_stc.STCResNet50(
                weights=str(path), classes=35, input_shape=SMALL.shape, classifier_activation=None
            )
        model.set_weights(inflated.get_weights())

    def remember(self, spec, seed, model, state):
        needed = any(r["after"] == spec["key"] for r in ROWS)
        ships = spec["graph"].startswith("ship")
        if not needed and not ships:
            return
        engine.put_state(model, state)
        named = {v.path: np.asarray(v.value, np.float32) for v in model.weights}
        self.trunks[spec["key"], seed] = named
        np.savez(self.trunk_path(spec["key"], seed), **named)
        if ships and not seed:
            # Half precision, in two files.
            half = {k: v.astype(np.float16) if v.ndim > 1 else v for k, v in named.items()}
            names = sorted(half)
            for number, part in enumerate((names[::2], names[1::2])):
                path = self.args.out / f"{self.trunk_path(spec['key'], seed).stem}.{number}.npz"
                np.savez(path, **{name: half[name] for name in part})

    def trunk_path(self, key, seed):
        return self.state / f"{key.replace(' ', '_')}-{seed}.npz"

    # === A test ===

    def rows(self, clips, subset, stride):
        """`(video, start)` of the clips that `keras_stc.evaluate_videos` sees."""
        return np.array(
            [
                (v, clip[0])
                for v in self.test_videos[subset]
                for clip in evaluation_clips(int(self.store.counts[v]), clips.frames, stride)
            ],
            np.int32,
        )

    def test(self, spec, graph, state, clips, subset, stride, kind=None):
        rows = self.rows(clips, subset, stride)
        order = np.arange(clips.frames)
        if kind == "reversed":
            order = order[::-1]
        if kind == "shuffled":
            order = np.random.default_rng(0).permutation(clips.frames)
        single = spec["single"] or kind == "frozen"
        logits = self.predict(
            self.graphs[graph], state, clips, rows, stride=stride, order=order, single=single
        )
        return engine.accuracy(logits, rows, self.store.labels)

    def test_pairs(self, model, state, clips, table, stride):
        """Accuracy of pairs of test videos: a video's first clip with its own frames, and with the next video's clip."""
        rows = np.stack(
            [self.test_videos["test"], np.zeros(len(self.test_videos["test"]))], 1
        ).astype(np.int32)
        rows = rows[np.random.default_rng(0).permutation(len(rows))]
        right = []
        both = jax.jit(
            lambda state, clip, frames: model.stateless_call(
                state["trainable"], state["fixed"], [clip, frames], training=False
            )[0]
        )
        top, left = 4, 16
        for at in range(0, len(rows) - 127, 128):
            part = rows[at : at + 128]
            v = jnp.asarray(part[:, 0])
            b = len(part)
            clip, numbers = engine.cut(
                clips, self.store.frames[clips.source], table["first"][v], table["counts"][v], jnp.asarray(part[:, 1]),
                jnp.full(b, top), jnp.full(b, left), jnp.zeros(b, bool), stride, jnp.arange(clips.frames), False,
            )  # fmt: skip
            positive, negative = both(state, clip, engine.frame_features(numbers, v, table))
            right += [np.asarray(positive) > 0, np.asarray(negative) <= 0]
        return 100 * float(np.concatenate(right).mean()) if right else None

    def predict(self, function, state, clips, rows, **options):
        return engine.predict_all(function, state, self.store, clips, rows, **options)

    def keep(self, result):
        self.results.append(result)
        for path in {self.results_path, self.args.out / "results.json"}:
            path.write_text("[\n" + ",\n".join(json.dumps(r) for r in self.results) + "\n]\n")


def to_device(state):
    return jax.device_put(state, jax.devices()[0])


def set_weights(model, path, at_most=False):
    """Weights in their order; `at_most`: the model may have more at its end, which keep theirs."""
    with np.load(path) as file:
        values = [file[name].astype(np.float32) for name in sorted(file)]
    variables = model.weights[: len(values)] if at_most else model.weights
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def draw_weights(model, rng):
    """What the layers' initialisers draw, without a compiled kernel for every shape."""
    for variable in model.weights:
        shape, name = tuple(variable.shape), variable.path.split("/")[-1]
        if name in ("gamma", "moving_variance"):
            value = np.ones(shape)
        elif name != "kernel":
            value = np.zeros(shape)
        elif len(shape) == 5:  # He-normal over the outputs
            value = rng.normal(0, np.sqrt(2 / (np.prod(shape[:3]) * shape[4])), shape)
        else:  # Glorot-uniform
            limit = np.sqrt(6 / sum(shape))
            value = rng.uniform(-limit, limit, shape)
        variable.assign(value.astype(np.float32))


def put_named(model, named):
    """Values into the variables of the same path and shape, but for the classifier."""
    found = 0
    for variable in model.weights:
        value = named.get(variable.path)
        if (
            value is not None
            and value.shape == tuple(variable.shape)
            and "predictions" not in variable.path
        ):
            variable.assign(value.astype(np.float32))
            found += 1
    if found < len(model.weights) - 2:
        raise SystemExit(
            f"only {found} of {len(model.weights)} variables of {model.name} were found"
        )


if __name__ == "__main__":
    main()
