# ruff: noqa: E501
"""Videos as two arrays of frames on the device, from which clips are cut there.

    python benchmarks/ucf101_35/store.py DATA FOLDER [--name part2] [--clip 2]

decodes `DATA/CLASS/*.mp4` (by OpenCV, a process a core) into `FOLDER`: `small`, every frame with a short side of 72
pixels, and `large`, every second frame as it is, 128x170. UCF101-35 takes 15 and 24 GB.
"""

import argparse
import json
import multiprocessing
import pathlib

import numpy as np

#: Name -> height, width, and of how many frames one is kept.
SIZES = {"small": (72, 96, 1), "large": (128, 170, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--name", default="part", help="of this part, where others are in FOLDER")
    parser.add_argument("--clip", type=int, help="only the clip of this number of every group")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    args = parser.parse_args()
    import cv2

    paths = sorted(args.data.glob("*/*.mp4"))
    if args.clip:
        paths = [path for path in paths if path.stem.endswith(f"c{args.clip:02d}")]
    if not paths:
        parser.error(f"no videos CLASS/*.mp4 in {args.data}")
    counts = [int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)) for path in paths]
    args.folder.mkdir(parents=True, exist_ok=True)
    jobs, totals = [], dict.fromkeys(SIZES, 0)
    for path, count in zip(paths, counts, strict=True):
        jobs.append((str(path), args.folder, args.name, count, dict(totals)))
        for size, (*_, every) in SIZES.items():
            totals[size] += -(-count // every)
    for size, (height, width, _) in SIZES.items():
        file = args.folder / f"{args.name}.{size}.npy"
        np.lib.format.open_memmap(file, "w+", np.uint8, (totals[size], height, width, 3))
    with multiprocessing.Pool(args.processes) as pool:
        read = pool.starmap(_decode, jobs, chunksize=8)
    rows = [
        {"path": str(path.relative_to(args.data)), "frames": n, "first": job[-1]}
        for path, n, job in zip(paths, read, jobs, strict=True)
    ]
    # Written last: a part with a table is whole.
    (args.folder / f"{args.name}.json").write_text(json.dumps(rows))
    print(f"{args.name}: {len(rows)} videos, {sum(read)} frames", flush=True)


def _decode(path, folder, name, count, first):
    """Writes a video's frames; how many there are."""
    import cv2

    cv2.setNumThreads(1)
    places = {size: np.load(folder / f"{name}.{size}.npy", mmap_mode="r+") for size in SIZES}
    capture, number = cv2.VideoCapture(path), 0
    while number < count:
        there, frame = capture.read()
        if not there:
            break
        for size, (height, width, every) in SIZES.items():
            if number % every:
                continue
            picture = frame
            if frame.shape[:2] != (height, width):
                picture = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
            places[size][first[size] + number // every] = picture[..., ::-1]  # BGR to RGB
        number += 1
    return number


class Store:
    """Frames of all videos on the device, and which of them are whose.

    Attributes:
        names: `CLASS/file` of each video.
        labels, groups: Integer arrays, a value each video.
        classes: Names of the classes, sorted.
        counts: Frames of each video.
        frames, first: For `"small"` and `"large"`: the uint8 array `(N, H, W, 3)`, and each video's first frame.
    """

    def __init__(self, folder, sizes=tuple(SIZES)):
        import jax
        import jax.numpy as jnp

        parts = sorted(pathlib.Path(folder).glob("*.json"))
        begun = {path.name.split(".")[0] for path in pathlib.Path(folder).glob("*.npy")}
        if unfinished := sorted(begun - {part.stem for part in parts}):
            raise SystemExit(f"{folder}: store.py has not finished {', '.join(unfinished)}")
        rows = [(part.stem, row) for part in parts for row in json.loads(part.read_text())]
        self.names = [row["path"] for _, row in rows]
        self.classes = sorted({name.split("/")[0] for name in self.names})
        self.labels = np.array([self.classes.index(n.split("/")[0]) for n in self.names])
        self.groups = np.array([int(name.split("_g")[1][:2]) for name in self.names])
        self.counts = np.array([row["frames"] for _, row in rows], np.int32)
        self.frames, self.first = {}, {}
        for size in sizes:
            arrays = [
                np.load(part.with_name(f"{part.stem}.{size}.npy"), mmap_mode="r") for part in parts
            ]
            starts = dict(
                zip((p.stem for p in parts), np.cumsum([0, *map(len, arrays)]), strict=False)
            )
            self.first[size] = np.array(
                [starts[p] + row["first"][size] for p, row in rows], np.int32
            )
            # Part by part: never two copies of all of it on the device.
            total = sum(map(len, arrays))
            whole = jnp.zeros((total, *arrays[0].shape[1:]), jnp.uint8)
            put = jax.jit(
                lambda whole, piece, at: jax.lax.dynamic_update_slice(whole, piece, (at, 0, 0, 0)),
                donate_argnums=0,
            )
            for part, array in zip(parts, arrays, strict=True):
                for at in range(0, len(array), 100_000):
                    piece = jnp.asarray(array[at : at + 100_000])
                    whole = put(whole, piece, int(starts[part.stem]) + at)
            self.frames[size] = whole


if __name__ == "__main__":
    main()
