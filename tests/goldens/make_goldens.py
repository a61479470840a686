"""Writes parity.npz: the outputs of the PyTorch reference for the cases of parity.py.

python tests/goldens/make_goldens.py        # needs PyTorch; about a minute on two cores
"""

import pathlib
import sys

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import parity  # noqa: E402


def main():
    outputs = {}
    for case in parity.FORWARD:
        reference, _ = parity.reference_with_seeded_weights(case)
        clips = torch.from_numpy(parity.to_torch_clips(parity.clips(case)))
        # In float64, so that the stored value does not depend on the machine that made it.
        with torch.inference_mode():
            outputs[case.name] = reference.double()(clips.double()).numpy().astype("float32")
        print(f"{case.name:32} {np.abs(outputs[case.name]).max():8.3f}")
    np.savez(parity.GOLDENS, **outputs)


if __name__ == "__main__":
    main()
