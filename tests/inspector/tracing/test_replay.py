"""A compiled run once more, step by step: the loss depends on the replay as it did on the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.tracing.replay import recorded

X = np.random.default_rng(1).normal(size=(9, 2, 2))


@pytest.mark.parametrize("options", [{}, {"lengths": [9, 4]}, {"reverse": True}])
@pytest.mark.parametrize("checkpoint", [None, 4])
def test_every_part_of_a_loss_is_that_of_the_eager_run(options: dict[str, Any], checkpoint: int | None) -> None:
    cell = tg.cells.LSTMCell(2, 3, seed=0)
    found = []
    for one in (cell, tg.compile(cell, backend="numpy", checkpoint=checkpoint)):
        run = tg.unroll(one, X, **options)
        parts = [run.outputs[-1], run.outputs[3], run.states[5].c, run.stacked, run.names["f", 2]]
        loss = sum((part**2).mean() for part in parts)
        trace = inspector.trace(*recorded(run, loss))
        found.append(np.array([trace.norm(name) for name in ("h", "c", "f", "x")]))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-10)
