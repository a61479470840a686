"""The networks of the zoo."""

from keras_stc.models import zoo
from keras_stc.models.video_model import VideoModel
from keras_stc.models.video_resnet import VideoResNet
from keras_stc.models.zoo import create_model, list_models

globals().update({function.__name__: function for function in zoo.CONSTRUCTORS.values()})

__all__ = [
    "VideoModel",
    "VideoResNet",
    "create_model",
    "list_models",
    *(function.__name__ for function in zoo.CONSTRUCTORS.values()),
]
