"""`keras-stc pack`: videos to shards of JPEG frames."""

import pathlib
import sys

from keras_stc.cli import options
from keras_stc.cli.console import print_json, progress_bar


def register(add):
    command = add(
        "pack",
        help="videos into shards that train several times as fast",
        description="Packs videos into TFRecord shards of JPEG frames. Killed and run again with "
        "the same line, it goes on with the shard it was at. The folder is DATA for every other "
        "command; where the data has several splits, shards:OUT:SPLIT is.",
    )
    options.data(command)
    command.add_argument("out", metavar="OUT", help="folder of the shards")
    command.add_argument(
        "--short-side",
        type=int,
        default=122,
        help="pixels of the short side (122, what training at 112 pixels resizes to; 122/112 of "
        "the size you train at; more where you use multi-scale crops)",
    )
    command.add_argument("--quality", type=int, default=90, help="of the JPEG frames (90)")
    command.add_argument(
        "--flow",
        metavar="METHOD",
        help="pack the optical flow of the frames too, for networks of --flow: tvl1 or farneback",
    )
    command.add_argument(
        "--unlabelled",
        action="store_true",
        help="DATA is a folder of videos at any depth, or a CSV file with the column path, for "
        "keras-stc transfer",
    )
    command.add_argument("--videos-per-shard", type=int, default=100)
    command.add_argument("--workers", type=int, help="videos packed at a time (the cores)")
    command.add_argument(
        "--verify", action="store_true", help="afterwards, compare every file with its checksum"
    )
    command.set_defaults(run=run)


def run(arguments):
    from keras_stc.data import Quarantine, pack, verify_shards

    quarantine = Quarantine()
    with progress_bar(None, "video", arguments) as bar:

        def progress(done, total):
            bar.total = total
            bar.update(done - bar.n)

        index = pack(
            options.source(arguments),
            arguments.out,
            arguments.short_side,
            arguments.quality,
            arguments.videos_per_shard,
            arguments.workers,
            progress,
            quarantine,
            labels=not arguments.unlabelled,
            flow=arguments.flow,
        )
    wrong = verify_shards(arguments.out) if arguments.verify else []
    out = pathlib.Path(arguments.out)
    result = {
        "out": arguments.out,
        "videos": len(index["videos"]),
        "frames": sum(video["frames"] for video in index["videos"]),
        "shards": len(index["shards"]),
        "bytes": sum((out / shard["file"]).stat().st_size for shard in index["shards"]),
        "splits": index["splits"],
        "failures": index["failures"],
        "damaged": wrong,
    }
    if arguments.json:
        print_json(result)
    else:
        print(
            f"{result['videos']} videos, {result['frames']} frames, in {result['shards']} shards "
            f"of together {result['bytes'] / 1e6:.1f} MB in {arguments.out}"
        )
        spec = arguments.out
        if len(index["splits"]) > 1:
            spec = f"shards:{arguments.out}:{index['splits'][0]}"
        command = "transfer" if arguments.unlabelled else "train"
        print(f"Train on them: keras-stc {command} {spec} --out runs/a")
    if report := quarantine.report():
        print(report, file=sys.stderr)
    if wrong:
        raise RuntimeError(
            f"{len(wrong)} files in {arguments.out} differ from what was packed, the first being "
            f"{wrong[0]}: delete them and run the same line again."
        )
