"""What frozen pretrained features know of the classes of some videos: a linear classifier on them.

    python benchmarks/frozen_features.py fights.csv --imagenet resnet50.weights.h5

One clip from the middle of each video, features averaged over positions, standardised, logistic
regression with four strengths of L2; accuracy on the test videos for each. About six minutes on two
cores for 300 videos.

`--imagenet` takes what `STCResNet50(weights=...)` takes: the tag, or a file of
`keras.applications.ResNet50`.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_stc  # noqa: E402
from keras_stc.data import clip_dataset, open_data  # noqa: E402

#: (network, weights, frames, stride, size)
CASES = (
    ("inception_i3d", "kinetics400", 16, 2, 112),
    ("inception_i3d", "kinetics400", 16, 2, 160),
    ("stc_resnet50", "imagenet", 8, 4, 112),
    ("stc_resnet50", "imagenet", 2, 16, 160),
)
L2 = (0.001, 0.01, 0.1, 1.0)
STEPS = 500


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="DATA with a training and a test part")
    parser.add_argument("--imagenet", default="imagenet")
    args = parser.parse_args()
    train = open_data(args.data, "train")
    test = open_data(args.data, "test", class_names=train.class_names)
    print(f"{'':44s}" + "".join(f"{f'L2 {l2:g}':>10s}" for l2 in L2))
    for name, weights, frames, stride, size in CASES:
        model = keras_stc.create_model(
            name,
            weights=args.imagenet if weights == "imagenet" else weights,
            include_top=False,
            pooling="avg",
            input_shape=(frames, size, size, 3),
        )
        model.video_config = model.video_config.replace(stride=stride)
        accuracies = probe(*features(model, train), *features(model, test))
        title = f"{name} {weights}, {frames} frames, stride {stride}, {size}"
        print(f"{title:44s}" + "".join(f"{a:10.1%}" for a in accuracies), flush=True)
        keras.utils.clear_session()


def features(model, videos):
    """Arrays `(V, D)` and `(V,)`."""
    clips = clip_dataset(videos, video_config=model.video_config, batch_size=4)
    batches = [(model.predict_on_batch(clip), np.asarray(label)) for clip, label in clips]
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


def probe(x, y, test_x, test_y):
    """Accuracy on the test videos for each strength of L2."""
    mean, std = x.mean(0), x.std(0) + 1e-6
    x, test_x = (x - mean) / std, (test_x - mean) / std
    classes = int(y.max()) + 1
    accuracies = []
    for l2 in L2:
        # Of a convex function, so that neither the start nor a seed matters.
        kernel, bias = np.zeros((x.shape[1], classes)), np.zeros(classes)
        for _ in range(STEPS):
            logits = x @ kernel + bias
            error = np.exp(logits - logits.max(1, keepdims=True))
            error = error / error.sum(1, keepdims=True) - np.eye(classes)[y]
            kernel -= 0.1 * (x.T @ error / len(y) + l2 * kernel)
            bias -= 0.1 * error.mean(0)
        accuracies.append(np.mean((test_x @ kernel + bias).argmax(1) == test_y))
    return accuracies


if __name__ == "__main__":
    main()
