"""2D ResNets in plain Keras with random weights under timm's names, to check inflation against.

Nothing here is shared with `keras_stc`. Images are RGB 0-255, normalised as timm does on ImageNet.
"""

import keras
import numpy as np

MEAN = 255 * np.array([0.485, 0.456, 0.406])
STD = 255 * np.array([0.229, 0.224, 0.225])

#: name -> (bottleneck, units, inner width of layer1, channels of layer1, groups)
NETWORKS = {
    "resnet18": (False, (2, 2, 2, 2), 64, 64, 1),
    "resnet34": (False, (3, 4, 6, 3), 64, 64, 1),
    "resnet50": (True, (3, 4, 6, 3), 64, 256, 1),
    "resnext50": (True, (3, 4, 6, 3), 128, 256, 32),
    "wideresnet50": (True, (3, 4, 6, 3), 128, 256, 1),
}


def random_state(name, classes=1000, seed=0):
    """`{timm's name: array in PyTorch's layout}` of a network."""
    bottleneck, units, width, channels, groups = NETWORKS[name]
    rng = np.random.default_rng(seed)
    state = {}

    def conv(key, inputs, outputs, size):
        fan_in = inputs * size * size
        state[f"{key}.weight"] = rng.normal(0, fan_in**-0.5, (outputs, inputs, size, size))

    def norm(key, count):
        state[f"{key}.weight"] = rng.uniform(0.5, 1.5, count)
        state[f"{key}.bias"] = rng.uniform(-0.3, 0.3, count)
        state[f"{key}.running_mean"] = rng.uniform(-0.3, 0.3, count)
        state[f"{key}.running_var"] = rng.uniform(0.7, 1.3, count)
        state[f"{key}.num_batches_tracked"] = np.array(7)

    conv("conv1", 3, 64, 7)
    norm("bn1", 64)
    inputs = 64
    for stage, count in enumerate(units):
        inner, outputs = width * 2**stage, channels * 2**stage
        for unit in range(count):
            key = f"layer{stage + 1}.{unit}"
            sizes = [(1, inner, 1), (3, inner, groups), (1, outputs, 1)]
            sizes = sizes if bottleneck else [(3, inner, 1), (3, outputs, 1)]
            before = inputs
            for i, (size, filters, group) in enumerate(sizes, start=1):
                conv(f"{key}.conv{i}", before // group, filters, size)
                norm(f"{key}.bn{i}", filters)
                before = filters
            if unit == 0 and (inputs != outputs or stage > 0):
                conv(f"{key}.downsample.0", inputs, outputs, 1)
                norm(f"{key}.downsample.1", outputs)
            inputs = outputs
    state["fc.weight"] = rng.normal(0, inputs**-0.5, (classes, inputs))
    state["fc.bias"] = rng.normal(0, 0.1, classes)
    return {
        key: value.astype("int64" if value.ndim == 0 else "float32") for key, value in state.items()
    }


def run(name, state, images):
    """`{name of a convolution: its input}`, last feature map and logits of a batch of images."""
    bottleneck, units, *_, groups = NETWORKS[name]
    ops = keras.ops
    inputs_of = {}

    def conv(x, key, stride=1, group=1):
        inputs_of[key] = keras.ops.convert_to_numpy(x)
        kernel = state[f"{key}.weight"]
        pad = kernel.shape[-1] // 2
        x = ops.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
        parts = [
            ops.conv(part, k.transpose(2, 3, 1, 0), strides=stride, padding="valid")
            for part, k in zip(ops.split(x, group, -1), np.split(kernel, group), strict=True)
        ]
        return ops.concatenate(parts, -1)

    def norm(x, key):
        w = {
            part: state[f"{key}.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
        }
        scale = w["weight"] / np.sqrt(w["running_var"] + 1e-5)
        return x * scale + (w["bias"] - w["running_mean"] * scale)

    x = ops.convert_to_tensor(((images - MEAN) / STD).astype("float32"))
    x = ops.relu(norm(conv(x, "conv1", 2), "bn1"))
    x = ops.max_pool(ops.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]), 3, 2)
    for stage, count in enumerate(units):
        for unit in range(count):
            key, stride = f"layer{stage + 1}.{unit}", 2 if stage and not unit else 1
            y = x
            for i in range(1, 4 if bottleneck else 3):
                strided = i == (2 if bottleneck else 1)
                grouped = groups if bottleneck and i == 2 else 1
                y = norm(
                    conv(y, f"{key}.conv{i}", stride if strided else 1, grouped), f"{key}.bn{i}"
                )
                y = ops.relu(y) if i < (3 if bottleneck else 2) else y
            if f"{key}.downsample.0.weight" in state:
                x = norm(conv(x, f"{key}.downsample.0", stride), f"{key}.downsample.1")
            x = ops.relu(x + y)
    features = ops.convert_to_numpy(x)
    logits = features.mean((1, 2)) @ state["fc.weight"].T + state["fc.bias"]
    return inputs_of, features, logits
