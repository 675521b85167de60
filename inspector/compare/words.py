"""A comparison of two cells in words: what is shared, and what is different where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeAlias

from tinygrad_rnn.plurals import counted

from ..steps.items import OUTPUT, Gate, Key
from ..steps.labels import APPLIED, ATOM, PRODUCT, SUM, Text, in_brackets, symbol
from ..text import visible
from .net import Net, Operation

__all__ = ["describe"]

_SHARED = "what several gates share"
_NAMED = frozenset({"add", "subtract", "multiply", "divide"})

Owner: TypeAlias = Gate | str
"""What an operation serves: a gate, or a state or whatever else, in words."""


def describe(
    names: tuple[str, str],
    nets: tuple[Net, Net],
    match: Mapping[Key, Key],
    noun: str,
    sizes: tuple[int, int],
    renamed: Mapping[str, str],
) -> str:
    """The differences, one statement a line.

    Parameters
    ----------
    names : tuple of str
        Of the cells.
    nets : tuple of Net
    match : mapping
        From operations of the first to those of the second.
    noun : str
        What an operation is called at this level of detail.
    sizes : tuple of int
        How many parameters there are.
    renamed : mapping
        From the second cell's names of states to the first one's, where they differ; nets have the first one's.
    """
    return visible("\n".join(_Words(names, nets, match, noun, sizes, renamed).lines()), "\n")


class _Side:
    """One of the two cells: what only it has, and how its expressions read."""

    def __init__(self, net: Net, match: Mapping[Key, Key]) -> None:
        self.net, self.match = net, match
        self.unmatched = dict.fromkeys(key for key in net.operations if key not in match)

    def expression(self, key: Key, depth: int = 3) -> str:
        """An operation as an expression of what is named."""
        return self._named(key, depth).text

    def formula(self, key: Key, depth: int = 3) -> str:
        """What an operation computes."""
        return self._formula(key, depth).text

    def _named(self, key: Key, depth: int) -> Text:
        if key.is_port:
            return Text("xₜ" if key.name == "x" else f"{key.name}ₜ₋₁", ATOM)
        states = (f"{state}ₜ" for state, end in self.net.states.items() if end == key)
        name = self.net.operations[key].name or next(states, "")
        return Text(name, ATOM) if name else self._formula(key, depth)

    def _formula(self, key: Key, depth: int) -> Text:
        operation = self.net.operations[key]
        parts = [self._named(link.source, depth - 1) if depth else Text("…", ATOM) for link in operation.links]
        label, op = operation.item.label, operation.kind[0]
        strength = SUM if op in ("add", "subtract") else PRODUCT
        call = ", ".join(part.text for part in parts)
        if operation.item.layer:
            return Text(f"{label.sign}({call})", APPLIED)
        if len(parts) > 1 and op in _NAMED:
            within = strength + (op in ("subtract", "divide"))
            texts = [in_brackets(part, within if k else strength) for k, part in enumerate(parts)]
            return Text(f" {symbol(op)} ".join(texts), strength)
        if len(parts) != 1 or not label.operand:
            return Text(f"{label}({call})", APPLIED) if parts else Text(str(label), ATOM)
        part = in_brackets(parts[0], SUM if op == "add" else PRODUCT)
        return Text(f"{label} {part}" if label.leads else f"{part} {label}", strength)

    def source(self, key: Key) -> str:
        """What gives a state."""
        return self.formula(key, 4) if key in self.net.operations else self.expression(key)

    def base(self, key: Key) -> Key:
        """What only an operation of this cell alone stands in front of, or several that each read one value."""
        while key in self.unmatched and len(self.net.operations[key].links) == 1:
            key = self.net.operations[key].links[0].source
        return key

    @cached_property
    def gates(self) -> dict[Key, str]:
        """The named values that are no states, with their operations."""
        found = {}
        for key, operation in self.net.operations.items():
            value = operation.value or (operation.item if operation.is_named_layer else None)
            if value is not None and value.role not in ("cell", "hidden"):
                found[key] = operation.name
        return found

    def components(self, without: set[Key]) -> Iterator[list[Key]]:
        """What only this cell has, in connected pieces."""
        left = dict.fromkeys(key for key in self.unmatched if key not in without)
        for start in [*left]:
            if start not in left:
                continue
            piece, stack = {start}, [start]
            del left[start]
            while stack:
                key = stack.pop()
                near = [*(link.source for link in self.net.operations[key].links), *self.net.readers[key]]
                fresh = [other for other in near if other in left]
                for other in fresh:
                    left.pop(other, None)
                piece.update(fresh)
                stack += fresh
            yield [key for key in self.unmatched if key in piece]

    def owner(self, key: Key) -> Owner:
        """The gate or state that an operation or exit serves."""
        if key.is_port:
            return key.name
        operation = self.net.operations[key]
        if operation.is_named_layer:
            return Gate(key.name)
        if isinstance(operation.item.role, Gate):
            return operation.item.role
        owner = key.owner or _SHARED
        if owner in self.net.states:
            return f"{owner}ₜ"
        return Gate(owner) if owner in self.gates.values() else owner

    def targets(self, piece: Iterable[Key]) -> list[Owner]:
        """Whom a piece serves."""
        inside = {*piece, OUTPUT}
        return list(dict.fromkeys(self.owner(r) for key in piece for r in self.net.readers[key] if r not in inside))


class _Words:
    def __init__(
        self,
        names: tuple[str, str],
        nets: tuple[Net, Net],
        match: Mapping[Key, Key],
        noun: str,
        sizes: tuple[int, int],
        renamed: Mapping[str, str],
    ) -> None:
        self.names, self.match, self.noun, self.sizes, self.renamed = names, dict(match), noun, sizes, renamed
        self.back = {other: key for key, other in match.items()}
        self.sides = _Side(nets[0], self.match), _Side(nets[1], self.back)
        self.mentioned: set[Key] = set()
        self.rewired = list(self._rewired())
        self.moved: set[Key] = set()

    def lines(self) -> Iterator[str]:
        """The statements."""
        yield self._count()
        yield from self._states()
        yield from self._gates()
        yield from self._moved()
        yield from self._replaced()
        yield from self._cuts()
        yield from self._biases()
        for side, word in zip(self.sides, ("removed", "added"), strict=True):
            yield from self._pieces(side, word)
        first, second = self.sizes
        if first != second:
            yield f"Parameters, in numbers: {first} in {self.names[0]}, {second} in {self.names[1]}."

    def _count(self) -> str:
        one, other = self.names
        ours, theirs, both = len(self.sides[0].net.operations), len(self.sides[1].net.operations), len(self.match)
        if both == ours == theirs:
            between = ", between which some lines differ" if self.rewired else ""
            return f"{one} and {other} have the same {both} {self.noun}{between}."
        if both == ours:
            return f"{other} has all {both} {self.noun} of {one}, and {theirs - both} more."
        if both == theirs:
            return f"{other} has {both} of the {ours} {self.noun} of {one}, and no others."
        return (
            f"{other} has {both} of the {ours} {self.noun} of {one}, and {theirs - both}"
            f" {'other' if theirs - both == 1 else 'others'}."
        )

    def _states(self) -> Iterator[str]:
        ours, theirs = (list(side.net.states) for side in self.sides)
        both = [name for name in ours if name in theirs]
        if both:
            yield f"Both carry {_listed(both)} from step to step."
        yield from (f"State {first} is called {other} in {self.names[1]}." for other, first in self.renamed.items())
        for word, names in (
            ("removed", [n for n in ours if n not in both]),
            ("added", [n for n in theirs if n not in both]),
        ):
            if names:
                yield f"{'State' if len(names) == 1 else 'States'} {_listed(names)} {_is(names)} {word}."

    def _gates(self) -> Iterator[str]:
        first, second = (side.gates for side in self.sides)
        both = [(name, second[self.match[key]]) for key, name in first.items() if self.match.get(key) in second]
        same, other = (
            [a for a, b in both if a == b],
            [f"{a} is called {b} in {self.names[1]}" for a, b in both if a != b],
        )
        if same:
            yield f"{'Gates' if len(same) > 1 else 'Gate'} {_listed(same)} {_is(same)} in both."
        yield from (f"Gate {text}." for text in other)
        gone, come = (
            {name: side.formula(key, 5) for key, name in side.gates.items() if key not in side.match}
            for side in self.sides
        )
        yield from (f"Gate {name} is removed: {name} = {text}." for name, text in gone.items() if name not in come)
        yield from (f"Gate {name} is added: {name} = {text}." for name, text in come.items() if name not in gone)
        for name in (name for name in gone if name in come):
            yield f"Gate {name} is {gone[name]} in {self.names[0]}, {come[name]} in {self.names[1]}."

    # -------------------------------------------------------------------------------- what goes where

    def _moved(self) -> Iterator[str]:
        """An operation that acts on something else, for the rest on the same."""
        first, second = self.sides
        kinds: dict[object, list[Key]] = {}
        for other in second.unmatched:
            kinds.setdefault(second.net.operations[other].kind, []).append(other)
        for key in first.unmatched:
            kind = first.net.operations[key].kind
            for other in kinds.get(kind, []) if kind[0] != "add" else []:
                was, now = self._left(key, other)
                if other not in self.moved and len(was) == len(now) == 1 < len(first.net.operations[key].links):
                    self.moved |= {key, other}
                    common = _operands(first.net.operations[key])
                    common.remove(was[0])
                    acts = (
                        f"{first.net.operations[key].item.label.full} {_listed(map(first.expression, common))} acts on"
                        f" {second.expression(now[0])} instead of {first.expression(was[0])}"
                    )
                    yield f"In {_listed_of([second.owner(other)])}, {acts}."
                    break

    def _left(self, key: Key, other: Key) -> tuple[list[Key], list[Key]]:
        """The operands that only the first of two operations has, and those that only the second has."""
        first, second = self.sides
        ours, theirs = _operands(first.net.operations[key]), _operands(second.net.operations[other])
        gone = _left_over([s if s.is_port else self.match.get(s) for s in ours], theirs, ours)
        return gone, _left_over([s if s.is_port else self.back.get(s) for s in theirs], ours, theirs)

    def _replaced(self) -> Iterator[str]:
        """Shared operations and states that read something else."""
        first, second = self.sides
        readers: dict[str, list[Owner]] = {}
        for key, gone, come in self.rewired:
            for text in self._instead(gone, come):
                readers.setdefault(text, []).append(second.owner(self.match[key]))
        for text, owners in readers.items():
            several = len(set(owners)) > 1
            yield f"{_subject(owners)} {text.replace('reads', 'read', 1) if several else text}."
        for name in first.net.states:
            ours, theirs = first.net.states[name], second.net.states.get(name)
            if theirs is not None and self.match.get(ours, ours) != theirs:
                self.mentioned.update((ours, theirs))
                yield f"{name}ₜ is {first.source(ours)} in {self.names[0]}, {second.source(theirs)} in {self.names[1]}."

    def _rewired(self) -> Iterator[tuple[Key, list[Key], list[Key]]]:
        """Shared operations with the operands that only the first, and that only the second has."""
        for key in self.sides[0].net.operations:
            gone, come = self._left(key, self.match[key]) if key in self.match else ([], [])
            if gone or come:
                yield key, gone, come

    def _cuts(self) -> Iterator[str]:
        """Lines that carry a gradient in one of the cells only."""
        first, second = self.sides
        found: dict[tuple[str, str], list[Owner]] = {}
        for key, other in ((key, self.match[key]) for key in first.net.operations if key in self.match):
            theirs = {link.source: link.cut for link in second.net.operations[other].links}
            for link in first.net.operations[key].links:
                partner = self.match.get(link.source, link.source)
                if theirs.get(partner, link.cut) != link.cut:
                    found.setdefault((second.expression(partner), self.names[not link.cut]), []).append(
                        second.owner(other)
                    )
        for (source, name), owners in found.items():
            yield f"In {name}, no gradient flows back to {source} from {_listed_of(owners)}."

    def _biases(self) -> Iterator[str]:
        """Where one has several biases in a sum and the other fewer."""
        found: dict[str, list[Owner]] = {}
        for key, other in self.match.items():
            items = [side.net.operations[k].item for side, k in zip(self.sides, (key, other), strict=True)]
            counts = [sum(node.op == "add" for node in item.nodes) for item in items]
            if items[0].learned and counts[0] != counts[1]:
                text = (
                    f"{counted(counts[1], 'bias', plural='biases')} in {self.names[1]} where {self.names[0]} has"
                    f" {counts[0]}"
                )
                found.setdefault(text, []).append(self.sides[1].owner(other))
        order = {self.sides[1].owner(key): None for key in self.sides[1].net.operations}
        for text, owners in found.items():
            yield f"{_subject([owner for owner in order if owner in owners])}: {text}."

    def _instead(self, gone: list[Key], come: list[Key]) -> Iterator[str]:
        """What an operation does with operands that are gone and come."""
        first, second = self.sides
        bases = {second.base(s): s for s in come}
        kept = [s for s in gone if self.match.get(first.base(s), first.base(s)) not in bases]
        passed = {bases[self.match.get(first.base(s), first.base(s))] for s in gone if s not in kept}
        gone, come = kept, [s for s in come if s not in passed]
        if (self.mentioned | self.moved).intersection([*gone, *come]):
            return
        if gone and come:
            self.mentioned.update((*gone, *come))
            now, was = _listed(map(second.expression, come)), _listed(map(first.expression, gone))
            if now != was:
                yield f"reads {now} instead of {was}"
        elif gone and not first.unmatched.keys() & set(gone):
            yield f"no longer reads {_listed(map(first.expression, gone))}"
        elif come and not second.unmatched.keys() & set(come):
            yield f"also reads {_listed(map(second.expression, come))}"

    def _pieces(self, side: _Side, word: str) -> Iterator[str]:
        """What is removed or added and belongs to no gate that is."""
        gates = side.gates
        entered: dict[tuple[str, str], list[tuple[str, list[Owner]]]] = {}
        plain: list[str] = []
        for piece in side.components(self.moved):
            if any(key in gates or key in self.mentioned for key in piece):
                continue
            item, links = side.net.operations[piece[0]].item, side.net.operations[piece[0]].links
            targets = side.targets(piece)
            if len(piece) == 1 and item.learned and len(links) == 1 and targets:
                source = "" if item.nodes[0].op == "add" else side.expression(links[0].source)
                entered.setdefault((source, item.nodes[0].op), []).append((item.label.operand, targets))
            else:
                plain.append(self._piece(side, piece, targets))
        for (source, _), through in entered.items():
            parameters, where = (
                _listed(dict.fromkeys(p for p, _ in through)),
                _listed_of([o for _, t in through for o in t]),
            )
            statement = f"{source} enters {where} through {parameters}" if source else f"+ {parameters} in {where}"
            yield f"{word.capitalize()}: {statement}."
        yield from (f"{word.capitalize()}: {text}." for text in plain)

    def _piece(self, side: _Side, piece: Sequence[Key], targets: list[Owner]) -> str:
        into = f", into {_listed_of(targets)}" if targets else ""
        if len(piece) > 4:
            return f"{len(piece)} {self.noun}{into}"
        inside = {link.source for key in piece for link in side.net.operations[key].links}
        return _listed([side.formula(key, 3) for key in piece if key not in inside]) + into


# ------------------------------------------------------------------------------------------ grammar


def _operands(operation: Operation) -> list[Key]:
    return [link.source for link in operation.links]


def _left_over(mapped: Sequence[Key | None], others: Sequence[Key], own: Sequence[Key]) -> list[Key]:
    """The keys of `own` whose partner is not among the others' operands."""
    rest = list(others)
    found = []
    for partner, key in zip(mapped, own, strict=True):
        if partner in rest:
            rest.remove(partner)
        else:
            found.append(key)
    return found


def _listed(names: Iterable[str]) -> str:
    *most, last = list(names)
    return f"{', '.join(most)} and {last}" if most else last


def _listed_of(owners: Iterable[Owner]) -> str:
    """``gates i and f`` for gate i and gate f."""
    owners = dict.fromkeys(owners)
    gates = [owner.name for owner in owners if isinstance(owner, Gate)]
    others = [owner for owner in owners if isinstance(owner, str)]
    return _listed([*([f"{'gates' if len(gates) > 1 else 'gate'} {_listed(gates)}"] if gates else []), *others])


def _subject(owners: Sequence[Owner]) -> str:
    """The same where a sentence begins: with a capital, unless with the name of a state."""
    text, words = _listed_of(owners), _SHARED in owners or any(isinstance(owner, Gate) for owner in owners)
    return text[0].upper() + text[1:] if words else text


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
