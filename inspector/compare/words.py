"""A comparison of two cells in words: what is shared, and what is different where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from tinygrad_rnn.plurals import counted

from ..steps.items import Gate, Item, Port
from ..steps.labels import APPLIED, ATOM, PRODUCT, SUM, Text, in_brackets, symbol
from ..text import visible
from .net import OUTPUT, Net, Operation

__all__ = ["describe"]

_SHARED = "what several gates share"
_NAMED = frozenset({"add", "subtract", "multiply", "divide"})


def describe(
    names: tuple[str, str],
    nets: tuple[Net, Net],
    match: Mapping[str, str],
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

    def __init__(self, net: Net, match: Mapping[str, str]) -> None:
        self.net, self.match = net, match
        self.unmatched = dict.fromkeys(key for key in net.operations if key not in match)

    def expression(self, key: str, depth: int = 3) -> str:
        """An operation as an expression of what is named."""
        return self._named(key, depth).text

    def formula(self, key: str, depth: int = 3) -> str:
        """What an operation computes."""
        return self._formula(key, depth).text

    def _named(self, key: str, depth: int) -> Text:
        if isinstance(key, Port):
            return Text("xₜ" if key.name == "x" else f"{key.name}ₜ₋₁", ATOM)
        name = self.net.operations[key].name
        name = name or next(
            (f"{state}ₜ" for state, end in self.net.exits.items() if end == key and state != OUTPUT), ""
        )
        return Text(name, ATOM) if name else self._formula(key, depth)

    def _formula(self, key: str, depth: int) -> Text:
        operation = self.net.operations[key]
        parts = [self._named(link.source, depth - 1) if depth else Text("…", ATOM) for link in operation.links]
        item, op = operation.item, operation.kind[0]
        sign, strength = symbol(op), SUM if op in ("add", "subtract") else PRODUCT
        call = ", ".join(part.text for part in parts)
        if item.layer:
            return Text(f"{item.label.rpartition(' = ')[2].removesuffix('(·)')}({call})", APPLIED)
        if len(parts) > 1 and op in _NAMED:
            within = strength + (op in ("subtract", "divide"))
            texts = [in_brackets(part, within if k else strength) for k, part in enumerate(parts)]
            return Text(f" {sign} ".join(texts), strength)
        if len(parts) != 1 or " " not in item.label:
            return Text(f"{item.label}({call})", APPLIED) if parts else Text(item.label, ATOM)
        part = in_brackets(parts[0], SUM if op == "add" else PRODUCT)
        return Text(f"{part} {item.label}" if item.label.startswith(sign) else f"{item.label} {part}", strength)

    def source(self, key: str) -> str:
        """What gives a state."""
        return self.formula(key, 4) if key in self.net.operations else self.expression(key)

    def base(self, key: str) -> str:
        """What only an operation of this cell alone stands in front of, or several that each read one value."""
        while key in self.unmatched and len(self.net.operations[key].links) == 1:
            key = self.net.operations[key].links[0].source
        return key

    @cached_property
    def gates(self) -> dict[str, str]:
        """The named values that are no states, with their operations."""
        found = {}
        for key, operation in self.net.operations.items():
            value = operation.value or (operation.item if operation.item.layer and operation.item.value else None)
            if value is not None and value.role not in ("cell", "hidden"):
                found[key] = operation.name
        return found

    def components(self, without: set[str]) -> Iterator[list[str]]:
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

    def owner(self, key: str) -> str:
        """The gate or state that an operation or exit serves."""
        if isinstance(key, Port):
            return key.name
        item = self.net.operations[key].item
        if item.layer and item.value is not None:
            return f"gate {item.key}"
        if isinstance(item.role, Gate):
            return f"gate {item.role.name}"
        before = item.key.rpartition(f".{item.nodes[0].op}")[0] if item.nodes else ""
        if before in self.net.exits:
            return f"{before}ₜ"
        return f"gate {before}" if before in self.gates.values() else _SHARED if before == "shared" else before

    def targets(self, piece: Iterable[str]) -> list[str]:
        """Whom a piece serves."""
        inside = set(piece)
        readers = [r for key in piece for r in self.net.readers[key] if r not in inside]
        return list(dict.fromkeys(filter(None, (self.owner(r) for r in readers if OUTPUT not in r))))


class _Words:
    def __init__(
        self,
        names: tuple[str, str],
        nets: tuple[Net, Net],
        match: Mapping[str, str],
        noun: str,
        sizes: tuple[int, int],
        renamed: Mapping[str, str],
    ) -> None:
        self.names, self.match, self.noun, self.sizes, self.renamed = names, dict(match), noun, sizes, renamed
        self.back = {other: key for key, other in match.items()}
        self.sides = _Side(nets[0], self.match), _Side(nets[1], self.back)
        self.mentioned: set[str] = set()
        self.rewired = list(self._rewired())
        self.moved: set[str] = set()

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
        ours, theirs = ([name for name in side.net.exits if name != OUTPUT] for side in self.sides)
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
        kinds: dict[object, list[str]] = {}
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
                        f"{first.net.operations[key].item.label} {_listed(map(first.expression, common))} acts on"
                        f" {second.expression(now[0])} instead of {first.expression(was[0])}"
                    )
                    yield _sentence(f"in {second.owner(other)}, {acts}.")
                    break

    def _left(self, key: str, other: str) -> tuple[list[str], list[str]]:
        """The operands that only the first of two operations has, and those that only the second has."""
        first, second = self.sides
        ours, theirs = _operands(first.net.operations[key]), _operands(second.net.operations[other])
        gone = _left_over([self.match.get(s, f"-{s}") if s in first.net.operations else s for s in ours], theirs, ours)
        return gone, _left_over(
            [self.back.get(s, f"-{s}") if s in second.net.operations else s for s in theirs], ours, theirs
        )

    def _replaced(self) -> Iterator[str]:
        """Shared operations and states that read something else."""
        first, second = self.sides
        readers: dict[str, list[str]] = {}
        for key, gone, come in self.rewired:
            for text in self._instead(gone, come):
                readers.setdefault(text, []).append(second.owner(self.match[key]))
        for text, owners in readers.items():
            several = len(set(owners)) > 1
            yield _sentence(f"{_listed_of(owners)} {text.replace('reads', 'read', 1) if several else text}.")
        for name in first.net.exits:
            ours, theirs = first.net.exits[name], second.net.exits.get(name)
            if name != OUTPUT and theirs is not None and self.match.get(ours, ours) != theirs:
                self.mentioned.update((ours, theirs))
                yield f"{name}ₜ is {first.source(ours)} in {self.names[0]}, {second.source(theirs)} in {self.names[1]}."

    def _rewired(self) -> Iterator[tuple[str, list[str], list[str]]]:
        """Shared operations with the operands that only the first, and that only the second has."""
        for key in self.sides[0].net.operations:
            gone, come = self._left(key, self.match[key]) if key in self.match else ([], [])
            if gone or come:
                yield key, gone, come

    def _cuts(self) -> Iterator[str]:
        """Lines that carry a gradient in one of the cells only."""
        first, second = self.sides
        found: dict[tuple[str, str], list[str]] = {}
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
        found: dict[str, list[str]] = {}
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
            yield _sentence(f"{_listed_of([owner for owner in order if owner in owners])}: {text}.")

    def _instead(self, gone: list[str], come: list[str]) -> Iterator[str]:
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
        entered: dict[tuple[str, str], list[tuple[str, str]]] = {}
        plain: list[str] = []
        for piece in side.components(self.moved):
            if any(key in gates or key in self.mentioned for key in piece):
                continue
            item, links = side.net.operations[piece[0]].item, side.net.operations[piece[0]].links
            targets = side.targets(piece)
            if len(piece) == 1 and item.learned and len(links) == 1 and targets:
                source = "" if item.nodes[0].op == "add" else side.expression(links[0].source)
                entered.setdefault((source, item.nodes[0].op), []).append((_parameter(item), _listed(targets)))
            else:
                plain.append(self._piece(side, piece, targets))
        for (source, _), through in entered.items():
            parameters, where = _listed(dict.fromkeys(p for p, _ in through)), _listed_of([t for _, t in through])
            statement = f"{source} enters {where} through {parameters}" if source else f"+ {parameters} in {where}"
            yield f"{word.capitalize()}: {statement}."
        yield from (f"{word.capitalize()}: {text}." for text in plain)

    def _piece(self, side: _Side, piece: Sequence[str], targets: list[str]) -> str:
        into = f", into {_listed_of(targets)}" if targets else ""
        if len(piece) > 4:
            return f"{len(piece)} {self.noun}{into}"
        inside = {link.source for key in piece for link in side.net.operations[key].links}
        return _listed([side.formula(key, 3) for key in piece if key not in inside]) + into


# ------------------------------------------------------------------------------------------ grammar


def _operands(operation: Operation) -> list[str]:
    return [link.source for link in operation.links]


def _left_over(mapped: Sequence[str], others: Sequence[str], own: Sequence[str]) -> list[str]:
    """The keys of `own` whose partner is not among the others' operands."""
    rest = list(others)
    found = []
    for partner, key in zip(mapped, own, strict=True):
        if partner in rest:
            rest.remove(partner)
        else:
            found.append(key)
    return found


def _parameter(item: Item) -> str:
    """The parameter's name in an item's label."""
    sign = symbol(item.nodes[0].op)
    return item.label.removeprefix(f"{sign} ").removesuffix(f" {sign}")


def _listed(names: Iterable[str]) -> str:
    *most, last = list(names)
    return f"{', '.join(most)} and {last}" if most else last


def _listed_of(targets: Sequence[str]) -> str:
    """``gates i and f`` for gate i and gate f."""
    gates = [t.removeprefix("gate ") for t in dict.fromkeys(targets) if t.startswith("gate ")]
    others = [t for t in dict.fromkeys(targets) if not t.startswith("gate ")]
    return _listed([*([f"{'gates' if len(gates) > 1 else 'gate'} {_listed(gates)}"] if gates else []), *others])


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _sentence(text: str) -> str:
    """With a capital where the text starts with a word."""
    return text[0].upper() + text[1:] if text.startswith(("in ", "gate ", "gates ", _SHARED)) else text
