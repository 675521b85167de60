"""How the nodes of a graph hang together, and which may stand at the same place of successive steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .graph import Graph, Node

__all__ = ["FEWEST", "MOVES", "PICKS", "Wiring", "chains", "is_zero"]

FEWEST = 3
"""How often a step must repeat: of two, what changes from step to step cannot be told from what does not."""
MOST = 200
"""How many groups of nodes that are alike are looked at: a file may have as many as it has nodes."""

MOVES = frozenset(["Cast", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"])
PICKS = frozenset(
    ["Gather", "GatherElements", "GatherND", "OneHot", "Range", "Shape", "Size", "ConstantOfShape", "Expand"]
)
"""What these make of different places or sizes is an input of the step, and not they themselves part of it."""


@dataclass
class Wiring:
    """A graph in which equal computations stand once, and how its nodes hang together.

    Attributes
    ----------
    nodes : list of Node
    outputs : tuple of str
        Of the graph.
    maker : dict of str to (int, int)
        From a value to its node, and the place among that node's outputs.
    needs : list of list of int
        The nodes whose values each node reads.
    fixed : set of str
        Values that depend on initialisers alone.
    constants : mapping of str to array
    learned : set of str
        Values that depend on initialisers alone, and on at least one that is learned.
    signatures : list
        Of each node what it is, apart from its inputs.
    """

    nodes: list[Node]
    outputs: tuple[str, ...]
    maker: dict[str, tuple[int, int]]
    needs: list[list[int]]
    fixed: set[str]
    constants: Mapping[str, Any]
    learned: set[str]
    signatures: list[Any]

    @classmethod
    def of(cls, graph: Graph, fixed: set[str], learned: set[str], constants: Mapping[str, Any]) -> Wiring:
        """That of a graph, around which `fixed` and `learned` values are known."""
        same: dict[str, str] = {}
        known: dict[Any, Any] = {}
        fixed, learned = set(fixed), set(learned)
        nodes, signatures = [], []
        for name in sorted(set().union(*[node.inputs for node in graph.nodes]) & constants.keys()):
            same[name] = known.setdefault(_frozen(constants[name]), name)
        inside = frozenset[str]().union(*[inner.captures for node in graph.nodes for inner in node.graphs])
        for node in graph.nodes:
            inputs = tuple(same.get(name, name) for name in node.inputs)
            signature = _signature(node)
            is_fixed = node.reads <= fixed and not node.graphs
            is_first = is_fixed and any(name in constants and is_zero(constants[name]) for name in inputs)
            # the first step of each loop is its own, though weights and zeros are the same
            is_same = is_fixed and node.kind == "Identity"
            twin = inputs if is_same else known.setdefault((signature, inputs), node.outputs) if not is_first else None
            if twin not in (None, node.outputs) and inside.isdisjoint(node.outputs):
                same.update(zip(node.outputs, twin, strict=True))
                continue
            nodes.append(replace(node, inputs=inputs))
            signatures.append(signature)
            if is_fixed:
                fixed.update(node.outputs)
                learned.update(node.outputs if node.reads & learned else ())
        maker = {name: (k, slot) for k, node in enumerate(nodes) for slot, name in enumerate(node.outputs) if name}
        outputs = tuple(same.get(name, name) for name in graph.outputs)
        needs = [[maker[name][0] for name in node.reads if name in maker] for node in nodes]
        return cls(nodes, outputs, maker, needs, fixed, constants, learned, signatures)

    def depths(self, anchors: Sequence[int]) -> list[int]:
        """How many of a chain of nodes each node depends on, itself included."""
        among = set(anchors)
        found: list[int] = []
        for k, needs in enumerate(self.needs):
            found.append(max([found[other] for other in needs], default=0) + (k in among))
        return found


def _signature(node: Node) -> Any:
    attributes = tuple([(name, _frozen(value)) for name, value in sorted(node.attributes.items())])
    given = tuple([bool(name) for name in node.inputs])
    return node.kind, node.version, attributes, given, len(node.outputs)


def is_zero(value: Any) -> bool:
    """Whether an array is such as a state often is before the first step."""
    return value.dtype.kind == "f" and value.ndim > 1 and value.size > 0 and not np.any(value)


def _frozen(value: Any) -> Any:
    """An attribute or constant as something to compare by."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, (list, tuple)):
        return tuple([_frozen(part) for part in value])
    return value if isinstance(value, (str, int, float, np.dtype, type(None))) else id(value)


# ----------------------------------------------------------------------------------------- anchors


def chains(wiring: Wiring) -> Iterator[list[int]]:
    """Nodes that may stand at the same place of successive steps, each depending on the one before: those that read
    the same weights, then those that are alike a little way up.
    """
    groups: dict[Any, list[int]] = {}
    firsts: dict[Any, list[int]] = {}  # those that read what stands in the file where others read a state
    for k, node in enumerate(wiring.nodes):
        weights = tuple([name if name in wiring.fixed else "" for name in node.inputs])
        if node.graphs or not wiring.learned.intersection(weights):
            continue
        if not wiring.fixed.issuperset(node.outputs):
            groups.setdefault((wiring.signatures[k], weights), []).append(k)
            continue
        for place in range(len(weights)):
            others = (*weights[:place], "", *weights[place + 1 :])
            firsts.setdefault((wiring.signatures[k], others), []).append(k)
    for k, node in enumerate(wiring.nodes):
        if not wiring.fixed.issuperset(node.outputs) and not node.graphs and node.kind not in MOVES | PICKS:
            groups.setdefault(("alike", _looks(wiring, k, 2)), []).append(k)
    whole = [(members, firsts.get(key, [])) for key, members in groups.items()]
    large = [(members, begun) for members, begun in whole if len(members) + len(begun) >= FEWEST]
    for members, begun in large[:MOST]:
        if begun:
            yield from _chained(wiring, [*begun, *members])
        yield from _chained(wiring, members)


def _looks(wiring: Wiring, k: int, levels: int) -> Any:
    node = wiring.nodes[k]
    above = tuple([
        name
        if name in wiring.fixed or not levels
        else _looks(wiring, wiring.maker[name][0], levels - 1)
        if name in wiring.maker
        else ""
        for name in node.inputs
    ])  # fmt: skip
    return wiring.signatures[k], above if levels else ()


def _chained(wiring: Wiring, members: Sequence[int]) -> Iterator[list[int]]:
    """The members in chains: each depends on the one before and, through it, on those before that."""
    among, found = set(members), list[list[int]]()
    latest: list[dict[int, int]] = []  # by chain, the place in it of the last that a node depends on
    for k, needs in enumerate(wiring.needs):
        above: dict[int, int] = {}
        for other in needs:
            for chain, place in latest[other].items():
                above[chain] = max(above.get(chain, -1), place)
        if k in among:
            if len(above) > 1 or any(place != len(found[chain]) - 1 for chain, place in above.items()):
                return
            if not above:
                found.append([])
            chain = next(iter(above), len(found) - 1)
            found[chain].append(k)
            above = {chain: len(found[chain]) - 1}
        latest.append(above)
    yield from [chain for chain in found if len(chain) >= FEWEST]
