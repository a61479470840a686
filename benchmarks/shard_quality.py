"""What the JPEG quality of packed shards costs: size, loss, and time to read.

    python benchmarks/shard_quality.py ../shared/clips/*.avi

Frames of every video at 122 pixels on the short side, packed at each quality. The loss is the mean
absolute difference to the frames that were packed, in levels of 0-255; reading is the CPU time of
`clip_dataset` for training clips of 16 frames at stride 2, 112×112, the best of five rounds.
"""

import argparse
import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402

from keras_stc.data import PackedVideos, clip_dataset, open_video, pack  # noqa: E402
from keras_stc.data.geometry import Geometry  # noqa: E402

SHORT = 122


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--qualities", type=int, nargs="+", default=[75, 85, 90, 95])
    args = parser.parse_args()
    print(f"{'quality':>7s}{'KB/frame':>10s}{'loss':>7s}{'CPU ms/clip':>13s}")
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        table = work / "videos.csv"
        rows = (f"{os.path.abspath(path)},any\n" for path in args.videos)
        table.write_text("path,label\n" + "".join(rows))
        for quality in args.qualities:
            pack(str(table), work / str(quality), short_side=SHORT, quality=quality)
            packed = PackedVideos(work / str(quality))
            kilobytes, loss = compared(packed, args.videos)
            print(f"{quality:7d}{kilobytes:10.2f}{loss:7.2f}{seconds(packed) * 1000:13.2f}")


def compared(packed, paths):
    """Mean kilobytes of a frame, and mean difference, of eight frames of each video."""
    sizes, losses = [], []
    for video, path in zip(packed, paths, strict=True):
        with open_video(video.path) as reader, open_video(path) as source:
            chosen = np.linspace(0, source.info.num_frames - 1, 8).astype(int)
            sizes += [len(jpeg) / 1000 for jpeg in reader.encoded(chosen)]
            pixels = source.read(chosen, Geometry(short_side=SHORT)).astype(int)
            losses.append(np.abs(reader.read(chosen) - pixels).mean())
    return np.mean(sizes), np.mean(losses)


def seconds(packed, clips=64, rounds=5):
    videos = [packed[k % len(packed)] for k in range(clips)]
    options = {"training": True, "shuffle": False, "resize": SHORT, "num_parallel_calls": 1}
    dataset = clip_dataset(videos, 16, 2, 112, 8, **options)
    best = float("inf")
    for _ in range(rounds):
        dataset.set_epoch(0)
        start = time.process_time()
        for _ in dataset:
            pass
        best = min(best, time.process_time() - start)
    return best / clips


if __name__ == "__main__":
    main()
