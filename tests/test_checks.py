"""One sentence of one form for every argument that is not what it must be."""

import math

import numpy as np
import pytest

from keras_stc.checks import (
    at_least,
    below_one,
    natural_number,
    one_of,
    positive,
    positive_integer,
    wrong,
)


@pytest.mark.parametrize(
    ("check", "right", "wrong", "words"),
    [
        (positive_integer, (1, np.int64(3)), (0, 1.0, True, "1", None), "a positive integer"),
        (natural_number, (0, np.uint8(3)), (-1, 0.0, False), "an integer of at least 0"),
        (positive, (1e-9, np.float32(2)), (0, math.nan, math.inf, "1", None), "positive"),
        (below_one, (0, 0.999), (-1e-9, 1, math.nan, "0"), "at least 0 and below 1"),
    ],
)
def test_what_is_right_passes_and_what_is_not_is_named(check, right, wrong, words):
    for value in right:
        check(before=right[0], number=value)
    for value in wrong:
        with pytest.raises(ValueError) as refused:
            check(before=right[0], number=value)
        assert str(refused.value) == f"`number` must be {words}. Received: number={value!r}"


def test_options_of_the_command_line_are_named_as_they_are_typed():
    one_of(("a", "b"), kind="b")
    at_least(2, **{"--size": 2})
    with pytest.raises(ValueError, match=r"^`kind` must be one of a, b\. Received: kind='c'$"):
        one_of(("a", "b"), kind="c")
    with pytest.raises(ValueError, match=r"^--size must be at least 2\. Received: 1$"):
        at_least(2, **{"--size": 1})
    assert str(wrong("even", size=3)) == "`size` must be even. Received: size=3"
