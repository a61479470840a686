"""How much longer many short videos take than the slower of decoding and network alone.

    python benchmarks/predict_videos.py 'ucf101/*/*.avi' --count 60

STC-ResNet18 with random weights, 16 frames of 112x112. `decoding alone` reads the clips as
`predict_videos` does and throws them away; `network alone` is given as many batches of noise, by
the network that `predict_videos` runs: of many videos one whose batch normalisations are folded
into its kernels. `folding` is what making and compiling that takes, a part of `predict_videos`;
`one by one` calls `predict_video` for each. Rounds take turns; the medians are printed.
"""

import argparse
import glob
import os
import statistics
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_stc
from keras_stc.data.clips.whole_video import shared_batches
from keras_stc.predict.classify import network_for

BATCH = 8


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pattern", help="of the files, in quotes")
    parser.add_argument("--count", type=int, default=60, help="files to read, the first ones (60)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=112)
    args = parser.parse_args()
    paths = sorted(glob.glob(args.pattern, recursive=True))[: args.count]
    if not paths:
        parser.error(f"no file fits {args.pattern}")
    shape = (args.frames, args.size, args.size, 3)
    model = keras_stc.STCResNet18(classes=101, input_shape=shape)
    noise = np.random.default_rng(0).integers(0, 256, (BATCH, *shape), np.uint8)
    model.predict_on_batch(noise)
    network_alone = network_for(model, len(paths))
    network_alone.predict_on_batch(noise)
    clips = sum(
        len(batch.owners) for batch in shared_batches(paths, model.video_config, batch_size=BATCH)
    )

    def decoding():
        for _ in shared_batches(paths, model.video_config, batch_size=BATCH):
            pass

    def network():
        for first in range(0, clips, BATCH):
            network_alone.predict_on_batch(noise[: clips - first])

    def folding():
        folded = network_for(model, len(paths))
        if folded is not model:
            folded.predict_on_batch(noise)

    def together():
        for _ in keras_stc.predict_videos(model, paths, BATCH):
            pass

    def one_by_one():
        for path in paths:
            keras_stc.predict_video(model, path, BATCH)

    sides = {
        "decoding alone": decoding,
        "network alone": network,
        "folding": folding,
        "predict_videos": together,
        "one by one": one_by_one,
    }
    seconds = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, side in sides.items():
            begin = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    slower = max(medians["decoding alone"], medians["network alone"])
    print(f"{len(paths)} videos, {clips} clips of {shape}, {args.rounds} rounds")
    for name, median in medians.items():
        print(f"{name:16s}{median:8.2f} s{median / slower:8.2f} of the slower")


if __name__ == "__main__":
    main()
