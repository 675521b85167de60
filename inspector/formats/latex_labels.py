"""A label as LaTeX: what reads as a formula in math, with real subscripts, and all other text as plain text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby

from ..text import visible

__all__ = ["tex"]

_TEXT, _MATH, _EITHER = "text", "math", "either"
_TOKEN = re.compile(
    r"(?P<name>[A-Za-z][A-Za-z0-9_]*)(?P<index>[₀-₉₋]*)|(?P<number>[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"
    r"|(?P<low>[₀-₉₋]+)|(?P<high>[⁰¹²³⁴-⁹⁻ᵀʸ]+)|(?P<sign>.)",
    re.DOTALL,
)
_FUNCTIONS = frozenset({"tanh", "exp", "log", "max", "min", "sin", "cos"})
_SCRIPTS = str.maketrans(
    {
        **dict(zip("₀₁₂₃₄₅₆₇₈₉₋", "0123456789-", strict=True)),
        **dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True)),
        "ᵀ": r"\top ",
        "ʸ": "y",
    }
)
_SMALL = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi o pi rho varsigma sigma tau upsilon phi"
    " chi psi omega"
)
_LARGE = {
    "Γ": "Gamma",
    "Δ": "Delta",
    "Θ": "Theta",
    "Λ": "Lambda",
    "Ξ": "Xi",
    "Π": "Pi",
    "Σ": "Sigma",
    "Φ": "Phi",
    "Ψ": "Psi",
    "Ω": "Omega",
}
_SIGNS = {
    **{chr(ord("α") + k): f"\\{name}" for k, name in enumerate(_SMALL.split()) if name != "o"},
    **{letter: f"\\{name}" for letter, name in _LARGE.items()},
    **{c: c for c in "+|<>="},
    "−": "-",
    "×": r"\times",
    "÷": r"\div",
    "·": r"\cdot",
    "∂": r"\partial",
    "∇": r"\nabla",
    "‖": r"\|",
    "→": r"\to",
    "√": r"\surd",
    "≥": r"\ge",
    "≤": r"\le",
    "≠": r"\ne",
    "≈": r"\approx",
    "∞": r"\infty",
    "⊙": r"\odot",
    "…": r"\dots",
    "↵": r"\hookleftarrow",
}
_RELATIONS = frozenset({"=", "<", ">", r"\to", r"\ge", r"\le", r"\ne", r"\approx"})
_BINARY = frozenset({"+", "-", r"\times", r"\div", r"\cdot", r"\odot"})
_NEUTRAL = {**{c: c for c in "()[]./!?*-"}, " ": "~", ":": "{:}", ",": "{,}", ";": "{;}"}
_ESCAPES = {
    **{c: f"\\{c}" for c in "#$%&_{}"},
    **{c: f"\\char{ord(c)}{{}}" for c in '"`'},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
}
_ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327", "`'^~=u.\"rHvc", strict=True)
)


def tex(label: str) -> str:
    r"""The label as LaTeX, for whatever fonts and encoding a paper has.

    Examples
    --------
    >>> for label in ("h₁₂", "f = σ(·)", "weight_hhᵀ", "2.5×10⁻³", "100 %"):
    ...     print(tex(label))
    $h_{12}$
    $f=\sigma(\cdot)$
    weight\_hh$^{\top}$
    $2.5\times10^{-3}$
    100 \%
    """
    written = []
    for is_text, run in groupby(_pieces(visible(label.replace("\n", "↵"))), key=lambda piece: piece[0] == _TEXT):
        kinds, pieces = zip(*run, strict=True)
        plain = is_text or _MATH not in kinds
        written.append("".join(pieces) if plain else _formula([*zip(kinds, pieces, strict=True)]))
    return re.sub(r"([-,'])(?=\1)", r"\1{}", "".join(written))  # no dashes or quotes out of two characters


def _pieces(label: str) -> Iterator[tuple[str, str]]:
    """The label piece by piece: text, math, or what may stand in either."""
    for token in _TOKEN.finditer(label):
        text = token[0]
        if token["name"]:
            yield from _name(token["name"], token["index"].translate(_SCRIPTS))
        elif token["number"]:
            mantissa, e, exponent = text.partition("e")
            yield (_MATH, f"{mantissa}\\times10^{{{int(exponent)}}}") if e else (_EITHER, text)
        elif token["low"]:
            yield _MATH, f"{{}}_{{{text.translate(_SCRIPTS)}}}"
        elif token["high"]:
            yield _MATH, f"^{{{text.translate(_SCRIPTS).strip()}}}"
        elif text in _SIGNS:
            yield _MATH, _SIGNS[text]
        else:
            yield (_EITHER, text) if text in _NEUTRAL else (_TEXT, _letter(text))


def _name(name: str, index: str) -> Iterator[tuple[str, str]]:
    """``h`` with index 0, ``W_f`` and ``h_init`` have subscripts; longer names are text."""
    letter, _, below = name.partition("_")
    if name in _FUNCTIONS:
        yield _MATH, f"\\{name}"
    elif len(letter) == 1 and (name == letter or below.isalnum()):
        yield _MATH, letter
        index = ",".join(filter(None, [below if len(below) <= 2 else f"\\mathrm{{{below}}}", index]))
    else:
        yield _TEXT, name.replace("_", r"\_")
    if index:
        yield _MATH, f"_{{{index}}}"


def _letter(sign: str) -> str:
    """A character as text: escaped, with its accents, or as its code point where LaTeX may not have it."""
    if sign in _ESCAPES or sign.isascii():
        return _ESCAPES.get(sign, sign)
    apart = unicodedata.normalize("NFD", sign)
    letter, accents = apart[0], apart[1:]
    if not (letter.isascii() and letter.isalpha() and all(accent in _ACCENTS for accent in accents)):
        return f"U+{ord(sign):04X}"
    for accent in accents:
        letter = f"\\{_ACCENTS[accent]}{{{letter}}}"
    return letter


def _formula(run: list[tuple[str, str]]) -> str:
    """A run of pieces as one formula; what stands at its ends and is none goes before and after it."""
    inner = [k for k, (_, piece) in enumerate(run) if piece not in (" ", ".", ",", ":", ";")]
    first, last = inner[0], inner[-1] + 1
    formula = ""
    for k, (kind, piece) in enumerate(run[first:last], first):
        beside = [run[k - 1][1], run[min(k + 1, last - 1)][1]]
        if piece == " " and not _RELATIONS.isdisjoint(beside):
            continue
        shown = _NEUTRAL.get(piece, piece) if kind == _EITHER else piece
        if piece in _BINARY and beside == [" ", " "]:
            shown = f"{{{shown}}}"  # its space is there already
        formula += " " + shown if re.search(r"\\[A-Za-z]+$", formula) and shown[0].isalpha() else shown
    before, after = ("".join(piece for _, piece in part) for part in (run[:first], run[last:]))
    return f"{before}${formula}${after}"
