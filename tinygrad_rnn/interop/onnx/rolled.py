"""A loop that was found unrolled in a graph: its step, its states, and what makes it one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .graph import Node
from .wiring import FEWEST, MOVES, PICKS, Wiring

__all__ = ["Irregular", "Loop", "Role", "Row", "check", "plain_layers"]

SUMS = frozenset(["Add", "Concat", "Max", "Min", "Sub", "Sum"])


class Irregular(Exception):
    """The steps are not alike."""


@dataclass(frozen=True)
class Role:
    """What an input of a node of the step is.

    Attributes
    ----------
    kind : {"none", "fixed", "row", "state", "element"}
    which : str or int
        Name of a value that is the same at all steps; place of a row, state or element.
    slot : int
        Which output of the row.
    """

    kind: str
    which: Any = None
    slot: int = 0


@dataclass
class Row:
    """One node of the step: at which step it is which node of the graph, and what its inputs are."""

    at: dict[int, int]
    roles: dict[int, Role] = field(default_factory=dict)


@dataclass
class Loop:
    """What was found.

    Attributes
    ----------
    steps : int
    rows : list of Row
    states : list of (int, int)
        The row whose output is handed on, and which output.
    starts : list of str
        What the states are before the first step.
    elements : list of dict from int to str
        By step what is given to it.
    """

    wiring: Wiring
    steps: int
    depth: list[int]
    rows: list[Row] = field(default_factory=list)
    states: list[tuple[int, int]] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)
    elements: list[dict[int, str]] = field(default_factory=list)
    members: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def prefix(self) -> tuple[str, ...]:
        """The modules in which all of the recurrent part stands, without the numbers of their calls."""
        layers = [plain_layers(self.wiring.nodes[k]) for row in self.rows for t, k in row.at.items() if self.depth[k]]
        common = 0
        while layers and all(len(names) > common and names[common] == layers[0][common] for names in layers):
            common += 1
        return layers[0][:common] if layers else ()

    def value(self, row: int, slot: int, step: int) -> str:
        """The name of an output at a step."""
        return self.wiring.nodes[self.rows[row].at[step]].outputs[slot]


def plain_layers(node: Node) -> tuple[str, ...]:
    """The modules around a node; the second call of ``cell`` is exported as ``cell_1``."""
    return tuple([name.rstrip("0123456789").removesuffix("_") or name for name in node.layers or ()])


def check(loop: Loop) -> None:
    """That every node of every step reads what its row reads, however it was found; and that it is worth a cell.

    Raises
    ------
    Irregular
    """
    nodes, steps = loop.wiring.nodes, range(loop.steps)
    if loop.steps < FEWEST or not loop.states or any(sorted(row.at) != list(steps) for row in loop.rows):
        raise Irregular
    if len({k for row in loop.rows for k in row.at.values()}) != loop.steps * len(loop.rows):
        raise Irregular
    if any(sorted(values) != list(steps) for values in loop.elements):
        raise Irregular
    if any(loop.wiring.fixed.issuperset(values.values()) for values in loop.elements):
        raise Irregular  # layers of a network, one after the other, each with weights of its own
    fixed = {role.which for row in loop.rows for role in row.roles.values() if role.kind == "fixed"}
    for name in fixed.union(loop.starts, *[values.values() for values in loop.elements]):
        if name in loop.wiring.maker and loop.wiring.maker[name][0] in loop.members:
            raise Irregular  # it would have to wait for itself
    for row in loop.rows:
        for t, k in row.at.items():
            if loop.wiring.signatures[k] != loop.wiring.signatures[row.at[0]]:
                raise Irregular
            for place, name in enumerate(nodes[k].inputs):
                if _expected(loop, row.roles[place], t) != name:
                    raise Irregular
    kinds = [nodes[row.at[0]].kind for row in loop.rows]
    weights = any(
        role.kind == "fixed" and role.which in loop.wiring.learned for r in loop.rows for role in r.roles.values()
    )
    if not weights and (
        not loop.elements or len([k for k in kinds if k not in MOVES | PICKS]) < 2 or SUMS.issuperset(kinds)
    ):
        raise Irregular


def _expected(loop: Loop, role: Role, step: int) -> str:
    if role.kind == "row":
        return loop.value(role.which, role.slot, step)
    if role.kind == "state":
        row, slot = loop.states[role.which]
        return loop.value(row, slot, step - 1) if step else loop.starts[role.which]
    return loop.elements[role.which][step] if role.kind == "element" else role.which or ""
