"""Loops: compiled where every operation can be fused, and in NumPy where one cannot, which is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.compiler.cells import CELLS, Attentive, H, N, X
from tinygrad_rnn.compiler import CompileWarning, kernels
from tinygrad_rnn.compiler.loops import Loop


def test_what_cannot_be_fused_runs_in_numpy_and_names_the_operation() -> None:
    pytest.importorskip("numba")
    cell = Attentive(N, H, seed=0)
    with pytest.warns(CompileWarning, match=r"Attentive.*runs in NumPy.*log_softmax"):
        run = tg.unroll(tg.compile(cell, backend="numba"), X)
    assert run.tape is not None


class Matrix(tg.Cell):
    """Fast weights: a matrix as state."""

    state_names = ("h", "s")

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.k, self.v = self.parameter("k", (input_size, hidden_size)), self.parameter("v", (input_size, hidden_size))

    def initial_state(self, batch: int) -> Any:
        return self.State(np.zeros((batch, self.hidden_size)), np.zeros((batch, self.hidden_size, self.hidden_size)))

    def step(self, x: Any, state: Any) -> Any:
        s = 0.9 * state.s + tg.einsum("bi,bj->bij", x @ self.v, x @ self.k)
        return tg.tanh((s @ (x @ self.k)[:, :, None])[:, :, 0]), s


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [*(kind for kind in CELLS if kind is not Attentive), Matrix])
def test_every_other_cell_is_fused_in_either_precision(kind: Any, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(Loop, "_compile", lambda loop: setattr(loop, "_planned", False))  # planned, and run in NumPy
    cell = kind(N, H, seed=0, dtype=dtype)
    run = tg.unroll(tg.compile(cell, backend="numba"), X.astype(dtype))  # a warning would say what cannot be fused
    assert all(gradient.dtype == dtype for gradient in tg.grad(run.stacked.sum(), cell.parameters()))


class Flipped(Matrix):
    """Fast weights, with what no loop nest can do behind them."""

    def step(self, x: Any, state: Any) -> Any:
        h, s = super().step(x, state)
        return h, tg.flip(s, axis=2)


@pytest.mark.parametrize("kind", [Flipped, Attentive])
def test_what_cannot_be_fused_is_known_before_anything_is_compiled(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(kernels, "load", lambda *_: pytest.fail("it compiles what it cannot use"))
    cell = kind(N, H, seed=0)
    with pytest.warns(CompileWarning, match=r"runs in NumPy, since .* cannot be fused") as caught:
        run = tg.unroll(tg.compile(cell, backend="numba"), X)
        tg.grad(run.stacked.sum(), cell.parameters())
    assert len(caught) == 1
