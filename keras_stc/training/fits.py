"""Checks that several trainings share: a recipe against the network, the devices and the videos."""

import warnings

from keras_stc import distribute
from keras_stc.checks import wrong
from keras_stc.data import VideoWarning
from keras_stc.data.cores import has_bfloat16
from keras_stc.layers.conv import on_tensorflow_cpu
from keras_stc.models import VideoModel


def check_precision(model, recipe, name="`model`", kind="model"):
    """Raises the `ValueError` for a network that was built in another precision.

    Warns of bfloat16 on a processor that emulates it.
    """
    if model.dtype_policy.name != recipe.precision:
        raise ValueError(
            f"{name} must be built with the recipe's precision, {recipe.precision}: call "
            f"keras.config.set_dtype_policy before. Received: a {kind} of precision "
            f"{model.dtype_policy.name}"
        )
    if recipe.precision == "mixed_bfloat16" and on_tensorflow_cpu() and has_bfloat16() is False:
        warnings.warn(
            "This processor emulates bfloat16, and trains about three times as fast in float32: "
            "give the precision float32.",
            VideoWarning,
            stacklevel=2,
        )


def check_student(**taught):
    """Raises the `ValueError` of `name=model` for a student that nobody could feed."""
    ((name, model),) = taught.items()
    if not isinstance(model.student, VideoModel):
        raise ValueError(
            f"`{name}` must have a keras_stc.VideoModel as its student, which says how to feed it. "
            f"Received: a {type(model.student).__name__}"
        )


def check_unused(recipe, why, **unused):
    """Raises the `ValueError` for fields of a recipe that must be what is given here."""
    for name, value in unused.items():
        if getattr(recipe, name) != value:
            raise wrong(f"{value!r}{why}", **{name: getattr(recipe, name)})


def check_batches(model, recipe, videos, validation, fewest=1):
    """Raises the `ValueError` for batches whose parts cannot have `fewest` videos each, 1 or 2.

    There is a part for each device and each step of accumulation.
    """
    devices = distribute.devices(model)
    parts = devices * recipe.accumulation
    some, count = ("", "one") if fewest == 1 else (" of at least two videos", "two")
    if recipe.batch_size % parts or recipe.batch_size < fewest * parts:
        raise ValueError(
            f"`batch_size` must divide evenly into {parts} parts{some}, one for each of {devices} "
            f"devices and {recipe.accumulation} steps of accumulation. "
            f"Received: batch_size={recipe.batch_size}"
        )
    for name, given, least in (("videos", videos, parts), ("validation", validation, devices)):
        if given is not None and len(given) < fewest * least:
            raise ValueError(
                f"`{name}` must be at least {fewest * least} videos, {count} for each part of a "
                f"batch. Received: {len(given)}"
            )
