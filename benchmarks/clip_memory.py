"""Whether memory grows while clips are read: resident size after so many clips.

    python benchmarks/clip_memory.py ../shared/clips                       # videos
    python benchmarks/clip_memory.py ../shared/clips --shards              # the same, packed

About three minutes for 5,000 clips on two cores. Counts this process and its helpers. Fails where
the last size is 100 MB above that after 500 clips.
"""

import argparse
import os
import pathlib
import sys
import tempfile

LIMIT = 100  # MB


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", help="folder of videos")
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--every", type=int, default=500)
    parser.add_argument("--shards", action="store_true", help="pack them first")
    args = parser.parse_args()
    if args.clips < 2 * args.every:
        parser.error("--clips must be at least twice --every, to compare two sizes")
    if not pathlib.Path(args.videos).is_dir():
        parser.error(f"{args.videos} is not a folder")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from keras_stc.data import PackedVideos, Video, VideoSet, clip_dataset, pack
    from keras_stc.data.sets.names import is_video

    paths = [path for path in sorted(pathlib.Path(args.videos).iterdir()) if is_video(path)]
    if not paths:
        parser.error(f"{args.videos} holds no videos")
    videos = VideoSet([Video(str(path), 0) for path in paths], ["any"])
    with tempfile.TemporaryDirectory() as work:
        if args.shards:
            table = pathlib.Path(work) / "list.csv"
            table.write_text("path,label\n" + "".join(f"{p.resolve()},any\n" for p in paths))
            pack(table, f"{work}/packed")
            videos = PackedVideos(f"{work}/packed")
        clips = clip_dataset(videos, training=True, clips_per_video=8)
        done, sizes = 0, {}
        while done < args.clips:
            for batch, _ in clips:
                before, done = done, done + len(batch)
                if done // args.every > before // args.every:
                    sizes[done] = resident()
                    print(f"{done:6d} clips  {sizes[done]:8.1f} MB", flush=True)
    first, *_, last = sizes.values()
    print(f"{last - first:+.1f} MB from the first to the last; at most {LIMIT} allowed")
    return int(last - first > LIMIT)


def resident():
    """MB of this process and of its children."""
    total = 0
    for process in [os.getpid(), *children()]:
        with open(f"/proc/{process}/status") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    return total / 1024


def children():
    for path in pathlib.Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        yield from map(int, path.read_text().split())


if __name__ == "__main__":
    sys.exit(main())
