"""RGB-I3D frozen to Mixed_4f on UCF101-35: a classifier, with and without an STC block.

    keras-stc pack split1.csv clips --short-side 128
    python benchmarks/ucf101_35/frozen_i3d.py clips runs/i3d --validate --lr 0.03 0.1
    python benchmarks/ucf101_35/frozen_i3d.py clips runs/i3d --seeds 3

Every network ends with Mixed_4f, one STC block behind it or none, and the classifier; these alone
learn, from the maps of Mixed_4f, which are computed once: 20 minutes on two cores for those of the
training clips and as long for those of the test clips, then one or two minutes for a row.
`--validate` trains on groups 8 to 21 and tests on groups 22 to 25; without, the official test
groups are tested, for all labels and for few. `weights/ucf101_35.py` trains the network that comes
with the package in the same way.
"""

import argparse
import functools
import hashlib
import json
import os
import pathlib
import re
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_stc  # noqa: E402
from keras_stc.data import clip_dataset, open_source  # noqa: E402
from keras_stc.data.clips.whole_video import shared_batches  # noqa: E402
from keras_stc.files import atomic_path  # noqa: E402
from keras_stc.training.features import FeatureBatches, cached_features, clips_key, split  # noqa: E402

sys.path.append(str(pathlib.Path(__file__).parents[2] / "weights"))
from ucf101_35 import I3D, I3D_RECIPE  # noqa: E402

#: Groups (source videos) of split 1 to train on.
LABELS = {"all": range(8, 26), "groups 8 to 12": range(8, 13), "group 8": range(8, 9)}
HELD_OUT = range(22, 26)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="packed clips, with the subsets of split 1")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, nargs="+", default=[I3D_RECIPE.epochs])
    parser.add_argument("--lr", type=float, nargs="+", default=[I3D_RECIPE.learning_rate])
    args = parser.parse_args()
    data = open_source(args.data)
    maps, labels, groups = training_maps(data["train"], args.out)
    if args.validate:
        held_out = np.isin(groups, HELD_OUT)
        tested = np.concatenate(maps[:, held_out]), np.tile(np.arange(held_out.sum()), len(maps))
        rows = [("groups 8 to 21", ~held_out, *tested, labels[0, held_out])]
    else:
        clips, owners, truth = test_maps(data["test"], args.out)
        rows = [
            (name, np.isin(groups, which), clips, owners, truth) for name, which in LABELS.items()
        ]
    for name, learn, *test in rows:
        for stc in (True, False):
            for epochs in args.epochs:
                for rate in args.lr:
                    recipe = I3D_RECIPE.replace(epochs=epochs, learning_rate=rate)
                    for seed in range(args.seeds):
                        began = time.monotonic()
                        head = trained(maps[:, learn], labels[:, learn], recipe, stc, seed)
                        clip1, video1 = tested_on(head, *test)
                        result = {"labels": name, "videos": int(learn.sum()), "stc": stc}
                        result |= {"epochs": epochs, "rate": rate, "seed": seed, "clip@1": clip1}
                        result |= {"video@1": video1, "seconds": round(time.monotonic() - began)}
                        print(json.dumps(result), flush=True)


def network(stc=True):
    return keras_stc.InceptionI3D(weights="kinetics400", classes=35, **{**I3D, "stc": stc})


def training_maps(videos, out):
    """`(passes, videos, ...)`, labels alike, and the group of each video."""
    model = network()
    trunk = split(model, I3D_RECIPE.freeze).trunk
    settings = {"flip": I3D_RECIPE.flip, "multiscale": I3D_RECIPE.multiscale, "seed": 0}
    clips = functools.partial(
        clip_dataset,
        videos,
        training=True,
        video_config=model.video_config,
        batch_size=I3D_RECIPE.batch_size,
        shuffle=False,
        **settings,
    )
    about = clips_key(videos, model.video_config, **settings)
    passes = I3D_RECIPE.feature_passes
    maps, labels = cached_features(out / "features", "train", trunk, clips, passes, about)
    return maps, labels, np.array([group_of(video) for video in videos])


def group_of(video):
    """The source video that a clip of UCF101 is of, from 1 to 25."""
    return int(re.search(r"_g(\d\d)_", video.file)[1])


def test_maps(videos, out):
    """Maps of all clips of all videos, which video each is of, and the videos' labels."""
    model = network()
    about = json.dumps(clips_key(videos, model.video_config), sort_keys=True).encode()
    path = out / "features" / f"test-{hashlib.sha256(about).hexdigest()[:16]}.npz"
    if not path.exists():
        trunk = split(model, I3D_RECIPE.freeze).trunk
        maps, owners = [], []
        for owner, batch, _ in shared_batches(list(videos), model.video_config, batch_size=32):
            if batch is not None:
                maps.append(trunk.predict_on_batch(batch.clips).astype("float16"))
                owners.append(owner)
        with atomic_path(path) as whole:
            np.savez(whole, maps=np.concatenate(maps), owners=np.concatenate(owners))
    with np.load(path) as file:
        return file["maps"], file["owners"], np.array(videos.labels)


def trained(maps, labels, recipe, stc, seed):
    """A classifier, with its STC block where there is one."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = network(stc)
    # Without a block, `split` would begin behind the pooling, and the maps are those before it.
    head = keras.Model(model.get_layer(recipe.freeze).output, model.output)
    batches = FeatureBatches(maps, labels, recipe.batch_size, seed=seed)
    head.compile(
        recipe.optimizer(batches.batches, recipe.batch_size), "sparse_categorical_crossentropy"
    )
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: batches.set_epoch(epoch))
    head.fit(batches, epochs=recipe.epochs, callbacks=[begin], verbose=0)
    return head


def tested_on(head, maps, owners, truth):
    """clip@1 and video@1 in per cent; a video's answer is the mean of its clips'."""
    said = np.concatenate(
        [head.predict_on_batch(maps[i : i + 64].astype("float32")) for i in range(0, len(maps), 64)]
    )
    sums = np.zeros((len(truth), said.shape[1]))
    np.add.at(sums, owners, said)
    right = (said.argmax(1) == truth[owners]).mean(), (sums.argmax(1) == truth).mean()
    return tuple(round(100 * float(each), 1) for each in right)


if __name__ == "__main__":
    main()
