"""Makes the weights `ucf101-35` of STC-ResNet18 again: two hours on two cores.

    python weights/ucf101_35.py split1.csv runs/ucf101-35

`split1.csv` (`path,label,split`) lists the clips of 35 classes of UCF101 with the subsets of the
official split 1. Killed and run again with the same line, it goes on.
"""

import argparse
import pathlib
import subprocess
import sys

import numpy as np

from keras_stc.files import sha256
from keras_stc.weights.load import read_weights_file, write_weights_file
from keras_stc.weights.registry import PATH, find_record

RECORD = find_record("stc_resnet18", "ucf101-35")

LINES = """
pack {data} {out}/clips --short-side 128
distill {out}/clips --out {out}/run --teacher inception_i3d --teacher-frames 32 --teacher-size 128
--windows 1 --label-weight 1 --feature-weight 5 --hold-out 0 --student stc_resnet18 --alpha 0.5
--frames 8 --stride 4 --size 80 --epochs 30 --batch-size 32 --lr 0.03 --seed 0
"""


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="split1.csv")
    parser.add_argument("out", type=pathlib.Path, help="folder of the packed clips and the run")
    arguments = parser.parse_args()
    pack, *distill = LINES.strip().splitlines()
    for line in (pack, " ".join(distill)):
        words = [word.format(**vars(arguments)) for word in line.split()]
        if status := subprocess.call([sys.executable, "-m", "keras_stc", *words]):
            sys.exit(status)  # the command has said why
    path = PATH.with_name(RECORD.file)
    write_weights_file(path, halved(read_weights_file(arguments.out / "run" / "model.keras")))
    print(f"{path}: {path.stat().st_size:,} bytes, SHA-256 {sha256(path)}")


if __name__ == "__main__":
    main()
