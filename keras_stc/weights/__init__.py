"""Where weights come from and how they get into a model."""

from keras_stc.weights.load import load_weights

__all__ = ["load_weights"]
