"""Videos, cameras and streams to labels; videos with their labels written on them."""

from keras_stc.predict.annotate import annotate_video
from keras_stc.predict.classify import class_names, classify, model_config
from keras_stc.predict.result import ClipPrediction, VideoPrediction
from keras_stc.predict.stream import StreamPrediction, predict_stream
from keras_stc.predict.videos import predict_video, predict_videos

__all__ = [
    "ClipPrediction",
    "StreamPrediction",
    "VideoPrediction",
    "annotate_video",
    "class_names",
    "classify",
    "model_config",
    "predict_stream",
    "predict_video",
    "predict_videos",
]
