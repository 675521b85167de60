"""Cells nobody has drawn yet: random steps of primitive operations, for property tests of the drawing and of compiled loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_rnn as tg

SIZE = 3
BATCH = 2

UNARY: dict[str, Callable[[Any], Any]] = {
    "sigmoid": tg.sigmoid, "tanh": tg.tanh, "relu": tg.relu, "exp": tg.exp, "negative": tg.negative,
    "one minus": lambda v: 1.0 - v, "twice": lambda v: v * 2.0, "double": lambda v: v + v,
    "flipped": lambda v: tg.transpose(tg.transpose(v)), "stopped": tg.stop_gradient,
}  # fmt: skip
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": tg.add, "subtract": tg.subtract, "multiply": tg.multiply, "maximum": tg.maximum,
}


def random_cell(plan: list[tuple[str, int, int, str | None]], states: list[int]) -> tg.Cell:
    """A cell whose step follows `plan`; `states` says which of its values become the next states."""
    names = tuple("hcns"[: len(states)])

    class Random(tg.Cell):
        state_names = names

        def __init__(self) -> None:
            super().__init__(SIZE, SIZE, seed=0)
            for k, (op, _, _, _) in enumerate(plan):
                if op in ("matmul", "peephole"):
                    self.parameter(f"w{k}", (SIZE, SIZE) if op == "matmul" else (SIZE,))

        def step(self, x: Any, state: Any) -> Any:
            weights = dict(self.named_parameters())
            values = [x, *state]
            for k, (op, a, b, name) in enumerate(plan):
                left, right = values[a % len(values)], values[b % len(values)]
                if op == "matmul":
                    value = left @ weights[f"w{k}"].T
                elif op == "peephole":
                    value = left * weights[f"w{k}"]
                else:
                    value = UNARY[op](left) if op in UNARY else BINARY[op](left, right)
                values.append(value if name is None else tg.named(**{name: value}))
            return tuple(values[k % (len(values) - 1) + 1] for k in states)

        def __repr__(self) -> str:
            return f"random_cell({plan}, {states})"

    return Random()


@st.composite
def cells(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tg.Cell:
    """A random cell."""
    ops = st.sampled_from(["matmul", "peephole", *UNARY, *BINARY])
    names = st.sampled_from([None, None, "f", "i", "my gate", '<b>"&\\N', "ü→\n✓"])
    plan = draw(st.lists(st.tuples(ops, st.integers(0, 9), st.integers(0, 9), names), min_size=1, max_size=9))
    return random_cell(plan, draw(st.lists(st.integers(0, 12), min_size=1, max_size=3)))


@st.composite
def runs(draw: Callable[[st.SearchStrategy[Any]], Any], max_steps: int = 4) -> Any:
    """A random cell, unrolled."""
    cell = draw(cells())
    steps = draw(st.integers(1, max_steps))
    options: dict[str, Any] = {"reverse": draw(st.booleans())}
    if draw(st.booleans()):
        options["truncate"] = draw(st.integers(1, 3))
    if draw(st.booleans()):
        options["lengths"] = [steps, draw(st.integers(1, steps))]
    inputs = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(steps, BATCH, SIZE))
    with np.errstate(all="ignore"):
        return tg.unroll(cell, inputs, **options)
