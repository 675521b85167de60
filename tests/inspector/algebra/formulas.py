"""A reader of printed equations, LaTeX and plain text, that works them out for a single sequence with column vectors.

It shares nothing with what printed them: what it finds is what a person would read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "σ": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "cos": np.cos,
    "sin": np.sin,
    "relu": lambda a: np.maximum(a, 0),
    "softplus": lambda a: np.log1p(np.exp(a)),
    "sign": np.sign,
    "stop": lambda a: a,
    "sum": np.sum,
    "mean": np.mean,
    "flatten": lambda a: np.asarray(a).reshape(-1),
    "√": np.sqrt,
    "max": lambda *a: np.maximum(*a) if len(a) == 2 else np.max(*a),
    "sum₁": lambda a: np.sum(a, axis=1, keepdims=True),
}
_COMPARE = {"<": np.less, ">": np.greater, "≥": np.greater_equal, "≤": np.less_equal}
_LATEX = [
    (r"\\!|\\,", ""),
    (r"\\left\(", "("),
    (r"\\right\)", ")"),
    (r"\\left\|", "⟨"),
    (r"\\right\|", "⟩"),
    (r"\\odot", "⊙"),
    (r"\\cdot", "·"),
    (r"\\operatorname\{sum\}_\{1\}", "sum₁"),
    (r"\\operatorname\{(\w+)\}", r"\1"),
    (r"\\sigma(?![a-z])", "σ"),
    (r"\\ge\b", "≥"),
    (r"\\le\b", "≤"),
    (r"\\(tanh|exp|log|cos|sin|max|min)", r"\1"),
    (r"\^\{\\top\}", "ᵀ"),
    (r"\^\{2\}", "²"),
    (r"10\^\{(-?\d+)\}", r"1e\1"),
    (r"\{:\}", ":"),
    (r"(?<!\de)-", "−"),
]
_TOKEN = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?|\\frac|\\sqrt|sum₁|if\b|else\b|[a-z]{2,}|.")


def read(text: str, values: Mapping[str, Any]) -> Any:
    """What `text` says, given the values of the symbols in it."""
    reader = _Reader(tokens(text, values), values)
    result = reader.choice()
    assert reader.here() is None, f"{text}: stopped before {reader.left}"
    return result


def tokens(text: str, values: Mapping[str, Any]) -> list[str]:
    """Symbols become ``@name``; everything else is told apart by its signs."""
    names = sorted(values, key=len, reverse=True)
    found: list[str] = []
    marked = {chr(0xE000 + k): name for k, name in enumerate(names)}
    for mark, name in marked.items():
        text = re.sub(rf"(?<![A-Za-z\\]){re.escape(name)}(?![A-Za-z_ₕ-ₜ⁽]|\w\()", mark, text)
    for pattern, replacement in _LATEX:
        text = re.sub(pattern, replacement, text)
    for token in _TOKEN.findall(text):
        if token.strip():
            found.append("@" + marked[token] if token in marked else token)
    return found


class _Reader:
    def __init__(self, found: list[str], values: Mapping[str, Any]) -> None:
        self.left, self.values, self.bars = found, values, 0

    def here(self) -> str | None:
        return self.left[0] if self.left else None

    def take(self, *wanted: str) -> str:
        token = self.left.pop(0)
        assert not wanted or token in wanted, f"{token} where {wanted} should be, before {self.left}"
        return token

    def choice(self) -> Any:
        value = self.comparison()
        if self.here() != "if":
            return value
        self.take("if")
        condition = self.choice()
        self.take("else")
        return np.where(condition, value, self.choice())

    def comparison(self) -> Any:
        value = self.sum()
        return _COMPARE[self.take()](value, self.sum()) if self.here() in _COMPARE else value

    def sum(self) -> Any:
        value = self.signed()
        while self.here() in ("+", "−"):
            sign, other = self.take(), self.product()
            value = value + other if sign == "+" else value - other
        return value

    def signed(self) -> Any:
        if self.here() == "−":
            self.take("−")
            return -self.product()
        return self.product()

    def product(self) -> Any:
        value = self.applied()
        while self.here() in ("⊙", "·", "/"):
            sign, other = self.take(), self.applied()
            value = value / other if sign == "/" else value * other
        return value

    def applied(self) -> Any:
        """Side by side: a number of something, or matrices and a column."""
        row = [self.postfixed()]
        while self.here() not in (None, "+", "−", "⊙", "·", "/", ")", "]", "⟩", ",", ";", "if", "else", "}", *_COMPARE):
            if self.here() == "|" and self.bars:
                break
            row.append(self.postfixed())
        value = row.pop()
        for left in reversed(row):
            if np.ndim(left) == 0:
                value = left * value
            elif np.ndim(left) == 1:
                value = np.outer(left, value)
            else:
                value = left @ value
        return value

    def postfixed(self) -> Any:
        value = self.atom()
        while self.here() in ("ᵀ", "²", "["):
            sign = self.take()
            if sign == "[":
                ends = "".join(iter(self.take, "]")).split(":")
                last = int(ends[0]) + 1 if len(ends) == 1 else int(ends[1]) if ends[1] else None
                value = (
                    value[int(ends[0])] if len(ends) == 1 and np.ndim(value) == 2 else value[int(ends[0] or 0) : last]
                )
            else:
                value = np.transpose(value) if sign == "ᵀ" else value**2
        return value

    def atom(self) -> Any:
        token = self.take()
        if token.startswith("@"):
            return self.values[token[1:]]
        if token[0].isdigit():
            return float(token)
        if token == "(":
            return self.until(")")[0]
        if token == "[":
            return np.concatenate(self.until("]"))
        if token in ("|", "⟨"):
            self.bars += token == "|"
            size = np.abs(self.until("|" if token == "|" else "⟩")[0])
            self.bars -= token == "|"
            return size
        if token in ("\\frac", "\\sqrt"):
            self.take("{")
            top = self.until("}")[0]
            if token == "\\sqrt":
                return np.sqrt(top)
            self.take("{")
            return top / self.until("}")[0]
        self.take("(")
        return FUNCTIONS[token](*self.until(")"))

    def until(self, end: str) -> list[Any]:
        found = [self.choice()]
        while self.here() in (",", ";"):
            self.take()
            found.append(self.choice())
        self.take(end)
        return found
