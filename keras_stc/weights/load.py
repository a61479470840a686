"""Weights of a file into a model, by the names of its layers."""

import logging
import os
import tempfile
import zipfile

import h5py

logger = logging.getLogger("keras_stc")

CLASSIFIER = "predictions"


def load_weights(model, weights, architecture=None):
    """Loads what `weights=` names into a model.

    Layers are matched by name, never by order. A classifier of another width is left as it is
    (said in a log line), so that pretrained weights serve a new set of classes; a file with a
    classifier serves a model without one.

    Args:
        model: A built model of the zoo.
        weights: Path of a `.keras` or `.weights.h5` file.
        architecture: The model's name in the zoo, for messages.

    Raises:
        ValueError: If there is no such file, or a layer is missing or has another shape.
    """
    path = os.fspath(weights)
    if not os.path.exists(path):
        if path.startswith("hf://") or not path.endswith((".keras", ".h5")):
            raise ValueError(
                f"`weights={path!r}` is not published for {architecture or model.name}: no file "
                "of that name exists, and no weights are registered under that tag. Give the path "
                "of a .keras or .weights.h5 file, or weights=None to start at random."
            )
        raise ValueError(
            f"The weights file {path} does not exist: give the path of a .keras or "
            ".weights.h5 file."
        )
    layers = read_weights_file(path)
    skipped = assign_by_name(model, layers, path)
    if skipped:
        logger.info("%s: the classifier was not loaded (%s)", os.path.basename(path), skipped)


def read_weights_file(path):
    """Arrays of a Keras weights file.

    Args:
        path: A `.keras` or `.weights.h5` file.

    Returns:
        `{layer name: {path of the variables below the layer: [array, ...]}}`, in file order.

    Raises:
        ValueError: If the file is not one that Keras wrote.
    """
    try:
        if zipfile.is_zipfile(path):
            with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
                return _read_h5(archive.extract("model.weights.h5", folder))
        return _read_h5(path)
    except (OSError, KeyError) as error:
        raise ValueError(
            f"{path} is not a weights file that Keras wrote (.keras or .weights.h5): {error}"
        ) from error


def assign_by_name(model, layers, source):
    """Copies arrays into the layers of the same names.

    Args:
        model: A built model.
        layers: What `read_weights_file` returns.
        source: Where the arrays come from, for messages.

    Returns:
        Why the classifier was left alone, or `""`.

    Raises:
        ValueError: If a layer with weights is missing in the file, or differs in shape. Nothing
            has been assigned then.
    """
    pending, skipped = [], ""
    for layer in model.layers:
        if not layer.weights:
            continue
        arrays = layers.get(layer.name)
        if arrays is None:
            if layer.name == CLASSIFIER:
                skipped = "the file has none"
                continue
            raise ValueError(
                f"{source} has no weights for layer {layer.name!r}: it belongs to another network."
            )
        pairs = _match(layer, arrays, source)
        wrong = [(v, a) for v, a in pairs if tuple(v.shape) != a.shape]
        if wrong and layer.name == CLASSIFIER and _differ_in_classes(*wrong[0]):
            variable, array = wrong[0]
            skipped = f"{array.shape[-1]} classes in the file, {variable.shape[-1]} in the model"
        elif wrong:
            variable, array = wrong[0]
            raise ValueError(
                f"The shape of {variable.path} in {source} must be {tuple(variable.shape)}: the "
                f"file belongs to another network or clip length. Received: {array.shape}"
            )
        else:
            pending += pairs
    for variable, array in pending:
        variable.assign(array)
    return skipped


def _differ_in_classes(variable, array):
    """Whether two kernels, of a dense layer or a convolution, fit but for their outputs."""
    return tuple(variable.shape)[:-1] == array.shape[:-1]


def _match(layer, arrays, source):
    """`[(variable, array)]` of a layer; within one sub-layer, order is Keras' own."""
    groups = {}
    for variable in layer.weights:
        # "layer1_block1_stc/temporal_squeeze/kernel" -> "temporal_squeeze"
        inner = variable.path.split("/")[1:-1] if "/" in variable.path else []
        groups.setdefault("/".join(inner), []).append(variable)
    pairs = []
    for inner, variables in groups.items():
        found = arrays.get(inner, [])
        if len(found) != len(variables):
            raise ValueError(
                f"Layer {layer.name!r} must have {len(layer.weights)} arrays in {source}: the file "
                f"belongs to another network. Received: {sum(map(len, arrays.values()))}"
            )
        pairs += zip(variables, found, strict=True)
    return pairs


def _read_h5(path):
    with h5py.File(path, "r") as file:
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
                    inner: [found[i] for i in sorted(found)] for inner, found in arrays.items()
                }
        return layers


def _layer_name(group):
    """Keras leaves a layer's name beside its variables, or, without any, beside its group."""
    name = group["vars"].attrs.get("name") if "vars" in group else group.attrs.get("name")
    if name is None:
        raise KeyError(f"no layer name at {group.name}")
    return name
