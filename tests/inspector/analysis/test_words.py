"""What every analysis says of a small run, word for word: a change of the words is read before it lands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.recurrent.unroll import Run

GOLDEN = Path(__file__).parent / "golden" / "words.txt"
X = np.random.default_rng(0).normal(size=(5, 2, 3))


def run_of(cell: str, x: Any = X, **options: Any) -> tuple[Run, tg.Tensor]:
    run = tg.unroll(tg.cells.get(cell)(3, 3, seed=0), x, **options)
    return run, (run.stacked**2).sum()


def broken() -> tuple[Run, tg.Tensor]:
    x = X.copy()
    x[3, 0, 1] = np.nan
    return run_of("lstm", x)


def zero() -> tuple[Run, tg.Tensor]:
    run, loss = run_of("lstm")
    return run, loss * 0.0


NAMES = (
    "trace",
    "band",
    "diagnose",
    "duality",
    "gates",
    "path_orders",
    "reach",
    "saliency",
    "shares",
    "strongest_path",
    "waterfall",
    "weights",
)
"""What takes a run and a loss."""


def told(run: Run, loss: tg.Tensor) -> Iterator[tuple[str, Callable[[], Any]]]:
    for name in NAMES:
        yield name, partial(getattr(inspector, name), run, loss)
    yield "saliency, gradient", partial(inspector.saliency, run, loss, "gradient", labels=list("a b\tc")[: len(run)])
    yield "jacobians", partial(inspector.jacobians, run)
    yield "lyapunov", partial(inspector.lyapunov, run)
    yield "stops", partial(inspector.stops, loss, run.states[0][-1], run)
    yield "what_if", partial(inspector.what_if, run, loss, scale={"weight_hh": 1.5})


RUNS = {
    "usual": partial(run_of, "lstm"),
    "reversed": partial(run_of, "gru", reverse=True),
    "one step": partial(run_of, "lstm", X[:1]),
    "zero": zero,
    "NaN": broken,
}


@np.errstate(all="ignore")
def words() -> str:
    lines = []
    for kind, make in RUNS.items():
        for name, find in told(*make()):
            try:
                says = str(find())
            except ValueError as refused:
                says = f"refused: {refused}"
            lines += [f"## {name}: {kind}", *says.splitlines(), ""]
    return re.sub(r"to \d\.\de[-+]\d\d", "to rounding", "\n".join(lines))  # which is each machine's own


class Constant(tg.Cell):
    """Its second state depends on nothing."""

    state_names = ("h", "k")

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__(3, 3, seed=0)
        self.make, self.weight_hh = make, self.parameter("weight_hh", (3, 3))

    def step(self, x: Any, state: Any) -> Any:
        return tg.tanh(state.h @ self.weight_hh * state.k + x), self.make(np.full((x.shape[0], 3), 2.0))


@np.errstate(all="ignore")
def test_a_state_may_be_an_array() -> None:
    array, tensor = (tg.unroll(Constant(make), X) for make in (np.asarray, tg.tensor))
    for (name, found), (_, expected) in zip(
        *(told(run, (run.stacked**2).sum()) for run in (array, tensor)), strict=True
    ):
        assert str(found()) == str(expected()), name


@np.errstate(all="ignore")
def test_curves_in_words_are_forty_marks_wide_at_most() -> None:
    run, loss = run_of("rnn", np.random.default_rng(0).normal(size=(50, 1, 3)))
    for name in ("trace", "band", "reach", "weights"):
        curves = re.findall("[▁-█·!]{5,}", str(getattr(inspector, name)(run, loss)))
        assert {*map(len, curves)} == {40}, name
    assert {*map(len, re.findall("[▁-█]{5,}", str(inspector.jacobians(run))))} == {40}


def test_the_words_are_as_they_were(request: pytest.FixtureRequest) -> None:
    found = words()
    if request.config.getoption("--overwrite"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(found, encoding="utf-8")
    assert found == GOLDEN.read_text(encoding="utf-8")
