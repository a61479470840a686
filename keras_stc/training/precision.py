"""`precision`: a block in which models are built with a dtype policy."""

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
