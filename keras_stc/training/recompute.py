"""`recomputing`: a block in which a network computes units twice instead of keeping them."""

import contextlib


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
