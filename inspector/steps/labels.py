"""How a node reads in plain text: the sign of its operation, a slice, an operand in its reader's label, and a short
formula of values that have names, ``o(1 − o)`` or ``1 − tanh²c₁``, with no more brackets than it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn import Graph, Node
from tinygrad_rnn.autodiff.primitive import Primitive

from ..text import shortened

__all__ = [
    "APPLIED",
    "ATOM",
    "COMPARISON",
    "PRODUCT",
    "SUM",
    "Label",
    "Text",
    "formula",
    "in_brackets",
    "is_silent",
    "is_view",
    "number_or_name",
    "operation_label",
    "slice_label",
    "symbol",
]

_SYMBOLS = {
    "add": "+",
    "subtract": "−",
    "multiply": "×",
    "divide": "÷",
    "negative": "−",
    "matmul": "·",
    "sigmoid": "σ",
    "square": "x²",
    "sqrt": "√",
    "root": "√",
    "sum": "Σ",
    "abs": "|x|",
    "power": "xʸ",
    "maximum": "max",
    "minimum": "min",
    "stop_gradient": "stop",
    "getitem": "[ ]",
    "greater": ">",
    "greater_equal": "≥",
    "less": "<",
    "less_equal": "≤",
    "equal": "=",
    "not_equal": "≠",
}
_LENGTH = 18
_ROOM = 130.0
"""Points of a name in a drawing."""
_COMPARISONS = frozenset({"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"})
COMPARISON, SUM, PRODUCT, APPLIED, ATOM = range(5)
"""What holds together more strongly has the higher number."""

Name = Callable[[Node], str | None]


class Label(NamedTuple):
    """How an item reads.

    Attributes
    ----------
    sign : str
        Of an operation; or the name of a value.
    operand : str
        What no line brings, such as the w of ``× w``.
    leads : bool
        Whether that stands in front of the sign, as in ``W ·``.
    time : str
        When, of a state: the ₃ of ``c₃``.
    gives : str
        The value that a layer gives: the f of ``f = σ(·)``.
    whole : bool
        Whether it is a formula, which is written in full however long it is.
    """

    sign: str
    operand: str = ""
    leads: bool = False
    time: str = ""
    gives: str = ""
    whole: bool = False

    def __str__(self) -> str:
        """Long names without their middle."""
        return _drawn(self)

    @property
    def full(self) -> str:
        """As long as it is."""
        if self.gives:
            return f"{self.gives} = {self.sign}(·)"
        if self.operand:
            return f"{self.operand} {self.sign}" if self.leads else f"{self.sign} {self.operand}"
        return self.sign + self.time


@lru_cache(maxsize=4096)
def _drawn(label: Label) -> str:
    if label.whole:
        return label.full
    sign, operand, gives = (shortened(part, _ROOM) for part in (label.sign, label.operand, label.gives))
    return label._replace(sign=sign, operand=operand, gives=gives).full


class Text(NamedTuple):
    """A formula, and how strongly its outermost operation holds it together; the name of a function that is written
    in front of its argument, and that.
    """

    text: str
    strength: int
    function: str = ""
    argument: str = ""


def symbol(op: str) -> str:
    """The sign of an operation, or else its name."""
    return _SYMBOLS.get(op, op)


def is_view(node: Node) -> bool:
    """Whether it only shows the same elements in another shape or type, so that its operand may stand for it."""
    return node.primitive.kind == "view"


def is_silent(node: Node) -> bool:
    """Whether a formula leaves it out: its result is its operand's value."""
    return is_view(node) or node.op in ("identity", "stop_gradient")


def slice_label(index: Any) -> str:
    """``[4:8]`` for a slice along one axis, ``[0]`` for one place of it; what else is taken is not written out."""
    parts = index if isinstance(index, tuple) else (index,)
    shown = [part for part in parts if not (isinstance(part, slice) and part == slice(None))]
    if len(shown) != 1 or not isinstance(shown[0], (slice, int)):
        return "[…]"
    if isinstance(shown[0], int):
        return f"[{shown[0]}]"
    start, stop, step = ("" if end is None else str(end) for end in (shown[0].start, shown[0].stop, shown[0].step))
    return f"[{start}:{stop}]" if step in ("", "1") else f"[{start}:{stop}:{step}]"


def number_or_name(node: Node) -> str | None:
    """A constant of one number as that number; otherwise the value's name, if it has one."""
    constant = node.op == "constant" and bool(node.value.size) and node.dtype.kind in "fiu"
    return f"{node.value.flat[0]:.4g}" if constant and np.ptp(node.value) == 0 else node.name


def operation_label(op: Primitive, operands: Sequence[str | None]) -> Label:
    """An operation in a diagram, with the operand that no line brings: ``× w``, ``1 −``, ``W ·``.

    Parameters
    ----------
    operands : sequence of str or None
        How each operand reads; ``None`` for one that a line brings.
    """
    sign = symbol(op.name)
    if len(operands) > 2 or not any(operands):
        return Label(sign)
    left, right = operands if len(operands) == 2 else (None, operands[0])
    return Label(sign, left or right or "", op.name == "matmul" or bool(left and not op.commutative))


def in_brackets(part: Text, least: int) -> str:
    """The text, in brackets unless it holds together at least that strongly."""
    return part.text if part.strength >= least else f"({part.text})"


# ----------------------------------------------------------------------------------------- formulas


def formula(
    node: Node, graph: Graph, name: Name, rest: str | None = None, *, depth: int = 5, within: int = COMPARISON
) -> str | None:
    """The formula of `node`; ``None`` if there is no short one.

    Parameters
    ----------
    name : function
        What a value is called; ``None`` where it has no name, so that what it was computed from has to say it.
    rest : str, optional
        What stands for operands that have no formula, or one that is too deep. Then there always is one, and it is
        written out: ``tanh(c)`` rather than ``tanh c``.
    depth : int
        How many operations deep it may be.
    within : int
        It is put in brackets unless it holds together that strongly.
    """
    found = _Formula(graph, name, rest).of(node, depth)
    if found is None or (rest is None and len(found.text) > _LENGTH):
        return None
    return in_brackets(found, within)


class _Formula(NamedTuple):
    graph: Graph
    name: Name
    rest: str | None

    def of(self, node: Node, depth: int) -> Text | None:
        own = self.name(node)
        if own is not None:
            return Text(own, ATOM)
        if node.op == "constant" and node.value.size == 1:
            return Text(f"{node.value.item():.4g}", ATOM)
        if is_silent(node):
            return self.of(self.graph.nodes[node.inputs[0]], depth)
        if not depth or node.is_leaf:
            return self._rest()
        operands = [self.of(self.graph.nodes[k], depth - 1) for k in node.inputs]
        known = [text for text in operands if text is not None]
        if len(known) < len(operands):
            return None
        found = (
            self._unary(node, *known) if len(known) == 1 else self._binary(node, *known) if len(known) == 2 else None
        )
        call = f"{symbol(node.op)}({', '.join(operand.text for operand in known)})"
        return found or (self._rest() and Text(call, APPLIED))

    def _rest(self) -> Text | None:
        return None if self.rest is None else Text(self.rest, ATOM)

    def _unary(self, node: Node, operand: Text) -> Text | None:
        if node.op == "negative":
            return Text(f"−{in_brackets(operand, PRODUCT)}", SUM)
        if node.op == "square":
            return _squared(operand)
        if not _is_function(node):
            return None
        sign = symbol(node.op)
        plain = self.rest is None and operand.strength == ATOM and sign.isalpha() and len(sign) > 1
        if plain:
            return Text(f"{sign} {operand.text}", APPLIED, sign, operand.text)
        return Text(f"{sign}({operand.text})", APPLIED)

    def _binary(self, node: Node, left: Text, right: Text) -> Text | None:
        if node.op == "multiply" and node.inputs[0] == node.inputs[1]:
            return _squared(left)
        if node.op == "add":
            return Text(f"{in_brackets(left, SUM)} + {in_brackets(right, SUM)}", SUM)
        if node.op == "subtract":
            return Text(f"{in_brackets(left, SUM)} − {in_brackets(right, PRODUCT)}", SUM)
        if node.op == "multiply":
            one, other = in_brackets(left, PRODUCT), in_brackets(right, PRODUCT)
            return Text(f"{one}{other}" if other.startswith("(") else f"{one}·{other}", PRODUCT)
        if node.op == "divide":
            return Text(f"{in_brackets(left, PRODUCT)}/{in_brackets(right, APPLIED)}", PRODUCT)
        if node.op == "matmul" and left.strength == right.strength == ATOM:
            weight = self.graph.nodes[node.inputs[1]]
            while is_silent(weight):
                weight = self.graph.nodes[weight.inputs[0]]
            return Text(" ".join([right.text, left.text][:: 1 if weight.op == "parameter" else -1]), PRODUCT)
        if node.op in _COMPARISONS:
            return Text(f"{in_brackets(left, SUM)} {symbol(node.op)} {in_brackets(right, SUM)}", COMPARISON)
        return None


def _is_function(node: Node) -> bool:
    """Whether it is written by its name in front of its operand."""
    return node.op == "sign" or (node.primitive.activation and node.op not in ("square", "abs"))


def _squared(operand: Text) -> Text:
    """Of a function, the function's name takes the square, as in ``tanh²c``."""
    if operand.strength == ATOM:
        return Text(f"{operand.text}²", PRODUCT)
    if operand.function:
        return Text(f"{operand.function}²{operand.argument}", PRODUCT)
    return Text(f"({operand.text})²", PRODUCT)
