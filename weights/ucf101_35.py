"""Makes the weights `ucf101-35` again.

    python weights/ucf101_35.py inception_i3d split1.csv runs/i3d   # half an hour on two cores
    python weights/ucf101_35.py stc_resnet18 split1.csv runs/stc    # 1 h 20 min

`split1.csv` (`path,label,split`) lists the clips of 35 classes of UCF101 with the subsets of the
official split 1. Killed and run again with the same line, it goes on. The weights file is left in
the folder; what the package loads in its place must have the SHA-256 of its row in
`keras_stc/weights/registry.json`.
"""

import argparse
import pathlib
import subprocess
import sys

import numpy as np

from keras_stc.data import open_source
from keras_stc.files import sha256
from keras_stc.training import RECIPES, train
from keras_stc.training.build import build_for
from keras_stc.weights.load import read_weights_file, write_weights_file
from keras_stc.weights.registry import find_record

PACK = "pack {data} {out}/clips --short-side 128"

#: STC-ResNet18 learns all of it, from labels and from a frozen RGB-I3D.
DISTILL = """
distill {out}/clips --out {out}/run --teacher inception_i3d --teacher-frames 32 --teacher-size 128
--windows 1 --label-weight 1 --feature-weight 40 --hold-out 0 --student stc_resnet18 --alpha 0.5
--frames 8 --stride 4 --size 80 --epochs 30 --batch-size 32 --lr 0.03 --seed 0
"""

#: Of RGB-I3D to Mixed_4f, which stays as it is, an STC block behind it and the classifier learn.
I3D = {
    "stc": True,
    "stc_placement": "last",
    "final_endpoint": "Mixed_4f",
    "reduction_ratio": 16,
    "dropout_rate": 0.5,
    "video_config": {"frames": 16, "stride": 2, "size": 112},
}
I3D_RECIPE = RECIPES["classifier"].replace(
    freeze="Mixed_4f", feature_passes=2, batch_size=32, learning_rate=0.1
)


def train_i3d(out):
    """From packed clips."""
    videos = open_source(out / "clips")["train"]
    model = build_for(videos, I3D_RECIPE, "inception_i3d", weights="kinetics400", **I3D)
    train(model, videos, I3D_RECIPE, out / "run")


def halved(layers):
    """Kernels as float16, at half the size; what batch normalisation keeps stays as it is."""

    def half(array):
        return array.astype("float16") if array.ndim > 1 else array

    made = {
        name: {inner: list(map(half, arrays)) for inner, arrays in groups.items()}
        for name, groups in layers.items()
    }
    for groups in made.values():
        assert all(np.isfinite(array).all() for arrays in groups.values() for array in arrays)
    return made


def command(line, arguments):
    words = [word.format(**vars(arguments)) for word in line.split()]
    if status := subprocess.call([sys.executable, "-m", "keras_stc", *words]):
        sys.exit(status)  # the command has said why


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=("inception_i3d", "stc_resnet18"))
    parser.add_argument("data", help="split1.csv")
    parser.add_argument("out", type=pathlib.Path, help="folder of the packed clips and the run")
    arguments = parser.parse_args()
    command(PACK, arguments)
    if arguments.network == "stc_resnet18":
        command(DISTILL, arguments)
    else:
        train_i3d(arguments.out)
    path = arguments.out / find_record(arguments.network, "ucf101-35").file
    write_weights_file(path, halved(read_weights_file(arguments.out / "run" / "model.keras")))
    print(f"{path}: {path.stat().st_size:,} bytes, SHA-256 {sha256(path)}")


if __name__ == "__main__":
    main()
