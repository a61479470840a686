"""Keras layers of the paper and of its backbones; they speak `keras.ops` only."""

from keras_stc.layers.batch_norm import BatchNormalization
from keras_stc.layers.conv import Conv3D
from keras_stc.layers.frames import FoldFrames, MiddleFrame, UnfoldFrames
from keras_stc.layers.grouped_conv import GroupedConv3D
from keras_stc.layers.residual import PaddingShortcut, residual_unit
from keras_stc.layers.resized_crop import ResizedCrop
from keras_stc.layers.stc import STCBlock
from keras_stc.layers.strided_conv import StridedConv3D

__all__ = [
    "BatchNormalization",
    "Conv3D",
    "FoldFrames",
    "GroupedConv3D",
    "MiddleFrame",
    "PaddingShortcut",
    "ResizedCrop",
    "STCBlock",
    "StridedConv3D",
    "UnfoldFrames",
    "residual_unit",
]
