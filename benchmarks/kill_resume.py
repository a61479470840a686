"""Kills a training ten times at random moments and compares its end with an uninterrupted one's.

    python benchmarks/kill_resume.py --out runs/kill-resume

Trains an STC-ResNet18 on generated motion videos through `keras-stc train` with a checkpoint every
few steps: once in peace; once killed (SIGKILL) at random moments and typed again each time. Prints
what was there after every kill, and how far the two ends are apart: histories, weights, and the
answers on the videos held out. About eight minutes on two cores.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import keras_stc
from keras_stc.data import VideoFolder
from keras_stc.demo.motion import write_motion_videos


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="a folder that does not exist yet")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--earliest", type=float, default=4, help="seconds after the start")
    parser.add_argument("--latest", type=float, default=40)
    parser.add_argument("--every", type=int, default=4, help="steps from checkpoint to checkpoint")
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    out = pathlib.Path(args.out)
    if out.exists():
        parser.error(f"{out} exists already: give another --out")
    out.mkdir(parents=True)
    for seed, (subset, count) in enumerate((("train", 30), ("test", 4))):
        write_motion_videos(out / "videos" / subset, count, seed=seed)

    whole, seconds = out / "whole", time.monotonic()
    if train(args, whole).wait():
        sys.exit("the uninterrupted training failed")
    print(f"uninterrupted: {time.monotonic() - seconds:.0f} s\n")

    killed, moments = out / "killed", random.Random(args.seed)
    print(f"{'kill':>4s}{'after':>9s}   what is kept, of {args.epochs} epochs")
    kills = 0
    while kills < args.kills:
        process, moment = train(args, killed), moments.uniform(args.earliest, args.latest)
        try:
            status = process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            print(f"{kills:4d}{moment:7.1f} s   {kept(killed)}", flush=True)
        else:
            sys.exit(f"the training ended by itself (status {status}) after {kills} kills")
    if train(args, killed).wait():
        sys.exit("the killed training did not come to its end")
    compare(whole, killed, out / "videos" / "test")


def train(args, run):
    command = [sys.executable, "-m", "keras_stc", "train", str(run.parent / "videos")]
    command += ["--out", str(run), "--model", "stc_resnet18", "--no-flip", "--json"]
    command += ["--frames", "8", "--size", "32", "--batch-size", "16", "--lr", "0.02"]
    command += ["--epochs", str(args.epochs), "--checkpoint-steps", str(args.every)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def kept(run):
    if not (run / "state.json").exists():
        return "nothing yet"
    state = json.loads((run / "state.json").read_text())
    return f"{state['epoch']} epochs and {state['step']} steps"


def compare(whole, killed, test):
    histories = [json.loads((run / "state.json").read_text())["history"] for run in (whole, killed)]
    names = [name for name in histories[0][-1] if "loss" in name]
    print("\nepoch " + "".join(f"{name + ', whole / killed':>36s}" for name in names))
    for epoch, rows in enumerate(zip(*histories, strict=True), start=1):
        pairs = (" / ".join(f"{row[name]:.6f}" for row in rows) for name in names)
        print(f"{epoch:5d} " + "".join(f"{pair:>36s}" for pair in pairs))
    models = [keras_stc.load_model(run) for run in (whole, killed)]
    weights = [model.get_weights() for model in models]
    scale = max(abs(array).max() for array in weights[0])
    apart = max(abs(a - b).max() for a, b in zip(*weights, strict=True))
    print(f"\nweights: at most {apart:.1e} apart; the largest is {scale:.1e}")
    videos = VideoFolder(test)
    first, second = (keras_stc.evaluate_videos(model, videos).probabilities for model in models)
    print(
        f"probabilities of {len(videos)} held-out videos: at most {abs(first - second).max():.1e}"
    )
    print(f"same answer: {np.mean(first.argmax(1) == second.argmax(1)):.0%}")


if __name__ == "__main__":
    main()
