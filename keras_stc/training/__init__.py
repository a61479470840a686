"""Training: recipes, the optimizer, checkpoints that survive a kill, run folders."""

from keras_stc.training.callbacks import TrainingError
from keras_stc.training.loop import train
from keras_stc.training.optimizer import SGD
from keras_stc.training.recipe import RECIPES, Recipe

__all__ = ["RECIPES", "Recipe", "SGD", "TrainingError", "train"]
