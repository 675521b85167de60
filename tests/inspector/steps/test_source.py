"""Where a run stands in its graph: every step has its own nodes, and begins in the states that it was given."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given

import tinygrad_rnn as tg
from inspector.steps.source import sources_of
from tests.random_cells import runs
from tinygrad_rnn.recurrent.unroll import Run


def graph_of(*given_runs: Run) -> tg.Graph:
    return tg.Graph([value for run in given_runs for value in (*run.names.values(), *run.outputs)])


def unrolled(cell: tg.Cell | tg.Stacked, state: object = None, **options: object) -> Run:
    x = np.random.default_rng(0).normal(size=(3, 2, cell.input_size))
    return tg.unroll(cell, x, state, **options)  # type: ignore[arg-type]


@given(run=runs())
def test_every_recorded_node_belongs_to_the_step_that_recorded_it(run: Run) -> None:
    graph = graph_of(run)
    ((source,),) = sources_of([run], graph)
    owned = {node.index: t for t, nodes in source.nodes.items() for node in nodes}
    assert owned == {
        node.index: run.scopes.index(node.scope.step)
        for node in graph.nodes
        if node.scope is not None and node.scope.step in run.scopes
    }


@pytest.mark.parametrize("reverse", [False, True])
def test_the_states_before_a_step_are_those_after_the_one_before(reverse: bool) -> None:
    run = unrolled(tg.cells.get("lstm")(3, 4, seed=0), reverse=reverse)
    ((source,),) = sources_of([run], graph_of(run))
    order = [2, 1, 0] if reverse else [0, 1, 2]
    assert source.states_before(order[0]) == run.initial_state._asdict()
    for earlier, later in pairwise(order):
        assert list(source.states_before(later).items()) == list(run.states[earlier]._asdict().items())


def test_layers_go_by_their_paths_and_several_runs_by_their_numbers() -> None:
    stack = tg.Stacked([tg.cells.get("gru")(3, 4, seed=0), tg.cells.get("rnn")(4, 4, seed=1)])
    run = unrolled(stack)
    assert [[source.layer for source in layer] for layer in sources_of([run], graph_of(run))] == [
        ["layer0"],
        ["layer1"],
    ]
    cell = tg.cells.get("gru")(3, 4, seed=0)
    first = unrolled(cell)
    second = unrolled(cell, first.states[-1])
    (turns,) = sources_of([first, second], graph_of(first, second))
    assert [source.layer for source in turns] == ["run0", "run1"]
    assert turns[1].states_before(0)["h"] is first.states[-1].h
