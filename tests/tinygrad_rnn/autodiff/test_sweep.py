"""An operation that moves cotangents itself is handed all that reach it, and what it passes on is added up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.sweep import Recurrent


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
