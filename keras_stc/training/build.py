"""`build_for`: a network of the zoo for the classes of some videos, in a recipe's precision."""

import keras

from keras_stc.distribute import strategy
from keras_stc.models import create_model
from keras_stc.training.precision import precision


def build_for(videos, recipe, name, seed=0, **arguments):
    """A network of the zoo that `train` takes: of the videos' classes, in the recipe's precision.

    It is built in the scope of the machine's strategy, its random weights by the seed.

    Example:

    ```python
    clips = {"frames": 16, "stride": 2, "size": 112}
    model = build_for(videos, RECIPES["default"], "stc_resnet18", video_config=clips)
    train(model, videos, RECIPES["default"], "runs/a")
    ```

    Args:
        videos: `keras_stc.data.VideoSet` with labels.
        recipe: A `Recipe`.
        name: As for `keras_stc.create_model`.
        seed: Of the random weights.
        **arguments: Further arguments of `keras_stc.create_model`.
    """
    keras.utils.set_random_seed(seed)
    with precision(recipe.precision), strategy().scope():
        return create_model(name, classes=len(videos.class_names), **arguments)
