"""Weights of a file into a model, by the names of its layers."""

import contextlib
import dataclasses
import logging
import os
import tempfile
import zipfile
import zlib

import h5py

from keras_stc.files import first_line
from keras_stc.weights.cache import WeightsError
from keras_stc.weights.channels import fit_channels
from keras_stc.weights.clip_length import fit_clip_length
from keras_stc.weights.inflate import inflate

logger = logging.getLogger("keras_stc")

#: What reading a file raises that is damaged, or another one than its name says.
DAMAGE = (
    *(OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)

#: How many times the size of its file its arrays may be; Keras writes them as they are.
LARGEST = 20

#: The layer that other classes have another of.
CLASSIFIER = "predictions"


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Weights that were found, and what is known of the network they belong to.

    Attributes:
        source: What messages call them.
        layers: What `read_weights_file` returns.
        dimensions: 2 where the kernels are those of a 2D network, to be inflated.
        architecture: Arguments of `keras_stc.create_model` of the network they are of; `{}` where
            nothing says.
        video_config: What they ask of the clips, as `VideoConfig.to_dict()`; `{}` where nothing
            says.
    """

    source: str
    layers: dict
    dimensions: int = 3
    architecture: dict = dataclasses.field(default_factory=dict)
    video_config: dict = dataclasses.field(default_factory=dict)

    def of_layers(self, names):
        """The same for a network that ends earlier: what it lacks is left out, and the classifier.

        Args:
            names: Of the network's layers.
        """
        kept = set(names) - {CLASSIFIER}
        layers = {name: arrays for name, arrays in self.layers.items() if name in kept}
        return dataclasses.replace(self, layers=layers)

    def check_pixels(self, config):
        """Raises the `ValueError` for a network that normalises its clips otherwise.

        Args:
            config: Its `VideoConfig`.
        """
        theirs = {**config.to_dict(), **self.video_config}
        mean, std = (tuple(theirs[name]) for name in ("mean", "std"))
        if config.channels == theirs["channels"] and (config.mean, config.std) != (mean, std):
            raise ValueError(
                "`video_config` must have the mean and std that the weights were trained with, "
                f"{mean} and {std}. Received: mean={config.mean}, std={config.std}"
            )

    def load_into(self, model, optional=()):
        """Copies the arrays into the layers of the same names.

        Args:
            model: A built model.
            optional: Names of layers that may be missing; they are left as they are.

        Returns:
            Names of the optional layers that the weights lack.

        Raises:
            ValueError: If a layer is missing or has another shape. The model is unchanged then.
        """
        layers = inflate(self.layers, model) if self.dimensions == 2 else self.layers
        missing = [name for name in optional if name not in layers]
        skipped = assign_by_name(model, layers, self.source, missing)
        if skipped:
            logger.warning(
                "%s: the classifier starts at random, the rest was loaded (%s)",
                self.source,
                skipped,
            )
        return missing


def read_weights_file(path):
    """Arrays of a Keras weights file.

    Args:
        path: A `.keras` or `.weights.h5` file, or one of Keras 2.

    Returns:
        `{layer name: {path of the variables below the layer: [array, ...]}}`, in file order.

    Raises:
        WeightsError: If the file is not one that Keras wrote.
    """
    try:
        if zipfile.is_zipfile(path):
            with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
                check_member(archive, "model.weights.h5", path)
                return _read_h5(archive.extract("model.weights.h5", folder))
        return _read_h5(path)
    except DAMAGE as error:
        raise WeightsError(
            f"{path} is damaged, or not a weights file that Keras wrote (.keras or .weights.h5): "
            f"{first_line(error)}"
        ) from error


def check_member(archive, name, path):
    """Raises the `ValueError` for a member of a ZIP file that is far larger than the file."""
    if archive.getinfo(name).file_size > LARGEST * os.path.getsize(path):
        raise ValueError(f"{name} in it is far larger than the file")


def write_weights_file(path, layers):
    """Writes arrays as a file that `read_weights_file` reads back.

    Args:
        path: A `.weights.h5` file.
        layers: What `read_weights_file` returns.
    """
    with h5py.File(path, "w") as file:
        for name, groups in layers.items():
            group = file.create_group(f"layers/{name}")
            group.create_group("vars").attrs["name"] = name
            for inner, arrays in groups.items():
                for index, array in enumerate(arrays):
                    group[f"{inner}/vars/{index}".lstrip("/")] = array


def assign_by_name(model, layers, source, optional=()):
    """Copies arrays into the layers of the same names.

    Args:
        model: A built model.
        layers: What `read_weights_file` returns.
        source: Where the arrays come from, for messages.
        optional: Names of layers that may be missing; they are left as they are.

    Returns:
        Why the classifier was left alone, or `""`.

    Raises:
        ValueError: If a layer with weights is missing in the file or in the model, or differs in
            shape. Nothing has been assigned then.
    """
    names = {layer.name for layer in model.layers}
    extra = [name for name in layers if name not in names and name != CLASSIFIER]
    if extra:
        raise ValueError(
            f"{source} has weights for layer {extra[0]!r}, which {model.name} lacks: it belongs to "
            "another network."
        )
    pending, skipped = [], ""
    for layer in model.layers:
        if not layer.weights:
            continue
        arrays = layers.get(layer.name)
        if arrays is None:
            if layer.name == CLASSIFIER:
                skipped = "the file has none"
                continue
            if layer.name in optional:
                continue
            hint = ""
            if layer.name.endswith("_stc"):
                hint = ", such as one without STC blocks, which the constructor's `weights` adds"
            raise ValueError(
                f"{source} has no weights for layer {layer.name!r}: it belongs to another "
                f"network{hint}."
            )
        pairs = _match(layer, fit_channels(layer, fit_clip_length(layer, arrays)), source)
        wrong = [(v, a) for v, a in pairs if tuple(v.shape) != a.shape]
        if wrong:
            variable, array = wrong[0]
            # Two kernels, of a dense layer or a convolution, may fit but for their outputs.
            if layer.name != CLASSIFIER or tuple(variable.shape)[:-1] != array.shape[:-1]:
                raise ValueError(
                    f"The shape of {variable.path} in {source} must be {tuple(variable.shape)}: "
                    "the file belongs to another network or clip length. "
                    f"Received: {array.shape}"
                )
            skipped = f"{array.shape[-1]} classes in the file, {variable.shape[-1]} in the model"
        else:
            pending += pairs
    for variable, array in pending:
        variable.assign(array)
    return skipped


def _match(layer, arrays, source):
    """`[(variable, array)]` of a layer; within one sub-layer, order is Keras' own."""
    groups = {}
    for variable in layer.weights:
        # "layer1_block1_stc/temporal_squeeze/kernel" -> "temporal_squeeze"
        inner = variable.path.split("/")[1:-1] if "/" in variable.path else []
        groups.setdefault("/".join(inner), []).append(variable)
    pairs = []
    for inner, variables in groups.items():
        below = arrays.get(inner, [])
        if len(below) != len(variables):
            raise ValueError(
                f"Layer {layer.name!r} must have {len(layer.weights)} arrays in {source}: the file "
                f"belongs to another network. Received: {sum(map(len, arrays.values()))}"
            )
        pairs += zip(variables, below, strict=True)
    return pairs


@contextlib.contextmanager
def open_h5(path):
    """An HDF5 file, all of whose arrays lie in it.

    The format lets arrays lie in other files, so that somebody else's would bring what is on this
    machine into a network; and compress them, so that little becomes very much.

    Args:
        path: The file.

    Returns:
        A context manager with an `h5py.File`.

    Raises:
        ValueError: If arrays of it lie elsewhere, or are much larger than the file.
    """
    room = LARGEST * os.path.getsize(path)

    def wrong(name, link):
        """What ends the visit: h5py passes no errors on."""
        nonlocal room
        if not isinstance(link, h5py.HardLink):
            return f"{name} in it is a link to somewhere else"
        if isinstance(node := file[name], h5py.Dataset):
            if node.external or node.is_virtual:
                return f"the array {name} in it lies somewhere else"
            room -= node.nbytes
            if room < 0:
                return f"the array {name} in it is far larger than the file, or all so far are"
        return None

    with h5py.File(path, "r") as file:
        if found := file.visititems_links(wrong):
            raise ValueError(found)
        yield file


def _read_h5(path):
    with open_h5(path) as file:
        return _keras_2_layers(file) if "layer_names" in file.attrs else _layers(file)


def is_keras_2(path):
    """Whether an HDF5 file is of Keras 2's format, whose layers are listed in order."""
    try:
        with open_h5(path) as file:
            return "layer_names" in file.attrs
    except DAMAGE:  # as whoever reads all of it will say
        return False


def _keras_2_layers(file):
    """Layers of Keras 2's format, where names are attributes of the file."""
    groups = {_text(name): file[_text(name)] for name in file.attrs["layer_names"]}
    layers = {
        name: [group[_text(weight)][()] for weight in group.attrs["weight_names"]]
        for name, group in groups.items()
    }
    return {name: {"": arrays} for name, arrays in layers.items() if arrays}


def _text(name):
    return name.decode() if isinstance(name, bytes) else name


def _layers(file):
    if "layers" not in file:
        raise KeyError("no group 'layers' in it")
    layers = {}
    for group in file["layers"].values():
        arrays = {}

        def visit(name, node, arrays=arrays):
            if isinstance(node, h5py.Dataset):
                inner, _, index = name.rpartition("vars/")
                arrays.setdefault(inner.strip("/"), {})[int(index)] = node[()]

        group.visititems(visit)
        if arrays:
            layers[_layer_name(group)] = {
                inner: [numbered[i] for i in sorted(numbered)] for inner, numbered in arrays.items()
            }
    return layers


def _layer_name(group):
    """The name of the layer that Keras kept in a group of a weights file.

    It leaves it beside the layer's variables, or, without any, beside its group.

    Raises:
        KeyError: If there is none.
    """
    name = group["vars"].attrs.get("name") if "vars" in group else group.attrs.get("name")
    if name is None:
        raise KeyError(f"no layer name at {group.name}")
    return name
