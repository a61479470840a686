"""Seeded weights by name, and the way between the PyTorch reference's names and ours.

Weights are a function of their reference name, their shape in PyTorch's layout and a seed, drawn by
`numpy.random.RandomState`, whose streams NumPy has frozen. So the same weights can be made on a
machine without PyTorch, in any order, and nothing but outputs has to be stored.
"""

import contextlib
import dataclasses
import pathlib
import re
import zlib

import numpy as np

#: What one of our layers' variables is called in the reference.
LEAVES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
STC_PARTS = {
    "temporal_squeeze": "fc_temporal1",
    "temporal_excite": "fc_temporal2",
    "spatial_squeeze": "fc_spatial1",
    "spatial_excite": "fc_spatial2",
}
SINGLE_LAYERS = {
    "conv1": "conv1",
    "conv1_bn": "bn1",
    "final_bn": "bn_last",
    "predictions": "fc",
}
UNIT_PARTS = {
    "shortcut_conv": "downsample.0",
    "shortcut_bn": "downsample.1",
    "stc": "stc",
}


#: Units in the stages of a short network: in the first stage one unit with a projection (but for
#: basic units) and one without, then a strided one in each.
SHORT = (2, 1, 1, 1)


@dataclasses.dataclass(frozen=True)
class Case:
    """A network, the clip it sees, and the constructor's options.

    With `units` it has that many residual units in its stages, to test what is not about depth in
    little time.
    """

    name: str
    network: str
    clip: tuple  # frames, height, width
    options: dict = dataclasses.field(default_factory=dict)
    units: tuple | None = None
    slow: bool = False
    classes: int = 11

    def keras_model(self, **more):
        from short import short_networks

        from keras_stc import models

        with short_networks(self.units) if self.units else contextlib.nullcontext():
            return getattr(models, self.network)(
                weights=None,
                classes=self.classes,
                input_shape=(*self.clip, 3),
                classifier_activation=None,
                **self.options,
                **more,
            )

    def torch_model(self):
        import torch_reference

        return torch_reference.create(
            self.network,
            units=self.units,
            frames=self.clip[0],
            classes=self.classes,
            **self.options,
        )


def _forward_cases():
    # Sides of 64 and 90 stay even for a while, where stride 2 with "same" padding differs from
    # explicit padding; 45, 37 and 74 turn odd, and 7 and 13 frames are odd along time.
    full = [
        ("resnet18", "ResNet3D18", (16, 64, 64), {}),
        ("resnet50", "ResNet3D50", (8, 64, 64), {}),
        ("resnet101", "ResNet3D101", (8, 48, 48), {}),
        ("resnext101", "ResNeXt3D101", (8, 48, 48), {}),
        ("stc18", "STCResNet18", (16, 64, 64), {}),
        ("stc18-stage", "STCResNet18", (16, 64, 64), STAGE),
        ("stc50", "STCResNet50", (8, 48, 48), {}),
        ("stc50-stage", "STCResNet50", (8, 48, 48), STAGE),
        ("stc-resnext101", "STCResNeXt101", (8, 48, 48), {}),
        ("stc-resnext101-stage", "STCResNeXt101", (8, 48, 48), STAGE),
    ]
    slow = [
        ("resnet34", "ResNet3D34", (8, 48, 48), PADDING),
        ("resnet152", "ResNet3D152", (8, 32, 32), {}),
        ("resnext50", "ResNeXt3D50", (8, 48, 48), {}),
        ("stc34", "STCResNet34", (8, 48, 48), {}),
        ("stc101", "STCResNet101", (8, 48, 48), {}),
        ("stc152", "STCResNet152", (8, 32, 32), {}),
        ("stc-resnext50", "STCResNeXt50", (8, 48, 48), {}),
    ]
    short = [
        ("short18-odd", "ResNet3D18", (7, 45, 37), {}),
        ("short18-padding", "ResNet3D18", (8, 64, 64), PADDING),
        ("short18-padding-odd", "ResNet3D18", (7, 45, 37), PADDING),
        ("short18-table1", "ResNet3D18", (8, 64, 64), TABLE1),
        ("short18-table1-odd", "ResNet3D18", (7, 45, 37), TABLE1),
        ("short18-pre", "ResNet3D18", (8, 64, 64), PRE),
        ("short50-padding", "ResNet3D50", (8, 48, 48), PADDING),
        ("short50-pre", "ResNet3D50", (8, 48, 48), PRE),
        ("short50-pre-padding", "ResNet3D50", (8, 48, 48), {**PRE, **PADDING}),
        ("short-resnext50-odd", "ResNeXt3D50", (8, 45, 37), {}),
        ("short-stc18-32-frames", "STCResNet18", (32, 32, 32), {}),
        ("short-stc18-odd", "STCResNet18", (16, 90, 74), {}),
        ("short-stc18-odd-frames", "STCResNet18", (13, 45, 37), {}),
        ("short-stc18-temporal", "STCResNet18", (16, 48, 48), TEMPORAL),
        ("short-stc18-spatial", "STCResNet18", (16, 48, 48), SPATIAL),
        ("short-stc18-stage-spatial", "STCResNet18", (16, 48, 48), {**STAGE, **SPATIAL}),
        ("short-stc18-ratio-8", "STCResNet18", (16, 48, 48), {"reduction_ratio": 8}),
        ("short-stc18-table1-padding", "STCResNet18", (16, 48, 48), {**TABLE1, **PADDING}),
        ("short-stc18-pre", "STCResNet18", (16, 48, 48), PRE),
        ("short-stc18-pre-stage", "STCResNet18", (16, 48, 48), {**PRE, **STAGE}),
        ("short-stc50-pre", "STCResNet50", (8, 48, 48), PRE),
        ("short-stc-resnext50-pre", "STCResNeXt50", (8, 48, 48), PRE),
        ("short-stc18-half", "STCResNet18", (16, 48, 48), HALF),
        ("short-stc-resnext50-half", "STCResNeXt50", (8, 48, 48), HALF),
    ]
    return [
        *(Case(*row) for row in full),
        *(Case(*row, units=SHORT) for row in short),
        *(Case(*row, slow=True) for row in slow),
    ]


STAGE = {"stc_placement": "stage"}
TEMPORAL = {"stc_branches": ("temporal",)}
SPATIAL = {"stc_branches": ("spatial",)}
PADDING = {"shortcut": "padding"}
TABLE1 = {"stem": "table1"}
PRE = {"preactivation": True}
HALF = {"alpha": 0.5}

#: Networks whose outputs are compared with the reference's.
FORWARD = _forward_cases()

#: float32 sums in another order, over up to 150 layers, stay well below; a wrong network is not.
OUTPUT_TOLERANCE = 1e-4

GOLDENS = pathlib.Path(__file__).parent / "goldens" / "parity.npz"


def golden(case):
    """The reference's stored outputs for a case."""
    with np.load(GOLDENS) as goldens:
        return goldens[case.name]


def params(cases, is_slow=lambda case: False):
    """Cases as `pytest.mark.parametrize` takes them."""
    import pytest

    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(case, id=case.name, marks=marks[is_slow(case)]) for case in cases]


def clips(case, batch=2, seed=0):
    """RGB clips 0-255, `(B, T, H, W, C)`: noise, and in each frame another colour over it."""
    rng = np.random.RandomState(zlib.crc32(f"clips/{case.name}/{seed}".encode()))
    colour = rng.uniform(0, 255, size=(batch, case.clip[0], 1, 1, 3))
    noise = rng.uniform(0, 255, size=(batch, *case.clip, 3))
    return ((colour + noise) / 2).astype("float32")


def to_torch_clips(clips, config=None):
    """`(B, T, H, W, C)`, 0-255 -> `(B, C, T, H, W)`, normalised as `VideoConfig` says."""
    from keras_stc.video_config import VideoConfig

    config = config or VideoConfig()
    normalised = (clips - np.float32(config.mean)) / np.float32(config.std)
    return np.ascontiguousarray(normalised.transpose(0, 4, 1, 2, 3))


def seeded_weights(shapes, seed=0):
    """Weights for `{reference name: shape in PyTorch's layout}`, with outputs of order 1.

    Kernels are He-uniform over their fan-in; a unit's last convolution is scaled down so that the
    sum of 50 units stays finite; conv1 also undoes the scale of pixels. Batch normalisation gets
    scales, shifts and statistics that none of its four roles can be mistaken for another.
    """
    last_convs = {}
    for name in shapes:
        match = re.fullmatch(r"(layer\d\.\d+)\.conv(\d)\.weight", name)
        if match:
            last_convs[match[1]] = max(last_convs.get(match[1], 0), int(match[2]))
    last_convs = {f"{unit}.conv{k}.weight" for unit, k in last_convs.items()}

    weights = {}
    for name, shape in shapes.items():
        rng = np.random.RandomState(zlib.crc32(f"{seed}/{name}".encode()))
        leaf = name.rsplit(".", 1)[-1]
        if len(shape) > 1:
            limit = (6 / np.prod(shape[1:])) ** 0.5
            limit *= {"conv1.weight": 1 / 64}.get(name, 1)
            limit *= 0.3 if name in last_convs else 1
            value = rng.uniform(-limit, limit, size=shape)
        elif leaf == "weight":
            value = rng.uniform(0.5, 1.5, size=shape)
        elif leaf == "running_var":
            value = rng.uniform(0.7, 1.3, size=shape)
        else:
            value = rng.uniform(-0.3, 0.3, size=shape)
        weights[name] = value.astype("float32")
    return weights


def reference_prefix(layer_name):
    """`"layer3_block2_shortcut_conv"` -> `"layer3.1.downsample.0"`."""
    if layer_name in SINGLE_LAYERS:
        return SINGLE_LAYERS[layer_name]
    if re.fullmatch(r"layer[1-4]_stc", layer_name):
        return layer_name
    match = re.fullmatch(r"layer([1-4])_block(\d+)_(\w+)", layer_name)
    if match:
        stage, unit, part = match.groups()
        if part in UNIT_PARTS or re.fullmatch(r"(conv|bn)\d", part):
            return f"layer{stage}.{int(unit) - 1}.{UNIT_PARTS.get(part, part)}"
    raise AssertionError(f"A layer with weights that the reference does not have: {layer_name}")


def reference_variables(model):
    """`{reference name: variable}` for one of our models; every variable exactly once."""
    variables = {}

    def add(layer, prefix):
        for ours, theirs in LEAVES.items():
            variable = getattr(layer, ours, None)
            if variable is not None:
                name = f"{prefix}.{theirs}"
                assert name not in variables, f"{name} twice"
                variables[name] = variable

    for layer in model.layers:
        if not layer.weights:
            continue
        prefix = reference_prefix(layer.name)
        if prefix.endswith("stc"):
            for ours, theirs in STC_PARTS.items():
                if getattr(layer, ours, None) is not None:
                    add(getattr(layer, ours), f"{prefix}.{theirs}")
        else:
            add(layer, prefix)
    mapped = sorted(id(variable) for variable in variables.values())
    assert mapped == sorted(id(variable) for variable in model.weights)
    return variables


def to_torch_layout(value):
    """Kernel `(T, H, W, I, O)` -> `(O, I, T, H, W)`; dense kernels are transposed."""
    return value.transpose({5: (4, 3, 0, 1, 2), 2: (1, 0)}.get(value.ndim, range(value.ndim)))


def to_keras_layout(value):
    return value.transpose({5: (2, 3, 4, 1, 0), 2: (1, 0)}.get(value.ndim, range(value.ndim)))


def set_seeded_weights(model, seed=0):
    """Gives one of our models its seeded weights; returns `{reference name: variable}`."""
    variables = reference_variables(model)
    shapes = {
        name: to_torch_layout(np.empty(variable.shape, bool)).shape
        for name, variable in variables.items()
    }
    for name, value in seeded_weights(shapes, seed).items():
        variables[name].assign(to_keras_layout(value))
    return variables


def reference_with_seeded_weights(case, seed=0):
    """The PyTorch reference of a case, in inference mode, with the same weights."""
    import torch

    model = case.torch_model().eval()
    shapes = {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    state = {name: torch.from_numpy(v) for name, v in seeded_weights(shapes, seed).items()}
    model.load_state_dict(state, strict=False)
    return model, shapes


def logits(model, clips):
    """A Keras model's outputs in inference mode as a NumPy array, on any backend."""
    import keras

    outputs = model(keras.ops.convert_to_tensor(clips), training=False)
    return np.array(keras.ops.convert_to_numpy(outputs))


def training_step(model, variables, clips, cotangent):
    """Gradients and moving statistics after one pass in training mode, on any backend.

    The loss is `sum(outputs * cotangent)`. Returns two dictionaries with reference names, arrays
    in PyTorch's layout.
    """
    import keras

    backend = keras.backend.backend()
    clips = keras.ops.convert_to_tensor(clips)
    cotangent = keras.ops.convert_to_tensor(cotangent)
    trainable = model.trainable_variables

    def loss_of(outputs):
        return keras.ops.sum(keras.ops.cast(outputs, cotangent.dtype) * cotangent)

    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = loss_of(model(clips, training=True))
        gradients = tape.gradient(loss, [variable.value for variable in trainable])
    elif backend == "jax":
        import jax

        def loss_function(trainable_values, other_values):
            outputs, others = model.stateless_call(
                trainable_values, other_values, clips, training=True
            )
            return loss_of(outputs), others

        others = model.non_trainable_variables
        gradients, values = jax.jit(jax.grad(loss_function, has_aux=True))(
            [variable.value for variable in trainable], [variable.value for variable in others]
        )
        for variable, value in zip(others, values, strict=True):
            variable.assign(value)
    else:
        model.zero_grad()
        loss_of(model(clips, training=True)).backward()
        gradients = [variable.value.grad for variable in trainable]

    gradients = {id(variable): g for variable, g in zip(trainable, gradients, strict=True)}
    gradients = {
        name: to_torch_layout(np.array(keras.ops.convert_to_numpy(gradients[id(variable)])))
        for name, variable in variables.items()
        if id(variable) in gradients
    }
    moving = {
        name: np.array(keras.ops.convert_to_numpy(variable.value))
        for name, variable in variables.items()
        if name.endswith(("running_mean", "running_var"))
    }
    return gradients, moving


def relative_error(ours, theirs, floor=0.0):
    """Largest difference over the largest value of the reference, or `floor` if that is more."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    assert np.isfinite(ours).all() and np.isfinite(theirs).all()
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), floor)
