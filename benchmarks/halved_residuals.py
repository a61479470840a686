"""A control for the ablation of branches: 3D-ResNet18 whose residual branches start at half.

    keras-stc ablate --out runs/ablation --studies branches --seeds 3
    python benchmarks/halved_residuals.py runs/ablation

The gates of an STC block start near one half, so a network with them starts with halved residual
branches, which alone may help. Here 3D-ResNet18, without any gate, starts so: the last batch
normalisation of every unit has gamma 0.5. Same videos, recipe and evaluation as the ablation's
small form; about a minute a seed on two cores.
"""

import argparse
import json
import os
import pathlib
import tempfile

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_stc
from keras_stc.ablation import FORMS
from keras_stc.ablation.run import motion_videos
from keras_stc.training import train


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ablation", type=pathlib.Path, help="--out of keras-stc ablate")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    form = FORMS["small"]
    setting = form.base.without_stc()
    videos, test = motion_videos(args.ablation / "videos", form)
    accuracies = []
    for seed in range(args.seeds):
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        model = keras_stc.create_model(
            setting.model,
            classes=len(videos.class_names),
            input_shape=(setting.frames, form.size, form.size, 3),
        )
        last = [layer for layer in model.layers if layer.name.endswith("_bn2")]
        for layer in last:
            layer.gamma.assign(np.full(layer.gamma.shape, 0.5))
        model.video_config = model.video_config.replace(stride=setting.stride)
        with tempfile.TemporaryDirectory() as run:
            train(model, videos, form.recipe, run, None, seed, verbose=0, save_every=99)
        evaluation = keras_stc.evaluate_videos(model, test)
        accuracies.append(evaluation.video1)
        print(json.dumps({"seed": seed, "video@1": evaluation.video1, "clip@1": evaluation.clip1}))
    mean, spread = np.mean(accuracies), np.std(accuracies, ddof=1)
    print(f"{100 * mean:.1f} ± {100 * spread:.1f}% of {len(test)} videos")


if __name__ == "__main__":
    main()
