"""Where weights come from and how they get into a model."""

from keras_stc.weights.cache import WeightsError
from keras_stc.weights.find import find_weights, load_weights

__all__ = ["WeightsError", "find_weights", "load_weights"]
