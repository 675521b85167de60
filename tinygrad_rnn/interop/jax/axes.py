"""Which axes of the inputs may have any length: tried, by tracing the function at other shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax

__all__ = ["Axes", "free_axes"]

Kinds = Mapping[str, Any]
Place = tuple[str, int]


class Axes(NamedTuple):
    """Names of axes that may have any length: of those that must be as long as each other the same.

    Attributes
    ----------
    inputs : dict of (input, axis) to str
    outputs : dict of (number of the output, axis) to str
    """

    inputs: dict[Place, str]
    outputs: dict[tuple[int, int], str]

    def resized(self, kinds: Kinds, name: str, size: int) -> dict[str, Any]:
        """The inputs with another size of an axis."""
        return _changed(kinds, [place for place, one in self.inputs.items() if one == name], lambda _: size)


def _changed(kinds: Kinds, places: Sequence[Place], size: Callable[[int], int]) -> dict[str, Any]:
    found = {}
    for label, kind in kinds.items():
        shape = [size(n) if (label, axis) in places else n for axis, n in enumerate(kind.shape)]
        found[label] = jax.ShapeDtypeStruct(tuple(shape), kind.dtype)
    return found


def free_axes(kinds: Kinds, trace: Callable[[Kinds], Any]) -> Axes:
    """Try every axis alone, and with others of its size, one longer.

    Parameters
    ----------
    kinds : mapping of str to ShapeDtypeStruct
        The inputs of the example.
    trace : callable
        The jaxpr for inputs; fails where the function does.
    """
    base = trace(kinds)
    places = {(label, axis): n for label, kind in kinds.items() for axis, n in enumerate(kind.shape)}
    found = Axes({}, {})
    for place in places:
        if place in found.inputs:
            continue
        for group in _groups(place, places, found.inputs):
            try:
                other = trace(_changed(kinds, group, lambda n: n + 1))
            except Exception:  # whatever a function says to shapes that it does not take
                continue
            _note(found, group, base, other)
            break
    return found


def _groups(place: Place, places: Mapping[Place, int], known: Mapping[Place, str]) -> Iterator[list[Place]]:
    """Axes that may have to change together, few first."""
    same = [one for one, n in places.items() if n == places[place] and one not in known]
    seen: list[list[Place]] = []
    for group in ([place], [one for one in same if one[1] == place[1]], same):
        if group not in seen:
            seen.append(group)
            yield group


def _note(found: Axes, group: Sequence[Place], base: Any, other: Any) -> None:
    (lengths, carries), (longer, wider) = _loops(base.jaxpr), _loops(other.jaxpr)
    taken = set(found.inputs.values())
    is_batch = carries != wider if carries else "batch" not in taken
    plain = "T" if lengths != longer else "batch" if is_batch else "n"
    name, number = plain, 1
    while name in taken:
        number += 1
        name = f"{plain}{number}"
    found.inputs.update(dict.fromkeys(group, name))
    for k, (one, two) in enumerate(zip(base.out_avals, other.out_avals, strict=True)):
        for axis, (n, m) in enumerate(zip(one.shape, two.shape, strict=True)):
            if n != m:
                found.outputs[k, axis] = name if m == n + 1 and (k, axis) not in found.outputs else "?"


def _loops(jaxpr: Any) -> tuple[list[int], list[Any]]:
    """Over how many steps the loops of a function run, and the shapes of what they carry."""
    lengths, carries = [], []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            lengths.append(equation.params["length"])
            carries += [variable.aval.shape for variable in equation.outvars[: equation.params["num_carry"]]]
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                more = _loops(inner)
                lengths += more[0]
                carries += more[1]
    return lengths, carries
