"""Checks of arguments, which raise a `ValueError` that says what one must be and what was received.

Arguments come by name, `at_least(1, frames=frames, stride=stride)`; options of the command line as
they are typed, `at_least(1, **{"--top": top})`.
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Callable, Collection
from typing import Any


def one_of(choices: Collection[str], /, **arguments: Any) -> None:
    """Each is among `choices`."""
    require(lambda value: value in choices, f"one of {', '.join(choices)}", **arguments)


def did_you_mean(name: str, choices: Collection[str]) -> str:
    """A question to put behind a sentence, with a space before it; empty if none is near."""
    near = difflib.get_close_matches(name, choices, n=3)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def at_least(least: float, /, **arguments: Any) -> None:
    """Each is a finite number and no less than `least`."""
    require(lambda value: _is_number(value) and value >= least, f"at least {least}", **arguments)


def positive(expected: str = "positive", /, **arguments: Any) -> None:
    """Each is a finite number above 0."""
    require(lambda value: _is_number(value) and value > 0, expected, **arguments)


def positive_integer(**arguments: Any) -> None:
    """Each is a whole number above 0."""
    require(lambda value: _is_integer(value) and value >= 1, "a positive integer", **arguments)


def natural_number(**arguments: Any) -> None:
    """Each is a whole number, 0 or above."""
    require(
        lambda value: _is_integer(value) and value >= 0, "an integer of at least 0", **arguments
    )


def below_one(**arguments: Any) -> None:
    """Each is a number from 0 to 1, but not 1."""
    require(
        lambda value: _is_number(value) and 0 <= value < 1, "at least 0 and below 1", **arguments
    )


def require(is_right: Callable[[Any], bool], expected: str, /, **arguments: Any) -> None:
    """Each is what a function says is right.

    Args:
        is_right: Called with a value.
        expected: What it must be, in words.
        **arguments: Values by name.

    Raises:
        ValueError: Of the first that is not.
    """
    for name, value in arguments.items():
        if not is_right(value):
            raise wrong(expected, **{name: value})


def wrong(expected: str, /, **argument: Any) -> ValueError:
    """What to raise of one argument: `raise wrong("a positive number", alpha=alpha)`."""
    ((name, value),) = argument.items()
    if name.startswith("--"):
        return ValueError(f"{name} must be {expected}. Received: {value}")
    return ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}")


def _is_number(value):
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
