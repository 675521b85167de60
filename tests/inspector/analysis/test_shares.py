"""Shares add up to the gradient, and are what the cells' equations give when written out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import inspector
import tinygrad_rnn as tg
from inspector.analysis.shares import Shares
from tests.inspector.analysis.networks import KINDS, X, cell, network
from tests.marks import slow_unless
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

H = 4


def check_sums(found: Shares, trace: inspector.GradientTrace) -> None:
    for state in found.states:
        norms = trace.norm(state)
        np.testing.assert_allclose(found.totals["state", state], norms, rtol=1e-9, atol=1e-12 * (1 + norms.max()))
        whole = found.totals["state", state] > 0
        table = found.shares["state", state]
        sizes = np.nan_to_num(np.abs(table)).sum(axis=1)
        np.testing.assert_allclose(table[whole].sum(axis=1), 1, atol=1e-12 * (1 + sizes.max()))
        assert np.isnan(table[~whole]).all()
        assert (found.norms["state", state].sum(axis=1) >= found.totals["state", state] * (1 - 1e-9)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_shares_of_every_cell_add_up_to_its_gradient(kind: str) -> None:
    run, loss = network(kind)
    found = inspector.shares(run, loss)
    check_sums(found, inspector.trace(run, loss))
    assert found.ways[-1] == "loss" and set(found.states) == set(found.ways) & set(found.states)


@FEW
@given(run=runs())
def test_shares_add_up_in_a_cell_nobody_has_seen_yet(run: Run) -> None:
    loss = run.stacked.sum()
    try:
        trace = inspector.trace(run, loss)
    except ValueError:  # nothing depends on the run
        return
    if np.isfinite([trace.norm(name) for name in trace.states]).all():
        check_sums(inspector.shares(run, loss), trace)


def share(part: np.ndarray, whole: np.ndarray) -> float:
    return float(np.sum(part * whole) / np.sum(whole * whole))


@pytest.mark.parametrize("t", [0, 2])
def test_an_lstm_shares_its_gradient_as_its_equations_say(t: int) -> None:
    run, loss = network("lstm")
    trace, found = inspector.trace(run, loss), inspector.shares(run, loss)
    gates, weight = {name: run.names[name, t + 1].data for name in "ifgo"}, run.cell.weight_hh.data
    g_h, g_c = trace.gradient("h", t), trace.gradient("c", t)
    at = dict(zip(found.ways, found.shares["state", "h"][t], strict=True))
    for k, gate in enumerate("ifgo"):
        slope = 1 - gates[gate] ** 2 if gate == "g" else gates[gate] * (1 - gates[gate])
        through = (trace.gradient(gate, t + 1) * slope) @ weight[k * H : (k + 1) * H]
        assert at[gate] == pytest.approx(share(through, g_h), rel=1e-10)
    direct = np.random.default_rng(1).normal(size=run.stacked.shape)[t]
    assert at["loss"] == pytest.approx(share(direct, g_h), rel=1e-10)
    assert at["c"] == at["h"] == 0
    at = dict(zip(found.ways, found.shares["state", "c"][t], strict=True))
    assert at["c"] == pytest.approx(share(trace.gradient("c", t + 1) * gates["f"], g_c), rel=1e-10)
    output = run.names["o", t].data * (1 - np.tanh(run.states[t].c.data) ** 2)
    assert at["h"] == pytest.approx(share(g_h * output, g_c), rel=1e-10)
    assert not any(at[way] for way in "ifgo")


def test_the_highway_of_an_lstm_is_the_product_of_its_forget_gates() -> None:
    run, loss = network("lstm")
    found = inspector.shares(run, loss)
    f = np.array([run.names["f", t].data for t in range(len(run))])
    last = inspector.trace(run, loss).gradient("c", -1)
    expected = [np.linalg.norm(last * f[t + 1 :].prod(axis=0)) for t in range(len(run))]
    np.testing.assert_allclose(found.highway["state", "c"], expected, rtol=1e-12)
    assert not found.highway["state", "h"][:-1].any()  # no path from h to h without a gate


def test_an_update_gate_is_the_highway_of_a_gru_in_either_direction_of_time() -> None:
    run, loss = network("reversed")
    found, trace = inspector.shares(run, loss), inspector.trace(run, loss)
    z = np.array([run.names["z", t].data for t in range(len(run))])
    expected = [np.linalg.norm(trace.gradient("h", 0) * z[:t].prod(axis=0)) for t in range(len(run))]
    np.testing.assert_allclose(found.highway["state", "h"], expected, rtol=1e-12)
    own = share(trace.gradient("h", 1) * z[1], trace.gradient("h", 2))
    assert found.shares["state", "h"][2][found.ways.index("h")] == pytest.approx(own, rel=1e-10)


class Coupled(tg.Cell):
    """Two states that leak into each other without a gate."""

    state_names = ("a", "b")

    def step(self, x: Any, state: Any) -> Any:
        return 0.5 * state.a + 0.3 * state.b + x, 0.2 * state.a + 0.9 * state.b


def test_a_highway_does_not_change_lanes() -> None:
    run = tg.unroll(Coupled(1, 1), X[:, :, :1])
    found = inspector.shares(run, run.outputs[-1].sum())
    np.testing.assert_allclose(found.highway["state", "a"], np.sqrt(2) * 0.5 ** np.arange(4.0, -1, -1), rtol=1e-12)
    (own, other), g = (0.5, 0.2), inspector.trace(run, run.outputs[-1].sum())
    at = dict(zip(found.ways, found.shares["state", "a"][2], strict=True))
    assert at["a"] == pytest.approx(own * g.gradient("a", 3)[0, 0] / g.gradient("a", 2)[0, 0], rel=1e-12)
    assert at["b"] == pytest.approx(other * g.gradient("b", 3)[0, 0] / g.gradient("a", 2)[0, 0], rel=1e-12)


def test_a_state_that_is_handed_on_keeps_its_name() -> None:
    """The delays of NARX are earlier values of h: what flows through those values flows through h."""
    run, loss = network("narx")
    found = inspector.shares(run, loss)
    for delay in ("h_1", "h_2"):
        assert not np.nan_to_num(found.shares["way", delay]).any()
    np.testing.assert_array_equal(found.shares["state", "h_1"][1:], found.shares["state", "h"][:-1])


def test_any_named_values_and_parameters_tell_ways_apart() -> None:
    run, loss = network("rnn")
    by_matrix, by_state = inspector.shares(run, loss, by=["weight_hh"]), inspector.shares(run, loss)
    np.testing.assert_allclose(
        by_matrix.shares["way", "weight_hh"], by_state.shares["way", "h"], rtol=1e-12, atol=1e-15
    )
    assert by_matrix.ways == ("weight_hh", "loss")
    run, loss = network("lstm")
    gates = inspector.shares(run, loss, by=list("ifgo"))
    before = inspector.shares(run, loss, by=["z_i", "z_f", "z_g", "z_o"])
    np.testing.assert_allclose(gates.shares.values, before.shares.values, rtol=1e-10, atol=1e-14)
    pure = inspector.path_orders(run, loss, wrt=("c", 1)).projections.values[0]
    assert gates.shares["way", "loss"][1, 1] == pytest.approx(pure, rel=1e-12)


def test_layers_and_directions_have_ways_of_their_own() -> None:
    run, loss = network("stacked")
    found = inspector.shares(run, loss)
    table = dict(zip(found.ways, found.shares["state", "layer0/h"].T, strict=True))
    assert np.abs(table["layer1/n"]).min() > 0 and not table["loss"].any()
    run, loss = network("directions")
    assert inspector.shares(run, loss).states == ("forward/h", "forward/c", "backward/h")


def test_what_is_cut_or_unused_has_no_shares() -> None:
    run = tg.unroll(cell("lstm"), X, truncate=2)
    found = inspector.shares(run, run.outputs[-1].sum())
    assert np.isnan(found.shares["state", "c"][:4]).all() and not found.totals["state", "c"][:4].any()
    assert not found.highway["state", "c"][:4].any()


def test_shares_of_a_gradient_that_squares_to_nothing() -> None:
    run, loss = network("lstm")
    tiny = inspector.shares(run, loss * 1e-200)
    np.testing.assert_allclose(tiny.shares.values, inspector.shares(run, loss).shares.values, rtol=1e-9, atol=1e-12)


def test_what_is_refused() -> None:
    run, loss = network("lstm")
    with pytest.raises(KeyError, match="nothing is called 'forget'; there are x, i, f"):
        inspector.shares(run, loss, by=["forget"])
    with pytest.raises(TypeError, match="shares: run must be what unroll returned, got LSTMCell"):
        inspector.shares(run.cell, loss)
    with pytest.raises(ValueError, match=r"shares: loss must be a single number, got shape \(2, 4\)"):
        inspector.shares(run, run.outputs[-1])
    with pytest.raises(ValueError, match="shares: the loss does not depend on any value of this run"):
        inspector.shares(run, tg.tensor(1.0) * 2.0)
    with pytest.raises(KeyError, match="state has no 'x'; it has h, c"):
        inspector.shares(run, loss).plot(state="x")


@pytest.mark.slow
@pytest.mark.parametrize("kind", slow_unless(["lstm", "stacked"], ["rnn", "lstm", "gru", "slstm", "stacked"]))
def test_it_is_drawn_written_and_told(kind: str, tmp_path: Path) -> None:
    run, loss = network(kind)
    found = inspector.shares(run, loss)
    drawn = found.save(tmp_path / "shares.svg")
    text = Path(str(drawn)).read_text(encoding="utf-8")
    assert all(f"∂L/∂{state}_t" in text for state in found.states) and "loss, direct" in text
    assert json.loads(found.to_json(tmp_path / "shares.json").read_text(encoding="utf-8"))["shares"]["axes"][
        "way"
    ] == list(found.ways)
    assert found.label in str(found) and all(f"∂L/∂{state}_t" in str(found) for state in found.states)
    axes = found.plot(ax=inspector.plot_decay(inspector.trace(run, loss)).figure.add_subplot())
    assert axes.get_ylabel() == f"share in g = ∂L/∂{found.states[0]}_t"


def test_a_state_without_a_gradient_is_drawn_as_nothing() -> None:
    run = tg.unroll(cell("lstm"), X, truncate=1)
    axes = inspector.shares(run, run.outputs[-1].sum() * 0.0).plot()
    assert axes.get_ylabel() == "share in g = ∂L/∂h_t"
