"""What Kinetics-400 costs by arithmetic: storage, cores that decode, hours, and the network.

    python benchmarks/kinetics_plan.py                              # the tables of docs/scale.md
    python benchmarks/kinetics_plan.py --tflops 12 --epochs 100     # with your own figures

Nothing is measured here: every figure that goes in is an option, whose default is one that this
repository measured or an assumption that `docs/scale.md` names. A training step is three forward
passes (Kaplan et al., arXiv 2001.08361, section 2.1), a multiply-accumulate two operations; an
all-reduce in a ring sends 2 (n - 1) / n times the gradients from each of n machines.
"""

import argparse

from keras_stc.models.complexity import zoo_complexity

NETWORKS = ("stc_resnet18", "stc_resnet50", "stc_resnet101", "stc_resnext101")
GPUS = (1, 8, 64)

OPTIONS = (
    ("videos", 240_000, "videos to train on"),
    ("video-mb", 0.72, "MB of a video: mean of the two of Kinetics in the tests' material"),
    ("frames", 265, "frames of a video: mean of the same"),
    ("frame-kb", 6.9, "KB of a packed frame, 122 pixels on the short side, quality 90"),
    ("video-ms", 32.2, "CPU milliseconds to read a clip of an H.264 video of 340x256"),
    ("shard-ms", 3.9, "CPU milliseconds to read a clip from shards"),
    ("tflops", 30.0, "TFLOP/s that a GPU sustains in a training step"),
    ("batch", 16, "clips in a step of a GPU"),
    ("epochs", 200, "passes, one clip of every video in each"),
    ("gpus-per-machine", 8, "GPUs that share a machine's connection"),
    ("share", 0.1, "part of a step that exchanging gradients may take"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default, text in OPTIONS:
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    args = parser.parse_args()
    videos = args.videos * args.video_mb / 1e3
    shards = args.videos * args.frames * args.frame_kb / 1e6
    print(f"videos {videos:.0f} GB, packed {shards:.0f} GB\n")
    print(
        "| network | GMAC | clips/s of a GPU | cores a GPU, videos | shards "
        + "".join(f"| hours, {gpus} GPU{'s' * (gpus > 1)} " for gpus in GPUS)
        + "| gradients, MB | Gbit/s a machine |"
    )
    print("|---" * (7 + len(GPUS)) + "|")
    for name in NETWORKS:
        known = zoo_complexity()[name]
        macs, parameters = known["macs"]["block-16"], known["parameters"]["block-16"]
        rate = args.tflops * 1e12 / (6 * macs)
        cores = [rate * each / 1e3 for each in (args.video_ms, args.shard_ms)]
        hours = [args.videos * args.epochs / rate / gpus / 3600 for gpus in GPUS]
        machines = GPUS[-1] / args.gpus_per_machine
        sent = 8 * 4 * parameters * 2 * (machines - 1) / machines
        gbits = sent / (args.share * args.batch / rate) / 1e9
        print(
            f"| {known['constructor']} | {macs / 1e9:.1f} | {rate:.0f} | {cores[0]:.1f} "
            f"| {cores[1]:.1f} "
            + "".join(f"| {each:.1f} " for each in hours)
            + f"| {4 * parameters / 1e6:.0f} | {gbits:.0f} |"
        )


if __name__ == "__main__":
    main()
