"""Functions: those that a model brings along, and those by which ONNX defines operators of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

__all__ = ["Frame", "call_of", "scope_of"]


class Frame(NamedTuple):
    """Where nodes stand: in the model itself, or in a function where it is called.

    Attributes
    ----------
    opset : int
    attributes : dict of str to AttributeProto, or None
        Those of the call, by which attributes of nodes may be given; None in the model itself.
    layers : tuple of str
        The calls around.
    functions : tuple of str
        Their functions: one that calls itself has no end.
    """

    opset: int
    attributes: Mapping[str, Any] | None = None
    layers: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()


def call_of(function: Any, given: Iterable[Any], defaults: Iterable[Any]) -> dict[str, Any]:
    """The attributes of a call by name, as protos: those that are given, and the defaults of the others."""
    found = {attribute.name: attribute for attribute in (*defaults, *function.attribute_proto)}
    return found | {attribute.name: attribute for attribute in given}


def scope_of(
    function: Any, proto: Any, known: Mapping[str, str], fresh: Callable[[str], str]
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """From names in a function to ours where it is called; and outputs that are inputs, as pairs of ours.

    Raises
    ------
    ValueError
        If a name is made twice, or the call does not fit.
    """
    if len(proto.input) > len(function.input) or len(proto.output) > len(function.output):
        raise ValueError(f"takes {len(function.input)} inputs and gives {len(function.output)} outputs")
    for names in (function.input, function.output):
        if len(set(names)) < len(names):
            raise ValueError("has two inputs or outputs of one name")
    scope = dict.fromkeys(function.input, "")
    scope |= {name: known[value] if value else "" for name, value in zip(function.input, proto.input, strict=False)}
    wanted = {name: known[value] for name, value in zip(function.output, proto.output, strict=False) if value}
    copies = [(scope[name], wanted[name]) for name in wanted if name in scope]
    for node in function.node:
        for name in node.output:
            if name and name in scope:
                raise ValueError(f"its value {name} is made twice")
            if name:
                scope[name] = wanted.get(name) or fresh(name)
    missing = [name for name in wanted if name not in scope]
    if missing:
        raise ValueError(f"its output {missing[0]} is made by no node")
    return scope, copies
