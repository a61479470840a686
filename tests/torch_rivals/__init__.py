"""The networks that STC is compared with, in plain PyTorch, to check ours against.

Nothing here is shared with `keras_stc`. A file has a network, and `NETWORKS`: of each name what
makes it, and which of its modules each of our layers is, as patterns of our layer's name and
functions of the match. Modules carry the names of the published checkpoints. Clips are
`(B, C, T, H, W)` and already normalised.
"""

import re

from torch_rivals import c3d, densenet3d, p3d, s3d, tran

NETWORKS = {
    name: network
    for file in (tran, s3d, c3d, densenet3d, p3d)
    for name, network in file.NETWORKS.items()
}


def create(name, **options):
    """`create("STCMC318", frames=16, classes=400, ...)`, named like our constructors."""
    base = name.removeprefix("STC")
    if name != base:
        options["stc"] = True
    return NETWORKS[base][0](**options)


def module_of(layer, network):
    """The module of a network that one of our layers is."""
    for pattern, module in NETWORKS[network][1]:
        if match := re.fullmatch(pattern, layer):
            return module(match)
    raise AssertionError(f"A layer that the reference does not have: {layer}")
