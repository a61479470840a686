"""Features of a network's frozen part, computed once and kept, and batches of them."""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import shutil

import keras
import numpy as np

from keras_stc.data.geometry import generator
from keras_stc.files import atomic_path, reserve
from keras_stc.training.freeze import frozen

#: Batches whose features make a file: what a kill costs at most.
BATCHES_PER_FILE = 8

#: Changes when features of the same key would be others.
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Split:
    """A network in two: clips to features, frozen, and features to probabilities.

    Attributes:
        trunk: A Keras model.
        head: A Keras model of the same layers as the network's.
    """

    trunk: keras.Model
    head: keras.Model


def split(model, freeze):
    """Divides a network where its frozen part ends.

    Args:
        model: A functional Keras model.
        freeze: Name of the last stage or layer that is frozen.

    Returns:
        A `Split`.

    Raises:
        ValueError: If nothing is frozen, or what is frozen does not end in one tensor.
    """
    with frozen(model, freeze):
        learning = [
            place
            for place, layer in enumerate(model.layers)
            # A dropout draws anew in every step.
            if layer.trainable_variables or hasattr(layer, "seed_generator")
        ]
    # Keras lists layers by their depth; the last tensor that all that learns is computed from.
    before = model.layers[: learning[0]]
    worth_it = freeze is not None and any(layer.weights for layer in before)
    for layer in reversed(before[1:] if worth_it else ()):
        with contextlib.suppress(ValueError):
            trunk = keras.Model(model.input, layer.output, name=f"{model.name}_features")
            head = keras.Model(layer.output, model.output, name=f"{model.name}_head")
            head.dtype_policy = model.dtype_policy  # by which Keras scales the loss in float16
            return Split(trunk, head)
    raise ValueError(
        "`feature_passes` needs a network of which all that comes before one tensor is frozen: "
        f"give `freeze`, such as Mixed_5c of InceptionI3D, or 0. Received: freeze={freeze!r}"
    )


def cached_features(folder, name, trunk, clips, passes, about, verbose: str | int = "auto"):
    """Features of every clip of some passes over the videos.

    They are kept in `folder`, file by file, so that a run that was killed goes on; other weights,
    videos, clips or crops make another key, whose files take their place when all are there.

    Args:
        folder: Where to keep them.
        name: What the videos are to the run, `"train"` or `"validation"`.
        trunk: A Keras model of clips.
        clips: Called with `first_epoch` and `first_batch`: a dataset of `(clips, labels)` in the
            order of the videos.
        passes: Their number; the clips of each are those of an epoch.
        about: All that the clips depend on, of JSON's types.
        verbose: 0 for no progress bar.

    Returns:
        `(features, labels)`: `(passes, clips, ...)` and `(passes, clips)`.
    """
    folder = pathlib.Path(folder)
    kept = folder / f"{name}-{_key(trunk, about)}"
    kept.mkdir(parents=True, exist_ok=True)
    batches = clips(first_epoch=0, first_batch=0).batches
    if verbose:
        print(f"Features of the {name} clips, computed once and kept in {folder}")
    bar = keras.utils.Progbar(passes * batches, unit_name="batch", verbose=int(bool(verbose)))
    files = [_one_pass(kept, number, trunk, clips, batches, bar) for number in range(passes)]
    for other in folder.glob(f"{name}-*"):
        if other != kept:
            shutil.rmtree(other)
    return _loaded(files)


def _one_pass(folder, number, trunk, clips, batches, bar):
    """The files of a pass, in order, after what was missing of them has been computed."""
    files = [
        folder / f"{number:03d}-{first:06d}.npz" for first in range(0, batches, BATCHES_PER_FILE)
    ]
    # Half precision has no dtype of numpy's that every backend makes.
    kept_as = "float64" if trunk.compute_dtype == "float64" else "float32"
    done = 0
    while done < len(files) and files[done].exists():
        done += 1
    seen = min(done * BATCHES_PER_FILE, batches)
    if done < len(files):
        parts, began = [], number * batches
        for batch in clips(first_epoch=number, first_batch=seen):
            features = trunk.predict_on_batch(np.asarray(batch[0]))
            parts.append((np.asarray(features, kept_as), np.asarray(batch[1])))
            seen += 1
            bar.update(began + seen, finalize=False)
            if len(parts) == BATCHES_PER_FILE or seen == batches:
                _write(files[done], *(np.concatenate(part) for part in zip(*parts, strict=True)))
                done, parts = done + 1, []
    bar.update((number + 1) * batches)
    return files


def _loaded(passes):
    """`(features, labels)` of the files of all passes; what memory holds twice is one file."""
    labels = np.stack([np.concatenate([_read(path, "labels") for path in one]) for one in passes])
    features = None
    for number, files in enumerate(passes):
        end = 0
        for path in files:
            part = _read(path, "features")
            if features is None:
                features = np.empty((*labels.shape, *part.shape[1:]), part.dtype)
            first, end = end, end + len(part)
            features[number, first:end] = part
    return features, labels


def _read(path, name):
    with np.load(path) as file:
        return file[name]


def _write(path, features, labels):
    with atomic_path(path) as temporary:
        reserve(temporary, features.nbytes + labels.nbytes)
        np.savez(temporary, features=features, labels=labels)


def _key(trunk, about):
    digest = hashlib.sha256(json.dumps([VERSION, about], sort_keys=True).encode())
    for variable in trunk.variables:
        digest.update(f"{variable.path}{variable.shape}".encode())
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
    return digest.hexdigest()[:16]


def clips_key(videos, video_config, **settings):
    """What the clips of videos depend on: `about` of `cached_features`.

    Args:
        videos: A `VideoSet`.
        video_config: The `VideoConfig` that they are cut by.
        **settings: What else they are cut by, such as `seed` and `flip`.
    """
    config = video_config.replace(class_names=None).to_dict()
    return {"video_config": config, **settings, "videos": videos_key(videos)}


def videos_key(videos):
    """What videos are, and their labels: others are others."""
    return [[*video.identity, video.label] for video in videos]


class FeatureBatches(keras.utils.PyDataset):
    """Batches of kept features, in an order that depends on the seed and the epoch alone.

    Args:
        features: `(passes, clips, ...)`; epoch after epoch goes through the passes in turn.
        labels: `(passes, clips)`.
        batch_size: Clips in a batch.
        seed: Of the order; `None` for the order of the videos, and all of them.
        repeats: How often an epoch goes through the videos.
        first_batch: Number of the batch with which every epoch begins.

    Attributes:
        batches: Batches in an epoch.
    """

    def __init__(self, features, labels, batch_size, seed=None, repeats=1, first_batch=0):
        super().__init__(workers=1)
        self.features, self.labels = features, labels
        self.batch_size, self.seed = batch_size, seed
        self.repeats, self.first_batch = repeats, first_batch
        clips = labels.shape[1] * repeats
        self.batches = clips // batch_size if seed is not None else -(-clips // batch_size)
        self.set_epoch(0)

    def set_epoch(self, epoch):
        """Chooses the passes and the order of an epoch."""
        count = self.labels.shape[1]
        rows = np.arange(count * self.repeats)
        if self.seed is not None:
            rows = generator(self.seed, epoch, 0).permutation(rows)
        turn, self._clip = np.divmod(rows, count)
        self._pass = (epoch * self.repeats + turn) % len(self.labels)

    def __len__(self):
        return self.batches - self.first_batch

    def __getitem__(self, index):
        first = (self.first_batch + index) * self.batch_size
        rows = slice(first, first + self.batch_size)
        chosen = self._pass[rows], self._clip[rows]
        return self.features[chosen], self.labels[chosen]
