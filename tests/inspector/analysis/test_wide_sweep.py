"""Cotangents of many loss steps side by side, through matrices of the steps, are those of a sweep each."""

from __future__ import annotations

import cProfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.analysis import truncation, weight_sums, wide_sweep
from inspector.analysis.loss_steps import LossSteps
from inspector.analysis.truncation import Kept, kept
from tests.random_cells import BATCH, SIZE, cells
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

T = 14


@contextmanager
def steps_as_matrices(few: int = 0) -> Iterator[list[Any]]:
    """Whatever has more loss steps than units goes through matrices; gives the steps that did."""
    used: list[Any] = []

    def applied(exits: Any, matrix: Any, apply: Any = wide_sweep._applied) -> Any:
        used.append(matrix)
        return apply(exits, matrix)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wide_sweep, "_BLOCK", 1)
        patch.setattr(wide_sweep, "_LEAST", 1)
        patch.setattr(wide_sweep, "_applied", applied)
        patch.setattr(weight_sums, "_BUFFER", 2000)
        patch.setattr(truncation, "_FEW", few)
        yield used


class Mixing(tg.Cell):
    """A cell in which the sequences of a batch depend on one another."""

    def __init__(self) -> None:
        super().__init__(SIZE, SIZE, seed=0)
        self.weight = self.parameter("weight", (SIZE, SIZE))

    def step(self, x: Any, state: Any) -> Any:
        z = x @ self.weight.T + state.h @ self.weight
        return (tg.tanh(z - 0.5 * z.mean(axis=0)),)


class Tied(tg.Cell):
    """One weight, used as it is, transposed, turned round, elementwise, and as what another is made of."""

    state_names = ("h", "s")

    def __init__(self) -> None:
        super().__init__(SIZE, SIZE, seed=0)
        self.weight, self.row = self.parameter("weight", (SIZE, SIZE)), self.parameter("row", (1, SIZE))

    def step(self, x: Any, state: Any) -> Any:
        z = x @ self.weight.T + state.h @ self.weight[:, ::-1] + self.row * tg.sigmoid(self.row) + state.s
        return tg.tanh(z + state.h @ (self.weight @ self.weight) * 0.3 + self.row), state.h * self.row


X = np.random.default_rng(0).normal(size=(T, BATCH, SIZE))
LSTM, GRU = (
    (lambda seed, inputs=SIZE: tg.cells.LSTMCell(inputs, 3, seed=seed)),
    lambda seed: tg.cells.GRUCell(3, 3, seed=seed),
)
RUNS: dict[str, Callable[[], Run]] = {
    "lstm": lambda: tg.unroll(LSTM(0), X),
    "masked": lambda: tg.unroll(LSTM(0), X, lengths=[T, 5]),
    "reversed": lambda: tg.unroll(GRU(0), X, reverse=True),
    "truncated": lambda: tg.unroll(LSTM(0), X, truncate=10),
    "stack": lambda: tg.unroll(tg.Stacked(LSTM(0), GRU(1)), X, between=[X]),
    "directions": lambda: tg.unroll(tg.Bidirectional(LSTM(0), GRU(1)), X),
    "turning": lambda: tg.unroll(tg.Stacked(tg.Bidirectional(GRU(0), GRU(1)), LSTM(2, 6)), X),
    "tied": lambda: tg.unroll(Tied(), X),
    "mixing": lambda: tg.unroll(Mixing(), X),
    "peepholes": lambda: tg.unroll(tg.cells.get("peephole")(SIZE, 3, seed=0), X),
}


def loss_of(run: Run) -> tg.Tensor:
    outputs, middle = run.stacked, next(iter(run.cells)).states[4][0]
    return (outputs * outputs * np.random.default_rng(1).normal(size=outputs.shape)).sum() + (middle * middle).sum()


def by_definition(run: Run, loss: tg.Tensor) -> dict[str, Kept]:
    """From a trace of each loss step alone: what it brings to each timestep's use of a weight."""
    parts, count = LossSteps(run, loss), len(run)
    found = {name: Kept(*np.zeros((2, count, *p.shape))) for name, p in run.cell.named_parameters()}
    owner = {id(p): part.reverse for part in run.cells for p in part.cell.parameters()}
    for s in parts.readers:
        trace = inspector.trace(run, parts.alone(s))
        for name, parameter in run.cell.named_parameters():
            for t, share in enumerate(trace.parameter_shares(name)):
                found[name].sliding[abs(s - t) :] += share
                place = [count - 1 - n if owner[id(parameter)] else n for n in (s, t)]
                for k in range(1, count + 1):
                    if place[0] // k == place[1] // k:
                        found[name].fixed[k - 1] += share
    return found


def compare(found: dict[str, Kept], expected: dict[str, Kept], blind: bool = False) -> None:
    for name in expected:
        scale = np.abs(expected[name].sliding).max(initial=0.0)
        np.testing.assert_allclose(found[name].sliding, expected[name].sliding, rtol=0, atol=1e-12 * scale)
        if not blind:
            np.testing.assert_allclose(found[name].fixed, expected[name].fixed, rtol=0, atol=1e-12 * scale)
    assert found.keys() == expected.keys()


@pytest.mark.parametrize("few", [0, 99])
@pytest.mark.parametrize("kind", RUNS)
def test_windows_are_what_they_are_by_definition(kind: str, few: int) -> None:
    """One loss step after the other, and all side by side."""
    run = RUNS[kind]()
    loss = loss_of(run)
    with steps_as_matrices(few) as used:
        found = kept(run, loss)
    compare(found, by_definition(run, loss), blind=kind == "turning")
    assert bool(used) == (few == 0 and kind != "mixing")


@FEW
@given(cell=cells(), reverse=st.booleans(), cut=st.none() | st.integers(1, 4), short=st.integers(1, 12))
def test_windows_and_reach_of_cells_nobody_has_seen(cell: tg.Cell, reverse: bool, cut: Any, short: int) -> None:
    with np.errstate(all="ignore"):
        run = tg.unroll(cell, X[:12], reverse=reverse, truncate=cut, lengths=None if short > 9 else [12, short])
        loss = (run.stacked**2).sum()
        assume(np.isfinite(loss.data) and abs(loss.data) < 1e100)
        expected = by_definition(run, loss)
        with steps_as_matrices():
            compare(kept(run, loss), expected)
            each = maps(run, loss, LossSteps.each)
        apart = maps(run, loss, LossSteps.each_apart)
    compare_maps(each, apart)


def maps(run: Run, loss: tg.Tensor, way: Any) -> dict[tuple[int, int, int], np.ndarray]:
    found: dict[tuple[int, int, int], np.ndarray] = {}
    for rows, piece in way(LossSteps(run, loss)):
        whole = found.setdefault(piece[:3], np.zeros((len(run), *piece.gradient.shape[1:])))
        whole[rows] += piece.gradient
    return found


def compare_maps(found: Any, expected: Any) -> None:
    for key in found.keys() | expected.keys():
        numbers, other = found.get(key, 0.0), expected.get(key, 0.0)
        scale = np.abs(other).max(initial=0.0)
        np.testing.assert_allclose(numbers, other, rtol=0, atol=1e-12 * scale)
        assert scale == 0.0 or (np.asarray(numbers)[np.asarray(other) == 0.0] == 0.0).all()


@pytest.mark.parametrize("kind", RUNS)
def test_each_loss_steps_gradient_is_that_of_its_own_sweep(kind: str) -> None:
    run = RUNS[kind]()
    loss = loss_of(run)
    apart = maps(run, loss, LossSteps.each_apart)
    with steps_as_matrices() as used:
        compare_maps(maps(run, loss, LossSteps.each), apart)
    assert bool(used) == (kind != "mixing")


def calls(what: Callable[[], Any]) -> int:
    profile = cProfile.Profile()
    profile.runcall(what)
    return sum(entry.callcount for entry in profile.getstats())  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["weights", "weights at all steps", "reach", "trace"])
def test_the_work_grows_with_the_steps(kind: str) -> None:
    """Not with their square: twice the steps are at most twice the calls, and a tenth."""
    found = []
    for steps in (60, 120):
        run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((steps, 1, 2)))
        loss = run.outputs[-1].sum() if kind == "weights" else run.stacked.sum()
        analysis = getattr(inspector, kind.split()[0])
        analysis(run, loss)
        with steps_as_matrices(few=8):
            found.append(calls(lambda run=run, loss=loss, analysis=analysis: analysis(run, loss)))
    assert found[1] < 2.2 * found[0]
