"""Parameters and multiply-accumulates of a built model, and the zoo's table of them.

`python -m keras_stc.models.complexity [NAME ...]` measures the models of these names, or all, and
puts their counts, constructors and usual clips into `complexity.json`, which is read without Keras.
"""

import functools
import json
import math
import pathlib
import sys

CACHE = pathlib.Path(__file__).with_name("complexity.json")

#: Clip lengths the table shows (paper, section 4.2).
CLIP_LENGTHS = (16, 32)


def count_parameters(model):
    """Trainable parameters of a model; BN's moving statistics do not count."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def count_macs(model):
    """Multiply-accumulates of one clip: convolutions and dense layers, nothing else.

    FLOPs are twice that.

    Args:
        model: A functional model whose input shape is fixed.

    Returns:
        Integer.

    Raises:
        ValueError: If the size of a feature map is unknown.
    """
    from keras_stc.layers import FoldFrames

    total = 0
    folded = any(isinstance(layer, FoldFrames) for layer in model.layers)
    for layer in model.layers:
        for variable in layer.weights:
            if not variable.path.endswith("kernel"):
                continue
            # A sub-layer, such as a dense layer of an STC block, runs once a clip.
            is_kernel = variable is getattr(layer, "kernel", None)
            positions = layer.output.shape[1:-1] if is_kernel else ()
            if folded and len(positions) == 2:  # of a layer that sees one frame at a time
                positions = (model.input_shape[1], *positions)
            if None in positions:
                raise ValueError(
                    "`model` must have a fixed input shape for its multiply-accumulates to be "
                    f"counted. Received: input_shape={model.input_shape}"
                )
            total += math.prod(positions) * math.prod(variable.shape)
    return total


@functools.cache
def zoo_complexity():
    """What `complexity.json` says of each model.

    `{name: {"constructor": name, "clip": [T, H, W], "parameters": {key: count}, "macs": {key:
    count}}}`; the clip is the usual one.

    Counted on models with 400 classes and clips of 112x112 pixels; of networks outside the table
    of residual ones on their own. A key is the clip's length in frames, `"16"`; of networks with
    STC blocks with their placement, `"block-16"`, or `"stc-16"` where they have one.
    """
    return json.loads(CACHE.read_text())


def measure(name):
    """One entry of the table, from built models."""
    import keras

    from keras_stc.models.configs import VARIANTS
    from keras_stc.models.zoo import create_model

    if name not in VARIANTS:
        frames = create_model(name).input_shape[1]
        cases = {f"{frames}": {}, f"stc-{frames}": {"stc": True}}
    else:
        placements = ("block", "stage") if VARIANTS[name].stc else ("block",)
        cases = {
            f"{placement}-{frames}" if VARIANTS[name].stc else f"{frames}": {
                "input_shape": (frames, 112, 112, 3),
                "stc_placement": placement,
            }
            for placement in placements
            for frames in CLIP_LENGTHS
        }
    entry = {**shown(name), "parameters": {}, "macs": {}}
    for key, arguments in cases.items():
        keras.backend.clear_session()
        model = create_model(name, **arguments)
        entry["parameters"][key] = count_parameters(model)
        entry["macs"][key] = count_macs(model)
    return entry


def shown(name):
    """The part of an entry that no model has to be built for."""
    from keras_stc.models.zoo import CONSTRUCTORS, usual_config

    return {
        "constructor": CONSTRUCTORS[name].__name__,
        "clip": list(usual_config(name).clip_shape[:3]),
    }


if __name__ == "__main__":
    from keras_stc.models.zoo import list_models

    table = dict(zoo_complexity())
    for model_name in sys.argv[1:] or list_models():
        table[model_name] = measure(model_name)
        print(model_name, table[model_name], flush=True)
    table = {name: table[name] for name in list_models() if name in table}
    CACHE.write_text(json.dumps(table, indent=1) + "\n")
