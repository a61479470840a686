"""PyTorch's names of modules -> our layers, for each family of networks whose checkpoints are read.

Our names stand in the docstrings of the networks, `keras_stc.models`.
"""

import re

from keras_stc.weights.load import CLASSIFIER

#: Residual networks of timm, Hara et al. and torchvision. Units count from 0 there and from 1 here.
_UNIT = r"layer(\d)\.(\d+)\."
_RESIDUAL = [
    (r"(?:stem\.0|conv1)", "conv1"),
    (r"(?:stem\.1|bn1)", "conv1_bn"),
    (_UNIT + r"(conv\d)", r"layer{0}_block{1}_{2}"),
    (_UNIT + r"bn(\d)", r"layer{0}_block{1}_bn{2}"),
    # torchvision's: conv1 holds a convolution, or the two of R(2+1)D, and its normalisation.
    (_UNIT + r"(conv\d)\.0", r"layer{0}_block{1}_{2}"),
    (_UNIT + r"(conv\d)\.0\.0", r"layer{0}_block{1}_{2}_spatial"),
    (_UNIT + r"(conv\d)\.0\.1", r"layer{0}_block{1}_{2}_spatial_bn"),
    (_UNIT + r"(conv\d)\.0\.3", r"layer{0}_block{1}_{2}_temporal"),
    (_UNIT + r"conv(\d)\.1", r"layer{0}_block{1}_bn{2}"),
    (_UNIT + r"downsample\.0", r"layer{0}_block{1}_shortcut_conv"),
    (_UNIT + r"downsample\.1", r"layer{0}_block{1}_shortcut_bn"),
    (r"fc", CLASSIFIER),
]
_R2PLUS1D_STEM = {
    "stem.0": "conv1_spatial",
    "stem.1": "conv1_spatial_bn",
    "stem.3": "conv1_temporal",
    "stem.4": "conv1_bn",
}

#: Hara et al.'s dense networks; `norm.1` was `norm1` before their second release.
_DENSE_LAYER = r"features\.denseblock(\d)\.denselayer(\d+)\."
_DENSE = [
    (r"features\.conv0", "conv1"),
    (r"features\.norm0", "conv1_bn"),
    (_DENSE_LAYER + r"norm\.?(\d)", r"dense{0}_layer{1}_bn{2}"),
    (_DENSE_LAYER + r"conv\.?(\d)", r"dense{0}_layer{1}_conv{2}"),
    (r"features\.transition(\d)\.norm", r"transition{0}_bn"),
    (r"features\.transition(\d)\.conv", r"transition{0}_conv"),
    (r"features\.norm5", "final_bn"),
    (r"classifier", CLASSIFIER),
]

#: torchvision's S3D: the end points in the order of its `features`, and what is in one.
_END_POINTS = [
    *("Conv3d_1a_7x7", "", "Conv3d_2b_1x1", "Conv3d_2c_3x3", ""),
    *("Mixed_3b", "Mixed_3c", ""),
    *("Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f", ""),
    *("Mixed_5b", "Mixed_5c"),
]
_SPACE_AND_TIME, _CONV_AND_BN = ("_spatial", "_temporal"), ("_conv", "_bn")
_PARTS = [
    (r"()()([01])", ""),
    (r"()([01])\.([01])", ""),
    (r"([03])()(?:\.1)?\.([01])", "_branch{0}"),
    (r"([12])()\.0\.([01])", "_branch{0}_reduce"),
    (r"([12])\.1\.([01])\.([01])", "_branch{0}"),
]


def family(modules):
    """Which family of networks a checkpoint is of: `"residual"`, `"densenet3d"` or `"s3d"`."""
    if any(module.startswith("features.denseblock1.") for module in modules):
        return "densenet3d"
    return "s3d" if "features.0.0.0" in modules else "residual"


def layer_names(modules):
    """Our layers.

    Args:
        modules: Set of names of modules of one checkpoint.

    Returns:
        `{module: layer}`, without modules that have no place here.
    """
    kind = family(modules)
    if kind == "s3d":
        layers = {module: _s3d_layer(module) for module in modules}
    elif kind == "densenet3d":
        layers = {module: our_name(module, _DENSE) for module in modules}
    else:
        layers = {module: our_name(module, _RESIDUAL, _from_one) for module in modules}
        if "stem.3" in modules:
            layers.update(_R2PLUS1D_STEM)
    return {module: layer for module, layer in layers.items() if layer}


def our_name(name, table, change=lambda *groups: groups):
    """Our name of a layer by the first pattern of a table that fits, or `None`.

    Args:
        name: Somebody else's.
        table: `[(pattern, our name)]`, in which `{0}` is the first group of the pattern.
        change: Of the groups, to what goes into our name.
    """
    for pattern, layer in table:
        if match := re.fullmatch(pattern, name):
            return layer.format(*change(*match.groups()))
    return None


def _from_one(stage=None, unit=0, *others):
    return stage, int(unit) + 1, *others


def _s3d_layer(module):
    if module == "classifier.1":
        return CLASSIFIER
    match = re.fullmatch(r"features\.(\d+)\.(?:branch)?(.*)", module)
    if not match or int(match[1]) >= len(_END_POINTS) or not _END_POINTS[int(match[1])]:
        return None
    inner = "branch" in module
    for pattern, layer in _PARTS:
        part = re.fullmatch(pattern, match[2])
        if part and inner == ("branch" in layer):
            axis = _SPACE_AND_TIME[int(part[2])] if part[2] else ""
            kind = _CONV_AND_BN[int(part[3])]
            return _END_POINTS[int(match[1])] + layer.format(part[1]) + axis + kind
    return None
