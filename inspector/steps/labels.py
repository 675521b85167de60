"""How a value that has no name of its own reads, as a short formula of those that have: ``o(1 − o)``, ``1 −
tanh²c₁``.
"""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_rnn import PRIMITIVES, Graph, Node

from ..picture import theme

__all__ = ["formula"]

_DEPTH, _LENGTH = 5, 18
_SUM, _PRODUCT, _ATOM = range(3)
_SIGNS = {"add": "+", "subtract": "−"} | {
    op: theme.SYMBOLS[op] for op in ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")
}
_SILENT = frozenset({"transpose", "broadcast_to", "reshape", "astype", "identity", "stop_gradient"})

Text = tuple[str, int]


def formula(node: Node, graph: Graph, name: Callable[[Node], str | None]) -> str | None:
    """The formula of `node`; ``None`` if there is no short one.

    Parameters
    ----------
    name : function
        What a value is called; ``None`` where it has no name, so that what it was computed from has to say it.
    """
    found = _text(node, graph, name, _DEPTH)
    return found[0] if found is not None and len(found[0]) <= _LENGTH else None


def _text(node: Node, graph: Graph, name: Callable[[Node], str | None], depth: int) -> Text | None:
    """The formula and how strongly it holds together."""
    own = name(node)
    if own is not None:
        return own, _ATOM
    if node.op == "constant" and node.value.size == 1:
        return f"{node.value.item():.4g}", _ATOM
    if not depth or node.is_leaf:
        return None
    inner = [_text(graph.nodes[k], graph, name, depth - 1) for k in node.inputs]
    known = [text for text in inner if text is not None]
    if len(known) < len(inner):
        return None
    if node.op in _SILENT:
        return known[0]
    if _is_function(node.op):
        symbol = theme.SYMBOLS.get(node.op, node.op)
        plain = known[0][1] == _ATOM and symbol.isalpha() and len(symbol) > 1
        return f"{symbol} {known[0][0]}" if plain else f"{symbol}({known[0][0]})", _PRODUCT
    if node.op == "negative":
        return f"−{_held(known[0])}", _SUM
    if node.op == "square" or (node.op == "multiply" and node.inputs[0] == node.inputs[1]):
        return _squared(known[0])
    if node.op in _SIGNS:
        last = _held(known[1]) if node.op == "subtract" else known[1][0]
        return f"{known[0][0]} {_SIGNS[node.op]} {last}", _SUM
    if node.op == "matmul" and all(strength == _ATOM for _, strength in known):
        texts = [text for text, _ in known]
        return " ".join(texts[::-1] if _is_weight(graph.nodes[node.inputs[1]], graph) else texts), _PRODUCT
    if node.op in ("multiply", "divide"):
        one, other = _held(known[0]), _held(known[1])
        join = "/" if node.op == "divide" else "" if other.startswith("(") else "·"
        return f"{one}{join}{other}", _PRODUCT
    return None


def _is_function(op: str) -> bool:
    """Whether it is written by its name in front of its operand."""
    found = PRIMITIVES.get(op)
    return op == "sign" or (found is not None and found.activation and op not in ("square", "abs"))


def _is_weight(node: Node, graph: Graph) -> bool:
    while node.op in _SILENT:
        node = graph.nodes[node.inputs[0]]
    return node.op == "parameter"


def _held(text: Text) -> str:
    return f"({text[0]})" if text[1] == _SUM else text[0]


def _squared(text: Text) -> Text:
    """Of a function, the function's name takes the square, as in ``tanh²c``."""
    function, _, argument = text[0].partition(" ")
    if text[1] == _ATOM:
        return f"{text[0]}²", _PRODUCT
    if _is_function(function) and text[1] == _PRODUCT and " " not in argument:
        return f"{function}²{argument}", _PRODUCT
    return f"({text[0]})²", _PRODUCT
