"""What the entries of a recipe are for, and which of them are parts of one value."""

from __future__ import annotations

from typing import Any

from ..recipe import OfBatch, Recipe

__all__ = ["cuts_of", "needed_of", "parts_of", "roots_of"]


def parts_of(recipe: Recipe) -> list[str]:
    """What each entry is for: the gate or state that all who read it agree on."""
    claims: list[set[str]] = [set() for _ in recipe.entries]
    owners = [""] * len(recipe.entries)
    for k in reversed(range(len(recipe.entries))):
        agreed = next(iter(claims[k])) if len(claims[k]) == 1 else ""
        owners[k] = recipe.names.get(k, agreed)
        for operand in recipe.entries[k].operands:
            if isinstance(operand, int):
                claims[operand].add(owners[k])
    return owners


def roots_of(recipe: Recipe) -> list[str]:
    """The one parameter that each entry is computed from, if it is one."""
    found: list[set[str]] = []
    for entry in recipe.entries:
        own = {str(entry.what)} if entry.kind == "parameter" else set()
        found.append(own.union(*[found[o] for o in entry.operands if isinstance(o, int)]))
    return [next(iter(names)) if len(names) == 1 else "" for names in found]


def needed_of(recipe: Recipe) -> set[int]:
    """The entries that what comes out is computed from."""
    needed = set(recipe.outputs)
    for k in reversed(range(len(recipe.entries))):
        if k in needed:
            needed.update(o for o in recipe.entries[k].operands if isinstance(o, int))
    return needed


def cuts_of(recipe: Recipe, needed: set[int]) -> dict[int, list[int]]:
    """The slices that cut a value along one axis into all of its parts, by each of them, in the order of the axis."""
    readers: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for k, entry in enumerate(recipe.entries):
        is_cut = entry.kind == "op" and entry.what.name == "getitem" and isinstance(entry.operands[0], int)
        if is_cut and k in needed and k not in recipe.names:
            index = entry.attributes["index"]
            *before, cut = index if isinstance(index, tuple) and index else (index,)
            extent = recipe.entries[entry.operands[0]].shape[len(before) :][:1]
            plain = isinstance(cut, slice) and cut.step in (None, 1) and all(_is_whole(part) for part in before)
            if plain and extent and isinstance(extent[0], int) and not _is_open(cut):
                start, stop, _ = cut.indices(extent[0])
                readers.setdefault((entry.operands[0], len(before)), []).append((start, stop, k))
    found: dict[int, list[int]] = {}
    for (source, axis), parts in readers.items():
        size: Any = recipe.entries[source].shape[axis]
        starts, stops, places = (list(column) for column in zip(*sorted(parts), strict=True))
        edges = [0, *stops]
        if len(parts) > 1 and starts == edges[:-1] and edges[-1] == size and sorted(set(edges)) == edges:
            found |= dict.fromkeys(places, places)
    return found


def _is_whole(part: Any) -> bool:
    return isinstance(part, slice) and part == slice(None)


def _is_open(part: slice) -> bool:
    """Whether a slice depends on the batch."""
    return isinstance(part.start, OfBatch) or isinstance(part.stop, OfBatch)
