"""A network built as its pretrained weights want it, and the weights loaded into it."""

import dataclasses

import numpy as np

from keras_stc.layers.stc import stc_blocks
from keras_stc.models.configs import takes_weights_of
from keras_stc.models.inputs import asked_config
from keras_stc.video_config import VideoConfig
from keras_stc.weights.find import find_weights

#: Gates of STC blocks that follow a whole stage start nearly shut: sigmoid(-4) = 0.018.
SHUT = -4.0


class DefaultClasses(int):
    """The default of `classes`, told apart from a number that the caller gave."""


DEFAULT_CLASSES = DefaultClasses(400)


def build_pretrained(build, arch, weights, arguments, structure):
    """Builds a network and loads weights into it.

    What the caller left at its default follows the weights: structure, number of classes, clip
    shape and `video_config`. What he gave stays, and other classes get a classifier of their own.
    Of the structure, a value that is the default's counts as left out.

    Args:
        build: Function that builds the network from `arguments`.
        arch: Its name in the zoo.
        weights: As the constructors take it; `None` builds at random.
        arguments: `{name: value}` of the constructor.
        structure: `{name: default}` of those that say how the network is built, apart from its
            input and its classifier.

    Returns:
        A `VideoModel`.

    Raises:
        ValueError: If the weights cannot be had or do not fit.
    """
    if weights is None:
        return build(**arguments)
    pretrained = find_weights(weights, arch)
    theirs, end = pretrained.architecture, arguments.get("final_endpoint")
    ends_elsewhere = end is not None and end != theirs.get("final_endpoint")
    if ends_elsewhere:  # their classifier is of other features
        pretrained = dataclasses.replace(
            pretrained,
            architecture={**theirs, "include_top": False},
            video_config={**pretrained.video_config, "class_names": None},
        )
    model = build(**_completed(pretrained, arch, arguments, structure))
    if ends_elsewhere:
        pretrained = pretrained.of_layers(layer.name for layer in model.layers)
    blocks = stc_blocks(model)
    missing = pretrained.load_into(model, [block.name for block in blocks])
    if missing and len(missing) < len(blocks):
        raise ValueError(
            f"{pretrained.source} has no weights for layer {missing[0]!r}, and has them for other "
            "STC blocks: it belongs to another network."
        )
    for block in blocks if missing else ():
        make_neutral(block, model)
    return model


def make_neutral(block, model):
    """Sets an STC block so that the network starts as it would be without it.

    In a residual unit the gates start at one half, where a sigmoid learns fastest, whatever the
    clip; the batch normalisation or convolution before the block is doubled to make up for that.
    After a stage, y = X + STC(X), they start nearly shut (our choice). A block whose `gain` is 2
    needs no more than gates of one half.

    Args:
        block: An `STCBlock` of the model.
        model: The model.
    """
    whole = block.gain == 2
    after_stage = not whole and block.name.count("_") == 1  # "layer3_stc", not "layer3_block2_stc"
    for branch in block.branches:
        excite = getattr(block, f"{branch}_excite")
        excite.kernel.assign(np.zeros(excite.kernel.shape))
        excite.bias.assign(np.full(excite.bias.shape, SHUT if after_stage else 0.0))
    if not (after_stage or whole):
        before = next(layer for layer in model.layers if layer.output is block.input)
        for variable in before.trainable_variables:
            variable.assign(2 * variable)


def _completed(pretrained, arch, arguments, structure):
    theirs = pretrained.architecture
    name = theirs.get("name", arch)
    if not takes_weights_of(arch, name):
        raise ValueError(
            f"{pretrained.source} holds a {name}, and this is {arch}: build that with "
            f"keras_stc.create_model({name!r}, weights=...)."
        )
    if unknown := sorted({*theirs} - {"name", *arguments}):
        raise ValueError(
            f"{pretrained.source} is of a network built with {', '.join(unknown)}, which this "
            "version of keras-stc does not know: install a newer one."
        )
    completed = dict(arguments)
    for key, default in structure.items():
        if key in theirs and _same(arguments[key], default):
            completed[key] = theirs[key]
    width = completed.get("alpha", 1.0)
    if theirs and width != theirs.get("alpha", 1.0):
        raise ValueError(
            f"{pretrained.source} holds weights of a network of width "
            f"alpha={theirs.get('alpha', 1.0):g}, which do not fit another width. "
            f"Received: alpha={width:g}"
        )
    if isinstance(arguments["classes"], DefaultClasses) and theirs.get("include_top", True):
        completed["classes"] = theirs.get("classes", int(DEFAULT_CLASSES))
    if arguments["input_shape"] is None and arguments["input_tensor"] is None:
        if arguments["video_config"] is None:
            completed["input_shape"] = theirs.get("input_shape")
    completed["video_config"] = _video_config(pretrained, completed)
    return completed


def _video_config(pretrained, arguments):
    """The caller's `VideoConfig`, or that of the weights; both have to normalise alike."""
    theirs, given = dict(pretrained.video_config), arguments["video_config"]
    if not theirs:
        return given
    names = theirs.get("class_names")
    if names is not None and not (arguments["include_top"] and len(names) == arguments["classes"]):
        theirs["class_names"] = None
    theirs = VideoConfig.from_dict(theirs)
    config = asked_config(given, theirs)
    dataclasses.replace(pretrained, video_config=theirs.to_dict()).check_pixels(config)
    if config.class_names is None and theirs.class_names is not None:
        config = config.replace(class_names=theirs.class_names)
    return config


def _same(value, default):
    if isinstance(value, (list, tuple)) and isinstance(default, (list, tuple)):
        return tuple(value) == tuple(default)
    return value == default
