"""A network's weights as arrays in their order, for `study.py` on a machine without a network.

    python benchmarks/ucf101_35/weights_of.py i3d.npz inception_i3d kinetics400
    python benchmarks/ucf101_35/weights_of.py resnet50.npz ResNet50 imagenet
    python benchmarks/ucf101_35/weights_of.py resnet50.npz ResNet50 resnet50.weights.h5

Half precision: 25 MB for RGB-I3D, 47 MB for ResNet-50 without its classifier.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_stc


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="file to write, .npz")
    parser.add_argument("network", help="name in the zoo, or of a class of keras.applications")
    parser.add_argument("weights", help="a tag, or a file")
    args = parser.parse_args()
    if hasattr(keras.applications, args.network):
        make = getattr(keras.applications, args.network)
        model = make(include_top=False, pooling="avg", weights=args.weights)
    else:
        model = keras_stc.create_model(args.network, weights=args.weights)
    arrays = {f"{k:04d}": array for k, array in enumerate(model.get_weights())}
    half = {k: a.astype(np.float16) if a.ndim > 1 else a for k, a in arrays.items()}
    np.savez(args.out, **half)
    print(f"{args.out}: {len(half)} arrays of {model.name}, {os.path.getsize(args.out):,} bytes")


if __name__ == "__main__":
    main()
