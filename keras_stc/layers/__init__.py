"""Keras layers of the paper and of its backbones; they speak `keras.ops` only."""

from keras_stc.layers.grouped_conv import GroupedConv3D
from keras_stc.layers.residual import PaddingShortcut, residual_unit
from keras_stc.layers.stc import STCBlock

__all__ = ["GroupedConv3D", "PaddingShortcut", "STCBlock", "residual_unit"]
