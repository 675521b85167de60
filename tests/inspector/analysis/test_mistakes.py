"""Every mistake that people make in backpropagation through time is found by its name, in code that they wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.analysis.altered import altered
from inspector.analysis.cut_short import _truncated
from inspector.analysis.mistakes import mistakes
from inspector.analysis.step_roles import Steps
from inspector.tracing.replay import recorded
from tests.inspector.analysis import by_hand
from tests.marks import slow_unless
from tinygrad_rnn.recurrent.unroll import Run

BY_HAND: dict[str, Callable[..., dict[str, Any]]] = {"rnn": by_hand.rnn, "lstm": by_hand.lstm, "gru": by_hand.gru}
X = np.random.default_rng(0).normal(size=(6, 3, 2))
GOLDEN = Path(__file__).parent / "golden" / "mistakes.txt"

COMMON = {
    "forwards": "Jacobians in the wrong order: the loop goes through the steps forwards",
    "first step missing": "the loop ends after 5 steps: the first step is left out",
    "loop ends after 3": "the loop ends after 3 steps: the first 3 steps are left out",
    "mean over batch": "the whole gradient is the mean over the batch in place of the sum (1/3)",
    "mean over time": "the whole gradient is the mean over the steps in place of the sum (1/6)",
    "sign": "the whole gradient has the wrong sign",
    "scaled": "the whole gradient is 0.37 times ours throughout",
    "bias mean": "the gradient by bias_ih and bias_hh is the mean over the batch in place of the sum (1/3)",
    "last loss only": "only the loss of the last step, t = 5, is sent back",
    "no 2": "the whole gradient is half of ours, without the 2 of a squared error",
}
OWN = {
    "rnn": {
        "gradient transposed": "the gradient by weight_hh is transposed",
        "no square": "the derivative of tanh is taken as 1 − tanh",
        "no derivative": "the derivative of tanh is taken as 1",
        "sigmoid's derivative": "the derivative of tanh is taken as tanh(1 − tanh)",
        "at the activation": "the derivative of tanh is taken at the activation, tanh′(tanh(z)), not at z",
        "made of z": "the derivative of tanh is that for the activation, but made of z (such as 1 − z² for tanh)",
        "twice": "the derivative of tanh is taken as its derivative, twice",
        "of the step before": "the derivative in hₜ is made of the activation of the step before",
        "off by one": "hₜ is read in place of hₜ₋₁, off by one, in the gradient by weight_hh",
        "two before": "hₜ₋₂ is read in place of hₜ₋₁, off by one, in the gradient by weight_hh",
        "index -1": ("at the first step hₜ₋₁ is read as the last h (an index of −1), in the gradient by weight_hh"),
        "assigned": (
            "the gradient by weight_ih, weight_hh, bias_ih and bias_hh is the share of the step t = 0 alone: assigned"
            " (=) where it should be added up (+=)"
        ),
        "bias over all": "the gradient by bias_ih and bias_hh is summed over batch and units together",
        "bias of the first sequence": (
            "the gradient by bias_ih and bias_hh is that of the first sequence of the batch alone"
        ),
        "weight transposed": "weight_hh is transposed on the way back to hₜ₋₁",
        "no recurrence": "truncated: windows of 1 step, counted from the first step",
        "windows of 3": "truncated: windows of 3 steps, counted from the first step",
    },
    "lstm": {
        "gradient transposed": "the gradient by weight_hh is transposed, each square block by itself",
        "no square at c": "the derivative of tanh(cₜ) is taken as 1 − tanh",
        "at the activation of c": ("the derivative of tanh(cₜ) is taken at the activation, tanh′(tanh(z)), not at z"),
        "c itself": "the derivative of tanh(cₜ) is that for the activation, but made of z (such as 1 − z² for tanh)",
        "no square at g": "the derivative of tanh at g is taken as 1 − tanh",
        "sigmoid is s": "the derivative of sigmoid everywhere is taken as σ",
        "sigmoid is 1 - s": "the derivative of sigmoid everywhere is taken as 1 − σ",
        "f is s": "the derivative of sigmoid at f is taken as σ",
        "tanh for sigmoid": "the derivative of sigmoid at f is taken as 1 − σ²",
        "no c through o": "the path from hₜ back to tanh(cₜ) is left out",
        "gate left out": "the path from i·g back to i is left out",
        "sign of o": "the path from hₜ back to o has the wrong sign",
        "o not in dh": (
            "the path from hₜ back to o is left out of what goes back to hₜ₋₁, cₜ₋₁, though weights have it"
        ),
        "c off by one": "cₜ is read in place of cₜ₋₁, off by one, in the gradient by f",
        "off by one": "hₜ is read in place of hₜ₋₁, off by one, in the gradient by weight_hh",
        "f of the next step": "fₜ₊₁ is read in place of fₜ, off by one, in the gradient by cₜ₋₁",
        "weight transposed": "weight_hh is transposed on the way back to hₜ₋₁",
        "c not carried": "the gradient by cₜ₋₁ is not handed on to the step before",
        "h not carried": "the gradient by hₜ₋₁ is not handed on to the step before",
        "gates in another order": (
            "the gradient by weight_ih, weight_hh, bias_ih and bias_hh has its 4 blocks of rows in the order 0, 1, 3, 2"
        ),
    },
    "gru": {
        "no square": "the derivative of tanh is taken as 1 − tanh",
        "r is s": "the derivative of sigmoid at r is taken as σ",
        "sign of z": "the path from z back to z_z has the wrong sign",
        "n not in dz": "the path from (1 − z)·n back to 1 − z is left out",
        "reset gate left out": "the path from r(weight_hh hₜ₋₁ + bias_hh)[8:12] back to r is left out",
        "r forgotten": "the factor r is forgotten on the way back to (weight_hh hₜ₋₁ + bias_hh)[8:12]",
        "z and 1 - z exchanged": "1 − z and z are exchanged in the gradient by n and hₜ₋₁",
        "direct path left out": "the path from z·hₜ₋₁ back to hₜ₋₁ is left out",
        "off by one": "hₜ is read in place of hₜ₋₁, off by one, in the gradient by weight_hh",
    },
}
PEEPHOLE = {
    "no c through o": "the path from p_o·cₜ back to cₜ is left out",
    "no c through f": "the path from p_f·cₜ₋₁ back to cₜ₋₁ is left out",
}
EVERY = {f"{cell}: {wrong}": cause for cell in OWN for wrong, cause in (COMMON | OWN[cell]).items()}
QUICK = [
    "rnn: off by one",
    "rnn: weight transposed",
    "lstm: no c through o",
    "lstm: sigmoid is s",
    "lstm: forwards",
    "gru: z and 1 - z exchanged",
]


def case(cell: str, batch: int = 3) -> tuple[Run, tg.Tensor, dict[str, Any]]:
    run = tg.unroll(tg.cells.get(cell)(2, 4, seed=1), X[:, :batch] if batch <= 3 else X[:, [0, 1, 2, 0]])
    return run, (run.stacked**2).sum(), {name: value.data for name, value in run.cell.named_parameters()}


TRIED: dict[str, Callable[[], Run]] = {
    "rnn": lambda: case("rnn")[0],
    "lstm": lambda: case("lstm")[0],
    "stack, reversed and padded": lambda: tg.unroll(
        tg.Stacked(tg.cells.get("rnn")(2, 3, seed=0), tg.cells.get("gru")(3, 2, seed=1)),
        X,
        lengths=[6, 4, 2],
        reverse=True,
    ),
}


def tried() -> Iterator[str]:
    """Every mistake that is tried, with a number that says what becomes of the gradient."""
    for kind, make in TRIED.items():
        run = make()
        run, loss = recorded(run, (run.stacked**2).sum())
        wanted = {name: [value] for name, value in run.cell.named_parameters()}
        rng = np.random.default_rng(0)
        weights = {name: rng.normal(size=value.shape) for name, (value,) in wanted.items()}
        for mistake, found in altered(loss, wanted, mistakes(Steps(run, loss))):
            number = sum(float((weights[name] * rows[0]).sum()) for name, rows in found.items())
            yield f"{kind}: {mistake.says}: {round(number, 4) + 0.0:.4f}"
    windows = [one.says for one in _truncated(SimpleNamespace(run=range(501), layers=[]))]  # type: ignore[arg-type]
    lengths = (re.findall("windows of (.*), counted from the first", says) for says in windows)
    yield "windows of " + ", ".join(length for found in lengths for length in found)


@np.errstate(all="ignore")
def test_the_mistakes_are_as_they_were(request: pytest.FixtureRequest) -> None:
    """A change here is a mistake that is tried no longer, or anew, or made in another way: read the difference."""
    found = "\n".join([*tried(), ""])
    if request.config.getoption("--overwrite"):
        GOLDEN.write_text(found, encoding="utf-8")
    assert found == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("cell", BY_HAND)
def test_what_is_written_right_is_right(cell: str) -> None:
    run, loss, parameters = case(cell)
    theirs = BY_HAND[cell](parameters, X)
    found = inspector.check_gradient(run, loss, theirs)
    assert found.ok and found.cause == "" and found.causes == found.parameters == found.values == found.timesteps == ()
    assert found.errors.values.max() < 1e-13 and set(found.errors.axes["name"]) == set(theirs)
    assert str(found).startswith(f"{run.cell!r}, 6 steps: the gradient by weight_ih, weight_hh, ")


@pytest.mark.parametrize("which", slow_unless(QUICK, EVERY))
def test_every_mistake_is_found_by_its_name(which: str) -> None:
    cell, _, wrong = which.partition(": ")
    run, loss, parameters = case(cell)
    theirs = BY_HAND[cell](parameters, X, wrong)
    found = inspector.check_gradient(run, loss, {name: theirs[name] for name in parameters})
    assert not found.ok and EVERY[which] in found.causes, found
    along = {"h", "c"} & theirs.keys()
    more = inspector.check_gradient(run, loss, theirs)
    assert more.cause == EVERY[which] or len(more.causes) > 1, more
    assert not more.ok and len(more.causes) <= len(found.causes) and along == set(more.along.axes["name"])


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["", *PEEPHOLE])
def test_peepholes(wrong: str) -> None:
    run, loss, parameters = case("peephole")
    found = inspector.check_gradient(run, loss, by_hand.peephole(parameters, X, wrong))
    assert (found.ok, found.cause) == (not wrong, PEEPHOLE.get(wrong, "")), found


@pytest.mark.slow
def test_a_bias_summed_over_the_units_is_told_where_there_are_as_many_as_sequences() -> None:
    run, loss, parameters = case("rnn", batch=4)
    theirs = by_hand.rnn(parameters, X[:, [0, 1, 2, 0]], "bias over units")
    found = inspector.check_gradient(run, loss, theirs)
    assert found.causes == ("the gradient by bias_ih and bias_hh is summed over the units in place of the batch",)


@pytest.mark.slow
def test_numbers_along_time_in_the_reverse_order() -> None:
    run, loss, parameters = case("rnn")
    found = inspector.check_gradient(run, loss, by_hand.rnn(parameters, X, "time reversed"))
    assert found.cause == "the gradient by h is in the reverse order of time" and found.values == ("h",)
    h = by_hand.rnn(parameters, X)["h"]
    shifted = inspector.check_gradient(run, loss, {"h": np.concatenate([h[1:], h[:1]])})
    assert shifted.cause == "the gradient by h is that of the step behind, off by one in time"


@pytest.mark.parametrize(
    "theirs", ["weight_hh", pytest.param("h", marks=pytest.mark.slow), pytest.param("bias_ih", marks=pytest.mark.slow)]
)
def test_random_numbers_are_given_no_cause(theirs: str) -> None:
    run, loss, parameters = case("gru")
    given = by_hand.gru(parameters, X)
    given[theirs] = np.random.default_rng(3).normal(size=given[theirs].shape)
    found = inspector.check_gradient(run, loss, given)
    assert not found.ok and found.cause == "" and found.causes == ()
    assert (*found.parameters, *found.values) == (theirs,)
    assert "none of the mistakes that were tried gives these numbers" in str(found)


@pytest.mark.slow
def test_two_mistakes_together() -> None:
    run, loss, parameters = case("lstm")
    wrong, other = by_hand.lstm(parameters, X, "f is s"), by_hand.lstm(parameters, X, "f is s")
    other["weight_hh"] = by_hand.lstm(parameters, X, "off by one")["weight_hh"]
    found = inspector.check_gradient(run, loss, {**wrong, "weight_ih": -wrong["weight_ih"]})
    first = "the derivative of sigmoid at f is taken as σ"
    assert found.cause == f"{first}; and the gradient by weight_ih has the wrong sign"
    right = by_hand.lstm(parameters, X)
    slips = {**right, "bias_ih": -right["bias_ih"], "bias_hh": right["bias_hh"] / 3}
    assert inspector.check_gradient(run, loss, slips).cause == (
        "the gradient by bias_ih has the wrong sign; the gradient by bias_hh is the mean over the batch in place of the"
        " sum (1/3)"
    )


@pytest.mark.slow
def test_two_changes_of_the_sweep_together() -> None:
    """A wrong slope throughout, and hidden states off by one in a single weight."""
    run, loss, parameters = case("rnn")
    theirs = by_hand.rnn(parameters, X, "no square")
    h = [np.zeros((3, 4)), *(output.data for output in run.outputs)]
    theirs["weight_hh"] = sum((theirs["h"][t] * (1 - h[t + 1])).T @ h[t + 1] for t in range(6))
    found = inspector.check_gradient(run, loss, theirs)
    assert set(found.cause.split("; and ")) == {
        "the derivative of tanh is taken as 1 − tanh",
        "hₜ is read in place of hₜ₋₁, off by one, in the gradient by weight_hh",
    }
