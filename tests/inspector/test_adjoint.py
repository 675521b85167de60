"""The backward drawing: every operation of the reverse sweep once, with the right values, in the places of the forward steps."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

import inspector
import tinygrad_rnn as tg
from inspector.drawing.adjoint import adjoint_step
from inspector.drawing.items import Step
from inspector.drawing.operations import Source
from inspector.drawing.picture import Picture
from inspector.drawing.reverse import reverse_sweep
from inspector.render import picture
from tinygrad_rnn.unroll import Run

from ..random_cells import runs
from ..strategies import FEW
from .test_drawing import CELLS, RUNS, assert_sound, crossings_of_boxes, overlapping, run_of


def loss_of(run: Run) -> tg.Tensor:
    """Something that reads every output, each with other weights."""
    weights = np.random.default_rng(1).normal(size=(len(run), *run.outputs[0].shape))
    return tg.sum(tg.stack([output * weight for output, weight in zip(run.outputs, weights, strict=True)]))


def drawn(run: Run, loss: tg.Tensor | None = None, **options: object) -> tuple[Picture, inspector.GradientTrace]:
    trace = inspector.trace(run, loss_of(run) if loss is None else loss)
    return picture(run, trace=trace, backward=True, **options), trace


def steps_of(run: Run, loss: tg.Tensor) -> tuple[list[Step], list[dict[str, float]], tg.Graph]:
    """The backward steps of a single cell's run, and the norm of what leaves each by which state."""
    reverse = reverse_sweep(run, loss)
    graph = tg.Graph([*run.names.values(), *run.outputs, *reverse.totals.values()])
    nodes = {t: [n for n in graph.nodes if n.scope is not None and n.scope.step is scope and not n.scope.is_backward] for t, scope in enumerate(run.scopes)}
    source = Source(run, "", graph, {}, nodes, frozenset())
    steps, norms = [], []
    for t in range(len(run)):
        found: dict[tuple[int, int], float] = {}
        step, links = adjoint_step(source, reverse, t, frozenset(run.scopes), found)
        steps.append(step)
        norms.append({state: found[link.edge] for state, link in links.items() if link.edge is not None})
    return steps, norms, graph


def assert_complete(run: Run, drawing: Picture, trace: inspector.GradientTrace) -> None:
    """Every operation of the rules of the steps, and every sum over readers, is in one shape; nothing else is."""
    reverse = tg.Graph([trace.loss])  # only for the count of forward nodes
    del reverse
    scopes = {scope for part in run.cells for scope in part.scopes}
    shown = Counter(node for shape in drawing.shapes if ".back." in shape.id for node in shape.nodes)
    assert {node for node, times in shown.items() if times > 1} == set(), "drawn more than once"
    found = reverse_sweep(run, trace.loss)
    graph = tg.Graph([*run.names.values(), *run.outputs, trace.loss, *found.totals.values()])
    expected = {
        node.index for node in graph.nodes
        if not node.is_leaf and node.scope is not None and node.scope.is_backward and node.scope.step in scopes
    }  # fmt: skip
    assert expected - set(shown) == set(), [graph.nodes[k] for k in expected - set(shown)]
    assert all(graph.nodes[k].op == "add" for k in set(shown) - expected)


@pytest.mark.parametrize("kind", RUNS)
def test_every_operation_of_the_sweep_is_drawn_once(kind: str) -> None:
    drawing, trace = drawn(RUNS[kind])
    assert_complete(RUNS[kind], drawing, trace)
    assert_sound(drawing)
    assert overlapping(drawing) == []
    for line in drawing.lines:
        for piece in line.pieces:
            for (x0, y0), (x1, y1) in pairwise(piece):
                assert min(abs(x0 - x1), abs(y0 - y1)) < 0.6, line.id


@FEW
@given(run=runs())
def test_every_operation_of_the_sweep_of_a_cell_nobody_has_drawn_is_drawn_once(run: Run) -> None:
    loss = loss_of(run)
    try:
        drawing, trace = drawn(run, loss)
    except ValueError as error:
        assert "does not depend" in str(error)
        return
    assert_complete(run, drawing, trace)
    assert_sound(drawing)
    assert overlapping(drawing) == []


@pytest.mark.parametrize("name", CELLS)
def test_what_is_drawn_as_the_gradient_of_a_value_is_the_gradient(name: str) -> None:
    run = run_of(name)
    trace = inspector.trace(run, loss_of(run))
    steps, norms, _ = steps_of(run, trace.loss)
    seen = 0
    for step in steps:
        for item in step.items:
            value = item.key.removeprefix("d.")
            if item.value is not None and item.key.startswith("d.") and value in trace.names and value != "x":
                np.testing.assert_allclose(item.value.value, trace.gradient(value, step.timestep), rtol=1e-12, atol=1e-12)
                seen += 1
    assert seen >= len(run)
    initial = run.initial_state._asdict()
    for state, norm in norms[0].items():
        (wanted,) = tg.grad(trace.loss, initial[state])
        assert norm == pytest.approx(float(np.linalg.norm(wanted.data)), rel=1e-12)
