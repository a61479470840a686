"""Accuracy by clip and by video, under a protocol that is written into the result."""

from keras_stc.evaluation.fusion import late_fusion
from keras_stc.evaluation.protocol import PROTOCOLS, Protocol
from keras_stc.evaluation.result import Evaluation, mean_over_splits
from keras_stc.evaluation.videos import evaluate_videos

__all__ = [
    "Evaluation",
    "PROTOCOLS",
    "Protocol",
    "evaluate_videos",
    "late_fusion",
    "mean_over_splits",
]
