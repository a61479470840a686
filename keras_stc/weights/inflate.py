"""Kernels of a 2D network along time (Carreira & Zisserman, CVPR 2017, section 2.4)."""

import numpy as np


def inflate(layers, model):
    """Gives 2D kernels the time axis that a model's convolutions have.

    A kernel is repeated over time and divided, so that on a clip of one repeated frame it answers
    as in the 2D network. The divisor is the number of frames that the kernel can meet: its length,
    or fewer where the feature map has fewer frames, as the last stages of short clips have.

    Example:

    ```python
    assign_by_name(model, inflate(read_foreign("resnet50.safetensors").layers, model), "ImageNet")
    ```

    Args:
        layers: `{layer name: {"": [arrays]}}` with kernels `(H, W, I, O)`.
        model: The 3D model with layers of these names.

    Returns:
        `layers` with kernels `(T, H, W, I, O)`; those of layers that the model lacks as they are.
    """
    by_name = {layer.name: layer for layer in model.layers}
    inflated = {}
    for name, groups in layers.items():
        arrays = list(groups[""])
        if arrays[0].ndim == 4 and name in by_name:
            arrays[0] = _inflate_kernel(arrays[0], by_name[name])
        inflated[name] = {"": arrays}
    return inflated


def frames_met(frames, length, stride):
    """Most frames of a feature map that one position of a convolution meets.

    Args:
        frames: Frames of the map, or `None`; it is padded by half the kernel on both sides.
        length: Of the kernel, in frames.
        stride: In frames.

    Returns:
        Integer from 1 to `length`.
    """
    if frames is None:
        return length
    starts = range(-(length // 2), frames - length // 2, stride)
    return max(min(start + length, frames) - max(start, 0) for start in starts)


def _inflate_kernel(kernel, layer):
    length, stride = layer.kernel_size[0], layer.strides[0]
    frames = layer.input.shape[1]
    if frames is not None and layer.padding == "valid":
        frames -= 2 * (length // 2)  # The padding is a layer of its own.
    return np.repeat(kernel[None], length, axis=0) / np.float32(frames_met(frames, length, stride))
