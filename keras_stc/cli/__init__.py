"""The command line, `keras-stc`: one file for each group of commands."""

from keras_stc.cli.main import main

__all__ = ["main"]
