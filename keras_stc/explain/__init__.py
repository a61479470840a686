"""Why a network answers as it does: where it looks (Grad-CAM), and what its STC gates do."""

from keras_stc.explain.gates import ClassGates, class_gates, stc_gates
from keras_stc.explain.grad_cam import feature_layer, grad_cam, upsampled
from keras_stc.explain.sanity import randomized, rank_correlation
from keras_stc.explain.video import VideoExplanation, explain_video, explain_videos

__all__ = [
    "ClassGates",
    "VideoExplanation",
    "class_gates",
    "explain_video",
    "explain_videos",
    "feature_layer",
    "grad_cam",
    "randomized",
    "rank_correlation",
    "stc_gates",
    "upsampled",
]
