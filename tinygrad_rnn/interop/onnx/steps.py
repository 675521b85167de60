"""The step that repeats in a graph that holds a loop over time unrolled, told by structure alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .rolled import Irregular, Loop, Role, Row, check, plain_layers
from .wiring import MOVES, PICKS, Wiring

__all__ = ["aligned"]

LARGEST = 300
"""How many operations a step may have."""


def aligned(wiring: Wiring, anchors: Sequence[int]) -> Loop:
    """The steps to which a chain belongs, lined up.

    Raises
    ------
    Irregular
        If they are not alike.
    """
    loop = _Alignment(wiring, anchors).loop
    check(loop)
    return loop


class _Alignment:
    """Goes up from the anchors, at all steps at once, then completes the last step and looks for earlier ones."""

    def __init__(self, wiring: Wiring, anchors: Sequence[int]) -> None:
        self.wiring = wiring
        self.loop = Loop(wiring, len(anchors), wiring.depths(anchors))
        self.by_signature: dict[Any, list[int]] = {}
        for k, signature in enumerate(wiring.signatures):
            self.by_signature.setdefault(signature, []).append(k)
        self.pending: list[int] = []
        self.later: list[tuple[int, int]] = []
        self.given: list[tuple[int, int]] = []
        self._add_row(dict(enumerate(anchors)))
        self._recurrent()
        self._given()
        self._ends()
        while self._one_before():
            pass
        self._merge_elements()

    # ------------------------------------------------------------------------------- what is read

    def _add_row(self, at: dict[int, int]) -> int:
        loop, place = self.loop, len(self.loop.rows)
        if len({self.wiring.signatures[k] for k in at.values()}) != 1 or place >= LARGEST:
            raise Irregular
        if any(k in loop.members or self.wiring.nodes[k].graphs for k in at.values()):
            raise Irregular
        loop.rows.append(Row(at))
        loop.members.update({k: (place, t) for t, k in at.items()})
        self.pending.append(place)
        return place

    def _recurrent(self) -> None:
        """All rows that depend on the anchors, or stand between those of two steps."""
        while self.pending or self.later:
            if self.pending:
                row = self.pending.pop()
                node = self.wiring.nodes[self.loop.rows[row].at[0]]
                for place in range(len(node.inputs)):
                    self._classify(row, place, False)
            else:
                self._classify(*self.later.pop(0), True)

    def _values(self, row: int, place: int) -> dict[int, str]:
        return {t: self.wiring.nodes[k].inputs[place] for t, k in sorted(self.loop.rows[row].at.items())}

    def _classify(self, row: int, place: int, last: bool) -> None:
        values, loop = self._values(row, place), self.loop
        roles = loop.rows[row].roles
        names = set(values.values())
        if len(values) < 2:
            raise Irregular
        if len(names) == 1:
            (name,) = names
            if name and self._depth(name):
                raise Irregular
            roles[place] = Role("fixed", name) if name else Role("none")
            return
        found = self._member(values, 0)
        if found is not None:
            roles[place] = Role("row", *found)
            return
        found = self._member({t: name for t, name in values.items() if t}, -1)
        if found is not None and not self._depth(values[0]):
            roles[place] = Role("state", self._state(*found, values[0]))
            return
        depths = {t: self._depth(name) for t, name in values.items()}
        if not any(depths.values()):
            self.given.append((row, place))
        elif all(depth == t + 1 for t, depth in depths.items()):
            roles[place] = Role("row", self._add_row(self._makers(values)), self._slot(values))
        elif any(depth != t for t, depth in depths.items()):
            raise Irregular
        elif not last and row:
            self.later.append((row, place))  # which may be found on the way up from elsewhere
        elif values[0] in self.wiring.maker and self._is_alike(values):
            roles[place] = Role("row", self._add_row(self._makers(values)), self._slot(values))
        else:
            after = {t - 1: name for t, name in values.items() if t}
            slot = self._slot(after)
            roles[place] = Role("state", self._state(self._add_row(self._makers(after)), slot, values[0]))

    def _depth(self, name: str) -> int:
        return self.loop.depth[self.wiring.maker[name][0]] if name in self.wiring.maker else 0

    def _member(self, values: Mapping[int, str], shift: int) -> tuple[int, int] | None:
        """The row, and which output, that the values are at their steps, or `shift` from there."""
        found = set()
        for t, name in values.items():
            maker = self.wiring.maker.get(name)
            row, step = self.loop.members.get(maker[0], (-1, -1)) if maker else (-1, -1)
            if maker is None or step != t + shift:
                return None
            found.add((row, maker[1]))
        return found.pop() if len(found) == 1 else None

    def _makers(self, values: Mapping[int, str]) -> dict[int, int]:
        return {t: self.wiring.maker[name][0] for t, name in values.items()}

    def _slot(self, values: Mapping[int, str]) -> int:
        slots = {self.wiring.maker[name][1] for name in values.values()}
        if len(slots) != 1:
            raise Irregular
        return slots.pop()

    def _is_alike(self, values: Mapping[int, str]) -> bool:
        makers = [self.wiring.maker.get(name) for name in values.values()]
        return len({(self.wiring.signatures[m[0]], m[1]) if m else None for m in makers}) == 1 and None not in makers

    def _state(self, row: int, slot: int, start: str) -> int:
        loop = self.loop
        if (row, slot) not in loop.states:
            loop.states.append((row, slot))
            loop.starts.append(start)
        place = loop.states.index((row, slot))
        if loop.starts[place] != start:
            raise Irregular
        return place

    # ------------------------------------------------------------------------------ what is given

    def _given(self) -> None:
        """What a step is given: of what is computed of that alone, the step takes in what stands in its modules."""
        prefix = self.loop.prefix
        pending = self.given
        while pending:
            pending.sort(key=lambda one: len(self.loop.rows[one[0]].at))  # those that reach further first
            row, place = pending.pop()
            values, roles = self._values(row, place), self.loop.rows[row].roles
            names = set(values.values())
            if len(names) == 1:
                (name,) = names
                roles[place] = Role("fixed", name) if name else Role("none")
            elif (found := self._member(values, 0)) is not None:
                roles[place] = Role("row", *found)
            elif self._belongs(values, prefix, 32):
                made = self._add_row(self._makers(values))
                self.pending.clear()
                roles[place] = Role("row", made, self._slot(values))
                pending += [(made, k) for k in range(len(self.wiring.nodes[self.loop.rows[made].at[0]].inputs))]
            else:
                if values not in self.loop.elements:
                    self.loop.elements.append(values)
                roles[place] = Role("element", self.loop.elements.index(values))

    def _belongs(self, values: Mapping[int, str], prefix: tuple[str, ...], levels: int) -> bool:
        """Whether what makes these values is part of the step, and not what it is given."""
        if not levels or not self._is_alike(values):
            return False
        nodes = [self.wiring.nodes[k] for k in self._makers(values).values()]
        if len({id(node) for node in nodes}) < len(nodes) or nodes[0].kind in PICKS or nodes[0].graphs:
            return False
        if plain_layers(nodes[0])[: len(prefix)] != prefix:
            return False
        if any(k in self.loop.members for k in self._makers(values).values()):
            return False
        for inputs in zip(*[node.inputs for node in nodes], strict=True):
            if len(set(inputs)) == 1:
                continue
            above = dict(zip(values, inputs, strict=True))
            if self._member(above, 0) is not None:
                continue
            only_moves = nodes[0].kind in MOVES or self.wiring.fixed.intersection(inputs)
            if not self._belongs(above, prefix, levels - 1) and only_moves:
                return False
        return True

    # ---------------------------------------------------------------------------- the other steps

    def _ends(self) -> None:
        """The last steps, of which nothing is read by a later one."""
        loop = self.loop
        for step in range(min(max(row.at) for row in loop.rows), loop.steps):
            trial = _Trial()
            for row, _ in loop.states:
                alike = self.by_signature[self.wiring.signatures[loop.rows[row].at[0]]]
                rest = [k for k in alike if loop.depth[k] == step + 1]
                known = step in loop.rows[row].at or (row, step) in trial.nodes
                if not known and not any(self._tried(row, k, step, trial) for k in rest):
                    break
            else:
                self._commit(trial)
                continue
            break
        loop.steps = 1 + min(max(row.at) for row in loop.rows)
        for one in loop.rows:
            for t in [t for t in one.at if t >= loop.steps]:
                del loop.members[one.at.pop(t)]
        loop.elements = [{t: v for t, v in values.items() if t < loop.steps} for values in loop.elements]

    def _one_before(self) -> bool:
        """Whether what the first step begins from was made by a step before it, which is then the first."""
        loop, trial = self.loop, _Trial()
        for (row, slot), start in zip(loop.states, loop.starts, strict=True):
            maker = self.wiring.maker.get(start)
            if maker is None or maker[1] != slot or not self._tried(row, maker[0], -1, trial):
                return False
        if any((row, -1) not in trial.nodes for row in range(len(loop.rows))):
            return False
        if len(trial.elements) < len(loop.elements) or len(trial.starts) < len(loop.states):
            return False
        self._commit(trial)
        for one in loop.rows:
            one.at = {t + 1: k for t, k in one.at.items()}
        loop.members = {k: (row, t + 1) for k, (row, t) in loop.members.items()}
        loop.elements = [{t + 1: name for t, name in values.items()} for values in loop.elements]
        loop.starts = [trial.starts[k] for k in range(len(loop.states))]
        loop.steps += 1
        return True

    def _merge_elements(self) -> None:
        """What was met as two inputs while not all steps were known may be one."""
        loop = self.loop
        kept: list[dict[int, str]] = []
        for values in loop.elements:
            if values not in kept:
                kept.append(values)
        places = [kept.index(values) for values in loop.elements]
        for row in loop.rows:
            for place, role in row.roles.items():
                if role.kind == "element":
                    row.roles[place] = Role("element", places[role.which])
        loop.elements = kept

    def _commit(self, trial: _Trial) -> None:
        for (row, step), node in trial.nodes.items():
            self.loop.rows[row].at[step] = node
            self.loop.members[node] = (row, step)
        for (element, step), name in trial.elements.items():
            self.loop.elements[element][step] = name

    def _tried(self, row: int, node: int, step: int, trial: _Trial) -> bool:
        """Whether a node is that row at that step; `trial` then holds all that follows from it."""
        before = trial.copy()
        if self._matches(row, node, step, trial):
            return True
        trial.restore(before)
        return False

    def _matches(self, row: int, node: int, step: int, trial: _Trial) -> bool:
        loop = self.loop
        known = loop.rows[row].at.get(step, trial.nodes.get((row, step)))
        if known is not None:
            return known == node
        if node in loop.members or node in trial.nodes.values():
            return False
        if self.wiring.signatures[node] != self.wiring.signatures[loop.rows[row].at[0]]:
            return False
        trial.nodes[row, step] = node
        for place, name in enumerate(self.wiring.nodes[node].inputs):
            role = loop.rows[row].roles[place]
            if role.kind == "row":
                maker = self.wiring.maker.get(name)
                fits = maker is not None and maker[1] == role.slot and self._matches(role.which, maker[0], step, trial)
            elif role.kind == "state" and step < 0:
                fits = trial.starts.setdefault(role.which, name) == name
            elif role.kind == "state":
                source, slot = loop.states[role.which]
                made = loop.rows[source].at.get(step - 1, trial.nodes.get((source, step - 1)))
                fits = made is not None and self.wiring.nodes[made].outputs[slot] == name
            elif role.kind == "element":
                there = loop.elements[role.which].get(step)
                there = trial.elements.setdefault((role.which, step), name) if there is None else there
                fits = there == name and not self._depth(name)
            else:
                fits = name == (role.which or "")
            if not fits:
                return False
        return True


@dataclass
class _Trial:
    """What would follow, if it fits."""

    nodes: dict[tuple[int, int], int] = field(default_factory=dict)
    elements: dict[tuple[int, int], str] = field(default_factory=dict)
    starts: dict[int, str] = field(default_factory=dict)

    def copy(self) -> _Trial:
        return _Trial(dict(self.nodes), dict(self.elements), dict(self.starts))

    def restore(self, other: _Trial) -> None:
        self.nodes, self.elements, self.starts = other.nodes, other.elements, other.starts
