"""The gradient of each loss step, by itself and against the sum; closed forms, PyTorch, and runs cut in two."""

from __future__ import annotations

import functools
import math
import operator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.analysis.loss_steps import LossSteps
from inspector.analysis.reach import norms
from inspector.plots import save
from tests.marks import slow_unless
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.recurrent.unroll import Run

T = 6
X = np.random.default_rng(0).normal(size=(T, 2, 3))
WEIGHTS = np.random.default_rng(1).normal(size=(T, 2, 99))


def cell(name: str, seed: int = 0, inputs: int = 3) -> tg.Cell:
    return tg.cells.get(name)(inputs, 4, seed=seed)


RUNS = {
    **{name: tg.unroll(cell(name), X) for name in ("lstm", "gru", "narx", "clockwork", "fgr", "slstm")},
    "masked": tg.unroll(cell("lstm"), X, lengths=[6, 3]),
    "reversed": tg.unroll(cell("lstm"), X, reverse=True),
    "truncated": tg.unroll(cell("lstm"), X, truncate=2),
    "stacked": tg.unroll(tg.Stacked(cell("lstm"), cell("gru", 1, 4)), X),
    "directions": tg.unroll(tg.Bidirectional(cell("lstm"), cell("rnn", 1)), X),
    "compiled": tg.unroll(tg.compile(cell("lstm"), backend="numpy"), X, lengths=[6, 3]),
    "compiled stack": tg.unroll(
        tg.compile(tg.Stacked(cell("lstm"), cell("gru", 1, 4)), backend="numpy"), X, reverse=True
    ),
}


def terms(run: Run) -> list[tg.Tensor]:
    """What the loss reads at each step."""
    return [(output**2 * WEIGHTS[t, :, : output.shape[1]]).sum() for t, output in enumerate(run.outputs)]


def loss_of(run: Run) -> tg.Tensor:
    return sum(terms(run))


@pytest.mark.parametrize("kind", RUNS)
def test_the_map_is_that_of_a_sweep_for_every_loss_step(kind: str) -> None:
    run = RUNS[kind]
    found = inspector.reach(run, loss_of(run))
    single = [name for name in found.states if "(" not in name]
    for s, term in enumerate(terms(run)):
        gradients = tg.grad(term, [run.names[name, t] for name in single for t in range(T)])
        expected = np.array([np.linalg.norm(g.data) for g in gradients]).reshape(len(single), T)
        measured = np.stack([found.map["state", name][s] for name in single])
        np.testing.assert_allclose(measured, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("kind", RUNS)
def test_total_is_the_traces_and_direct_is_the_diagonal(kind: str) -> None:
    run = RUNS[kind]
    found, trace = inspector.reach(run, loss_of(run)), inspector.trace(run, loss_of(run))
    for name in trace.states:
        np.testing.assert_allclose(found.total["state", name], trace.norm(name), rtol=1e-10, atol=1e-14)
        np.testing.assert_array_equal(found.direct["state", name], np.diagonal(found.map["state", name]))


@pytest.mark.parametrize("kind", RUNS)
def test_what_the_loss_steps_add_sums_to_one(kind: str) -> None:
    found = inspector.reach(RUNS[kind], loss_of(RUNS[kind]))
    sums = found.share.values.sum(axis=1)
    assert np.isnan(sums[found.total.values == 0]).all()
    more = found.total.values > 1e-12 * found.total.values.max()  # the stabiliser of an sLSTM gets rounding errors only
    np.testing.assert_allclose(sums[more], 1.0, rtol=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in RUNS if "compiled" not in kind])
@np.errstate(all="ignore")
def test_what_is_not_finite_stays_in_the_gradients_of_its_own_loss_steps(kind: str) -> None:
    """Not one number of the map is NaN only because another loss step, swept together with it, has a NaN there."""
    run = RUNS[kind]
    x = X.copy()
    x[3] = np.inf
    run = tg.unroll(
        run.cell, x, reverse=run.reverse, **{"masked": {"lengths": [6, 3]}, "truncated": {"truncate": 2}}.get(kind, {})
    )
    found = inspector.reach(run, loss_of(run))
    single = [name for name in found.states if "(" not in name]
    for s, term in enumerate(terms(run)):
        gradients = tg.grad(term, [run.names[name, t] for name in single for t in range(T)])
        expected = np.array([np.linalg.norm(g.data) for g in gradients]).reshape(len(single), T)
        np.testing.assert_allclose(
            found.map.values[[found.states.index(name) for name in single], s], expected, rtol=1e-10, atol=1e-14
        )
    assert not np.isfinite(found.map.values).all()


def both(run: Run, loss: tg.Tensor) -> None:
    """The vectors of all loss steps add up to the adjoint, exactly where the sweep can."""
    parts = LossSteps(run, loss)
    total = {piece[:3]: piece.gradient for piece in parts.total()}
    for pieces in (parts.each(), parts.each_apart()):
        added: dict[Any, Any] = {}
        for _, piece in pieces:
            added[piece[:3]] = added.get(piece[:3], 0.0) + piece.gradient.sum(axis=0)
        for key in added.keys() | total.keys():
            scale = np.abs(total.get(key, 0.0)).max(initial=1.0) if key in total else 1.0
            np.testing.assert_allclose(added.get(key, 0.0), total.get(key, 0.0), rtol=1e-9, atol=1e-12 * scale)


def test_steps_that_the_loss_does_not_read_cost_nothing() -> None:
    run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((12, 2, 2)))
    read = [3, 7, 11]
    parts = LossSteps(run, functools.reduce(operator.add, (run.outputs[s].sum() for s in read)))
    sizes = []
    for rows, piece in parts.each():
        steps = np.arange(12)[rows]
        assert set(steps) <= set(read)
        sizes.append(len(piece.gradient))
        name = parts.names[piece.name]
        if name in ("c", "h"):
            (alone,) = tg.grad(run.outputs[int(steps[0])].sum(), [run.names[name, piece.t]])
            np.testing.assert_allclose(piece.gradient[0], alone.data, rtol=1e-12, atol=1e-15)
    assert max(sizes) == len(read)


@FEW
@given(runs())
def test_the_vectors_add_up_for_any_cell(run: Run) -> None:
    loss = run.stacked.sum()
    if np.isfinite(loss.data) and np.abs(loss.data) < 1e100:
        with np.errstate(all="ignore"):
            both(run, loss)


@FEW
@given(runs(), st.none() | st.integers(0, 3))
@np.errstate(all="ignore")
def test_every_loss_step_has_the_gradient_of_a_sweep_of_its_own(run: Run, ill: int | None) -> None:
    """Whatever stands on the ways of other steps: where its own sweep does not come, it has 0 and not 0 times NaN."""
    if ill is not None:
        x = np.array(tg.stack(run.inputs).data)
        x[ill % len(x)] = np.nan
        run = tg.unroll(run.cell, x, reverse=run.reverse)
    loss = run.stacked.sum()
    parts, names = LossSteps(run, loss), run.states[0]._fields
    wanted = [value for state in run.states for value in state]
    found = inspector.reach(run, loss).map.values
    for s in range(len(run)):
        seeds = {node: seed for node, seed in parts._seeds.items() if parts._owner[node.id][1] == s}
        visits = sweep(list(seeds), list(seeds.values()), wanted)
        alone = {node.id: float(norms(dense(total)[None])[0]) for node, total, _ in visits}
        expected = [[alone.get(value.id, 0.0) for value in state] for state in run.states]
        np.testing.assert_allclose(found[: len(names), s], np.transpose(expected), rtol=1e-9)


@pytest.mark.parametrize("kind", ["lstm", "narx", "reversed", "fgr"])
def test_the_whole_state_is_where_a_run_is_cut_in_two(kind: str) -> None:
    """By the state as independent numbers: those a second run starts from."""
    run = RUNS[kind]
    found = inspector.reach(run, loss_of(run))
    whole = found.map["state", found.states[-1]]
    turned = run.reverse
    for t in range(1, T - 1):
        rest = X[:t] if turned else X[t + 1 :]
        again = tg.unroll(run.cell, rest, [np.array(leaf.data) for leaf in run.states[t]], reverse=turned)
        for k, output in enumerate(again.outputs):
            s = k if turned else t + 1 + k
            gradients = tg.grad((output**2 * WEIGHTS[s, :, :4]).sum(), list(again.initial_state))
            expected = np.sqrt(sum((g.data**2).sum() for g in gradients))
            assert whole[s, t] == pytest.approx(expected, rel=1e-9)


def test_a_loss_has_nothing_to_do_with_later_states() -> None:
    """Not even where a state is an earlier one handed on."""
    found = inspector.reach(RUNS["narx"], loss_of(RUNS["narx"]))
    assert not np.triu(found.map["state", "(h, h_1, h_2)"], 1).any()


def test_the_whole_state_of_a_padded_run_is_read_through_the_padding() -> None:
    run = RUNS["masked"]
    found = inspector.reach(run, loss_of(run))
    expected = [np.linalg.norm(2 * output.data * WEIGHTS[t, :, :4]) for t, output in enumerate(run.outputs)]
    np.testing.assert_allclose(found.direct["state", "(h, c)"], expected, rtol=1e-12)


def test_the_layer_above_reads_the_whole_state_below() -> None:
    found = inspector.reach(RUNS["stacked"], loss_of(RUNS["stacked"]))
    np.testing.assert_allclose(found.direct["state", "layer0/(h, c)"], found.direct["state", "layer0/h"], rtol=1e-12)


class Kept(tg.Cell):
    """One state is never computed, and two are the same value."""

    state_names = ("h", "again", "kept")

    def step(self, x: Any, state: Any) -> Any:
        h = tg.tanh(state.h + x)
        return h, h, state.kept


def test_states_that_are_handed_on_or_handed_out_twice() -> None:
    run = tg.unroll(Kept(3, 3), X, [np.zeros((2, 3)), np.zeros((2, 3)), np.ones((2, 3))])
    loss = (run.stacked**2).sum() + (run.states[3].kept ** 2).sum()
    found, trace = inspector.reach(run, loss), inspector.trace(run, loss)
    np.testing.assert_allclose(found.total["state", "kept"], trace.norm("kept"))
    np.testing.assert_allclose(found.share["state", "kept"].sum(axis=0), 1.0)
    unkept = inspector.reach(run, (run.stacked**2).sum())
    np.testing.assert_allclose(unkept.total["state", "(h, again, kept)"], unkept.total["state", "h"], rtol=1e-12)


def linear(w: float, steps: int, loss_steps: list[int] | None = None, reverse: bool = False) -> inspector.Reach:
    made = tg.cells.RNNCell(1, 1, nonlinearity="identity", bias=False)
    made.load_state_dict({"weight_hh": [[w]], "weight_ih": [[1.0]]})
    run = tg.unroll(made, np.ones((steps, 1, 1)), reverse=reverse)
    return inspector.reach(run, sum(run.outputs[s].sum() for s in loss_steps or range(steps)))


def test_a_linear_recurrence_has_powers_of_its_weight() -> None:
    found, w = linear(0.5, 40), 0.5
    lag = np.subtract.outer(np.arange(40), np.arange(40))
    np.testing.assert_allclose(found.map["state", "h"], np.where(lag >= 0, w ** np.abs(lag), 0.0), rtol=1e-13)
    assert found.memory["state", "h"][-1] == pytest.approx(1 / (1 - w))
    assert found.half_life.values[0] == pytest.approx(1.0)
    assert found.horizon["level", "1/e"][0, -1] == 2 and found.horizon["level", "1 %"][0, -1] == 7
    assert found.horizon["level", "eps"][0, 10] == math.inf
    np.testing.assert_allclose(found.underflow["format", "float16 normal"], 14.0)
    np.testing.assert_allclose(found.underflow["format", "float64 subnormal"], 1074.0)
    np.testing.assert_allclose(found.profile["quantile", "median"][0], 0.5 ** np.arange(40))


def test_a_sequence_read_from_its_end_is_the_same_turned_round() -> None:
    there, back = linear(0.5, 30), linear(0.5, 30, reverse=True)
    np.testing.assert_array_equal(back.map["state", "h"], there.map["state", "h"][::-1, ::-1])
    for name in ("horizon", "memory"):
        np.testing.assert_allclose(getattr(back, name).values, getattr(there, name).values[..., ::-1], rtol=1e-12)
    np.testing.assert_allclose(back.profile, there.profile)


def test_steps_the_loss_does_not_read_have_empty_rows() -> None:
    found = linear(0.5, 10, [4, 9])
    assert np.flatnonzero(found.map["state", "h"].any(axis=1)).tolist() == [4, 9]
    assert np.isnan(found.memory["state", "h"][0]) and np.isnan(found.horizon["s", 0]).all()
    assert found.direct["state", "h"].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


def test_norms_do_not_underflow_before_the_numbers_do() -> None:
    np.testing.assert_allclose(
        norms(np.array([[3e-200, 4e-200], [3.0, 4.0], [3e200, 4e200], [0.0, 0.0]])), [5e-200, 5.0, 5e200, 0.0]
    )
    assert linear(0.1, 250).map["state", "h"][-1, 0] == pytest.approx(1e-249, rel=1e-9)


def test_a_run_fed_back_outside_its_steps_still_adds_up() -> None:
    """The output of one run is the input of the next, and its loss is read there."""
    first = tg.unroll(cell("lstm"), X)
    second = tg.unroll(cell("gru", 1, 4), first.stacked)
    loss = (second.stacked**2).sum() + (first.outputs[2] ** 2).sum()
    both(first, loss)
    both(second, loss)


def test_pytorch_agrees(torch: Any) -> None:
    ours = cell("lstm")
    run = tg.unroll(ours, X)
    theirs = torch.nn.LSTMCell(3, 4, dtype=torch.float64)
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    state, states = (torch.zeros(2, 4, dtype=torch.float64),) * 2, []
    for x in torch.from_numpy(X):
        state = theirs(x, state)
        states.append(state)
    found = inspector.reach(run, loss_of(run))
    for s, (h, _) in enumerate(states):
        term = (h**2 * torch.from_numpy(WEIGHTS[s, :, :4])).sum()
        for k, name in enumerate(("h", "c")):
            got = torch.autograd.grad(term, [state[k] for state in states], retain_graph=True, allow_unused=True)
            expected = [0.0 if g is None else g.norm().item() for g in got]
            np.testing.assert_allclose(found.map["state", name][s], expected, rtol=1e-10, atol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", slow_unless(["lstm", "stacked"], ["lstm", "reversed", "directions", "truncated", "stacked"])
)
def test_pictures_and_words(kind: str, tmp_path: Path) -> None:
    found = inspector.reach(RUNS[kind], loss_of(RUNS[kind]))
    for k, draw in enumerate((found.plot, found.plot_gradients, found.plot_lags)):
        assert save(draw(), tmp_path / f"{k}.svg").stat().st_size > 5000
    assert all(name in str(found) for name in found.states)
    with pytest.raises(KeyError, match="no 'z'"):
        found.plot(state="z")


def test_a_loss_that_reads_no_state_is_told(tmp_path: Path) -> None:
    unread().save(tmp_path / "unread.svg", state="h")
    assert "no step's loss reaches h" in (tmp_path / "unread.svg").read_text(encoding="utf-8")
    assert "no loss reaches it" in str(unread())


def unread() -> inspector.Reach:
    """Of a loss that depends on the inputs of a run but on no state."""
    run = tg.unroll(cell("rnn"), tg.tensor(X))
    return inspector.reach(run, run.inputs[0].sum())


def test_errors_name_what_is_wrong() -> None:
    run = RUNS["lstm"]
    with pytest.raises(TypeError, match="reach: run must be what unroll returned, got int"):
        inspector.reach(3, loss_of(run))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reach: loss must be a single number"):
        inspector.reach(run, run.stacked)
    with pytest.raises(ValueError, match="does not depend on any value of this run"):
        inspector.reach(run, tg.tensor(np.ones(())))
    ensemble = tg.unroll(tg.compile([cell("gru"), cell("gru", 1)], backend="numpy"), X)
    with pytest.raises(ValueError, match="unroll one of its members"):
        inspector.reach(ensemble, ensemble.outputs[-1].sum())


# ---------------------------------------------------------------------------------------------- band


def test_bands_over_members_runs_and_sequences_are_the_same_gradients() -> None:
    cells = [cell("lstm", seed) for seed in range(5)]
    each = [tg.unroll(one, X) for one in cells]
    of_runs = inspector.band(each, [run.outputs[-1].sum() for run in each])
    together = tg.unroll(tg.compile(cells, backend="numpy"), X)
    of_members = inspector.band(together, together.outputs[-1].sum())
    assert (of_runs.over, of_members.over) == ("run", "member")
    np.testing.assert_allclose(of_runs.norms, of_members.norms, rtol=1e-10)
    np.testing.assert_allclose(of_runs.quantiles["quantile", "median"], np.median(of_runs.norms.values, axis=2))
    of_batch = inspector.band(each[0], each[0].outputs[-1].sum())
    np.testing.assert_allclose(np.sqrt((of_batch.norms.values**2).sum(axis=2)), of_runs.norms["run", 0], rtol=1e-12)
    assert of_batch.norms.shape == (2, T, 2) and of_batch.half_life.shape == (2, 2)


def test_a_bands_picture_and_its_errors(tmp_path: Path) -> None:
    run = RUNS["lstm"]
    found = inspector.band(run, loss_of(run))
    assert found.save(tmp_path / "band.png").stat().st_size > 5000
    assert "2 sequences" in str(found) and "a step back" in str(found)
    with pytest.raises(ValueError, match="2 runs need as many losses, at least one; got 1"):
        inspector.band([run, run], loss_of(run))
    with pytest.raises(TypeError, match="one run needs one loss"):
        inspector.band(run, [loss_of(run)])
    other = RUNS["gru"]
    with pytest.raises(ValueError, match="alike in length and states"):
        inspector.band([run, other], [loss_of(run), loss_of(other)])


def test_what_lies_after_the_loss_is_no_path_even_beside_nan() -> None:
    """0 times NaN is NaN in a batched sweep: what no way leads to stays 0, in every shape of run."""

    def ill(cell: tg.Cell) -> tg.Cell:
        cell.weight_hh.data = np.full_like(cell.weight_hh.data, np.nan)
        return cell

    for made in (
        lambda: ill(tg.cells.LSTMCell(2, 3, seed=0)),
        lambda: tg.Stacked([ill(tg.cells.GRUCell(2, 3, seed=0)), tg.cells.GRUCell(3, 3, seed=1)]),
    ):
        run = tg.unroll(made(), np.ones((5, 1, 2)))
        found = inspector.reach(run, (run.stacked**2).sum())
        for name in found.states:
            matrix = found.map["state", name]
            assert not np.triu(matrix, 1).any() and np.isnan(np.tril(matrix)[-1]).any()
        assert np.isnan(found.share.values).all()


def test_the_words_are_about_the_median_of_the_loss_steps() -> None:
    """Of a state that is kept by a half or by a hundredth, as the input says: quantiles fall at different lags."""
    x = np.where(np.arange(30) % 6 == 0, 0.01, 0.5)[:, None, None]

    class Kept(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (x * state.h + x,)

    run = tg.unroll(Kept(1, 1), tg.tensor(x))
    found = inspector.reach(run, run.stacked.sum())
    kept = np.array([[np.prod(x[t + 1 : s + 1]) if t <= s else np.nan for t in range(30)] for s in range(30)])
    medians = np.array([np.median([kept[s, s - lag] for s in range(lag, 30)]) for lag in range(30)])
    np.testing.assert_allclose(found.profile["quantile", "median"][0], medians, rtol=1e-12)
    after = {level: int(np.flatnonzero(medians > part)[-1]) + 1 for level, part in (("1/e", np.exp(-1)), ("1 %", 0.01))}
    assert f", 1/e after {after['1/e']} steps, 1 % after {after['1 %']} steps" in str(found)
