"""Orders add up to the gradient, and are the coefficients of a polynomial that PyTorch can evaluate."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.results import Labelled
from tests.inspector.analysis.networks import KINDS, X, network
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.recurrent.unroll import Run


@pytest.mark.parametrize("kind", KINDS)
def test_orders_of_every_cell_add_up_to_its_gradient(kind: str) -> None:
    run, loss = network(kind)
    trace = inspector.trace(run, loss)
    found = inspector.path_orders(run, loss)
    name, _, t = found.value.rpartition("_")
    gradient = trace.gradient(name, int(t))
    np.testing.assert_allclose(
        found.parts.values.sum(axis=0), gradient.reshape(found.parts.shape[1:]), rtol=1e-12, atol=1e-14
    )
    assert found.projections.values.sum() == pytest.approx(1, abs=1e-11)
    assert found.total == pytest.approx(np.linalg.norm(gradient), rel=1e-12)
    known = ~np.isnan(found.by_step.values).any(axis=1)
    assert known.any()
    np.testing.assert_allclose(found.by_step.values[known].sum(axis=1), 1, atol=1e-10)
    np.testing.assert_array_equal(found.by_step["t", int(t)], found.projections.values)


@FEW
@given(run=runs(), orders=st.integers(1, 5))
def test_orders_add_up_in_a_cell_nobody_has_seen_yet(run: Run, orders: int) -> None:
    loss = run.stacked.sum()
    try:
        trace = inspector.trace(run, loss)
    except ValueError:  # nothing depends on the run
        return
    name = trace.states[0]
    if not np.isfinite(trace.norm(name)).all():
        return
    found = inspector.path_orders(run, loss, edges=("states", "states"), wrt=(name, 0), orders=orders)
    gradient = trace.gradient(name, 0)
    scale = np.abs(found.parts.values).max(initial=1.0)
    np.testing.assert_allclose(found.parts.values.sum(axis=0), gradient, atol=1e-10 * scale)


def gradient_in_torch(torch: Any, run: Run, z: float) -> np.ndarray:
    """dL/dc_1 if the gradient from each gate to h were multiplied by z; 0 is h.detach()."""
    parameters = {name: torch.tensor(np.array(p.data)) for name, p in run.cell.named_parameters()}
    x, weights = torch.tensor(X), torch.tensor(np.random.default_rng(1).normal(size=run.stacked.shape))
    h = torch.zeros(2, 4, dtype=torch.float64)
    c, loss = h, torch.zeros((), dtype=torch.float64)
    for t in range(len(run)):
        weighted = z * h + (1 - z) * h.detach()
        gates = (
            x[t] @ parameters["weight_ih"].T
            + parameters["bias_ih"]
            + weighted @ parameters["weight_hh"].T
            + parameters["bias_hh"]
        )
        i, f, g, o = (part.tanh() if k == 2 else part.sigmoid() for k, part in enumerate(gates.chunk(4, 1)))
        c = f * c + i * g
        if t == 1:
            c = c.detach().requires_grad_()
            wanted = c
        h = o * torch.tanh(c)
        loss = loss + (h * weights[t]).sum()
    return np.asarray(torch.autograd.grad(loss, wanted)[0])


def test_orders_are_the_coefficients_of_the_weight_of_an_edge(torch: Any) -> None:
    """Checked at more points than the polynomial has coefficients; 0 leaves the cell state alone, h.detach()
    elsewhere.
    """
    run, loss = network("lstm")
    parts = inspector.path_orders(run, loss, wrt=("c", 1)).parts.values
    assert len(parts) == 5 and parts[3].all() and not parts[4].any()  # from step 1, h can enter steps 2, 3 and 4
    for z in (0.0, 1.0, -1.0, 0.5, 2.0, -3.0):
        expected = gradient_in_torch(torch, run, z)
        np.testing.assert_allclose(sum(z**k * part for k, part in enumerate(parts)), expected, rtol=1e-10, atol=1e-12)


def test_sampling_at_the_roots_of_unity_gives_the_same_orders() -> None:
    """The edges weighted by z at the roots of unity, complex numbers as pairs of lanes, and the inverse FFT."""
    run, loss = network("lstm")
    parts = inspector.path_orders(run, loss, wrt=("c", 0)).parts.values
    n = len(run)
    roots = np.exp(-2j * np.pi * np.arange(n) / n)
    states = {value.id for (name, _), value in run.names.items() if name == "h"}

    def edit(node: tg.Tensor, operand: int, part: Batched, cotangent: Batched) -> Batched:
        if node.op.name != "matmul" or node.inputs[operand].id not in states:
            return part
        turned = (part.array[:n] + 1j * part.array[n:]) * roots[:, None, None]
        return Batched(np.concatenate([turned.real, turned.imag]))

    start = Batched(np.concatenate([np.ones(n), np.zeros(n)]))
    c = run.names["c", 0]
    (found,) = (total.array for node, total, _ in sweep([loss], [start], [c], edit=edit) if node is c)
    orders = np.fft.ifft(found[:n] + 1j * found[n:], axis=0)
    np.testing.assert_allclose(orders, parts, atol=1e-14)


class Two(tg.Cell):
    """h' = a h + g + x with g = b h: a path takes either way at every step, so orders are binomial."""

    def step(self, x: Any, state: Any) -> Any:
        g = tg.named(g=state.h * 0.3)
        return (state.h * 0.8 + g + x,)


def test_orders_of_two_ways_at_every_step_are_binomial() -> None:
    run = tg.unroll(Two(1, 1), np.ones((8, 1, 1)))
    found = inspector.path_orders(run, run.outputs[-1].sum(), wrt=("h", 0))
    expected = [math.comb(7, k) * 0.8 ** (7 - k) * 0.3**k for k in range(8)]
    np.testing.assert_allclose(found.parts.values.reshape(-1), expected, rtol=1e-13)
    assert found.edges == "h → g" and found.orders == tuple("01234567")


def test_orders_beyond_the_last_are_in_its_remainder() -> None:
    run, loss = network("lstm")
    whole = inspector.path_orders(run, loss, wrt=("c", 0)).parts.values
    found = inspector.path_orders(run, loss, wrt=("c", 0), orders=2)
    assert found.orders == ("0", "1", "≥2")
    np.testing.assert_allclose(found.parts.values, [whole[0], whole[1], whole[2:].sum(axis=0)], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", ["lstm", "peephole"])  # peepholes lead from c to the gates, and do not count
def test_a_function_chooses_edges_like_names(kind: str) -> None:
    run, loss = network(kind)
    by_name = inspector.path_orders(run, loss, wrt=("c", 0))
    by_function = inspector.path_orders(
        run, loss, lambda source, target: source.name == "h" and target.op.name == "matmul", ("c", 0)
    )
    np.testing.assert_allclose(by_function.parts.values, by_name.parts.values, rtol=1e-12, atol=1e-15)
    assert by_function.edges == "the chosen edges"


def test_order_zero_is_the_gradient_of_the_graph_with_those_edges_cut() -> None:
    run, loss = network("gru")
    graph = tg.Graph(loss)
    while edges := [
        e for e in graph.edges if graph.nodes[e.target].op == "matmul" and graph.nodes[e.source].name == "h"
    ]:
        graph = graph.cut(graph.nodes[edges[0].target], edges[0].operand)
    h = next(n.tensor for n in graph.nodes if n.name == "h" and n.timestep == 0)
    (expected,) = tg.grad(graph.outputs[0], h)
    pure = inspector.path_orders(run, loss, wrt=("h", 0)).parts.values[0]
    np.testing.assert_allclose(pure, expected.data, rtol=1e-12, atol=1e-15)


def test_a_plain_network_crosses_once_a_step() -> None:
    run = tg.unroll(tg.cells.RNNCell(3, 4, seed=0), X)
    found = inspector.path_orders(run, run.outputs[-1].sum())
    assert found.edges == "h → h" and found.value == "h_0"
    np.testing.assert_allclose(found.by_step.values, np.eye(5)[::-1], atol=1e-15)


def test_the_farthest_step_of_a_run_in_reverse_is_its_last() -> None:
    run, loss = network("reversed")
    assert inspector.path_orders(run, loss).value == "h_4"


def test_what_is_refused() -> None:
    run, loss = network("lstm")
    for edges in ("h", ("h",), 3):
        with pytest.raises(TypeError, match=r"path_orders: edges must be a pair \(from, to\)"):
            inspector.path_orders(run, loss, edges=edges)
    with pytest.raises(KeyError, match="path_orders: nothing is called 'forget'"):
        inspector.path_orders(run, loss, edges=("h", "forget"))
    with pytest.raises(KeyError, match="there is no 'c' at timestep 9; the run has 5 steps"):
        inspector.path_orders(run, loss, wrt=("c", 9))
    with pytest.raises(TypeError, match=r"give a value as \(name, timestep\)"):
        inspector.path_orders(run, loss, wrt="c")
    with pytest.raises(ValueError, match="orders must be a positive number"):
        inspector.path_orders(run, loss, orders=0)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "directions"])
def test_it_is_drawn_written_and_told(kind: str, tmp_path: Path) -> None:
    run, loss = network(kind)
    found = inspector.path_orders(run, loss)
    text = Path(str(found.save(tmp_path / "orders.svg"))).read_text(encoding="utf-8")
    assert found.value in text and found.edges.split(" ")[0] in text
    assert found.value in str(found) and found.edges in str(found)
    assert found.to_dict()["value"] == found.value
    assert (
        found.plot(ax=inspector.plot_decay(inspector.trace(run, loss)).figure.add_subplot())
        .get_ylabel()
        .startswith("share")
    )


def test_a_value_without_a_gradient_is_drawn_as_nothing() -> None:
    run = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), X, truncate=1)
    found = inspector.path_orders(run, run.outputs[-1].sum() * 0.0, wrt=("c", 0))
    assert (
        found.total == 0
        and np.isnan(found.projections.values).all()
        and str(found).endswith("(norm 0) by how often its paths crossed h → i, f, g, o\n  no gradient arrives")
    )
    assert found.plot().get_xlabel().endswith(found.edges)
    assert not left_out(found)


def left_out(found: Any) -> bool:
    """Whether the picture says that higher orders are left out."""
    return any("higher orders" in text.get_text() for axes in found.plot().figure.axes for text in axes.texts)


@pytest.mark.parametrize("orders", [1, 30])
def test_the_picture_says_where_orders_are_left_out(orders: int) -> None:
    run = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), np.zeros((5, 1, 3)))
    assert left_out(inspector.path_orders(run, run.outputs[-1].sum(), orders=orders)) == (orders == 30)


def of_orders(*labels: Any, shares: Any) -> inspector.PathOrders:
    """With these shares (t, order) at all timesteps, the last of them that of the value itself."""
    run, loss = network("rnn")
    table, order = np.array(shares, dtype=float), {"order": labels}
    return replace(
        inspector.path_orders(run, loss),
        projections=Labelled(table[-1], order),
        by_step=Labelled(table, {"t": range(len(table)), **order}),
        totals=Labelled(np.ones(len(table)), {"t": range(len(table))}),
    )


@pytest.mark.parametrize(
    ("shares", "last"),
    [
        ([[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]], 1),  # two bars at least
        ([[1.0, 0.0, -1e-3, 0.0], [1.0, 0.0, 0.0, 0.0]], 2),
        ([[1.0, 0.0, 0.0, 9e-4], [1.0, 0.0, 1e-3, 0.0]], 2),
        ([[np.nan, np.nan, np.nan, np.nan], [0.9, 0.0, 0.0, 0.1]], 3),
    ],
)
def test_orders_are_shown_up_to_the_last_that_matters_at_any_timestep(shares: Any, last: int) -> None:
    found = of_orders(0, 1, 2, "≥3", shares=shares)
    bars, over_time = found.plot().figure.axes[:2]
    assert bars.get_xlim() == (-0.6, last + 0.6) and over_time.get_ylim() == (-0.5, last + 0.5)
    assert bars.get_xticks().tolist() == over_time.get_yticks().tolist() == list(range(last + 1))
    assert left_out(found) == (last < 3)


@pytest.mark.parametrize(
    ("last", "ticks"),
    [
        (8, [*range(9)]),
        (9, [0, 2, 4, 6, 9]),
        (16, [*range(0, 17, 2)]),
        (17, [0, 3, 6, 9, 12, 15, 17]),
        (32, [*range(0, 33, 4)]),
    ],
)
def test_about_ten_orders_are_numbered_the_open_one_among_them(last: int, ticks: list[int]) -> None:
    shares = np.full((2, last + 1), 1 / (last + 1))
    axes = of_orders(*range(last), f"≥{last}", shares=shares).plot()
    assert axes.get_xticks().tolist() == ticks
    assert [text.get_text() for text in axes.get_xticklabels()] == [*map(str, ticks[:-1]), f"≥{last}"]
    closed = of_orders(*range(last + 1), shares=shares).plot().get_xticks().tolist()
    assert closed == [*range(0, last + 1, closed[1])] and len(closed) == -(-(last + 1) // closed[1])


class Matrix(tg.Cell):
    """A state that is a matrix, as in an mLSTM: its gates read the input alone, and nothing reads h."""

    state_names = ("h", "C")

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.w_q, self.w_k, self.w_f = (
            self.parameter(name, (input_size, hidden_size)) for name in ("w_q", "w_k", "w_f")
        )

    def initial_state(self, batch: int) -> Any:
        size = self.hidden_size
        return self.State(np.zeros((batch, size)), np.zeros((batch, size, size)))

    def step(self, x: Any, state: Any) -> Any:
        q, k = tg.named(q=x @ self.w_q, k=x @ self.w_k)
        f = tg.named(f=tg.sigmoid(x @ self.w_f))
        memory = f[:, :, None] * state.C + k[:, :, None] * k[:, None, :]
        return (memory @ q[:, :, None])[:, :, 0], memory


def test_a_state_that_nothing_reads_is_not_counted() -> None:
    run = tg.unroll(Matrix(3, 4, seed=0), X)
    found = inspector.path_orders(run, run.outputs[-1].sum(), wrt=("C", 0))
    assert found.edges == "C → h, C"
    steps = len(run) - 1  # C to C each, and then once to h
    assert found.projections["order", f"≥{len(run)}" if steps + 1 >= len(run) else steps + 1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "edges"),
    [
        ("lstm", "h → i, f, g, o"),
        ("mingru", "h → h"),
        ("lru", "re, im → h, re, im"),
        ("sru", "c → f, r, n"),
        ("narx", "h → h, h_1, h_2"),
    ],
)
def test_edges_are_those_by_which_the_next_step_reads(name: str, edges: str) -> None:
    run = tg.unroll(tg.cells.get(name)(3, 4, seed=0), X)
    assert inspector.path_orders(run, run.outputs[-1].sum()).edges == edges


@pytest.mark.parametrize(("factor", "note"), [(0.0, "g is 0"), (np.nan, "g is not finite")])
def test_the_picture_says_why_it_has_no_bars(factor: float, note: str) -> None:
    run = tg.unroll(tg.cells.GRUCell(2, 3, seed=0), np.ones((4, 1, 2)))
    axes = inspector.path_orders(run, (run.outputs[-1] * factor).sum()).plot()
    assert note in [text.get_text() for text in axes.texts]
