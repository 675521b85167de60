"""Which steps can be traced, and what is said of those that cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.compiler.cells import H, N, X
from tests.tinygrad_rnn.compiler.checks import close, same
from tinygrad_rnn.compiler import CompileWarning


class Branching(tg.Cell):
    def step(self, x: Any, state: Any) -> Any:
        return (state.h * 2.0 if float(tg.exp(state.h).sum()) > 0 else state.h,)


class Drifting(tg.Cell):
    def step(self, x: Any, state: Any) -> Any:
        return (tg.astype(state.h, dtype=np.dtype(np.float32)) * 0.5,)


@pytest.mark.parametrize(("kind", "reason"), [(Branching, "the result of sum"), (Drifting, "float64 to float32")])
def test_what_cannot_be_traced_runs_eagerly_and_says_why(kind: Any, reason: str) -> None:
    cell = kind(N, H, seed=0)
    compiled = tg.compile(cell, backend="numpy")
    with pytest.warns(CompileWarning, match=f"{kind.__name__}.*runs eagerly.*{reason}"):
        run = tg.unroll(compiled, X)
    assert run.tape is None
    close(tg.unroll(cell, X).stacked.data, run.stacked.data)


class Taking(tg.Cell):
    def step(self, x: Any, state: Any) -> Any:
        return (tg.tanh(x[:, :1] + tg.take(state.h, [2, 0, 1, 1], axis=1)),)


class Choosing(tg.Cell):
    def step(self, x: Any, state: Any) -> Any:
        return (state.h + tg.where(state.h > 0.0, 1.0, 0.0),)


def test_indices_are_no_reason_to_run_eagerly_and_numbers_without_dtype_are() -> None:
    cell = Taking(N, H)
    same(cell, X, tg.compile(cell, backend="numpy"))
    single = Choosing(N, H, dtype=np.float32)
    with pytest.warns(CompileWarning, match=r"float32 to float64, as where\(condition, 1.0, 0.0\) is"):
        tg.unroll(tg.compile(single, backend="numpy"), X)
