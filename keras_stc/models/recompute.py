"""Recomputation of residual units: a training step in less memory, for a second pass forward."""

import contextlib
import re

import keras

from keras_stc.checks import wrong


class UnitByUnit:
    """A network that, while it trains, keeps of each residual unit what goes into it alone.

    The units of a residual network, the STC blocks behind its stages, and what stands between its
    first convolution and them, are run once more for the gradient, one at a time (`keras.remat`).
    What they change, as batch normalisation does its statistics, is changed by the first pass.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174.

    Args:
        model: A functional model of the layers of `keras_stc.models.VideoResNet`.

    Raises:
        ValueError: If it has no residual units.
    """

    def __init__(self, model):
        # "conv1", "pool1", "layer1_block1" … -> what its last layer puts out
        part, ends = None, {}
        for layer in model.layers:  # by their depth
            unit = re.match(r"layer\d+_(block\d+|stc)", layer.name)
            if unit:
                part = unit[0]
            elif part is None and isinstance(layer, keras.layers.Conv3D):
                part = "conv1"
            elif part in ("conv1", "pool1"):
                part = "pool1"  # which follows the first convolution, and some stems have not
            else:
                continue  # before them, between stages (P3D) or after the last unit
            ends[part] = layer.output
        if "layer1_block1" not in ends:
            raise wrong(f"None, since {model.name} has no residual units", recompute="unit")
        tensors = [model.input, *ends.values(), model.output]
        # Models, since `training` has to reach the layers in a second pass, too.
        self._parts = [keras.Model(*pair) for pair in zip(tensors, tensors[1:], strict=False)]

    def __call__(self, clips):
        first, *units, last = self._parts
        x, learns = first.call(clips, training=True), bool(first.trainable_variables)
        for unit in units:
            # Nobody asks for the gradient of what is frozen before all that learns.
            learns = learns or bool(unit.trainable_variables)
            x = _recomputed(unit, x) if learns else unit.call(x, training=True)
        return last.call(x, training=True)


@contextlib.contextmanager
def recomputing(model, recompute):
    """Inside, `model.recompute` is what a recipe says; `"none"` leaves it as it is.

    Args:
        model: A `keras_stc.VideoModel`.
        recompute: As of `Recipe`.

    Raises:
        ValueError: If the network has no residual units.
    """
    before = getattr(model, "recompute", None)
    if recompute == "none" or recompute == before:
        yield
        return
    model.recompute = recompute
    try:
        yield
    finally:
        model.recompute = before


def _recomputed(model, x):
    """What a model in training makes of `x`; for the gradient it is run a second time."""
    changed = []

    def run(x):
        with _Apart(initialize_variables=False) as scope:
            y = model.call(x, training=True)
        changed[:] = [each for each in model.non_trainable_variables if scope.has_changed(each)]
        return y, [keras.ops.stop_gradient(scope.get_current_value(each)) for each in changed]

    y, values = keras.remat(run)(x)
    for variable, value in zip(changed, values, strict=True):
        variable.assign(value)
    return y


class _Apart(keras.StatelessScope):
    """Keeps changes of variables to itself; what has not changed is as in the scope around it."""

    def has_changed(self, variable):
        return super().get_current_value(variable) is not None

    def get_current_value(self, variable):
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            value = self.original_scope.get_current_value(variable)
        return value
