"""The first training step of a deep network: built once, with a line before that says how long."""

import sys
import weakref
from collections.abc import Callable
from typing import Any

import keras

from keras_stc.layers.conv import on_tensorflow_cpu

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


class QuickFirstStep:
    """What a `keras.Model` needs for a first step that is built once; to be inherited before it.

    With TensorFlow, `fit` makes the variables of losses, metrics and optimizer before it traces its
    step, which would be traced twice otherwise, and traces it into one graph. On its CPU the step
    runs as it was traced: the graph optimizer, which takes seconds of the first step of a deep
    network and gains nothing later (`docs/benchmarks.md`), is off in its calls.
    `optimize_graph=True`, an attribute set before `fit`, leaves it on.
    """

    #: Whether TensorFlow's graph optimizer rewrites a training step on the CPU.
    optimize_graph = False

    #: Called with the labels of a batch, `keras.KerasTensor` or `None`: what losses and metrics
    #: compare, `(wanted, got)`, arrays of any values or `keras.KerasTensor`; or `None`.
    _compared_in_training: Callable[[Any], tuple[Any, Any] | None]

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        *args: Any,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """As `keras.Model.fit`; before a first step that takes seconds to build, a line says so."""
        announce_first_step(self, verbose)
        return super().fit(x, y, batch_size, epochs, verbose, *args, **kwargs)

    def make_train_function(self, force: bool = False) -> Callable:
        """Keras' hook, called by `fit`."""
        is_new = self.train_function is None or force
        super().make_train_function(force)
        if is_new and not self.run_eagerly and keras.backend.backend() == "tensorflow":
            from keras_stc.models import tensorflow_step

            function = tensorflow_step.traced_once(
                self, self.train_function, self._compared_in_training
            )
            if not self.optimize_graph and on_tensorflow_cpu():
                function = tensorflow_step.without_graph_optimizer(function)
            self.train_function = function
        return self.train_function
