"""Two ways to write an expression down, LaTeX and plain text, with as few brackets as precedence allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..text import subscript, superscript, visible
from .contractions import contraction, lifted
from .expression import UNWRITTEN, Expression, Symbol, features, fold, is_unit
from .names import latex_name, latex_text, unicode_name

__all__ = ["LATEX", "UNICODE", "Notation", "silent"]

CHOICE, COMPARISON, SUM, PRODUCT, APPLIED, POWER, ATOM = range(7)
"""What binds more tightly has the higher number."""

_COMPARISONS = {
    "greater": (">", ">"),
    "greater_equal": (r"\ge", "≥"),
    "less": ("<", "<"),
    "less_equal": (r"\le", "≤"),
    "equal": ("=", "="),
    "not_equal": (r"\ne", "≠"),
}
_FUNCTIONS = {
    "sigmoid": (r"\sigma", "σ"),
    "tanh": (r"\tanh", "tanh"),
    "exp": (r"\exp", "exp"),
    "log": (r"\log", "log"),
    "sin": (r"\sin", "sin"),
    "cos": (r"\cos", "cos"),
    "maximum": (r"\max", "max"),
    "max": (r"\max", "max"),
    "minimum": (r"\min", "min"),
    "min": (r"\min", "min"),
    "stop_gradient": (r"\operatorname{stop}", "stop"),
}


class Printed(NamedTuple):
    """Text, and how tightly its outermost operation binds."""

    text: str
    level: int


def silent(e: Expression) -> bool:
    """Whether an operation only serves the machine and is not written."""
    if e.op in UNWRITTEN or lifted(e) == "column":
        return True
    return e.op == "reshape" and lifted(e) != "row" and _long(features(e)) == _long(features(e.operands[0]))


def _long(shape: Sequence[int]) -> list[int]:
    return [n for n in shape if n != 1]


def _is_outer(e: Expression) -> bool:
    """Whether a column times a row, elementwise with broadcasting, gives a matrix."""
    a, b = (features(operand) for operand in e.operands)
    return e.op == "multiply" and len(a) == len(b) == 2 and a[1] == b[0] == 1 and a[0] > 1 and b[1] > 1


class Notation:
    """How expressions are written; the subclasses say with which signs."""

    which: int
    minus, times, dot, comma = "-", "*", ".", ", "

    def __call__(self, expression: Expression) -> str:
        """The whole expression as text."""
        return fold(expression, self._printed).text

    def symbol(self, symbol: Symbol, label: str = "") -> str:
        """A name with its time below, and what a block of it serves above."""
        raise NotImplementedError

    def text(self, name: str) -> str:
        """A name that is no part of a formula."""
        raise NotImplementedError

    def derivative(self, of: Symbol, by: Symbol) -> str:
        """The left side of an equation for the derivative along a highway."""
        raise NotImplementedError

    def diagonal(self, expression: Expression) -> str:
        """The diagonal matrix with the values of the expression."""
        inside = fold(expression, self._printed)
        if is_unit(expression):
            factor = self._bracketed(inside, PRODUCT)
            return "I" if inside.text == "1" else f"{self.minus}I" if inside.text == f"{self.minus}1" else f"{factor} I"
        return self._operator("diag") + self._round(inside, tight=True)

    # --------------------------------------------------------------------------------- one operation

    def _printed(self, e: Expression, parts: list[Printed]) -> Printed:
        if silent(e):
            return parts[0]
        if lifted(e) == "row":
            return self._flipped(e.operands[0], parts[0])
        if e.op in _COMPARISONS and len(parts) == 2:
            a, b = (self._bracketed(part, COMPARISON + 1) for part in parts)
            return Printed(f"{a} {_COMPARISONS[e.op][self.which]} {b}", COMPARISON)
        form = _FORMS.get(e.op)
        return form(self, e, parts) if form is not None else self._function(e, parts)

    def _leaf(self, e: Expression, parts: list[Printed]) -> Printed:
        assert e.symbol is not None
        return Printed(self.symbol(e.symbol), ATOM)

    def _number(self, e: Expression, parts: list[Printed]) -> Printed:
        assert e.value is not None
        value = e.value.reshape(-1)[0].item()
        if isinstance(value, bool) or not math.isfinite(value):
            return Printed(self._operator(str(value).lower()), ATOM)
        mantissa, _, exponent = f"{value:.4g}".partition("e")
        if exponent:
            return self._scientific(mantissa, int(exponent))
        return Printed(mantissa.replace("-", self.minus), PRODUCT if value < 0 else ATOM)

    def _sum(self, e: Expression, parts: list[Printed]) -> Printed:
        a = self._bracketed(parts[0], SUM, first=True)
        b = self._bracketed(parts[1], SUM if e.op == "add" else SUM + 1)
        return Printed(f"{a} {'+' if e.op == 'add' else self.minus} {b}", SUM)

    def _negative(self, e: Expression, parts: list[Printed]) -> Printed:
        return Printed(self.minus + self._bracketed(parts[0], PRODUCT), PRODUCT)

    def _product(self, e: Expression, parts: list[Printed]) -> Printed:
        if _is_outer(e):
            return self._applied(e, parts)
        a, b = self._bracketed(parts[0], PRODUCT, first=True), self._bracketed(parts[1], PRODUCT)
        left, right = e.operands
        if left.op == "number" and not b[0].isdigit() and not b.startswith(r"\frac"):
            return Printed(f"{a} {b}", PRODUCT)
        scalar = "number" in (left.op, right.op) or is_unit(left) != is_unit(right)
        return Printed(f"{a} {self.dot if scalar else self.times} {b}", PRODUCT)

    def _applied(self, e: Expression, parts: list[Printed]) -> Printed:
        """Two matrices, or a matrix and a vector, side by side."""
        a, b = (self._bracketed(part, APPLIED) for part in parts)
        return Printed(f"{a} {b}", APPLIED)

    def _contracted(self, e: Expression, parts: list[Printed]) -> Printed:
        sides = contraction(e)
        if sides is None:
            return self._function(e, parts)
        both = [self._flipped(e.operands[k], parts[k]) if transposed else parts[k] for k, transposed in sides]
        return self._applied(e, both)

    def _quotient(self, e: Expression, parts: list[Printed]) -> Printed:
        raise NotImplementedError

    def _power(self, e: Expression, parts: list[Printed]) -> Printed:
        base, exponent = parts[0], parts[1] if len(parts) > 1 else Printed("2", ATOM)
        taken = e.operands[0].op == "symbol" and self._is_raised(base.text)
        return Printed(self._raised(f"({base.text})" if taken else self._bracketed(base, ATOM), exponent), POWER)

    def _transposed(self, e: Expression, parts: list[Printed]) -> Printed:
        axes, shape = e.attributes.get("axes"), features(e.operands[0])
        order = tuple(range(len(e.shape)))[::-1] if axes is None else tuple(k % len(e.shape) for k in axes)
        kept = (0,) if e.batched and order[0] == 0 else ()
        if len(order) - len(kept) == 2 or len(shape) < 2:
            return self._flipped(e.operands[0], parts[0])
        return Printed(self._operator("transpose", ", ".join(map(str, order))) + self._round(parts[0]), ATOM)

    def _flipped(self, operand: Expression, part: Printed) -> Printed:
        taken = operand.op in ("symbol", "getitem") and self._is_raised(part.text)
        return Printed(self._top(f"({part.text})" if taken else self._bracketed(part, ATOM)), POWER)

    def _indexed(self, e: Expression, parts: list[Printed]) -> Printed:
        operand = e.operands[0]
        if e.label and operand.symbol is not None:
            return Printed(self.symbol(operand.symbol, e.label), ATOM)
        index = self._index(e.attributes["index"], operand)
        return Printed(self._bracketed(parts[0], POWER) + f"[{index}]", POWER) if index else parts[0]

    def _index(self, index: Any, operand: Expression) -> str:
        """What stands in square brackets; nothing if that is everything."""
        entries = list(index) if isinstance(index, tuple) else [index]
        sizes = list(operand.shape)
        if Ellipsis in [entry for entry in entries if isinstance(entry, type(Ellipsis))]:
            at = next(k for k, entry in enumerate(entries) if isinstance(entry, type(Ellipsis)))
            entries[at : at + 1] = [slice(None)] * (len(sizes) - len(entries) + 1)
        if operand.batched and entries and isinstance(entries[0], slice) and entries[0] == slice(None):
            entries, sizes = entries[1:], sizes[1:]
        while (
            entries
            and isinstance(entries[-1], slice)
            and len(entries) <= len(sizes)
            and _whole(entries[-1], sizes[len(entries) - 1])
        ):
            entries.pop()
        return self.comma.join(self._entry(entry, sizes[k] if k < len(sizes) else 0) for k, entry in enumerate(entries))

    def _entry(self, entry: Any, size: int) -> str:
        if isinstance(entry, slice):
            if len(range(size)[entry]) == 1:
                return str(range(size)[entry][0])
            ends = ["" if end is None else str(end) for end in (entry.start, entry.stop)]
            return self._colon().join(ends if entry.step in (None, 1) else [*ends, str(entry.step)])
        known = isinstance(entry, (int, type(None)))
        return self._ellipsis() if not known else "·" if entry is None else str(entry)

    def _joined(self, e: Expression, parts: list[Printed]) -> Printed:
        axis = e.attributes.get("axis", 0) % max(1, len(e.shape))
        if axis != len(e.shape) - 1 or len(features(e)) != 1:
            return self._function(e, parts)
        return Printed(f"[{'; '.join(part.text for part in parts)}]", ATOM)

    def _function(self, e: Expression, parts: list[Printed]) -> Printed:
        if e.op == "reshape":
            return self._reshaped(e, parts)
        below = _axes(e) if "axis" in e.attributes else str(e.attributes.get("subscripts", ""))
        name = _FUNCTIONS.get(e.op)
        head = self._operator(e.op, below) if name is None or below else name[self.which]
        short = len(parts) == 1 and e.operands[0].op in ("symbol", "number")
        inside = Printed(self.comma.join(part.text for part in parts), ATOM if short else CHOICE)
        return Printed(head + self._round(inside, tight=True), ATOM)

    def _reshaped(self, e: Expression, parts: list[Printed]) -> Printed:
        shape = features(e)
        head = self._operator("flatten") if len(shape) == 1 else self._operator("reshape", "×".join(map(str, shape)))
        return Printed(head + self._round(parts[0], tight=True), ATOM)

    # ------------------------------------------------------------------------------------ small signs

    def _bracketed(self, part: Printed, least: int, first: bool = False) -> str:
        """In brackets unless it binds at least that tightly; a sign needs them wherever it is not the first."""
        signed = part.text.startswith(self.minus) and not first
        return self._round(part) if part.level < least or signed else part.text

    def _round(self, part: Printed, tight: bool = False) -> str:
        return f"({part.text})"

    def _scientific(self, mantissa: str, exponent: int) -> Printed:
        raise NotImplementedError

    def _operator(self, name: str, below: str = "") -> str:
        raise NotImplementedError

    def _raised(self, base: str, exponent: Printed) -> str:
        raise NotImplementedError

    def _is_raised(self, symbol: str) -> bool:
        raise NotImplementedError

    def _top(self, base: str) -> str:
        raise NotImplementedError

    def _root(self, e: Expression, parts: list[Printed]) -> Printed:
        raise NotImplementedError

    def _size(self, e: Expression, parts: list[Printed]) -> Printed:
        raise NotImplementedError

    def _choice(self, e: Expression, parts: list[Printed]) -> Printed:
        raise NotImplementedError

    def _colon(self) -> str:
        return ":"

    def _ellipsis(self) -> str:
        return "…"


def _whole(entry: slice, size: int) -> bool:
    return entry.indices(size) == (0, size, 1)


def _axes(e: Expression) -> str:
    """What is written below a reduction; nothing for one over all features."""
    joins = e.op in ("concatenate", "stack")
    axis, shape = e.attributes.get("axis"), e.shape if joins else e.operands[0].shape
    if axis is None:
        return "all" if e.operands[0].batched and not joins else ""
    axes = sorted(k % len(shape) for k in (axis if isinstance(axis, tuple) else (axis,)))
    first = 1 if e.operands[0].batched else 0
    if not joins and axes == list(range(first, len(shape))):
        return ""
    return ",".join("batch" if k < first else str(k - first) for k in axes)


class _Latex(Notation):
    which = 0
    times, dot, comma = r"\odot", r"\cdot", r",\, "

    def symbol(self, symbol: Symbol, label: str = "") -> str:
        base, below = latex_name(symbol.name, symbol.time is not None)
        time = [] if symbol.time is None else [_time(symbol.time)]
        serves = ""
        if label:
            head, rest = latex_name(label)
            serves = f"({head}{_below(rest)})"
        above = r"\prime" * symbol.primes + serves
        return base + (f"^{{{above}}}" if above else "") + _below([*below, *time])

    def text(self, name: str) -> str:
        return latex_text(name)

    def derivative(self, of: Symbol, by: Symbol) -> str:
        whole = rf"\frac{{\partial {self.symbol(of)}}}{{\partial {self.symbol(by)}}}"
        return rf"\left.{whole}\right|_{{\text{{highway}}}}"

    def _round(self, part: Printed, tight: bool = False) -> str:
        if tight and part.level == ATOM:
            return f"({part.text})"
        return (r"\!" if tight else "") + rf"\left({part.text}\right)"

    def _quotient(self, e: Expression, parts: list[Printed]) -> Printed:
        return Printed(rf"\frac{{{parts[0].text}}}{{{parts[1].text}}}", APPLIED)

    def _scientific(self, mantissa: str, exponent: int) -> Printed:
        power = f"10^{{{exponent}}}"
        if mantissa in ("1", "-1"):
            return Printed(mantissa[:-1] + power, PRODUCT if mantissa == "-1" else POWER)
        return Printed(rf"{mantissa} \cdot {power}", PRODUCT)

    def _operator(self, name: str, below: str = "") -> str:
        head = rf"\operatorname{{{name}}}" if name.isascii() and name.isalnum() else latex_text(name)
        under = below.replace("×", r" \times ")
        plain = not any(c.isalpha() for c in below)
        return head + ("" if not below else f"_{{{under}}}" if plain else rf"_{{\text{{{below}}}}}")

    def _raised(self, base: str, exponent: Printed) -> str:
        return f"{base}^{{{exponent.text}}}"

    def _is_raised(self, symbol: str) -> bool:
        return "^" in symbol

    def _top(self, base: str) -> str:
        return rf"{base}^{{\top}}"

    def _root(self, e: Expression, parts: list[Printed]) -> Printed:
        return Printed(rf"\sqrt{{{parts[0].text}}}", ATOM)

    def _size(self, e: Expression, parts: list[Printed]) -> Printed:
        return Printed(rf"\left|{parts[0].text}\right|", ATOM)

    def _choice(self, e: Expression, parts: list[Printed]) -> Printed:
        condition, a, b = (part.text for part in parts)
        return Printed(
            rf"\begin{{cases}} {a} & \text{{if }} {condition} \\ {b} & \text{{otherwise}} \end{{cases}}", CHOICE
        )

    def _colon(self) -> str:
        return "{:}"

    def _ellipsis(self) -> str:
        return r"\ldots"


class _Unicode(Notation):
    which = 1
    minus, times, dot = "−", "⊙", "·"

    def symbol(self, symbol: Symbol, label: str = "") -> str:
        base, below = unicode_name(symbol.name, symbol.time is not None)
        under = "".join(subscript(part) if len(part) < 3 or part.isdigit() else f"_{part}" for part in below) + (
            "" if symbol.time is None else subscript(_time(symbol.time))
        )
        head, rest = unicode_name(label) if label else ("", [])
        return base + under + "′" * symbol.primes + (superscript(f"({'_'.join([head, *rest])})") if label else "")

    def text(self, name: str) -> str:
        return visible(name)

    def derivative(self, of: Symbol, by: Symbol) -> str:
        return f"∂{self.symbol(of)}/∂{self.symbol(by)} along the highway"

    def _quotient(self, e: Expression, parts: list[Printed]) -> Printed:
        a, b = self._bracketed(parts[0], PRODUCT, first=True), self._bracketed(parts[1], PRODUCT + 1)
        return Printed(f"{a} / {b}", PRODUCT)

    def _scientific(self, mantissa: str, exponent: int) -> Printed:
        return Printed(f"{mantissa.replace('-', self.minus)}e{exponent}", PRODUCT if mantissa[0] == "-" else ATOM)

    def _operator(self, name: str, below: str = "") -> str:
        return name + (subscript(below) if below else "")

    def _raised(self, base: str, exponent: Printed) -> str:
        if exponent.text.isdigit():
            return base + superscript(exponent.text)
        return f"{base}^{self._bracketed(exponent, ATOM)}"

    def _is_raised(self, symbol: str) -> bool:
        return symbol.endswith("⁾") or "^" in symbol

    def _top(self, base: str) -> str:
        return f"{base}ᵀ"

    def _root(self, e: Expression, parts: list[Printed]) -> Printed:
        return Printed(f"√({parts[0].text})", ATOM)

    def _size(self, e: Expression, parts: list[Printed]) -> Printed:
        return Printed(f"|{parts[0].text}|", ATOM)

    def _choice(self, e: Expression, parts: list[Printed]) -> Printed:
        condition, a, b = parts
        return Printed(f"{self._bracketed(a, CHOICE + 1, first=True)} if {condition.text} else {b.text}", CHOICE)


def _time(offset: int) -> str:
    return "t" if offset == 0 else f"t{offset:+d}"


def _below(parts: Sequence[str]) -> str:
    """Subscripts of LaTeX, in braces where there is more than one character."""
    text = ",".join(parts)
    return "" if not text else f"_{text}" if len(text) == 1 else f"_{{{text}}}"


_FORMS: dict[str, Callable[[Notation, Expression, list[Printed]], Printed]] = {
    "symbol": Notation._leaf,
    "number": Notation._number,
    "add": Notation._sum,
    "subtract": Notation._sum,
    "negative": Notation._negative,
    "multiply": Notation._product,
    "apply": Notation._applied,
    "matmul": Notation._applied,
    "power": Notation._power,
    "square": Notation._power,
    "transpose": Notation._transposed,
    "getitem": Notation._indexed,
    "concatenate": Notation._joined,
    "einsum": Notation._contracted,
    "divide": lambda n, e, p: n._quotient(e, p),
    "sqrt": lambda n, e, p: n._root(e, p),
    "root": lambda n, e, p: n._root(e, p),
    "abs": lambda n, e, p: n._size(e, p),
    "where": lambda n, e, p: n._choice(e, p),
}

LATEX, UNICODE = _Latex(), _Unicode()
