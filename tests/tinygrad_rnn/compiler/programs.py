"""Programs to test on: traced steps of cells, and functions written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.program import Program, Type
from tinygrad_rnn.compiler.symbol import Builder
from tinygrad_rnn.compiler.tracing import trace_step

__all__ = ["F64", "B", "H", "N", "feeds", "traced", "written"]

B, N, H = 2, 3, 4
F64 = np.dtype(np.float64)


def traced(cell: tg.Cell, batch: int = B, masked: bool = False) -> Program:
    states = [Type(np.shape(s), F64) for s in cell.initial_state(batch)]
    return trace_step(cell, Type((batch, cell.input_size), F64), states, masked).program


def written(make: Callable[..., Any], *shapes: tuple[int, ...], weights: int = 0) -> Program:
    """The program of a function of arrays; the last few of them weights."""
    builder = Builder()
    symbols = [
        builder.input(("operand" if k >= len(shapes) - weights else "x", k), Type(shape, F64))
        for k, shape in enumerate(shapes)
    ]
    made = make(*symbols)
    several = made if isinstance(made, tuple) else (made,)
    return builder.program({("value", f"out{k}"): value for k, value in enumerate(several)})


def feeds(program: Program, seed: int = 0) -> dict[Any, Any]:
    rng = np.random.default_rng(seed)
    return {key: _random(rng, program.types[value]) for key, value in program.inputs.items()}


def _random(rng: Any, kind: Type) -> Any:
    numbers = rng.normal(size=kind.shape)
    return numbers > 0 if kind.dtype.kind == "b" else numbers.astype(kind.dtype)
