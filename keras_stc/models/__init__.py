"""The networks of the zoo."""

from keras_stc.models.video_model import VideoModel
from keras_stc.models.video_resnet import VideoResNet
from keras_stc.models.zoo import (
    InceptionI3D,
    ResNet3D18,
    ResNet3D34,
    ResNet3D50,
    ResNet3D101,
    ResNet3D152,
    ResNeXt3D50,
    ResNeXt3D101,
    STCResNet18,
    STCResNet34,
    STCResNet50,
    STCResNet101,
    STCResNet152,
    STCResNeXt50,
    STCResNeXt101,
    create_model,
    list_models,
)

__all__ = [
    "InceptionI3D",
    "ResNeXt3D101",
    "ResNeXt3D50",
    "ResNet3D101",
    "ResNet3D152",
    "ResNet3D18",
    "ResNet3D34",
    "ResNet3D50",
    "STCResNeXt101",
    "STCResNeXt50",
    "STCResNet101",
    "STCResNet152",
    "STCResNet18",
    "STCResNet34",
    "STCResNet50",
    "VideoModel",
    "VideoResNet",
    "create_model",
    "list_models",
]
