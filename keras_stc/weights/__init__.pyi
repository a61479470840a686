from .cache import WeightsError as WeightsError
from .find import find_weights as find_weights, load_weights as load_weights

__all__ = ["WeightsError", "find_weights", "load_weights"]
