"""Graph: the explicit computation graph as data, to walk, check, run again, edit and export."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..plurals import counted
from .ancestry import ancestors
from .arrays import plain, real_array
from .node import Edge, Node, constant_node, is_cut, node_of
from .primitives import identity, stop_gradient
from .scalars import lower
from .scope import using
from .tensor import Tensor

Array = npt.NDArray[Any]

__all__ = ["Graph"]


class Graph:
    """The graph behind one or several outputs, oldest node first.

    A Graph is a snapshot and never changes: edits return a new one, computed again with the edit in
    place, so that its outputs can be differentiated and drawn like any other.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensors
        The values whose history to collect.
    parameters : iterable of Tensor
        Of them, what stands as a parameter although it was computed, such as the weights of a cell that come out of
        somebody else's file: what they were computed from is left out.

    Raises
    ------
    TypeError
        If an output is not a Tensor.

    Examples
    --------
    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([1.0, 2.0], name="x")
    >>> graph = tg.Graph(tg.tanh(x * x))
    >>> [node.op for node in graph.nodes]
    ['input', 'multiply', 'tanh']
    >>> len(graph.edges)
    3
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    outputs: tuple[Tensor, ...]

    def __init__(self, outputs: Tensor | Sequence[Tensor], parameters: Iterable[Tensor] = ()) -> None:
        self._single = isinstance(outputs, Tensor)
        several = isinstance(outputs, Iterable) and not self._single
        self.outputs = tuple(outputs) if several else (outputs,)  # type: ignore[assignment]
        for output in self.outputs:
            if not isinstance(output, Tensor):
                raise TypeError(f"Graph: an output must be a Tensor, got {type(output).__name__}")
        nodes: list[Node] = []
        edges: list[Edge] = []
        self._index: dict[int, int] = {}
        self._ends = frozenset(parameter.id for parameter in parameters)
        for node in ancestors(self.outputs, self._ends):
            operands = []
            is_end = node.id in self._ends
            for operand in () if is_end else node.inputs:
                if not isinstance(operand, Tensor):
                    nodes.append(constant_node(len(nodes), operand, node))
                    operands.append(len(nodes) - 1)
                else:
                    operands.append(self._index[operand.id])
            self._index[node.id] = len(nodes)
            nodes.append(node_of(len(nodes), node, tuple(operands), is_end))
            edges += [Edge(s, len(nodes) - 1, k, is_cut(node, k)) for k, s in enumerate(operands)]
        self.nodes = tuple(nodes)
        self.edges = tuple(edges)

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, Tensor) and value.id in self._index

    def __repr__(self) -> str:
        return f"Graph({counted(len(self.nodes), 'node')}, {counted(len(self.edges), 'edge')})"

    # ----------------------------------------------------------------------------------- looking up

    @property
    def output_nodes(self) -> tuple[Node, ...]:
        """The nodes of the outputs, in the order given."""
        return tuple(self.nodes[self._index[output.id]] for output in self.outputs)

    def find(self, key: Any) -> Node:
        """The one node meant by a Node, a Tensor, an index, a name, or a (name, timestep) pair.

        Raises
        ------
        KeyError
            If no node, or more than one, answers to `key`.
        """
        if isinstance(key, Tensor):
            if key.id not in self._index:
                raise KeyError(f"the Tensor {key.path} is not in this graph")
            return self.nodes[self._index[key.id]]
        if isinstance(key, Node):
            if key.index >= len(self.nodes) or self.nodes[key.index] is not key:
                raise KeyError(f"node {key.path} belongs to another graph")
            return key
        if isinstance(key, (int, np.integer)):
            if not 0 <= key < len(self.nodes):
                raise KeyError(f"node {key} is not in this graph of {counted(len(self.nodes), 'node')}")
            return self.nodes[key]
        name, timestep = key if isinstance(key, tuple) else (key, None)
        if not isinstance(name, str):
            raise KeyError(f"{key!r} is no Node, Tensor, index, name or (name, timestep) pair")
        hits = [n for n in self.nodes if n.name == name and timestep in (None, n.timestep)]
        if len(hits) != 1:
            known = ", ".join(sorted({n.name for n in self.nodes if n.name})) or "none"
            problem = "no node is" if not hits else f"{len(hits)} nodes are"
            hint = "; give (name, timestep)" if hits and timestep is None else ""
            raise KeyError(f"{problem} called {key!r}{hint}. Names in this graph: {known}")
        return hits[0]

    def check(self) -> None:
        """Assert what holds of every graph: order, arity, and edges that agree with operands."""
        for k, node in enumerate(self.nodes):
            assert node.index == k, f"node {k} says it is number {node.index}"
            assert all(operand < k for operand in node.inputs), f"{node.path} precedes an operand"
            assert node.value.shape == node.shape, f"{node.path}: {node.value.shape} != {node.shape}"
        listed = [(s, n.index, k) for n in self.nodes for k, s in enumerate(n.inputs)]
        assert listed == [(e.source, e.target, e.operand) for e in self.edges], "edges != operands"

    # -------------------------------------------------------------------------------------- running

    def run(self, feeds: Mapping[Any, Any] | None = None) -> Any:
        """Compute the outputs again, with some nodes fed new values.

        Parameters
        ----------
        feeds : mapping, optional
            From a node (anything :meth:`find` understands) to an array or a Tensor of its shape. Leaves
            that are not fed keep the Tensors they were recorded with.

        Returns
        -------
        Tensor, or tuple of Tensors
            As many as the graph was made from; recorded, so that they can be differentiated.

        Raises
        ------
        KeyError
            If a key names no node.
        ValueError
            If a value has the wrong shape.
        """
        outputs = self._execute(feeds or {}, frozenset(), {})
        return outputs[0] if self._single else outputs

    def cut(self, target: Any, operand: int = 0) -> Graph:
        """A new graph in which no gradient flows back from `target` into its given operand."""
        return self._rebuild({}, frozenset({(self._cuttable(target, operand), operand)}))

    def _cuttable(self, target: Any, operand: int) -> int:
        node = self.find(target)
        if not 0 <= operand < len(node.inputs):
            raise ValueError(f"cut: {node.path} has {counted(len(node.inputs), 'operand')}, no number {operand}")
        return node.index

    def hold(self, target: Any, value: Any) -> Graph:
        """A new graph in which a node is held at a constant, such as a gate forced open."""
        node = self.find(target)
        try:
            array = np.broadcast_to(real_array("hold", plain(value), node.dtype), node.shape)
        except (TypeError, ValueError) as error:
            raise ValueError(f"hold: {node.path} has shape {node.shape}: {error}") from None
        return self._rebuild({node: array}, frozenset())

    def edit(self, changes: Mapping[Any, Callable[..., Any]], cuts: Iterable[tuple[Any, int]] = ()) -> Graph:
        """A new graph in which some nodes are computed otherwise, and some edges cut.

        Parameters
        ----------
        changes : mapping
            From a node to a function ``(value, *operands) -> Tensor or array`` of the same shape, which is given what
            the node would have been, and its operands.
        cuts : iterable of (node, operand)
            No gradient flows back from the node into that operand.

        Raises
        ------
        KeyError
            If a key names no node.
        ValueError
            If a change gives another shape, or there is no such operand.
        """
        found = {self.find(key).index: change for key, change in changes.items()}
        edges = frozenset((self._cuttable(target, operand), operand) for target, operand in cuts)
        return self._rebuild({}, edges, found)

    def to_scalars(self, limit: int = 100_000) -> Graph:
        """The same computation as one node a scalar operation.

        Leaves become one 0-d Tensor an element, named like ``weight[0, 1]``; outputs are listed element
        by element in C order.

        Raises
        ------
        ValueError
            If the graph would have more than `limit` scalar operations.
        """
        cells = lower(self, limit)
        outputs = [cell for node in self.output_nodes for cell in cells[node.index].flat]
        return Graph([Tensor(np.asarray(o)) if not isinstance(o, Tensor) else o for o in outputs])

    def _rebuild(
        self,
        feeds: Mapping[Any, Any],
        cuts: frozenset[tuple[int, int]],
        changes: Mapping[int, Callable[..., Any]] | None = None,
    ) -> Graph:
        outputs = self._execute(feeds, cuts, changes or {})
        return Graph(outputs[0] if self._single else outputs)

    def _execute(
        self, feeds: Mapping[Any, Any], cuts: frozenset[tuple[int, int]], changes: Mapping[int, Callable[..., Any]]
    ) -> tuple[Tensor, ...]:
        fed = {node.index: _feed(node, value) for node, value in self._resolve(feeds)}
        results: list[Any] = []
        for node in self.nodes:
            operands: list[Any] = []
            if node.index in fed:
                results.append(fed[node.index])
            elif node.tensor is None:
                results.append(node.value)
            elif node.tensor.op is None or node.tensor.id in self._ends:
                results.append(node.tensor)
            else:
                operands = [results[k] for k in node.inputs]
                with using(scope=node.scope):
                    for k in range(len(operands)):
                        if (node.index, k) in cuts:
                            operands[k] = stop_gradient(operands[k])
                    out = Tensor._apply(node.tensor.op, operands, dict(node.attributes))
                out.name = node.name
                results.append(out)
            if node.index in changes:
                results[-1] = _apply_change(node, changes[node.index], results[-1], operands)
        return tuple(results[self._index[output.id]] for output in self.outputs)

    def _resolve(self, feeds: Mapping[Any, Any]) -> list[tuple[Node, Any]]:
        if not isinstance(feeds, Mapping):
            raise TypeError(f"run: feeds must be a mapping from nodes to values, got {type(feeds).__name__}")
        return [(self.find(key), value) for key, value in feeds.items()]

    # ------------------------------------------------------------------------------------ exporting

    def to_networkx(self) -> Any:
        """The graph as a :class:`networkx.MultiDiGraph`.

        Nodes are indices with attributes ``op, shape, dtype, scope, name, timestep, pos``; edges are keyed by
        the operand's number and say whether they are ``cut``.

        ``pos`` is a place (x, y) for NetworkX to draw the node at, no two at the same: x grows with the timestep and
        within it with the depth, y with the depth and with the order among nodes of the same x. What belongs to no
        timestep stands before the first or, if it depends on one, after the last. That is for a quick look; the places
        of the real drawing, with straight states, are what ``inspector.to_networkx`` gives.

        Examples
        --------
        >>> import networkx
        >>> import numpy as np
        >>> import tinygrad_rnn as tg
        >>> run = tg.unroll(tg.cells.RNNCell(2, 3, seed=0), np.ones((2, 1, 2)))
        >>> graph = tg.Graph(run.outputs)
        >>> drawn = graph.to_networkx()
        >>> places = networkx.get_node_attributes(drawn, "pos")
        >>> [places[graph.find(h).index] for h in run.outputs]
        [(6.0, 2.0), (12.0, 2.0)]
        >>> networkx.draw(drawn, places, labels=dict(drawn.nodes(data="op")))
        """
        import networkx

        out: Any = networkx.MultiDiGraph()
        for n, place in zip(self.nodes, _places(self.nodes), strict=True):
            out.add_node(
                n.index,
                op=n.op,
                shape=n.shape,
                dtype=str(n.dtype),
                scope=str(n.scope or ""),
                name=n.name,
                timestep=n.timestep,
                pos=place,
            )
        for e in self.edges:
            out.add_edge(e.source, e.target, key=e.operand, operand=e.operand, cut=e.cut)
        return out


def _places(nodes: Sequence[Node]) -> list[tuple[float, float]]:
    """A place for each node: time goes to the right, and within a timestep depth does."""
    phases: list[float] = []
    depths: list[int] = []
    for node in nodes:
        outside = math.inf if any(phases[k] > -math.inf for k in node.inputs) else -math.inf
        phases.append(outside if node.timestep is None else node.timestep)
        depths.append(1 + max((depths[k] for k in node.inputs if phases[k] == phases[-1]), default=-1))
    deepest: dict[float, int] = {}
    for phase, depth in zip(phases, depths, strict=True):
        deepest[phase] = max(deepest.get(phase, 0), depth)
    starts, free = {}, 0
    for phase in sorted(deepest):
        starts[phase], free = free, free + deepest[phase] + 2
    taken: Counter[int] = Counter()
    places = []
    for phase, depth in zip(phases, depths, strict=True):
        column = starts[phase] + depth
        places.append((float(column), taken[column] + depth / 2))
        taken[column] += 1
    return places


def _apply_change(node: Node, change: Callable[..., Any], value: Any, operands: Sequence[Any]) -> Any:
    """What `node` is instead of `value`, under the same name in the same scope."""
    with using(scope=node.scope):
        found = change(value, *operands)
        found = found if isinstance(found, Tensor) else Tensor(real_array("edit", found, node.dtype))
        if any(found is one for one in (value, *operands, node.tensor)):
            found = identity(found)
    if found.shape != node.shape:
        raise ValueError(f"edit: {node.path} has shape {node.shape}, the change gives {found.shape}")
    found.scope = node.scope
    if not node.is_leaf or found.op is None:  # a leaf that is computed with keeps its name to itself
        found.name = node.name
    return found


def _feed(node: Node, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        fed = value
    else:
        fed = Tensor(real_array("run", value, node.dtype), name=node.name)
        fed.scope = node.scope
    if fed.shape != node.shape:
        raise ValueError(f"run: {node.path} has shape {node.shape}, was fed shape {fed.shape}")
    return fed
