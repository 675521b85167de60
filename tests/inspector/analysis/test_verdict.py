"""What a verdict says of somebody's gradient, for every kind of run, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

import inspector
import tinygrad_rnn as tg
from inspector.analysis.altered import altered
from inspector.analysis.mistakes import mistakes
from inspector.analysis.step_roles import Steps
from inspector.tracing.replay import recorded
from tests.random_cells import BATCH, SIZE, random_cell, runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

X = np.random.default_rng(0).normal(size=(6, 3, 2))


def lstm(**options: Any) -> tg.Cell:
    return tg.cells.LSTMCell(2, 4, seed=0, **options)


def stack() -> Any:
    return tg.Stacked(lstm(), tg.cells.GRUCell(4, 4, seed=1))


KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "stack": (stack, {}),
    "directions": (lambda: tg.Bidirectional(lstm(), tg.cells.GRUCell(2, 4, seed=1)), {}),
    "padded": (lstm, {"lengths": [6, 2, 4]}),
    "truncated": (lstm, {"truncate": 4}),
    "reversed": (lstm, {"reverse": True}),
    "compiled": (lambda: tg.compile(lstm(), backend="numpy"), {}),
    "compiled, padded, reversed": (
        lambda: tg.compile(lstm(), backend="numpy"),
        {"lengths": [6, 2, 4], "reverse": True},
    ),
    "float32": (lambda: lstm(dtype=np.float32), {}),
}


def run_of(kind: str = "padded") -> tuple[Run, tg.Tensor]:
    make, options = KINDS[kind]
    run = tg.unroll(make(), X, **options)
    return run, (run.stacked**2).sum()


def ours(run: Run, loss: tg.Tensor, values: bool = True) -> dict[str, Any]:
    found = inspector.trace(run, loss)
    along = {name: np.array([found.gradient(name, t) for t in range(len(run))]) for name in found.names}
    return {name: found.parameter_gradient(name) for name in found.parameters} | (along if values else {})


@pytest.mark.parametrize("kind", KINDS)
def test_our_own_gradient_is_right(kind: str) -> None:
    run, loss = run_of(kind)
    theirs = ours(run, loss)
    found = inspector.check_gradient(run, loss, theirs)
    assert found.ok and found.errors.shape == (len(theirs),) and found.along.shape[1] == 6, found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_change_of_the_sweep_is_found_in_every_kind_of_run(kind: str) -> None:
    run, loss = run_of(kind)
    replayed = recorded(run, loss)
    wanted = {name: [value] for name, value in replayed[0].cell.named_parameters()}
    tried = list(mistakes(Steps(*replayed)))
    rng = np.random.default_rng(len(kind))
    chosen = [tried[k] for k in rng.choice(len(tried), 3, replace=False)]
    for mistake, numbers in altered(replayed[1], wanted, chosen):
        found = inspector.check_gradient(run, loss, {name: rows[0] for name, rows in numbers.items()})
        assert found.ok or mistake.says in found.causes, (mistake.says, str(found))


@st.composite
def networks(draw: Any) -> Run:
    """A random cell whose new state certainly depends on weights, on the input and on the state before."""
    start = [("matmul", 0, 0, None), ("matmul", 1, 0, None), ("add", 2, 3, "z"), ("tanh", 4, 0, "g")]
    middle = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["sigmoid", "tanh", "one minus", "multiply", "add", "matmul"]),
                st.integers(0, 5),
                st.integers(0, 5),
                st.sampled_from([None, "f"]),
            ),
            max_size=4,
        )
    )
    plan = [*start, *middle, ("add", 5, draw(st.integers(0, 9)), None)]
    steps = draw(st.integers(1, 4))
    inputs = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(steps, BATCH, SIZE))
    options: dict[str, Any] = {"lengths": [steps, 1]} if draw(st.booleans()) else {}
    state = np.random.default_rng(1).normal(size=(BATCH, SIZE))
    return tg.unroll(random_cell(plan, [len(plan)]), inputs, (state,), reverse=draw(st.booleans()), **options)


@FEW
@given(networks(), st.integers(0, 10_000))
def test_random_cells(run: Run, number: int) -> None:
    """Ours is right, and a change of the sweep is found by its name, whichever it is that makes a difference."""
    loss = (run.stacked**2).sum()
    own = ours(run, loss, values=False)
    assert any(value.any() for value in own.values()) and inspector.check_gradient(run, loss, own).ok
    tried = list(mistakes(Steps(run, loss)))
    start = number % len(tried)
    wanted = {name: [value] for name, value in run.cell.named_parameters()}
    for mistake, numbers in altered(loss, wanted, [*tried[start:], *tried[:start]]):
        found = inspector.check_gradient(run, loss, {name: rows[0] for name, rows in numbers.items()})
        if not found.ok:
            assert mistake.says in found.causes, (mistake.says, str(found))
            break


@FEW
@given(runs())
def test_our_own_gradient_of_random_cells_is_right(run: Run) -> None:
    with np.errstate(all="ignore"):
        loss = (run.stacked**2).sum()
        theirs = {name: value for name, value in ours(run, loss).items() if np.isfinite(value).all()}
        assert inspector.check_gradient(run, loss, theirs).ok


# ---------------------------------------------------------------------------------- what is compared


def test_padded_positions_of_states_are_not_compared_and_those_of_gates_are() -> None:
    run, loss = run_of()
    theirs = ours(run, loss)
    theirs["h"][4:, 1] = 7.0
    assert inspector.check_gradient(run, loss, {"h": theirs["h"]}).ok
    theirs["f"][4, 1] = 7.0
    found = inspector.check_gradient(run, loss, {"f": theirs["f"]})
    assert found.values == ("f",) and found.timesteps == (4,)


def test_a_mean_over_all_positions_that_are_not_padded() -> None:
    run, loss = run_of()
    theirs = {name: value / 12 for name, value in ours(run, loss, values=False).items()}
    found = inspector.check_gradient(run, loss, theirs)
    assert found.causes == (
        "the whole gradient is the mean over all positions that are not padded in place of the sum (1/12) or the mean"
        " over batch and units in place of the sum (1/12)",
    )


def test_where_ours_is_not_finite_nothing_is_tried() -> None:
    cell = lstm()
    cell.weight_hh.data = np.full((16, 4), np.nan)
    with np.errstate(all="ignore"):
        run = tg.unroll(cell, X)
        found = inspector.check_gradient(run, run.stacked.sum(), {"weight_hh": np.ones((16, 4))})
    assert not found.ok and found.causes == () and found.not_finite is not None
    assert "ours is not finite, so that there is nothing to compare with and no mistake was tried" in str(found)


def test_numbers_in_float32_are_compared_as_such() -> None:
    run, loss = run_of("reversed")
    theirs = {name: value.astype(np.float32) for name, value in ours(run, loss).items()}
    found = inspector.check_gradient(run, loss, theirs)
    assert found.ok and 1e-9 < found.errors.values.max() < 1e-6 and "as float32 rounds" in str(found)
    widened = inspector.check_gradient(run, loss, {"weight_hh": theirs["weight_hh"].astype(np.float64)})
    assert not widened.ok and widened.cause.startswith("computed in float32, or rounded to it")


def test_where_in_time_it_goes_wrong() -> None:
    run, loss = run_of("reversed")
    theirs = ours(run, loss)["h"]
    theirs[3:] *= 1 + np.array([1e-3, 1e-2, 1e-1])[:, None, None] * np.random.default_rng(0).normal(size=(3, 3, 4))
    found = inspector.check_gradient(run, loss, {"h": theirs})
    assert found.timesteps == (3, 4, 5) and found.values == ("h",) and found.parameters == ()
    assert (found.along["name", "h"] > found.tolerance).tolist() == [False] * 3 + [True] * 3
    assert "h  agrees at t = 0 … 2, differs from t = 3 back to t = 5: " in str(found) and "growing to" in str(found)
    forwards, loss = run_of("truncated")
    theirs = ours(forwards, loss)["c"]
    theirs[2] *= 3
    found = inspector.check_gradient(forwards, loss, {"c": theirs})
    assert found.timesteps == (2,) and "agrees at t = 5 … 3, differs at t = 2 alone, by 0.67" in str(found)


def test_what_is_not_finite_is_told_and_nothing_is_searched_for() -> None:
    run, loss = run_of("truncated")
    theirs = ours(run, loss)
    theirs["weight_hh"][0, :2] = np.nan
    theirs["c"][:3, 0, 0] = np.inf
    found = inspector.check_gradient(run, loss, {"weight_hh": theirs["weight_hh"], "c": theirs["c"], "h": theirs["h"]})
    assert not found.ok and found.parameters == ("weight_hh",) and found.values == ("c",)
    assert found.timesteps == (0, 1, 2)
    assert found.cause == "not finite: NaN in weight_hh (2 numbers of 64) and infinity in c from t = 2 back"
    assert isinstance(found.plot(), Axes)


def test_lists_and_tensors_and_integers_are_numbers() -> None:
    run = tg.unroll(tg.cells.RNNCell(1, 1, nonlinearity="identity", seed=0), np.ones((2, 1, 1)))
    loss = run.outputs[-1].sum() + run.outputs[0].sum() * 0.0
    w = float(run.cell.weight_hh.data[0, 0])
    theirs = {"weight_ih": [[1 + w]], "bias_ih": tg.tensor([1 + w]), "h": np.array([[[w]], [[1.0]]])}
    assert inspector.check_gradient(run, loss, theirs).ok
    assert inspector.check_gradient(run, loss, {"h": np.ones((2, 1, 1), int)}).timesteps == (0,)


@pytest.mark.parametrize(
    ("theirs", "kind", "message"),
    [
        ({}, ValueError, "theirs is empty"),
        ([1.0], TypeError, "must be a mapping from names to arrays"),
        (
            {"weight_h": np.zeros((16, 4))},
            ValueError,
            "nothing is called 'weight_h'; did you mean weight_ih or weight_hh",
        ),
        ({"weight_ih": np.zeros((2, 16))}, ValueError, r"must have shape \(16, 2\), got \(2, 16\); it is transposed"),
        ({"h": np.zeros((5, 3, 4))}, ValueError, r"h must have shape \(6, 3, 4\), one row a timestep, got \(5, 3, 4\)"),
        ({"h": None}, TypeError, "h must be an array of real numbers, got object"),
        ({"h": np.zeros((6, 3, 4), complex)}, TypeError, "h must be an array of real numbers, got complex128"),
    ],
)
def test_what_does_not_fit_is_refused(theirs: Any, kind: type[Exception], message: str) -> None:
    run, loss = run_of()
    with pytest.raises(kind, match=f"^check_gradient: .*{message}"):
        inspector.check_gradient(run, loss, theirs)


def test_a_verdict_is_exported_and_drawn() -> None:
    run, loss = run_of("truncated")
    found = inspector.check_gradient(run, loss, {"weight_hh": -ours(run, loss)["weight_hh"]})
    assert found.cause == "the gradient by weight_hh has the wrong sign"
    plain = found.to_dict()
    assert plain["ok"] is False and plain["causes"] == ["the gradient by weight_hh has the wrong sign"]
    assert plain["errors"]["values"] == [2.0] and plain["along"]["values"] == []
    assert found.plot().get_title(loc="left").endswith("the gradient by weight_hh is wrong")
    assert "weight_hh  differs by 2 of its largest number, always -1 of ours" in str(found)
