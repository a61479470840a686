"""A line before the first training step of a deep network, which takes long to build."""

import sys
import weakref

import keras

#: Seconds that a trainable variable adds to the first step: its layer's passes and its update are
#: traced, and compiled by JAX. Of STC networks with 126 and 578 of them, on two cores, rounded.
SECONDS = {"tensorflow": 0.015, "jax": 0.1}

#: Seconds from which on a wait is felt (our choice).
FELT = 3

_told = weakref.WeakSet()  # optimizers, of which every `compile` brings one


def announce_first_step(model, verbose="auto"):
    """Says on standard error, once after `compile`, that the first step takes long, and how long.

    Nothing is said where a step is built already or is not built at all (PyTorch, `run_eagerly`),
    and of networks that are built within three seconds.

    Args:
        model: A `keras.Model`, about to be fitted.
        verbose: As `keras.Model.fit`; 0 for nothing.
    """
    each = SECONDS.get(keras.backend.backend(), 0)
    seconds = round(each * len(model.trainable_variables))
    is_built = not model.compiled or model.run_eagerly or model.train_function is not None
    if verbose == 0 or seconds < FELT or is_built or model.optimizer in _told:
        return
    _told.add(model.optimizer)
    print(f"Building the training graph, about {seconds} s", file=sys.stderr, flush=True)
