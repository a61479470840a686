"""The former place of `keras_stc.predict.stream`; gone in the next version."""

import warnings

from keras_stc.predict.stream import StreamPrediction, predict_stream

__all__ = ["StreamPrediction", "predict_stream"]

warnings.warn(
    "keras_stc.predict_live is now keras_stc.predict.stream.", DeprecationWarning, stacklevel=2
)
