"""The checks of arguments: what they let through, and how they say no."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import arguments

INTEGERS = [st.integers(), st.integers(-5, 5).map(np.int8), st.integers(0, 5).map(np.uint64)]
NUMBERS = [*INTEGERS, st.floats(), st.floats(width=32).map(np.float32), st.fractions()]
FOXES = {"red": 1, "arctic": 2}
NO_NUMBERS = [st.booleans(), st.booleans().map(np.bool_), st.text(), st.none(), st.just([1]), st.complex_numbers()]


@given(st.one_of(*INTEGERS), st.integers(-3, 3))
def test_whole_numbers_of_every_type_count_from_the_least(value: Any, least: int) -> None:
    assert arguments.is_integer(value, least) == (int(value) >= least)
    assert arguments.is_number(value)


@given(st.one_of(*NO_NUMBERS))
def test_truth_values_and_texts_are_no_numbers(value: Any) -> None:
    assert not arguments.is_number(value) and not arguments.is_integer(value, -9)
    for check in (arguments.fraction, arguments.not_negative):
        with pytest.raises(TypeError, match=r"f: x must be a number, got "):
            check("f", "x", value)
    for several in (arguments.positive, arguments.below_one):
        with pytest.raises(TypeError, match=r"f: x must be a number, got "):
            several("f", x=value)
    with pytest.raises(TypeError, match=r"f: x must be an integer, got "):
        arguments.integer("f", "x", value, 0)


@given(st.one_of(*NUMBERS))
def test_ranges_let_through_what_lies_in_them_and_nothing_else(value: Any) -> None:
    finite = math.isfinite(value)
    ranges = [
        (lambda: arguments.positive("f", y=1, x=value), value > 0),
        (lambda: arguments.below_one("f", x=value), 0 <= value < 1),
        (lambda: arguments.fraction("f", "x", value), finite and 0 <= value <= 1),
        (lambda: arguments.not_negative("f", "x", value), finite and value >= 0),
    ]
    for check, right in ranges:
        if right:
            check()
        else:
            with pytest.raises(ValueError, match=r"^f: x must (be positive|be finite|lie in|not be negative).*, got "):
                check()


@pytest.mark.parametrize(
    ("check", "error", "message"),
    [
        (lambda: arguments.integer("f", "n", 1.0, 0), TypeError, "f: n must be an integer, got 1.0"),
        (lambda: arguments.integer("f", "n", 1, 2, "too few"), ValueError, "f: n must be at least 2, got 1: too few"),
        (lambda: arguments.integer_range("f", "a", "b", 1, a=0, b=3), ValueError, "a must be at least 1, got 0"),
        (lambda: arguments.integer_range("f", "a", "b", 1, a=3, b=2), ValueError, "f: a must not exceed b, got a=3"),
        (lambda: arguments.choice("f", "n", 4.0, [4, 8]), ValueError, "f: n must be 4 or 8, got 4.0"),
        (lambda: arguments.choice("f", "n", True, [1, 2]), ValueError, "f: n must be 1 or 2, got True"),
        (lambda: arguments.one_of("f", "n", "c", {"a": 1, "b": 2}), ValueError, "f: n must be one of a, b, got 'c'"),
        (lambda: arguments.one_of("f", "n", ["a"], {"a": 1}), ValueError, r"f: n must be one of a, got \['a'\]"),
        (
            lambda: arguments.look_up("fox", "rde", FOXES),
            KeyError,
            r"no fox called 'rde'; did you mean red\? There are red, arctic",
        ),
        (lambda: arguments.look_up("fox", 7, FOXES), KeyError, "no fox called 7; choose from red, arctic"),
        (lambda: arguments.flag("f", "n", 1), TypeError, "f: n must be True or False, got 1"),
        (lambda: arguments.generator("f", 3), TypeError, r"got int; make one with numpy\.random\.default_rng\(seed\)"),
    ],
)
def test_each_says_what_was_wrong(check: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check()


def test_what_is_right_passes() -> None:
    arguments.integer("f", "n", np.int64(2), 2)
    arguments.integer_range("f", "a", "b", 1, a=2, b=2)
    arguments.choice("f", "n", 8, [4, 8])
    arguments.one_of("f", "n", "a", {"a": 1})
    arguments.flag("f", "n", False)
    assert arguments.look_up("fox", "red", FOXES) == 1
    arguments.generator("f", np.random.default_rng(0))
    arguments.positive("f", n=math.inf)
