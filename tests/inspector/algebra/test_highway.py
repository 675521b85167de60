"""The derivative along a highway: sums, products and choices alone carry it, and its terms add up to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from inspector.algebra.expression import Expression, Symbol, evaluate, number
from inspector.algebra.highway import Derivative, along, factors, ways
from inspector.algebra.notation import UNICODE
from inspector.algebra.statements import read
from inspector.steps.source import sources_of


class Written(tg.Cell):
    """A state that goes through `function` of input and state."""

    def __init__(self, function: Any) -> None:
        super().__init__(3, 3, seed=0)
        self.function = function

    def step(self, x: Any, state: Any) -> Any:
        return (self.function(x, state.h),)


def derivative(cell: tg.Cell, state: str) -> tuple[Derivative | None, Any]:
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(3, 2, 3)))
    ((source,),) = sources_of([run], tg.Graph([*run.names.values(), *run.outputs]))
    statements = read(source, 1)
    return along(statements, state), statements


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x, h: h + x, "1"),
        (lambda x, h: x - h, "−1"),
        (lambda x, h: h + h, "2"),
        (lambda x, h: 0.5 * h, "0.5"),
        (lambda x, h: h * x, "xₜ"),
        (lambda x, h: h / x, "1 / xₜ"),
        (lambda x, h: h * x + h, "xₜ + 1"),
        (lambda x, h: tg.sigmoid(x) * h + (1.0 - tg.sigmoid(x)) * tg.tanh(h), "σ(xₜ)"),
        (lambda x, h: -(x * h) - x, "−xₜ"),
    ],
)
def test_sums_products_and_quotients_carry_it(function: Any, text: str) -> None:
    found, _ = derivative(Written(function), "h")
    assert found is not None and UNICODE(found.diagonal) == text


@pytest.mark.parametrize(
    "function", [lambda x, h: tg.tanh(h), lambda x, h: x, lambda x, h: tg.sum(h, axis=1, keepdims=True) * x]
)
def test_nonlinear_functions_and_reductions_carry_none(function: Any) -> None:
    found, _ = derivative(Written(function), "h")
    assert found is None


@pytest.mark.parametrize("name", ["lstm", "gru", "coupled", "fgr", "minlstm", "leaky", "slstm"])
def test_terms_and_factors_multiply_out_to_the_diagonal(name: str) -> None:
    cell = tg.cells.get(name)(3, 3, seed=0)
    for state in cell.state_names:
        found, statements = derivative(cell, state)
        if found is None:
            continue
        total = sum(
            sign * np.prod(np.broadcast_arrays(*[evaluate(f, statements.values) for f in factors(way)]), axis=0)
            for sign, way in ways(found.diagonal)
        )
        np.testing.assert_allclose(total, evaluate(found.diagonal, statements.values), rtol=1e-12)


def test_a_sum_is_taken_apart_into_signed_ways() -> None:
    a, b, c = (Expression("symbol", symbol=Symbol(name)) for name in "abc")
    whole = Expression("subtract", (Expression("negative", (a,)), Expression("subtract", (b, c))))
    assert [(sign, UNICODE(way)) for sign, way in ways(whole)] == [(-1, "a"), (-1, "b"), (1, "c")]
    product = Expression("multiply", (Expression("multiply", (a, number(2.0))), b))
    assert [UNICODE(factor) for factor in factors(product)] == ["a", "2", "b"]
