"""What the sweep hands to an operation: of a run all that reaches it, of a weight a product only as far as it pays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autodiff.cotangent import Product, dense
from tinygrad_rnn.autodiff.sweep import Recurrent, sweep


class Doubling(Recurrent):
    """Twice its operand, as a whole run would be: the sweep asks for nothing but its `pull`."""

    def __init__(self) -> None:
        super().__init__(doubled, (lambda *_: None,))
        self.handed: list[int] = []

    def pull(
        self, node: Any, contributions: list[Any], live: Sequence[int], inner: Sequence[Any], create_graph: bool
    ) -> Any:
        self.handed.append(len(contributions))
        total = sum(dense(part) for part in contributions)
        return total, total, [(k, 2.0 * total) for k in live]


def doubled(x: Any) -> Any:
    return 2.0 * x


@pytest.mark.parametrize("others", [0, 1, 2, 3])
@pytest.mark.parametrize("uses", [1, 2, 3])
def test_whatever_reaches_it_is_handed_over_and_what_it_gives_is_added_to_the_rest(uses: int, others: int) -> None:
    op = Doubling()
    x = tg.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True)
    y = op(x)
    factors = np.arange(1.0, 5.0).reshape(2, 2)
    loss = sum(((k + 1) * factors * y for k in range(uses)), 0.0) + sum((3.0 * x for _ in range(others)), 0.0)
    of_x, of_y = tg.grad(tg.sum(loss), [x, y])
    np.testing.assert_array_equal(of_y.data, factors * sum(range(1, uses + 1)))
    np.testing.assert_array_equal(of_x.data, 2.0 * of_y.data + 3.0 * others)
    assert op.handed == [uses]


def test_a_product_stays_one_through_a_transpose_and_reaches_every_other_rule_as_an_array() -> None:
    seen: list[type] = []

    def rule(g: Any, y: Any, x: Any) -> Any:
        seen.append(type(g))
        return 2.0 * g

    op = tg.Primitive(doubled, (rule,))
    x = tg.tensor(np.arange(8.0)[None])
    weights = [tg.tensor(np.eye(8) + k, requires_grad=True) for k in range(3)]
    outs = [x @ weights[0], x @ weights[1].T, x @ op(weights[2])]
    visits = sweep(outs, [np.ones((1, 8))] * 3, weights)
    totals = {node.id: total for node, total, _ in visits}
    plain, turned, twice = (totals[weight.id] for weight in weights)
    assert type(plain) is type(turned) is Product and seen == [np.ndarray]
    outer = np.outer(np.arange(8.0), np.ones(8))
    for total, expected in ((plain, outer), (turned, outer.T), (twice, 2.0 * outer)):
        np.testing.assert_array_equal(dense(total), expected)
