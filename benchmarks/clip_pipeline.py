"""Training clips a second: `clip_dataset` against bare decoding of the same frames, and others.

    python benchmarks/clip_pipeline.py                                   # generated videos alone
    python benchmarks/clip_pipeline.py --videos ../shared/clips --others bench-venv/bin/python

About two minutes on two cores. `--videos` names folders of real videos, each measured by itself;
`--others` a Python that has decord and OpenCV, which clash with PyAV in one process:

    python -m venv bench-venv && bench-venv/bin/pip install numpy decord opencv-python-headless

Beside clips a second there are CPU milliseconds a clip, which suffer less where others use the
machine. Shares are of CPU time, within a round, the median over the rounds.

Every side reads the same clips, 16 frames at stride 2 from 122 pixels on the short side, cropped
to 112, with the same number of threads; sides take turns, and times are those of the best round.
The sides are:

- `decode`: PyAV from the key frame before the clip to its last frame; no pixels are touched;
- `decode + RGB`: the same, and the clip's frames resized and converted, not cropped;
- `clip_dataset`, batches of 8 as `model.fit` gets them; its first epoch apart, since numbering the
  frames of a file for the first time takes reading all of it;
- `shards`: `clip_dataset` on what `keras-stc pack` makes of the videos;
- `PyDataset`: both as a `ClipSequence`, which needs no TensorFlow;
- decord and OpenCV, as their documentation shows.

With `--fit`, so many steps of training STC-ResNet18 on the shards, and the part of the time in
which the training waits for clips.
"""

import argparse
import concurrent.futures
import functools
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

FRAMES, STRIDE, CROP, SHORT = 16, 2, 112, 122


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", nargs="*", default=[], help="folders of real videos")
    parser.add_argument("--pattern", default="*", help="which of the files in them")
    parser.add_argument("--others", help="a Python with decord and OpenCV")
    parser.add_argument("--clips", type=int, default=96, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--fit", type=int, default=0, help="steps of training on the shards")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        return answer(args.side, args.threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if args.others:
        check_others(parser, args.others)
    from keras_stc.data.sets.names import is_video

    with tempfile.TemporaryDirectory() as work:
        generated = pathlib.Path(work) / "generated 340x256 H.264 of 10 s"
        generate(generated)
        for folder in map(pathlib.Path, args.videos):
            paths = sorted(str(path) for path in folder.glob(args.pattern) if is_video(path))
            if not paths:
                parser.error(f"no video {args.pattern} in {folder}")
            compare(folder.name, paths, args, pathlib.Path(work))
        compare(generated.name, sorted(map(str, generated.iterdir())), args, pathlib.Path(work))


def check_others(parser, python):
    """Ends with a sentence where a Python cannot import what is compared with."""
    try:
        tried = subprocess.run(
            [python, "-c", "import cv2, decord, numpy"], capture_output=True, text=True
        )
    except OSError as error:
        parser.error(f"--others {python}: {error.strerror}")
    if tried.returncode:
        parser.error(f"--others {python}: {tried.stderr.strip().splitlines()[-1]}")


def compare(name, paths, args, work):
    """Prints the clips a second of every side on some videos."""
    sides, plan = ours(paths, args, work)
    sides["decode"] = functools.partial(in_threads, bare, plan, args.threads)
    convert = functools.partial(bare, convert=True)
    sides["decode + RGB"] = functools.partial(in_threads, convert, plan, args.threads)
    if args.others:
        for other in ("decord", "opencv"):
            sides[other] = Other(args.others, other, args.threads, plan).seconds
    first = {side: seconds() for side, seconds in sides.items()}
    rounds = [{side: seconds() for side, seconds in sides.items()} for _ in range(args.rounds)]
    print(
        f"\n{name}: {len(paths)} videos, {args.clips} clips a round, {args.threads} threads, "
        f"{args.rounds} rounds"
    )
    print(f"{'':26s}{'clips/s':>9s}{'CPU ms':>9s}{'of decode':>11s}{'of decode + RGB':>17s}")
    line("clip_dataset, first epoch", [first["clip_dataset"]], [first], args)
    for side in sides:
        line(side, [results[side] for results in rounds], rounds, args)


def line(name, times, rounds, args):
    """Prints what one side took in some rounds, `(wall, CPU)` seconds each."""
    wall, cpu = (min(column) for column in zip(*times, strict=True))
    if wall == float("inf"):
        print(f"{name:26s} cannot read all of these files")
        return
    shares = [
        statistics.median(
            results[base][1] / time[1] for results, time in zip(rounds, times, strict=True)
        )
        for base in ("decode", "decode + RGB")
    ]
    rates = f"{args.clips / wall:9.1f}{1000 * cpu / args.clips:9.2f}"
    print(f"{name:26s}{rates}{shares[0]:11.2f}{shares[1]:17.2f}", flush=True)


def waiting(dataset, steps):
    """Part of the time that training STC-ResNet18 waits for clips."""
    import keras_stc

    model = keras_stc.STCResNet18(classes=2, input_shape=(FRAMES, CROP, CROP, 3))
    model.compile("sgd", "sparse_categorical_crossentropy")
    batches = iter(dataset.repeat())
    model.train_on_batch(*next(batches))  # traces
    waited, start = 0.0, time.perf_counter()
    for _ in range(steps):
        before = time.perf_counter()
        clips, labels = next(batches)
        waited += time.perf_counter() - before
        model.train_on_batch(clips, labels)
    return waited / (time.perf_counter() - start)


class Clock:
    """Measures `(wall seconds, CPU seconds of this process)`."""

    def __init__(self):
        self.start = time.perf_counter(), cpu_seconds()

    def seconds(self):
        return time.perf_counter() - self.start[0], cpu_seconds() - self.start[1]


def cpu_seconds():
    """Of this process and of its children that are alive; the latter on Linux alone."""
    ticks = 0
    for path in pathlib.Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        for child in path.read_text().split():
            fields = pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def ours(paths, args, work):
    """`clip_dataset` on videos and on shards, and the clips that it reads: [path, indices, key]."""
    import numpy as np

    from keras_stc.data import (
        PackedVideos,
        Video,
        VideoReader,
        VideoSet,
        clip_dataset,
        pack,
    )
    from keras_stc.data.clips import sampling
    from keras_stc.data.geometry import generator

    videos = [Video(path, 0) for path in itertools.islice(itertools.cycle(paths), args.clips)]
    videos = VideoSet(videos, ["any"])
    options = {"training": True, "shuffle": False, "num_parallel_calls": args.threads}
    options |= {"resize": SHORT}
    dataset = clip_dataset(videos, FRAMES, STRIDE, CROP, 8, **options)
    threads = clip_dataset(videos, FRAMES, STRIDE, CROP, 8, isolate=False, **options)
    sequence = clip_dataset(videos, FRAMES, STRIDE, CROP, 8, backend="pydataset", **options)

    def seconds(dataset):
        dataset.set_epoch(0)  # every round reads the same clips
        clock = Clock()
        for _ in dataset:
            pass
        return clock.seconds()

    plan = []
    for position, video in enumerate(videos):
        with VideoReader(video.path) as reader:
            count = reader.info.num_frames
        rng = generator(0, 0, 1 + position)
        indices = sampling.training_clip(count, FRAMES, STRIDE, rng)
        plan.append([video.path, np.sort(indices).tolist(), key_before(video.path, indices.min())])
    from keras_stc.data.video import cache

    with tempfile.NamedTemporaryFile("w", suffix=".csv", dir=work, delete=False) as table:
        table.write("path,label\n" + "".join(f"{os.path.abspath(path)},any\n" for path in paths))
    folder = tempfile.mkdtemp(dir=work)
    pack(table.name, folder, short_side=SHORT)
    packed = PackedVideos(folder)
    packed = [packed[k % len(packed)] for k in range(args.clips)]
    shards = clip_dataset(packed, FRAMES, STRIDE, CROP, 8, **options)
    shard_sequence = clip_dataset(packed, FRAMES, STRIDE, CROP, 8, backend="pydataset", **options)
    cache.KNOWN_FILES.clear()
    sides = {"clip_dataset": dataset, "PyDataset": sequence, "clip_dataset, isolate=False": threads}
    sides |= {"shards": shards, "shards, PyDataset": shard_sequence}
    if args.fit:
        print(f"training waits for shards {waiting(shards, args.fit):.2%} of its time")
    return {name: functools.partial(seconds, one) for name, one in sides.items()}, plan


@functools.cache
def packet_times(path):
    """`(presentation times, key frame times)`; `None` where the times do not number the frames."""
    import av

    with av.open(path) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size and not p.is_discard]
        times = sorted((p.pts for p in packets), key=lambda t: -1 if t is None else t)
        container.seek(0, stream=stream)
        frames = [frame.pts for frame in container.decode(stream)]
    if times != frames or len(set(times)) < len(times):
        return None
    return times, [p.pts for p in packets if p.is_keyframe]


def key_before(path, frame):
    """`[number, time]` of the key frame before a frame, or `None` to decode from the start."""
    if (found := packet_times(path)) is None:
        return None
    times, keys = found
    time_of_key = max((key for key in keys if key <= times[frame]), default=times[0])
    number = times.index(time_of_key)
    return [number, time_of_key] if number else None


def bare(clip, convert=False):
    """Decodes what a clip needs and nothing else, with PyAV."""
    import av
    from av.video.reformatter import VideoReformatter

    path, indices, key = clip
    wanted, pixels, scale = set(indices), [], VideoReformatter()
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        if key:
            container.seek(key[1], stream=stream)
        number = key[0] if key else 0
        for frame in container.decode(stream):
            if key and frame.pts is not None and frame.pts < key[1]:
                continue
            if number in wanted and convert:
                height, width = resized(frame.height, frame.width)
                options = {"format": "rgb24", "interpolation": "BILINEAR", "threads": 1}
                made = scale.reformat(frame, width=width, height=height, **options)
                pixels.append(made.to_ndarray())
            number += 1
            if number > indices[-1]:
                break
    return pixels


def with_decord(clip):
    import decord

    path, indices, _ = clip
    with open(path, "rb") as file:
        size = decord.VideoReader(file, num_threads=1)[0].shape[:2] if path not in SIZES else None
    height, width = SIZES.setdefault(path, resized(*size) if size else None)
    reader = decord.VideoReader(path, ctx=decord.cpu(0), width=width, height=height, num_threads=1)
    return reader.get_batch(indices).asnumpy()


def with_opencv(clip):
    import cv2

    path, indices, _ = clip
    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    capture.set(cv2.CAP_PROP_POS_FRAMES, indices[0])
    wanted, pixels = set(indices), []
    for number in range(indices[0], indices[-1] + 1):
        if not capture.grab():
            break
        if number in wanted:
            _, frame = capture.retrieve()
            height, width = resized(*frame.shape[:2])
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
            pixels.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    capture.release()
    return pixels


#: What decord resizes each video to; it has to be told before it opens one.
SIZES = {}


def resized(height, width):
    scale = SHORT / min(height, width)
    return round(height * scale), round(width * scale)


def in_threads(read, plan, threads):
    clock = Clock()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(read, plan):
            pass
    return clock.seconds()


class Other:
    """A side that runs in another Python, and reads the plan whenever it is told to.

    Where it crashes, it took infinitely long.
    """

    def __init__(self, python, side, threads, plan):
        command = [python, __file__, "--side", side, "--threads", str(threads)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, **pipes, stderr=subprocess.DEVNULL)
        self.plan = json.dumps(plan)

    def seconds(self):
        try:
            self.process.stdin.write(self.plan + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return (float("inf"),) * 2
        line = self.process.stdout.readline()
        return tuple(json.loads(line)) if line else (float("inf"),) * 2


def answer(side, threads):
    read = {"decord": with_decord, "opencv": with_opencv}[side]
    for line in sys.stdin:
        print(json.dumps(in_threads(read, json.loads(line), threads)), flush=True)


def generate(folder, count=4, seconds=10, rate=30, height=256, width=340):
    """Videos like Kinetics': H.264 with its usual key frame interval, a textured moving picture."""
    import av
    import numpy as np

    folder.mkdir()
    for seed in range(count):
        rng = np.random.default_rng(seed)
        small = rng.integers(0, 256, (44, 64, 3), np.uint8)
        texture = av.VideoFrame.from_ndarray(small, format="rgb24")
        texture = texture.reformat(width=700, height=480, interpolation="BICUBIC").to_ndarray()
        texture = (texture + rng.normal(0, 3, texture.shape)).clip(0, 255).astype(np.uint8)
        with av.open(str(folder / f"{seed}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=rate)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            for k in range(seconds * rate):
                top, left = int(100 + 90 * np.sin(k / 40 + seed)), int(150 + 140 * np.cos(k / 60))
                pixels = np.ascontiguousarray(texture[top : top + height, left : left + width])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
