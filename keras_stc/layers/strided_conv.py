"""A strided Conv3D over few channels that is fast on the CPU with TensorFlow."""

import keras
from keras import ops

from keras_stc.layers.conv import Conv3D, has_onednn, on_tensorflow_cpu


@keras.saving.register_keras_serializable("keras_stc")
class StridedConv3D(Conv3D):
    """`keras.layers.Conv3D` with strides and "valid" padding, for stems over three channels.

    Without oneDNN, which TensorFlow leaves off on CPUs without AVX-512 unless
    `TF_ENABLE_ONEDNN_OPTS=1` is set before its import, its CPU kernels have no fast path for the
    gradient of such a convolution: on maps of 16 to 32 positions it takes 30 to 100 times as long
    as it should (`benchmarks/stem_conv.py`). There, this layer moves each stride's block of
    positions into channels, of the clip and of the kernel, and convolves with stride 1; the sums
    are the same. Elsewhere it is `keras.layers.Conv3D`.

    Example:

    ```python
    clip = keras.Input((22, 118, 118, 3))
    keras_stc.layers.StridedConv3D(64, 7, strides=(1, 2, 2))(clip)   # (B, 16, 56, 56, 64)
    ```

    Arguments, stored variables and shapes, `(B, T, H, W, C)` to `(B, T', H', W', filters)`, are
    those of `Conv3D`.
    """

    def _convolve(self, inputs, kernel):
        if not self._moves_positions(inputs):
            return super()._convolve(inputs, kernel)
        strides, size = self.strides, self.kernel_size
        taps = [-(-k // s) for k, s in zip(size, strides, strict=True)]
        positions = inputs.shape[1:4]
        blocks = [
            (n - k) // s + t for n, k, s, t in zip(positions, size, strides, taps, strict=True)
        ]
        inputs = _fit(inputs, [b * s for b, s in zip(blocks, strides, strict=True)], first_axis=1)
        kernel = _fit(kernel, [t * s for t, s in zip(taps, strides, strict=True)], first_axis=0)
        return ops.conv(
            _positions_to_channels(inputs, blocks, strides, first_axis=1),
            _positions_to_channels(kernel, taps, strides, first_axis=0),
            strides=1,
            padding="valid",
            data_format=self.data_format,
        )

    def _moves_positions(self, inputs):
        return (
            self.padding == "valid"
            and self.groups == 1
            and max(self.strides) > 1
            and max(self.dilation_rate) == 1
            and self.data_format == "channels_last"
            and None not in inputs.shape[1:4]
            and on_tensorflow_cpu()
            and not has_onednn()
        )


def _fit(x, sizes, first_axis):
    """Three axes cut, or filled up with zeros at their end, to `sizes`."""
    cut = [slice(None)] * len(x.shape)
    fill = [(0, 0)] * len(x.shape)
    for axis, size in enumerate(sizes, start=first_axis):
        cut[axis] = slice(0, size)
        fill[axis] = (0, max(0, size - x.shape[axis]))
    x = x[tuple(cut)]
    return ops.pad(x, fill) if any(after for _, after in fill) else x


def _positions_to_channels(x, blocks, strides, first_axis):
    """`(..., b·s, b·s, b·s, C, ...)` to `(..., b, b, b, s·s·s·C, ...)`."""
    before, (channels, *after) = list(x.shape[:first_axis]), x.shape[first_axis + 3 :]
    before = [-1] * len(before)
    pairs = [n for pair in zip(blocks, strides, strict=True) for n in pair]
    x = ops.reshape(x, [*before, *pairs, channels, *after])
    a = first_axis
    order = [*range(a), a, a + 2, a + 4, a + 1, a + 3, a + 5, *range(a + 6, len(x.shape))]
    x = ops.transpose(x, order)
    moved = strides[0] * strides[1] * strides[2] * channels
    return ops.reshape(x, [*before, *blocks, moved, *after])
