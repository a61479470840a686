"""The former place of `keras_stc.runs` and `keras_stc.load_model`; gone in the next version."""

import warnings

from keras_stc.models.load import load_model, weights_file
from keras_stc.runs import Follower, Run, RunError

__all__ = ["Follower", "Run", "RunError", "load_model", "weights_file"]

warnings.warn(
    "keras_stc.training.run is now keras_stc.runs, and load_model is keras_stc.load_model.",
    DeprecationWarning,
    stacklevel=2,
)
