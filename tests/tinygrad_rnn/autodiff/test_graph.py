"""The graph as data: looking up, running again, editing, exporting."""

from __future__ import annotations

import itertools
from typing import Any

import networkx
import numpy as np
import pytest
from hypothesis import given

import tinygrad_rnn as tg
from tests.strategies import Program, programs


@given(programs())
def test_running_again_is_the_eager_result(program: Program) -> None:
    leaves = program.leaves()
    out = program(*leaves)
    again = tg.Graph(out).run()
    assert again is not out and again.op is out.op
    np.testing.assert_array_equal(again.data, out.data)
    for g, h in zip(tg.grad(out, leaves), tg.grad(again, leaves), strict=True):
        np.testing.assert_array_equal(g.data, h.data)


@given(programs())
def test_running_on_other_inputs_is_the_eager_result_on_those(program: Program) -> None:
    leaves = program.leaves()
    others = [x.data * 0.5 + 0.25 for x in leaves]
    graph = tg.Graph([program(*leaves), *leaves])
    by_tensor, *_ = graph.run(dict(zip(leaves, others, strict=True)))
    by_name, *_ = graph.run({f"x{k}": x for k, x in enumerate(others)})
    by_index, *_ = graph.run({graph.find(leaf).index: x for leaf, x in zip(leaves, others, strict=True)})
    by_node, *_ = graph.run({graph.find(leaf): x for leaf, x in zip(leaves, others, strict=True)})
    expected = program(*others)
    for out in (by_tensor, by_name, by_index, by_node):
        np.testing.assert_array_equal(out.data, expected)


@given(programs())
def test_a_replay_can_be_differentiated_by_what_it_was_fed(program: Program) -> None:
    leaves = program.leaves()
    graph = tg.Graph([program(*leaves), *leaves])
    fresh = [tg.tensor(x.data * 0.5, requires_grad=True) for x in leaves]
    out, *_ = graph.run(dict(zip(leaves, fresh, strict=True)))
    for g, h in zip(tg.grad(out, fresh), tg.grad(program(*fresh), fresh), strict=True):
        np.testing.assert_array_equal(g.data, h.data)


@given(programs())
def test_networkx_has_the_same_nodes_and_edges(program: Program) -> None:
    graph = tg.Graph(program(*program.leaves()))
    exported = graph.to_networkx()
    assert isinstance(exported, networkx.MultiDiGraph)
    assert sorted(exported.nodes) == [node.index for node in graph.nodes]
    assert sorted(exported.edges(keys=True)) == sorted((e.source, e.target, e.operand) for e in graph.edges)
    assert networkx.is_directed_acyclic_graph(exported)
    for node in graph:
        attributes = exported.nodes[node.index]
        assert (attributes["op"], attributes["shape"], attributes["name"]) == (node.op, node.shape, node.name)
        assert attributes["dtype"] == str(node.dtype) and attributes["timestep"] == node.timestep
        assert sorted(k for _, _, k in exported.in_edges(node.index, keys=True)) == list(range(len(node.inputs)))


@given(programs())
def test_no_two_nodes_share_a_place_and_operands_stand_before(program: Program) -> None:
    graph = tg.Graph(program(*program.leaves()))
    places = networkx.get_node_attributes(graph.to_networkx(), "pos")
    assert list(places) == list(range(len(graph))) and len(set(places.values())) == len(places)
    for edge in graph.edges:
        assert places[edge.source][0] < places[edge.target][0]
    assert all(places[node.index][0] == 0.0 for node in graph if node.is_leaf), "without timesteps x is the depth alone"
    assert places == networkx.get_node_attributes(graph.to_networkx(), "pos")


@pytest.mark.parametrize("kind", ["forward", "reverse", "both"])
def test_places_go_from_left_to_right_in_time(kind: str) -> None:
    class Deaf(tg.Cell):
        """Reads no input, so that nothing of the first timestep is older than the last one."""

        def step(self, x: Any, state: Any) -> Any:
            return (tg.tanh(0.5 * state.h),)

    forward, backward = tg.cells.LSTMCell(2, 3, seed=0), tg.cells.RNNCell(2, 3, seed=1)
    cell = {"forward": forward, "reverse": Deaf(2, 3, seed=0), "both": tg.Bidirectional(forward, backward)}[kind]
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(4, 1, 2)), reverse=kind == "reverse")
    graph = tg.Graph(tg.sum(run.stacked))
    places = networkx.get_node_attributes(graph.to_networkx(), "pos")
    assert len(set(places.values())) == len(graph)
    columns: dict[int | None, list[float]] = {}
    for node in graph:
        columns.setdefault(node.timestep, []).append(places[node.index][0])
    outside = columns.pop(None)
    spans = [(min(columns[t]), max(columns[t])) for t in sorted(t for t in columns if t is not None)]
    assert len(spans) == 4 and all(end < start for (_, end), (start, _) in itertools.pairwise(spans))
    before = [places[node.index][0] for node in graph if node.timestep is None and node.is_leaf]
    assert max(before) < spans[0][0] and sorted(outside)[len(before)] > spans[-1][1], "the sum comes last"
    middle = [
        {(places[n.index][0] - spans[t][0], places[n.index][1]) for n in graph if n.timestep == t} for t in (1, 2)
    ]
    assert middle[0] == middle[1], "alike steps are placed alike"


@pytest.mark.slow
def test_places_of_a_long_graph_need_no_recursion() -> None:
    x = tg.tensor(1.0)
    for _ in range(20_000):
        x = x + 1.0
    assert len({place for _, place in tg.Graph(x).to_networkx().nodes(data="pos")}) == 40_001


def test_both_edges_of_a_square_are_kept() -> None:
    x = tg.tensor(3.0, name="x")
    graph = tg.Graph(x * x)
    assert [tuple(edge) for edge in graph.edges] == [(0, 1, 0, False), (0, 1, 1, False)]
    assert graph.to_networkx().number_of_edges(0, 1) == 2
    assert graph.nodes[1].inputs == (0, 0)


def test_nodes_say_what_they_are() -> None:
    with tg.scope("layer0"):
        w = tg.tensor([[1.0, 2.0]], requires_grad=True, name="w")
        out = tg.named(y=tg.sum(w * np.array([3.0, 4.0]), axis=1))
    graph = tg.Graph(out)
    assert [n.op for n in graph] == ["parameter", "constant", "multiply", "sum"]
    assert [n.path for n in graph] == ["layer0/w", "layer0/constant", "layer0/multiply", "layer0/y"]
    assert [n.is_leaf for n in graph] == [True, True, False, False]
    assert graph.nodes[-1].attributes == {"axis": 1}
    assert graph.nodes[1].tensor is None and graph.nodes[0].tensor is w
    assert graph.nodes[2].shape == (1, 2) and graph.nodes[2].dtype == np.float64
    assert repr(graph) == "Graph(4 nodes, 3 edges)" and len(graph) == 4
    assert w in graph and tg.tensor(1.0) not in graph and "w" not in graph
    assert not graph.nodes[2].value.flags.writeable
    with pytest.raises(AttributeError):
        graph.nodes[0].name = "other"  # type: ignore[misc]


def test_constants_of_a_float32_graph_are_float32() -> None:
    graph = tg.Graph(tg.tensor([1.0], dtype=np.float32) * 2.0)
    assert [n.dtype for n in graph] == [np.float32] * 3
    assert graph.run().dtype == np.float32


def test_the_order_is_creation_order_whatever_the_outputs() -> None:
    x = tg.tensor(1.0)
    a = tg.sin(x)
    b = tg.cos(a)
    assert [n.op for n in tg.Graph([b, a, x])] == ["input", "sin", "cos"]
    assert [n.op for n in tg.Graph([b, a, x]).output_nodes] == ["cos", "sin", "input"]
    assert [out.op for out in tg.Graph([b, a]).run()] == [tg.cos, tg.sin]


def test_check_notices_a_broken_graph() -> None:
    x = tg.tensor(1.0)
    graph = tg.Graph(tg.sin(x) + x)
    graph.nodes = graph.nodes[::-1]
    with pytest.raises(AssertionError, match="says it is number"):
        graph.check()
    graph = tg.Graph(tg.sin(x) + x)
    graph.edges = graph.edges[:-1]
    with pytest.raises(AssertionError, match="edges != operands"):
        graph.check()


# ------------------------------------------------------------------------------------------- editing


@given(programs())
def test_cutting_every_edge_into_the_output_leaves_no_gradient(program: Program) -> None:
    leaves = program.leaves()
    out = program(*leaves)
    graph = tg.Graph(out)
    for operand in range(len(graph.nodes[-1].inputs)):
        graph = graph.cut(graph.outputs[0], operand)
    np.testing.assert_array_equal(graph.outputs[0].data, out.data)
    for gradient in tg.grad(graph.outputs[0], leaves):
        assert not gradient.data.any()


def test_cutting_one_of_two_uses() -> None:
    x = tg.tensor(3.0)
    y = tg.named(y=x * x)
    graph = tg.Graph(y)
    cut = graph.cut("y", 1)
    assert tg.grad(y, x)[0].item() == 6.0, "the original stays as it was"
    assert len(graph) == 2 and cut.outputs[0].item() == 9.0
    assert tg.grad(cut.outputs[0], x)[0].item() == 3.0
    assert [e.cut for e in cut.edges].count(True) == 1
    stop = next(n for n in cut if n.op == "stop_gradient")
    assert cut.edges[0].cut and cut.edges[0].target == stop.index
    assert cut.find("y").value == 9.0


def test_holding_a_node_at_a_constant() -> None:
    x = tg.tensor([1.0, 2.0])
    f = tg.named(f=tg.sigmoid(x))
    out = tg.sum(f * x)
    held = tg.Graph(out).hold("f", 1.0)
    assert held.outputs[0].item() == 3.0
    np.testing.assert_array_equal(tg.grad(held.outputs[0], x)[0].data, [1.0, 1.0])
    assert held.find("f").op == "input" and held.find("f").shape == (2,)
    per_unit = tg.Graph(out).hold(f, np.array([0.0, 1.0]))
    assert per_unit.outputs[0].item() == 2.0
    with pytest.raises(ValueError):
        tg.Graph(out).hold("f", np.ones(3))


def test_edits_keep_scopes_and_names_through_time() -> None:
    cell = tg.cells.LSTMCell(2, 3, seed=0)
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(3, 1, 2)))
    graph = tg.Graph(run.outputs[-1])
    held = graph.hold(("f", 2), 0.0)
    assert [n.path for n in held if n.name == "h"] == [n.path for n in graph if n.name == "h"]
    i, g, o, c = (held.find((name, 2)).value for name in "igoc")
    np.testing.assert_allclose(c, i * g, rtol=1e-15)
    np.testing.assert_allclose(held.outputs[0].data, o * np.tanh(i * g), rtol=1e-15)


# ------------------------------------------------------------------------------------------ look-ups


def two_steps() -> tg.Graph:
    run = tg.unroll(tg.cells.GRUCell(1, 1, seed=0), np.ones((2, 1, 1)))
    return tg.Graph(run.outputs)


def test_find() -> None:
    graph = two_steps()
    assert graph.find(("z", 1)).timestep == 1
    assert graph.find(graph.nodes[3]) is graph.nodes[3] is graph.find(3) is graph.find(np.int64(3))
    assert graph.find(graph.outputs[0]).name == "h"
    assert graph.find("weight_hh").op == "parameter"


def test_no_node_of_a_larger_or_smaller_graph_is_found() -> None:
    small, large = tg.Graph(tg.exp(tg.tensor(1.0))), two_steps()
    for graph, other in ((small, large), (large, small)):
        for node in other.nodes:
            with pytest.raises(KeyError, match="belongs to another graph"):
                graph.find(node)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("z", r"2 nodes are called 'z'; give \(name, timestep\)"),
        ("nonsense", "no node is called 'nonsense'. Names in this graph: .*weight_hh"),
        (("z", 7), "no node is called"),
        (10**6, "node 1000000 is not in this graph of"),
        (-1, "node -1 is not in this graph"),
        (None, "None is no Node, Tensor, index, name or"),
        ((None, 1), "is no Node, Tensor, index, name or"),
        (tg.tensor(1.0, name="stranger"), "the Tensor stranger is not in this graph"),
        (tg.Graph(tg.tensor(1.0, name="far")).nodes[0], "node far belongs to another graph"),
    ],
)
def test_what_is_not_there_is_explained(key: Any, message: str) -> None:
    graph = two_steps()
    for use in (graph.find, lambda k: graph.run({k: 1.0}), graph.cut, lambda k: graph.hold(k, 0.0)):
        with pytest.raises(KeyError, match=message):
            use(key)


def test_other_mistakes_are_explained() -> None:
    graph = two_steps()
    with pytest.raises(TypeError, match="an output must be a Tensor, got ndarray"):
        tg.Graph([np.ones(2)])
    with pytest.raises(TypeError, match="an output must be a Tensor, got float"):
        tg.Graph(3.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="run: feeds must be a mapping from nodes to values, got list"):
        graph.run([1.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"hold: weight_hh has shape \(3, 1\): .*broadcast"):
        graph.hold("weight_hh", np.ones(2))
    with pytest.raises(ValueError, match=r"hold: weight_hh .*could not convert"):
        graph.hold("weight_hh", "open")
    with pytest.raises(ValueError, match=r"run: .*weight_hh has shape \(3, 1\), was fed shape \(2,\)"):
        graph.run({"weight_hh": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"cut: .* has 0 operands, no number 0"):
        graph.cut("weight_hh")
    with pytest.raises(ValueError, match="no number 5"):
        graph.cut(("z", 1), 5)


def test_feeds_are_copied() -> None:
    x = tg.tensor([1.0, 2.0], name="x")
    value = np.array([3.0, 4.0])
    out = tg.Graph(tg.sum(x * x)).run({"x": value})
    fed = next(n.tensor for n in tg.Graph(out) if n.name == "x")
    value[:] = 0.0
    np.testing.assert_array_equal(tg.grad(out, fed)[0].data, [6.0, 8.0])


def test_an_edit_computes_nodes_otherwise() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    f = tg.named(f=tg.sigmoid(x))
    graph = tg.Graph(tg.sum(f * x))
    swapped = graph.edit({"f": lambda was, z: tg.tanh(z)})
    assert swapped.outputs[0].item() == pytest.approx(float(np.sum(np.tanh(x.data) * x.data)))
    assert swapped.find("f").op == "tanh"
    through = graph.edit({"f": lambda was, z: z})
    assert through.outputs[0].item() == 5.0 and x.name == "x" and through.find("f").op == "identity"
    held = graph.edit({"f": lambda was, z: [1.0, 0.0]}, cuts=[(graph.nodes[-1], 0)])
    assert held.outputs[0].item() == 1.0 and held.find("f").op == "input"
    assert not tg.grad(held.outputs[0], x)[0].data.any()
    doubled = graph.edit({"x": lambda was: 2 * was})
    assert doubled.find("x").op == "parameter"
    with pytest.raises(ValueError, match=r"edit: f has shape \(2,\), the change gives \(3,\)"):
        graph.edit({"f": lambda was, z: np.ones(3)})
    with pytest.raises(KeyError):
        graph.edit({"q": lambda was: was})
    with pytest.raises(ValueError, match="no number 5"):
        graph.edit({}, cuts=[("f", 5)])


def test_what_stands_as_a_parameter_is_a_leaf_with_nothing_behind_it():
    source = tg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True, name="source")
    weight = tg.transpose(source)
    x = tg.tensor(np.ones((4, 3)))
    y = tg.tanh(x @ weight)
    graph = tg.Graph(y, [weight])
    assert [node.op for node in graph] == ["input", "parameter", "matmul", "tanh"] or weight.id < x.id
    assert source not in graph and graph.find(weight).is_leaf and len(graph) == len(tg.Graph(y)) - 1
    graph.check()
    np.testing.assert_array_equal(graph.run().data, y.data)
    (gradient,) = tg.grad(tg.sum(graph.run({weight: weight})), [source])
    np.testing.assert_array_equal(gradient.data, tg.grad(tg.sum(y), [source])[0].data)
