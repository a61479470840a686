"""The former place of `keras_stc.predict.annotate`; gone in the next version."""

import warnings

from keras_stc.predict.annotate import annotate_video

__all__ = ["annotate_video"]

warnings.warn(
    "keras_stc.predict_annotate is now keras_stc.predict.annotate.",
    DeprecationWarning,
    stacklevel=2,
)
