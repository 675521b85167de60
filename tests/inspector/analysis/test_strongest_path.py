"""The strongest path against a list of all paths, and the sums over paths against the gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import inspector
import tinygrad_rnn as tg
from inspector.analysis.semiring import entries
from inspector.analysis.strongest_path import StrongestPath
from inspector.picture.compose import picture
from tests.inspector.analysis.networks import KINDS, network
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run


def products(graph: tg.Graph, start: tg.Node) -> Iterator[float]:
    """The product of each path from the output of a scalar graph to `start`, one by one.

    Local derivatives are differences: what an operation gives when one of its operands moves a little.
    """

    def derivative(node: tg.Node, operand: int) -> float:
        values = [float(graph.nodes[k].value) for k in node.inputs]
        ends = []
        for sign in (1, -1):
            moved = [v + sign * 1e-5 * (k == operand) for k, v in enumerate(values)]
            ends.append(float(node.tensor.op.forward(*moved, **node.attributes)))
        return (ends[0] - ends[1]) / 2e-5

    reach = {start.index}
    for node in graph.nodes:
        if reach & set(node.inputs):
            reach.add(node.index)
    slopes = {(n.index, k): derivative(n, k) for n in graph.nodes for k, s in enumerate(n.inputs) if s in reach}
    waiting = [(graph.nodes[-1], 1.0)]
    while waiting:
        node, product = waiting.pop()
        if node is start:
            yield product
            continue
        waiting += [(graph.nodes[s], product * slopes[node.index, k]) for k, s in enumerate(node.inputs) if s in reach]


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "peephole", "sru", "leaky", "mgu"])
def test_it_is_the_strongest_of_all_paths(name: str) -> None:
    run = tg.unroll(tg.cells.get(name)(2, 2, seed=3), np.random.default_rng(0).normal(size=(3, 1, 2)))
    loss = tg.losses.mse_loss(run.outputs[-1], np.ones((1, 2))) + (run.outputs[1] * 0.3).sum()
    state = run.initial_state._fields[-1]
    found = inspector.strongest_path(run, loss, start=(state, 0), unit=(0, 1))
    graph = tg.Graph(loss).to_scalars()
    (start,) = [n for n in graph.nodes if n.name == f"{state}[0, 1]" and n.timestep == 0]
    every = np.array(list(products(graph, start)))
    assert len(every) > 5
    sizes = np.abs(every)
    share = sizes / sizes.sum()
    assert found.strength == pytest.approx(math.log(sizes.max()), rel=1e-6)
    assert found.sign == np.sign(every[np.argmax(sizes)])
    assert found.share == pytest.approx(share.max(), rel=1e-6)
    assert 10**found.paths == pytest.approx(len(every), rel=1e-9)
    assert 10**found.effective == pytest.approx(math.exp(-np.sum(share * np.log(share))), rel=1e-6)
    assert found.coherence == pytest.approx(abs(every.sum()) / sizes.sum(), rel=1e-6)


def check_path(found: StrongestPath, loss: tg.Tensor, end: tg.Tensor) -> None:
    """The path leads from the end to the start, and the sum over all paths is the gradient."""
    first, last = found.places[0], found.places[-1]
    assert first.tensor is end and f"{found.start}" == last.text
    for above, below in zip(found.places, found.places[1:], strict=False):
        assert any(operand is below.tensor for operand in above.tensor.inputs)
    assert found.strength == pytest.approx(np.log(np.abs(found.derivatives.values)).sum(), abs=1e-9 * len(found.places))
    (gradient,) = tg.grad(end, last.tensor, np.ones(end.shape))
    whole = math.exp(found.strength) / found.share * found.coherence
    assert abs(gradient.data[last.element]) == pytest.approx(
        whole, rel=1e-8, abs=1e-13 * math.exp(found.strength) / found.share
    )
    assert 0 <= found.effective <= found.paths + 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_over_paths_of_every_cell_is_its_gradient(kind: str) -> None:
    run, loss = network(kind)
    found = inspector.strongest_path(run, loss)
    end = found.places[0].tensor
    assert found.end == "loss" and (end is loss or kind == "compiled")
    check_path(found, loss, end)


@FEW
@given(run=runs())
def test_the_sum_over_paths_of_any_cell_is_its_gradient(run: Run) -> None:
    loss = run.stacked.sum()
    try:
        trace = inspector.trace(run, loss)
        if not np.isfinite([trace.norm(name) for name in trace.states]).all():
            return
        found = inspector.strongest_path(run, loss)
    except ValueError:  # nothing depends on the run, or all is cut
        return
    check_path(found, loss, loss)


def test_the_end_may_be_any_value() -> None:
    run, loss = network("lstm")
    found = inspector.strongest_path(run, loss, start=("c", 0), end=("f", 3))
    assert found.end == "f_3" and found.places[0].text.startswith("f_3[") and found.places[-1].text.startswith("c_0[")
    check_path(found, loss, run.names["f", 3])
    assert found.named()[0].text.startswith("f_3")


CALLS = {
    "multiply by a row": lambda v: v * tg.tensor(np.arange(1.0, 4.0)),
    "row": lambda v: tg.tensor(np.ones((5, 2, 3))) * v[0],
    "sum": lambda v: tg.sum(v, axis=0),
    "keep": lambda v: tg.sum(v, axis=(1,), keepdims=True),
    "all": lambda v: tg.sum(v),
    "pad": lambda v: tg.pad(v, ((1, 2), (0, 1)), constant_values=3.0),
    "flip": lambda v: tg.flip(v, 1),
    "twice": lambda v: v[np.array([1, 1, 0])],
    "take": lambda v: tg.take(v, np.array([2, 0, 2]), axis=1),
    "join": lambda v: tg.concatenate([tg.tanh(v), v], axis=1),
    "stack": lambda v: tg.stack([v * 2.0, v], axis=1),
    "spread": lambda v: tg.broadcast_to(v, (2, 2, 3)),
    "turned": lambda v: v.T,
    "where": lambda v: tg.where(np.array([True, False, True]), v, 0.0),
    "softmax": lambda v: tg.softmax(v, axis=1),
    "product": lambda v: tg.prod(v, axis=1),
    "einsum": lambda v: tg.einsum("ab,cb->ac", v, v),
    "matmul": lambda v: v @ v.T,
    "vector": lambda v: v @ v[0],
}


@pytest.mark.parametrize("kind", CALLS)
def test_entries_are_those_of_the_jacobian(kind: str) -> None:
    value = tg.tensor(np.random.default_rng(0).normal(size=(2, 3)))
    node = CALLS[kind](value)
    for operand, read in enumerate(node.inputs):
        if not isinstance(read, tg.Tensor):
            continue
        leaf = tg.tensor(read.data)
        operands = [leaf if k == operand else other for k, other in enumerate(node.values)]
        found = entries(node, operand)
        whole = np.zeros((node.size, leaf.size))
        np.add.at(whole, (found.rows, found.columns), found.values)
        expected = tg.jacobian(node.op.on(tuple(operands), node.attributes), leaf)
        np.testing.assert_allclose(whole, expected.reshape(whole.shape), rtol=1e-14)
        assert (np.diff(found.columns) >= 0).all()


class Linear(tg.Cell):
    """h' = h Wᵀ: every unit hands on to every unit."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size, seed=0)
        self.w = self.parameter("w", (size, size), np.full((size, size), 0.5))

    def step(self, x: Any, state: Any) -> Any:
        return (state.h @ self.w.T + x,)


@pytest.mark.slow
def test_paths_through_a_dense_linear_network_are_counted() -> None:
    """Of n units, n paths a step, all as strong; far beyond what could be listed or would not underflow."""
    run = tg.unroll(Linear(3), np.ones((1001, 1, 3)))
    found = inspector.strongest_path(run, run.outputs[-1].sum(), start=("h", 0))
    assert found.paths == pytest.approx(1000 * math.log10(3), rel=1e-12)
    assert found.strength == pytest.approx(1000 * math.log(0.5), rel=1e-12)
    assert found.effective == pytest.approx(found.paths, rel=1e-9) and found.share == 0.0  # underflown
    assert found.coherence == pytest.approx(1, rel=1e-9)
    assert len(found.named()) == 1001


def test_it_is_drawn_in_red_on_the_graph(tmp_path: Path) -> None:
    run, _ = network("lstm")
    loss = run.outputs[-1].sum()
    found = inspector.strongest_path(run, loss, start=("h", 0))
    for trace in (None, inspector.trace(run, loss)):
        drawing = picture(run, trace=trace, highlight=found)
        red = [line for line in drawing.lines if line.grade == "path"]
        steps = {line.target.partition(".")[0] for line in red}
        assert {"t1", "t2"} <= steps and all(line.width == 5.0 and line.colour == "#D1242F" for line in red)
        assert "t0.h.multiply" in {line.source for line in red}
        assert not any(
            line.target.startswith("t0.") for line in red
        )  # neither back from the start, nor out to its circle
        assert any(shape.label == "highlighted path" for shape in drawing.shapes)
    assert not [line for line in picture(run).lines if line.grade == "path"]
    assert (
        "#D1242F"
        in Path(str(inspector.render(run, tmp_path / "path.svg", highlight=found))).read_text(encoding="utf-8").upper()
    )
    with pytest.raises(ValueError, match="edges are highlighted at the operation level, not at the cell level"):
        inspector.render(run, level="cell", highlight=found)


def test_edges_that_the_graph_does_not_have_are_not_highlighted() -> None:
    run, _ = network("lstm")
    loss = run.outputs[-1].sum()
    h = run.names["h", 1]
    known = {(h.id, 0), (h.id, -1)}
    for trace in (None, inspector.trace(run, loss)):
        assert [line for line in picture(run, trace=trace, highlight=known).lines if line.grade == "path"]
        for unknown in ((1, 2), (h.id, 2), (h.id, -2), (10**9, 0)):
            others = known if unknown[0] < loss.id or trace is not None else set()
            with pytest.raises(ValueError, match=rf"highlight has \({unknown[0]}, {unknown[1]}\), which is no edge"):
                inspector.render(run, trace=trace, highlight={*others, unknown})


def test_what_is_refused() -> None:
    run, loss = network("truncated")
    with pytest.raises(ValueError, match=r"no path leads from .* back to t=4/f"):
        inspector.strongest_path(run, loss, start=("f", 4), end=("f", 4))
    last = run.outputs[-1].sum()
    with pytest.raises(ValueError, match="no gradient reaches t=0/c: every path is cut"):
        inspector.strongest_path(run, last, start=("c", 0))
    with pytest.raises(IndexError, match=r"shape \(2, 4\) has no element \(2, 0\)"):
        inspector.strongest_path(run, last, start=("c", 4), unit=(2, 0))
    h = tg.unroll(tg.cells.RNNCell(3, 48, seed=0), np.zeros((2, 48, 3)))  # 2304 numbers by 4608
    with pytest.raises(ValueError, match=r"the Jacobian of .*prod, .* is too large; run fewer sequences or units"):
        inspector.strongest_path(h, tg.prod(h.stacked, axis=0).sum())


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "stacked"])
def test_it_is_drawn_written_and_told(kind: str, tmp_path: Path) -> None:
    run, loss = network(kind)
    found = inspector.strongest_path(run, loss)
    text = Path(str(found.save(tmp_path / "path.svg"))).read_text(encoding="utf-8")
    assert found.start in text
    assert found.start in str(found) and "carry the gradient" in str(found)
    assert found.to_dict()["derivatives"]["axes"]["place"][-1].endswith(found.start)
