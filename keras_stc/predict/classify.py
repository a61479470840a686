"""Clips to probabilities, by any classifier; what a model must have for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_stc.models.classifier import check_classifier, ends_in_softmax
from keras_stc.models.fold import for_inference

if TYPE_CHECKING:
    import keras

    from keras_stc.video_config import VideoConfig

#: From so many videos on, batch normalisation is folded, which takes seconds and saves some percent
#: of a network's time (our choice).
MANY_VIDEOS = 50


def classify(model: keras.Model, clips: np.ndarray) -> np.ndarray:
    """Softmax probabilities of a batch of clips, of a classifier with softmax or with logits.

    Args:
        model: A `keras_stc.VideoModel` with a classifier.
        clips: `(B, T, H, W, 3)`, RGB 0-255.

    Returns:
        float32 array `(B, classes)`.
    """
    outputs = np.asarray(model.predict_on_batch(clips), dtype="float32")
    if ends_in_softmax(model):
        return outputs
    # Logits: the softmax in a form that does not overflow.
    outputs = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return outputs / outputs.sum(axis=-1, keepdims=True)


def network_for(model: keras.Model, videos: int) -> keras.Model:
    """What clips of so many videos go through: a folded copy where that is worth its making."""
    return for_inference(model) if videos >= MANY_VIDEOS else model


def model_config(model: keras.Model) -> VideoConfig:
    """The `video_config` of a model that can classify, or a `ValueError` that says what lacks."""
    config = getattr(model, "video_config", None)
    if config is None:
        raise ValueError(
            "`model` must carry a video_config, which says how to feed it; models that keras_stc "
            f"builds do. Received: a {type(model).__name__} without one"
        )
    check_classifier(model)
    ends_in_softmax(model)
    return config


def class_names(model: keras.Model) -> tuple[str, ...]:
    """Names of a model's classes; numbers where it carries none."""
    names = model.video_config.class_names
    return names or tuple(f"class {i}" for i in range(model.output_shape[-1]))
