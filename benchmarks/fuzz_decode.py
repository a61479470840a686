"""Damaged files against the decoder: every one is decoded, or put aside with a reason.

    python benchmarks/fuzz_decode.py ../shared/clips --count 300
    python benchmarks/fuzz_decode.py ../shared/clips ../shared/fights/fight --count 3000 --log f.csv

Some minutes for 300 on two cores. Makes damaged files out of real ones, the same for the same seed:
bytes changed, blocks set to zero, moved or repeated, ends cut off, heads or middles of one file in
another. Each is read as training and evaluation read it, in helper processes. What must not happen
are crashes of this process, errors of any other kind than `VideoError`, and hangs. Crashes and
hangs of a helper are counted, and cost one file each.
"""

import argparse
import collections
import concurrent.futures
import csv
import os
import pathlib
import sys
import tempfile
import time

import numpy as np

#: Seconds without an answer that count as a hang here.
PATIENCE = 30.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", help="folders of real videos")
    parser.add_argument("--count", type=int, default=300, help="damaged files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--log", help="CSV file: what became of each file")
    parser.add_argument("--keep", help="folder to keep files in that crashed or hung a helper")
    args = parser.parse_args()
    from keras_stc.data.sets.names import is_video
    from keras_stc.data.video import isolated

    isolated.PATIENCE = PATIENCE
    folders = [pathlib.Path(folder) for folder in args.sources]
    if missing := [folder for folder in folders if not folder.is_dir()]:
        parser.error(f"{missing[0]} is not a folder")
    sources = sorted(path for folder in folders for path in folder.iterdir() if is_video(path))
    if not sources:
        parser.error(f"no videos in {', '.join(args.sources)}")
    rows, start = [], time.monotonic()
    with tempfile.TemporaryDirectory() as work:

        def one(number):
            return examine(number, args.seed, sources, pathlib.Path(work), args.keep)

        with concurrent.futures.ThreadPoolExecutor(args.workers) as pool:
            for row in pool.map(one, range(args.count)):
                rows.append(row)
                if len(rows) % 100 == 0:
                    print(f"{len(rows)} files, {time.monotonic() - start:.0f} s", flush=True)
    if args.log:
        with open(args.log, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return summary(rows, time.monotonic() - start)


def examine(number, seed, sources, work, keep):
    """Makes a damaged file, reads it and says what became of it."""
    from keras_stc.data import VideoError, video_clips
    from keras_stc.data.clips.sampling import training_clip
    from keras_stc.data.geometry import training_geometry
    from keras_stc.data.video.isolated import open_isolated
    from keras_stc.video_config import VideoConfig

    rng = np.random.default_rng([seed, number])
    source = sources[rng.integers(len(sources))]
    name, damage = list(DAMAGES.items())[number % len(DAMAGES)]
    path = work / f"{number}{source.suffix}"
    path.write_bytes(damage(source.read_bytes(), sources, rng))
    start, reason = time.monotonic(), ""
    try:
        with open_isolated(path, threads=1) as reader:
            for _ in range(2):
                indices = training_clip(reader.info.num_frames, 16, 2, rng)
                clip = reader.read(indices, training_geometry((112, 112), 122, rng))
                assert clip.shape == (16, 112, 112, 3)
        clips = sum(len(b.clips) for b in video_clips(path, VideoConfig(), max_clips=4, threads=1))
        assert clips
        outcome = "decoded"
    except VideoError as error:
        outcome, reason = "put aside", str(error)
        for word in ("crashes", "hangs"):
            if f"{word} its decoder" in reason:
                outcome = f"{word} a helper"
    except Exception as error:
        outcome, reason = "WRONG ERROR", f"{type(error).__name__}: {error}"
    if outcome not in ("decoded", "put aside") and keep:
        pathlib.Path(keep).mkdir(parents=True, exist_ok=True)
        (pathlib.Path(keep) / path.name).write_bytes(path.read_bytes())
    path.unlink()
    took = round(time.monotonic() - start, 2)
    return {
        "number": number,
        "source": source.name,
        "damage": name,
        "outcome": outcome,
        "seconds": took,
        "reason": reason.replace(str(work), ""),
    }


def change_bytes(data, sources, rng):
    """From one byte to one in a hundred."""
    array = np.frombuffer(data, np.uint8).copy()
    count = max(1, int(len(array) * 10 ** rng.uniform(-7, -2)))
    array[rng.integers(len(array), size=count)] = rng.integers(256, size=count)
    return array.tobytes()


def change_head(data, sources, rng):
    """In the first 4 KB, where headers are."""
    head = change_bytes(data[:4096], sources, rng)
    return change_bytes(head, sources, rng) + data[4096:]


def change_tail(data, sources, rng):
    """In the last 16 KB, where MP4 files and AVI files have their indexes."""
    return data[:-16384] + change_bytes(change_bytes(data[-16384:], sources, rng), sources, rng)


def cut_off(data, sources, rng):
    return data[: rng.integers(len(data))]


def without_a_piece(data, sources, rng):
    first, last = np.sort(rng.integers(len(data), size=2))
    return data[:first] + data[last:]


def zero_a_block(data, sources, rng):
    first = int(rng.integers(len(data)))
    size = int(10 ** rng.uniform(1, 5))
    return data[:first] + bytes(min(size, len(data) - first)) + data[first + size :]


def repeat_a_block(data, sources, rng):
    first, to = rng.integers(len(data), size=2)
    size = int(10 ** rng.uniform(1, 5))
    return data[:to] + data[first : first + size] + data[to:]


def splice(data, sources, rng):
    """The head of one file and the rest of another."""
    other = sources[rng.integers(len(sources))].read_bytes()
    return data[: rng.integers(len(data))] + other[rng.integers(len(other)) :]


def transplant(data, sources, rng):
    """A piece of another file in the middle."""
    other = sources[rng.integers(len(sources))].read_bytes()
    first, at = rng.integers(len(other)), int(rng.integers(len(data)))
    piece = other[first : first + int(10 ** rng.uniform(2, 5))]
    return data[:at] + piece + data[at + len(piece) :]


#: How files are damaged, in turns.
DAMAGES = {
    function.__name__: function
    for function in (
        *(change_bytes, change_head, change_tail, cut_off, without_a_piece, zero_a_block),
        *(repeat_a_block, splice, transplant),
    )
}


def summary(rows, seconds):
    outcomes = collections.Counter(row["outcome"] for row in rows)
    print(f"{len(rows)} files in {seconds:.0f} s, the slowest {max(r['seconds'] for r in rows)} s")
    print(f"{'':18s}" + "".join(f"{outcome:>18s}" for outcome in outcomes))
    for name in DAMAGES:
        counts = collections.Counter(r["outcome"] for r in rows if r["damage"] == name)
        print(f"{name:18s}" + "".join(f"{counts[outcome]:18d}" for outcome in outcomes))
    print(f"{'together':18s}" + "".join(f"{count:18d}" for count in outcomes.values()))
    bad = [row for row in rows if row["outcome"] not in ("decoded", "put aside")]
    for row in bad:
        print(f"{row['number']} ({row['source']}, {row['damage']}): {row['reason']}")
    without = [row for row in rows if row["outcome"] == "put aside" and not row["reason"]]
    return 1 if without or any(row["outcome"] == "WRONG ERROR" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
