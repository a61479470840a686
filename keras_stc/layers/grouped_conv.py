"""A grouped Conv3D that is fast on the CPU with TensorFlow."""

import keras
import numpy as np
from keras import ops

from keras_stc.layers.conv import Conv3D, convolve, on_tensorflow_cpu

#: A block of this many channels keeps a CPU's vector units busy (measured; see
#: `benchmarks/grouped_conv.py`), while its off-diagonal zeros still cost little.
BLOCK_CHANNELS = 16

#: Blocks wider than this waste more on zeros than they gain.
MAX_BLOCK_CHANNELS = 64

#: Single frames of at most this many positions go through a matrix product a group: there the
#: operations of the blocks cost more than their sums.
MAX_PRODUCT_POSITIONS = 49

#: More blocks than this cost more in operations than wider ones cost in zeros.
MAX_BLOCKS = 16


@keras.saving.register_keras_serializable("keras_stc")
class GroupedConv3D(Conv3D):
    """`keras.layers.Conv3D` with `groups`, 30 times as fast on TensorFlow's CPU backend.

    Keras compiles grouped convolutions with XLA there, which has no fast path for them. This layer
    merges neighbouring groups into at most 16 blocks of at least 16 channels, places their kernels
    on the block's diagonal and runs one dense convolution a block; small single frames go through
    one matrix product a group. On other backends and devices, and where the channel counts allow no
    such blocks, it is `keras.layers.Conv3D`.

    Example:

    ```python
    clip_features = keras.Input((8, 28, 28, 128))
    keras_stc.layers.GroupedConv3D(128, 3, padding="same", groups=32)(clip_features)
    ```

    Arguments, `groups` among them, stored variables and shapes, `(B, T, H, W, C)` to
    `(B, T', H', W', filters)`, are those of `Conv3D`.
    """

    def _convolve(self, inputs, kernel):
        merge = self._groups_per_block()
        if merge is None:
            return super()._convolve(inputs, kernel)
        if self._is_small(inputs.shape):
            return self._products(inputs, kernel)
        blocks = self.groups // merge
        kernel = self._without_padding_in_time(inputs, kernel)
        # (3, 3, 3, C/g, filters) -> (3, 3, 3, merge * C/g, filters): every block's kernel stands
        # `merge` times above itself; the mask leaves each group its own copy.
        kernel = ops.tile(kernel, (1, 1, 1, merge, 1)) * ops.cast(self._mask(merge), kernel.dtype)
        outputs = [
            convolve(self, block_inputs, block_kernel)
            for block_inputs, block_kernel in zip(
                ops.split(inputs, blocks, axis=-1), ops.split(kernel, blocks, axis=-1), strict=True
            )
        ]
        return ops.concatenate(outputs, axis=-1) if blocks > 1 else outputs[0]

    def _groups_per_block(self):
        """How many groups share a block, or `None` for the native operation."""
        if self.groups == 1 or self.data_format != "channels_last" or not on_tensorflow_cpu():
            return None
        return groups_per_block(self.groups, self.kernel.shape[-2])

    def _is_small(self, shape):
        """Whether the input is a small single frame, and the output of the same size."""
        _, length, height, width, _ = shape
        return (
            length == 1
            and None not in (height, width)
            and height * width <= MAX_PRODUCT_POSITIONS
            and self.padding == "same"
            and all(size % 2 for size in self.kernel_size)
            and set(self.strides) == set(self.dilation_rate) == {1}
        )

    def _products(self, inputs, kernel):
        """Every group's patches times its kernel, of a single frame."""
        _, _, height, width, _ = inputs.shape
        kernel = self._without_padding_in_time(inputs, kernel)
        _, rows, columns, group_inputs, _ = kernel.shape
        group_outputs = self.filters // self.groups
        # (groups, B, H, W, C/g), with a rim of zeros around H and W.
        frames = ops.reshape(inputs, (-1, height, width, self.groups, group_inputs))
        rims = [(0, 0), (0, 0), (rows // 2,) * 2, (columns // 2,) * 2, (0, 0)]
        frames = ops.pad(ops.transpose(frames, (3, 0, 1, 2, 4)), rims)
        patches = ops.concatenate(
            [
                frames[:, :, row : row + height, column : column + width]
                for row in range(rows)
                for column in range(columns)
            ],
            axis=-1,
        )
        size = rows * columns * group_inputs
        kernel = ops.reshape(kernel, (size, self.groups, group_outputs))
        outputs = ops.matmul(
            ops.reshape(patches, (self.groups, -1, size)), ops.transpose(kernel, (1, 0, 2))
        )
        outputs = ops.reshape(outputs, (self.groups, -1, 1, height, width, group_outputs))
        outputs = ops.transpose(outputs, (1, 2, 3, 4, 0, 5))
        return ops.reshape(outputs, (-1, 1, height, width, self.filters))

    def _without_padding_in_time(self, inputs, kernel):
        """The one slice of the kernel that meets a single frame; the others meet padding alone."""
        length = kernel.shape[0]
        if inputs.shape[1] == 1 and self.padding == "same" and length % 2:
            return kernel[length // 2 : length // 2 + 1]
        return kernel

    def _mask(self, merge):
        group_inputs = self.kernel.shape[-2]
        group_outputs = self.filters // self.groups
        row = np.arange(merge * group_inputs)[:, None] // group_inputs
        column = np.arange(self.filters)[None, :] // group_outputs % merge
        return row == column


def groups_per_block(groups, group_channels):
    """Smallest divisor of `groups` for at most 16 blocks of 16 to 64 channels, or `None`.

    Where there are so many groups that no divisor keeps to both, the width of the blocks counts.
    """
    wide_enough = [
        merge
        for merge in range(1, groups + 1)
        if groups % merge == 0 and merge * group_channels >= BLOCK_CHANNELS
    ]
    if not wide_enough:
        # All groups together are narrower than a block: one dense convolution.
        return groups
    narrow = [merge for merge in wide_enough if merge * group_channels <= MAX_BLOCK_CHANNELS]
    if not narrow:
        return 1 if group_channels > MAX_BLOCK_CHANNELS else None
    return next((merge for merge in narrow if groups // merge <= MAX_BLOCKS), narrow[-1])
