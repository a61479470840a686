"""Benchmarks of several processes: one that dies ends them in a sentence, not in a wait."""

import os
import pathlib
import signal

import pytest

BENCHMARKS = pathlib.Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("call", "argument", "words"),
    [
        (os._exit, 3, "Keras, asked for train, ended with exit status 3."),
        (signal.raise_signal, signal.SIGKILL, "Keras, asked for train, was ended by SIGKILL "),
        (int, "a", "Keras, asked for train, failed with ValueError: invalid literal"),
    ],
)
def test_a_side_that_dies_is_named(monkeypatch, call, argument, words):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from model_steps import Side

    with pytest.raises(SystemExit) as ended:
        Side("Keras", call, argument).seconds("train")
    assert ended.value.code.startswith(words)
