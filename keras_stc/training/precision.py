"""The precision that a model is built with."""

import contextlib

import keras


@contextlib.contextmanager
def precision(policy):
    """Models built within have this dtype policy, such as a recipe's `precision`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
