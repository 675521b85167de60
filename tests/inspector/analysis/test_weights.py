"""Contributions of timesteps to a weight: exact sums, PyTorch with a copy of the weights a step, truncation really
run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.analysis.truncation import kept
from inspector.analysis.weights import ALL
from tests.random_cells import cells, runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

X = np.random.default_rng(0).normal(size=(7, 2, 3))
OF_ALL = np.random.default_rng(1).normal(size=(7, 2, 16))


def cell(name: str, seed: int = 0, inputs: int = 3) -> tg.Cell:
    return tg.cells.get(name)(inputs, 4, seed=seed)


def two_layers() -> tg.Stacked:
    return tg.Stacked(cell("lstm"), cell("gru", 1, 4))


def two_directions() -> tg.Bidirectional:
    return tg.Bidirectional(cell("lstm"), cell("rnn", 1))


UNROLLS: dict[str, Callable[..., Run]] = {
    **{name: lambda name=name, **more: tg.unroll(cell(name), X, **more) for name in tg.cells.names()},
    "masked": lambda **more: tg.unroll(cell("lstm"), X, lengths=[7, 4], **more),
    "reversed": lambda **more: tg.unroll(cell("gru"), X, reverse=True, **more),
    "reversed and masked": lambda **more: tg.unroll(cell("rnn"), X, reverse=True, lengths=[5, 3], **more),
    "stacked": lambda **more: tg.unroll(two_layers(), X, **more),
    "directions": lambda **more: tg.unroll(two_directions(), X, **more),
    "one tensor": lambda **more: tg.unroll(cell("lstm"), tg.tensor(X), **more),
    "compiled": lambda **more: tg.unroll(tg.compile(two_layers(), backend="numpy"), X, **more),
    "from a state": lambda **more: tg.unroll(cell("gru"), X, tg.unroll(cell("gru"), X).final_state, **more),
}


def loss_of(run: Run) -> tg.Tensor:
    """All outputs, and one state from the middle of the run once more."""
    outputs = run.stacked
    middle = next(iter(run.cells)).states[3][0]
    return (outputs * outputs * OF_ALL[..., : outputs.shape[2]]).sum() + (middle * middle).sum()


def flat(gradients: Any) -> np.ndarray:
    return np.concatenate([np.asarray(g).reshape(-1) for g in gradients])


@pytest.mark.parametrize("kind", UNROLLS)
def test_shares_sum_to_one_and_norms_are_those_of_the_trace(kind: str) -> None:
    run = UNROLLS[kind]()
    loss = loss_of(run)
    found, trace = inspector.weights(run, loss), inspector.trace(run, loss)
    assert found.norms.axes["parameter"] == (*trace.parameters, ALL)
    told = found.total.values > 1e-12 * found.norms.values.sum(axis=1)  # not where all that is left is rounding
    np.testing.assert_allclose(found.shares.values[told].sum(axis=1), 1.0, rtol=1e-10)
    parameters = dict(run.cell.named_parameters())
    for name, whole in zip(parameters, tg.grad(loss, list(parameters.values())), strict=True):
        shares = np.array([trace.parameter_gradient(name, t) for t in range(7)]).reshape(7, -1)
        norms, total = np.linalg.norm(shares, axis=1), whole.data.reshape(-1)
        np.testing.assert_allclose(found.norms["parameter", name], norms, rtol=1e-9, atol=1e-14)
        cosines = found.cosines["parameter", name]
        np.testing.assert_array_equal(np.isnan(cosines), found.norms["parameter", name] == 0)
        if np.linalg.norm(total) > 1e-12 * norms.sum():
            expected = shares @ total / np.linalg.norm(total)
            np.testing.assert_allclose((cosines * norms)[norms > 0], expected[norms > 0], rtol=1e-8, atol=1e-12)
            np.testing.assert_allclose(
                found.cancellation["parameter", name], np.linalg.norm(total) / norms.sum(), rtol=1e-9
            )


@pytest.mark.parametrize("kind", UNROLLS)
def test_fixed_windows_are_what_unroll_does_when_it_truncates(kind: str) -> None:
    run = UNROLLS[kind]()
    found = inspector.weights(run, loss_of(run))
    full = flat(g.data for g in tg.grad(loss_of(run), run.cell.parameters()))
    for k in (1, 2, 3, 5, 7):
        cut = UNROLLS[kind](truncate=k)
        left = flat(g.data for g in tg.grad(loss_of(cut), cut.cell.parameters()))
        ratio, cosine = (found_["parameter", ALL][1, k - 1] for found_ in (found.kept_norms, found.kept_cosines))
        assert ratio == pytest.approx(np.linalg.norm(left) / np.linalg.norm(full), rel=1e-9)
        assert cosine == pytest.approx(left @ full / np.linalg.norm(left) / np.linalg.norm(full), rel=1e-9)


@FEW
@given(run=runs())
def test_windows_of_cells_nobody_has_seen(run: Run) -> None:
    """The longest window leaves all, and of one step both kinds leave the same."""
    loss = (run.stacked * run.stacked).sum()
    left = kept(run, loss)
    whole = tg.grad(loss, run.cell.parameters()) if run.cell.parameters() else ()
    for (name, _), gradient in zip(run.cell.named_parameters(), whole, strict=True):
        size = 1e-9 * (1 + np.abs(gradient.data).max())
        np.testing.assert_allclose(left[name].sliding[-1], gradient.data, rtol=1e-9, atol=size)
        np.testing.assert_allclose(left[name].fixed[-1], gradient.data, rtol=1e-9, atol=size)
        np.testing.assert_allclose(left[name].sliding[0], left[name].fixed[0], rtol=1e-9, atol=size)


@FEW
@given(cell=cells(), k=st.integers(1, 4), reverse=st.booleans(), lengths=st.sampled_from([None, [4, 2], [3, 1]]))
def test_fixed_windows_of_cells_nobody_has_seen(cell: tg.Cell, k: int, reverse: bool, lengths: Any) -> None:
    with np.errstate(all="ignore"):
        run, cut = (tg.unroll(cell, X[:4], reverse=reverse, lengths=lengths, truncate=window) for window in (None, k))
        losses = [(r.stacked * r.stacked).sum() + r.outputs[1].sum() for r in (run, cut)]
        left = kept(run, losses[0])
        gradients = tg.grad(losses[1], cell.parameters()) if cell.parameters() else ()
    for (name, _), gradient in zip(cell.named_parameters(), gradients, strict=True):
        size = 1e-9 * (1 + np.abs(left[name].fixed[-1]).max())
        np.testing.assert_allclose(left[name].fixed[k - 1], gradient.data, rtol=1e-9, atol=size)


def by_hand(torch: Any, window: int | None = None, last: int | None = None) -> Any:
    """An Elman net in PyTorch with a copy of its weights for every step; the states cut behind step `last` -
    `window`.
    """
    own = dict(cell("rnn").named_parameters())
    copies = [{name: torch.tensor(p.data, requires_grad=True) for name, p in own.items()} for _ in X]
    h, total = torch.zeros(2, 4, dtype=torch.float64), 0.0
    for t, (x, w) in enumerate(zip(torch.tensor(X), copies, strict=True)):
        if last is not None and window is not None and t == last - window + 1:
            h = h.detach()
        h = torch.tanh(x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"])
        if last in (None, t):
            total = total + (h * h * torch.tensor(OF_ALL[t, :, :4])).sum()
    grads = torch.autograd.grad(total, [w[name] for w in copies for name in own], allow_unused=True)
    return [
        flat(np.zeros(p.shape) if g is None else g for g, p in zip(grads[k : k + len(own)], own.values(), strict=True))
        for k in range(0, len(grads), len(own))
    ]


def test_contributions_are_pytorchs_for_a_copy_of_the_weights_at_each_step(torch: Any) -> None:
    run = tg.unroll(cell("rnn"), X)
    found = inspector.weights(run, (run.stacked * run.stacked * OF_ALL[..., :4]).sum())
    parts = np.array(by_hand(torch))
    total = parts.sum(axis=0)
    np.testing.assert_allclose(found.norms["parameter", ALL], np.linalg.norm(parts, axis=1), rtol=1e-10)
    np.testing.assert_allclose(found.shares["parameter", ALL], parts @ total / (total @ total), rtol=1e-9)
    for k in range(1, 8):
        left = sum(np.sum(by_hand(torch, k, last), axis=0) for last in range(7))
        assert found.kept_norms["parameter", ALL][0, k - 1] == pytest.approx(
            np.linalg.norm(left) / np.linalg.norm(total), rel=1e-9
        )
        cosine = left @ total / np.linalg.norm(left) / np.linalg.norm(total)
        assert found.kept_cosines["parameter", ALL][0, k - 1] == pytest.approx(cosine, rel=1e-9)


class Linear(tg.Cell):
    """h' = w h + b x, in which everything is known in closed form."""

    def __init__(self, w: float) -> None:
        super().__init__(1, 1, seed=0)
        self.w = w
        self.b = self.parameter("b", (1,))
        self.b.data = np.ones(1)

    def step(self, x: Any, state: Any) -> Any:
        return (self.w * state[0] + self.b * x,)


@pytest.mark.parametrize(("w", "share"), [(0.5, 0.999), (0.9, 0.651), (0.95, 0.403), (0.99, 0.144), (1.0, 0.0926)])
def test_a_window_of_ten_keeps_its_share_of_the_credit(w: float, share: float) -> None:
    """With h_t = w h_{t-1} + x_t the last k of T steps hold (1 - w^k) / (1 - w^T) of the credit."""
    run = tg.unroll(Linear(w), np.ones((108, 1, 1)))
    found = inspector.weights(run, run.outputs[-1].sum())
    norms = w ** np.arange(107, -1, -1.0)
    np.testing.assert_allclose(found.norms["parameter", "b"], norms, rtol=1e-12)
    expected = [10 / 108 if w == 1 else (1 - w**10) / (1 - w**108)]
    np.testing.assert_allclose(found.kept_norms["parameter", "b"][0, 9], expected, rtol=1e-10)
    assert expected[0] == pytest.approx(share, abs=6e-4)
    assert found.effective_steps["parameter", "b"] == pytest.approx(norms.sum() ** 2 / (norms**2).sum())
    largest = next(k for k in range(1, 109) if norms[-k:].sum() >= 0.9 * norms.sum())
    assert found.steps_for_90["parameter", "b"] == largest
    assert found.cancellation["parameter", "b"] == pytest.approx(1.0)


def test_cancelling_is_told_from_vanishing() -> None:
    signs = (-1.0) ** np.arange(20)
    run = tg.unroll(Linear(1.0), signs[:, None, None])
    found = inspector.weights(run, run.outputs[-1].sum() + 0.5 * run.outputs[0].sum())
    assert found.cancellation["parameter", "b"] == pytest.approx(0.5 / 20.5)
    assert found.effective_steps["parameter", "b"] == pytest.approx(20.5**2 / (19 + 1.5**2))
    np.testing.assert_allclose(found.cosines["parameter", "b"], signs)
    assert "98 % of the norms cancel" in str(found)
    fading = tg.unroll(Linear(0.1), np.ones((20, 1, 1)))
    assert inspector.weights(fading, 1e-9 * fading.outputs[-1].sum()).cancellation["parameter", "b"] == pytest.approx(
        1.0
    )


def test_the_shortest_window_that_is_good_enough() -> None:
    run = tg.unroll(Linear(0.5), np.ones((6, 1, 1)))
    assert inspector.weights(run, run.outputs[-1].sum()).window() == 1
    alternating = tg.unroll(Linear(-1.0), np.ones((6, 1, 1)))
    found = inspector.weights(alternating, alternating.outputs[-2].sum())  # credits +1 -1 +1 -1 +1 0
    np.testing.assert_allclose(found.kept_norms["parameter", "b"][0], [1, 0, 1, 0, 1, 1], atol=1e-12)
    assert found.window() == 5 and found.window(windows="fixed") == 4


def test_layers_that_read_in_both_directions_have_no_fixed_windows() -> None:
    deep = tg.Stacked(tg.Bidirectional(cell("rnn"), cell("gru", 1)), cell("lstm", 2, 8))
    run = tg.unroll(deep, X)
    found = inspector.weights(run, loss_of(run))
    left = kept(run, loss_of(run))
    for (name, _), gradient in zip(deep.named_parameters(), tg.grad(loss_of(run), deep.parameters()), strict=True):
        np.testing.assert_allclose(left[name].sliding[-1], gradient.data, rtol=1e-10, atol=1e-13)
    assert np.isnan(found.kept_norms["parameter", ALL][1]).all() and found.window(windows="fixed") is None


class Odd(tg.Cell):
    """Weights in operations of several kinds, one state that is made of weights alone, and one that is a weight."""

    state_names = ("h", "s", "w")

    def __init__(self) -> None:
        super().__init__(3, 3, seed=0)
        self.W, self.b, self.c = self.parameter("W", (3, 3)), self.parameter("b", (1, 3)), self.parameter("c", (2, 3))

    def step(self, x: Any, state: Any) -> Any:
        table = tg.tanh(self.W)
        h = tg.einsum("bi,hi->bh", x + state.h, table) + state.s + state.w * tg.concatenate([self.b, self.b])
        return 0.4 * h, tg.sin(self.b) * tg.sigmoid(self.c) * 0.1, tg.identity(self.c)


@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_weights_that_are_states_belong_to_the_step_that_makes_them(k: int) -> None:
    losses = []
    for window in (None, k):
        run = tg.unroll(Odd(), X, truncate=window)
        losses.append((run, loss_of(run) + (run.states[6].s * run.states[2].w).sum()))
    left, trace = kept(*losses[0]), inspector.trace(*losses[0])
    cell, loss = losses[1][0].cell, losses[1][1]
    for (name, _), gradient in zip(cell.named_parameters(), tg.grad(loss, cell.parameters()), strict=True):
        np.testing.assert_allclose(left[name].fixed[k - 1], gradient.data, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(left[name].sliding[-1], trace.parameter_gradient(name), rtol=1e-9, atol=1e-12)


def test_a_parameter_used_outside_the_steps_only_has_no_contributions() -> None:
    class Start(Linear):
        def __init__(self) -> None:
            super().__init__(0.5)
            self.h0 = self.parameter("h0", (1,))

        def initial_state(self, batch: int) -> Any:
            return self.State(tg.broadcast_to(self.h0, (batch, 1)))

    run = tg.unroll(Start(), np.ones((4, 1, 1)))
    found = inspector.weights(run, run.outputs[-1].sum())
    assert not found.norms["parameter", "h0"].any() and np.isnan(found.cancellation["parameter", "h0"])
    assert found.shares["parameter", ALL].sum() == pytest.approx(1.0)
    assert "h0" in str(found) and "no gradient" in str(found)


@pytest.mark.slow
def test_picture_table_and_words(tmp_path: Path) -> None:
    run = UNROLLS["stacked"]()
    found = inspector.weights(run, loss_of(run))
    assert found.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    axes = found.plot(parameters=["weight_hh_l0"])
    assert len(axes.patches) == np.count_nonzero(found.norms["parameter", "weight_hh_l0"])
    assert [len(line.get_xdata()) for line in found.plot_truncation().get_lines()[:4]] == [7] * 4
    assert (tmp_path / "a.csv") == found.to_csv(tmp_path / "a.csv")
    assert "weight_hh_l1" in str(found) and "sliding windows" in str(found)
    assert found.to_dict()["steps"] == 7


def test_bad_arguments_are_named() -> None:
    run = UNROLLS["lstm"]()
    with pytest.raises(TypeError, match="run must be what unroll returned"):
        inspector.weights("run", loss_of(run))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="single number"):
        inspector.weights(run, run.outputs[-1])
    with pytest.raises(ValueError, match="does not depend on any value"):
        inspector.weights(run, tg.tensor(1.0) * 2.0)
    many = tg.unroll(tg.compile([cell("rnn"), cell("rnn", 1)], backend="numpy"), X)
    with pytest.raises(ValueError, match="many graphs; unroll one of its members"):
        inspector.weights(many, many.stacked.sum())
    with pytest.raises(KeyError, match="parameter has no 'W'"):
        inspector.weights(run, loss_of(run)).plot(parameters=["W"])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_shares_whose_squares_would_be_zero_are_not() -> None:
    run = UNROLLS["gru"]()
    large, tiny = (inspector.weights(run, loss_of(run) * scale).norms.values for scale in (1.0, 1e-200))
    np.testing.assert_allclose(tiny / 1e-200, large)
