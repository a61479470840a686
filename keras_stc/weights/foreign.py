"""Other libraries' checkpoints of these networks, read into arrays by our layers' names.

| file | written by | what it holds |
|---|---|---|
| `.safetensors` | timm, torchvision's layer names | 2D ResNet, ResNeXt, DenseNet (ImageNet) |
| `.h5`, `.weights.h5` | `keras.applications` | ResNet50/101/152, DenseNet121/169 |
| `.h5` | keras-kinetics-i3d (dlpbc) | RGB-I3D and Flow-I3D (Kinetics-400) |
| `.pth`, `.pt`, `.tar` | Hara et al. (CVPR 2018) | 3D ResNet, wide ResNet, ResNeXt, DenseNet |
| the same | torchvision | `r3d_18`, `mc3_18`, `r2plus1d_18`, `s3d` |

Which of them it is, is told from the names of its arrays, not from the name of the file.
"""

import dataclasses

import numpy as np

from keras_stc.files import first_line
from keras_stc.weights.cache import WeightsError
from keras_stc.weights.load import CLASSIFIER, read_weights_file
from keras_stc.weights.torch_file import read_state_dict
from keras_stc.weights.torch_modules import family, layer_names, our_name

TORCH_ENDINGS = (".pth", ".pt", ".tar", ".bin")
ENDINGS = (".safetensors", *TORCH_ENDINGS, ".h5")

#: PyTorch's name of an array in a layer -> (kind of layer, place among the layer's variables).
_LEAVES = {"weight": 0, "bias": 1, "running_mean": 2, "running_var": 3}

#: `keras.applications`' layers -> ours. Its stages count from 2.
_KERAS_ENDS = [
    (r"conv1_conv", "conv1"),
    (r"conv1_bn", "conv1_bn"),
    (r"predictions|probs|fc1000", CLASSIFIER),
]

#: Of its ResNets, whose shortcut is number 0.
_KERAS_RESNET = [
    *_KERAS_ENDS,
    (r"conv(\d)_block(\d+)_0_conv", r"layer{0}_block{1}_shortcut_conv"),
    (r"conv(\d)_block(\d+)_0_bn", r"layer{0}_block{1}_shortcut_bn"),
    (r"conv(\d)_block(\d+)_(\d)_conv", r"layer{0}_block{1}_conv{2}"),
    (r"conv(\d)_block(\d+)_(\d)_bn", r"layer{0}_block{1}_bn{2}"),
]

#: Of its DenseNets, whose first normalisation is number 0.
_KERAS_DENSENET = [
    *_KERAS_ENDS,
    (r"conv(\d)_block(\d+)_0_bn", r"dense{0}_layer{1}_bn1"),
    (r"conv(\d)_block(\d+)_1_bn", r"dense{0}_layer{1}_bn2"),
    (r"conv(\d)_block(\d+)_(\d)_conv", r"dense{0}_layer{1}_conv{2}"),
    (r"pool(\d)_(bn|conv)", r"transition{0}_{1}"),
    (r"bn", "final_bn"),
]
#: keras-kinetics-i3d's: branch number and letter of the place in it.
_KERAS_I3D = [
    (r"(Conv3d_(?:1a_7x7|2b_1x1|2c_3x3)_(?:conv|bn))", "{0}"),
    (r"Conv3d_(\d\w)_0a_1x1_(conv|bn)", "Mixed_{0}_Branch_0_Conv3d_0a_1x1_{1}"),
    (r"Conv3d_(\d\w)_3b_1x1_(conv|bn)", "Mixed_{0}_Branch_3_Conv3d_0b_1x1_{1}"),
    (r"Conv3d_(\d\w)_([12])([ab])_(\dx\d)_(conv|bn)", "Mixed_{0}_Branch_{1}_Conv3d_0{2}_{3}_{4}"),
    (r"Conv3d_6a_1x1_conv", CLASSIFIER),
]
I3D_FIRST_LAYER = "Conv3d_1a_7x7_conv"
#: How I3D is fed; see `keras_stc.models.inception_i3d`.
I3D_CLIP = {"frames": 64, "stride": 1, "size": 224, "resize": 256}
S3D_CLIP = {"frames": 128, "fps": 15, "size": 224, "resize": (256, 256)}

#: Layers that only networks of others have: Keras' (with a slash in older files), and their I3D.
THEIR_LAYERS = frozenset(("conv1_conv", "conv1/conv", "Conv3d_3b_0a_1x1_conv"))
KERAS_BN_EPSILON, OUR_BN_EPSILON = 1.001e-5, 1e-5

#: What the weights want subtracted and divided by, RGB 0-255.
NORMALIZATIONS = {
    # timm and torchvision, on ImageNet.
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    # keras.applications.resnet: "caffe", BGR there.
    "caffe": ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
    # Hara et al.'s first release: ActivityNet's mean on the scale 0-255, no division.
    "hara-2017": ((114.7748, 107.7354, 99.4750), (1.0, 1.0, 1.0)),
    # Their second release (mean.py, "kinetics"), times 255.
    "hara-2020": ((110.7975, 103.3005, 96.2625), (70.584, 69.1815, 69.7935)),
    # I3D, whose optical flow is that of two channels.
    "i3d": ((127.5,) * 3, (127.5,) * 3),
    # torchvision's video models.
    "torchvision": ((110.2008, 100.63983, 95.99475), (58.14765, 56.46975, 55.332195)),
}


@dataclasses.dataclass(frozen=True)
class Foreign:
    """A checkpoint in our terms.

    Attributes:
        layers: `{layer name: {"": [arrays]}}` in Keras' layout, as `read_weights_file` returns.
            Kernels of 2D networks are 2D.
        unused: Names of arrays that have no place, such as counters of batches.
        arguments: Arguments of a constructor that the checkpoint settles: `shortcut`, `stem`,
            `classes`, `preactivation`.
        normalization: Key of `NORMALIZATIONS`.
        dimensions: 2 or 3.
        family: `"residual"`, `"densenet3d"`, `"s3d"` or `"inception_i3d"`.
    """

    layers: dict
    unused: tuple[str, ...]
    arguments: dict
    normalization: str
    dimensions: int
    family: str = "residual"

    @property
    def video_config(self):
        mean, std = NORMALIZATIONS[self.normalization]
        if self.family != "inception_i3d":
            clip = S3D_CLIP if self.family == "s3d" else {}
            return {**clip, "mean": mean, "std": std}
        if self.layers[I3D_FIRST_LAYER][""][0].shape[-2] == 2:
            return {**I3D_CLIP, "mean": mean[:2], "std": std[:2], "flow": "tvl1"}
        return {**I3D_CLIP, "mean": mean, "std": std}


def read_foreign(path):
    """Reads a checkpoint of one of the kinds above.

    Example:

    ```python
    foreign = read_foreign("resnet-50-kinetics.pth")
    foreign.arguments  # {"classes": 400, "shortcut": "projection", "stem": "resnet3d"}
    ```

    Args:
        path: Path of the file.

    Returns:
        A `Foreign`.

    Raises:
        WeightsError: If the file cannot be read, or holds another network.
    """
    path = str(path)
    if path.endswith(".h5"):
        return from_keras(read_weights_file(path), path)
    if path.endswith(".safetensors"):
        return _from_torch(_read_safetensors(path), path)
    if path.endswith(TORCH_ENDINGS):
        return _from_torch(read_state_dict(path), path)
    raise WeightsError(f"A checkpoint must end in one of {', '.join(ENDINGS)}. Received: {path}")


def _from_torch(tensors, path):
    wrapped = any(key.startswith("module.") for key in tensors)
    keys = {key: key.removeprefix("module.").rpartition(".") for key in tensors}
    modules = {module for module, _, _ in keys.values()}
    kind, names = family(modules), layer_names(modules)
    places, unused = {}, []
    for key, (module, _, leaf) in keys.items():
        if module in names and leaf in _LEAVES:
            places[names[module], _LEAVES[leaf]] = _keras_layout(tensors[key])
        else:
            unused.append(key)
    _refuse_unless_whole(kind, places, unused, path)
    layers = {}
    for layer, index in sorted(places):
        layers.setdefault(layer, {"": []})[""].append(places[layer, index])
    if kind == "residual":
        arguments, kernel = _arguments(layers, _stem(modules)), _first_kernel(layers)
    else:
        arguments, kernel = classes_of(layers), _first_kernel(layers)
    if kernel.ndim == 4:
        normalization = "imagenet"
    elif kind == "s3d" or arguments.get("stem") in ("r3d", "r2plus1d"):
        normalization = "torchvision"
    else:
        # The first release was saved from inside `DataParallel`, the second was not.
        normalization = "hara-2017" if wrapped else "hara-2020"
    return Foreign(layers, tuple(unused), arguments, normalization, kernel.ndim - 2, kind)


def _stem(modules):
    if "stem.3" in modules:
        return "r2plus1d"
    return "r3d" if "stem.0" in modules else "resnet3d"


def _first_kernel(layers):
    first = ("conv1", "conv1_spatial", "Conv3d_1a_7x7_spatial_conv")
    return next(layers[name][""][0] for name in first if name in layers)


def is_of_keras(layers):
    """Whether layers bear the names of networks that Keras, or keras-kinetics-i3d, built."""
    return not THEIR_LAYERS.isdisjoint(layers)


def from_keras(found, path):
    """A `Foreign` of layers that `read_weights_file` read from `path`.

    Convolutions get rid of their bias and take RGB, and batch normalisation has our epsilon.

    Raises:
        WeightsError: If it is another network.
    """
    if I3D_FIRST_LAYER in found:
        layers = _renamed(found, _KERAS_I3D, path)
        return Foreign(layers, (), classes_of(layers), "i3d", 3, "inception_i3d")
    dense = "pool2_conv" in found
    table = _KERAS_DENSENET if dense else _KERAS_RESNET
    layers = _renamed(found, table, path, _stage_from_one)
    for needed, _ in _NEEDED["densenet3d" if dense else "residual"]:
        if needed not in layers:
            raise WeightsError(
                f"{path} holds no whole ResNet or DenseNet of Keras: it lacks {needed}."
            )
    for name, groups in layers.items():
        arrays = groups[""]
        if name == "conv1" and not dense:
            arrays[0] = arrays[0][:, :, ::-1]  # The input of ResNets is BGR.
        if name.endswith(("_conv", "conv1", "conv2", "conv3")) and len(arrays) == 2:
            # BN(x + b) with a moving mean m is BN(x) with m - b.
            norm = name.replace("conv", "bn") if name != "conv1" else "conv1_bn"
            layers[norm][""][2] = layers[norm][""][2] - arrays.pop(1)
        if "bn" in name.rpartition("_")[2]:
            arrays[3] = arrays[3] + np.float32(KERAS_BN_EPSILON - OUR_BN_EPSILON)
    if dense:
        return Foreign(layers, (), classes_of(layers), "imagenet", 2, "densenet3d")
    return Foreign(layers, (), _arguments(layers, "resnet3d"), "caffe", 2)


def _renamed(found, table, path, *change):
    """What `read_weights_file` returned, by our names, as `our_name` finds them."""
    layers = {}
    for name, groups in found.items():
        layer = our_name(name.replace("/", "_"), table, *change)
        if layer is None or "" not in groups:
            raise WeightsError(f"{path} holds layer {name!r}, for which these networks have none.")
        layers[layer] = {"": list(groups[""])}
    return layers


def _arguments(layers, stem):
    # Of two units of different width, one has to have a projection, or the shortcut pads.
    projected = "layer2_block1_shortcut_conv" in layers
    shortcut = "projection" if projected else "padding"
    arguments = {"stem": stem, "shortcut": shortcut, **classes_of(layers)}
    kernel, gamma = (
        layers.get(f"layer2_block1_{name}1", {"": [None]})[""][0] for name in ("conv", "bn")
    )
    if kernel is not None and gamma.shape[0] != kernel.shape[-1]:
        # Normalised before: Hara et al.'s, which have nothing behind the last stage.
        arguments |= {"preactivation": True, "final_norm": False}
    return arguments


def classes_of(layers):
    """`{"classes": number}` where there is a classifier among layers, else `{}`."""
    return {"classes": int(layers[CLASSIFIER][""][0].shape[-1])} if CLASSIFIER in layers else {}


#: Layers without which a checkpoint is none of its family, each with an array that it must have.
_NEEDED = {
    "residual": [("conv1", 0), ("conv1_bn", 3), ("layer4_block1_conv2", 0)],
    "densenet3d": [("conv1", 0), ("dense4_layer1_conv2", 0), ("final_bn", 3)],
    "s3d": [("Conv3d_1a_7x7_spatial_conv", 0), ("Mixed_5c_branch0_bn", 3)],
}


def _refuse_unless_whole(kind, places, unused, path):
    missing = [
        layer
        for layer, index in _NEEDED[kind]
        # Of R(2+1)D, two convolutions are one.
        if (layer, index) not in places
        and not {(f"{layer}_spatial", index), (f"{layer}_temporal", index)} <= places.keys()
    ]
    if missing:
        examples = ", ".join(unused[:3]) or "nothing"
        raise WeightsError(
            f"{path} holds no ResNet, ResNeXt, DenseNet or S3D with the layer names of torchvision "
            f"or Hara et al.: it lacks {missing[0]}, and holds {examples} instead."
        )
    strange = [key for key in unused if not key.endswith("num_batches_tracked")]
    if strange:
        raise WeightsError(
            f"{path} holds {len(strange)} arrays for which these networks have no place: "
            f"{', '.join(strange[:3])}{', ...' if len(strange) > 3 else ''}."
        )


def _stage_from_one(stage=2, *others):
    return int(stage) - 1, *others


def _keras_layout(array):
    """Kernels (O, I, T, H, W) -> (T, H, W, I, O), with or without T; dense ones are transposed."""
    axes = {5: (2, 3, 4, 1, 0), 4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim)
    return array if axes is None else np.ascontiguousarray(array.transpose(axes))


def _read_safetensors(path):
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError, TypeError, AttributeError) as error:
        # The latter two of types that NumPy has none for, such as bfloat16.
        raise WeightsError(f"{path} cannot be read as safetensors: {first_line(error)}") from error
