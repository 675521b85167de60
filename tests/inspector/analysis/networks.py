"""Runs of every kind, with a loss over all of their outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.recurrent.unroll import Run

X = np.random.default_rng(0).normal(size=(5, 2, 3))


def cell(name: str, seed: int = 0, inputs: int = 3) -> tg.Cell:
    return tg.cells.get(name)(inputs, 4, seed=seed)


KINDS: dict[str, Any] = {
    **{name: lambda name=name: tg.unroll(cell(name), X) for name in tg.cells.names()},
    "masked": lambda: tg.unroll(cell("lstm"), X, lengths=[5, 2]),
    "reversed": lambda: tg.unroll(cell("gru"), X, reverse=True),
    "truncated": lambda: tg.unroll(cell("lstm"), X, truncate=2),
    "stacked": lambda: tg.unroll(tg.Stacked(cell("lstm"), cell("gru", 1, 4)), X),
    "directions": lambda: tg.unroll(tg.Bidirectional(cell("lstm"), cell("rnn", 1)), X),
    "compiled": lambda: tg.unroll(tg.compile(cell("lstm"), backend="numpy"), X),
}
"""How to make a run of each kind."""


def network(kind: str) -> tuple[Run, tg.Tensor]:
    """A run, and a loss that reads every output with weights of its own."""
    run = KINDS[kind]()
    weights = np.random.default_rng(1).normal(size=run.stacked.shape)
    return run, (run.stacked * weights).sum()
