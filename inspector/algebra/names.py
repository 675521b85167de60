"""How a name is written in a formula: ``weight_ih`` as a W with a subscript, ``tau`` as a Greek letter, anything
else as text.
"""

from __future__ import annotations

import re

from ..text import visible

__all__ = ["latex_name", "latex_text", "spelt", "unicode_name"]

GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "epsilon": "ε",
    "zeta": "ζ",
    "eta": "η",
    "theta": "θ",
    "iota": "ι",
    "kappa": "κ",
    "lambda": "λ",
    "mu": "μ",
    "nu": "ν",
    "xi": "ξ",
    "pi": "π",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
    "upsilon": "υ",
    "phi": "φ",
    "chi": "χ",
    "psi": "ψ",
    "omega": "ω",
    "Gamma": "Γ",
    "Delta": "Δ",
    "Theta": "Θ",
    "Lambda": "Λ",
    "Xi": "Ξ",
    "Pi": "Π",
    "Sigma": "Σ",
    "Upsilon": "Υ",
    "Phi": "Φ",
    "Psi": "Ψ",
    "Omega": "Ω",
}
_LETTERS = {letter: word for word, letter in GREEK.items()}
_CUSTOMARY = {"weight": "W", "bias": "b"}
_WELL_FORMED = re.compile(rf"([A-Za-z]+|[{''.join(_LETTERS)}])(\d*)((?:_[A-Za-z0-9]+)*)")

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "\n": " ",
    **{c: "\\" + c for c in "{}$&#_%"},
}


def spelt(name: str, timed: bool = False) -> tuple[str, tuple[str, ...]] | None:
    """The letter or word that a name begins with, and its subscripts; ``None`` if it is not made like that.

    Of a value that has a time, as in h_t, a subscript t of its own is left out.
    """
    found = _WELL_FORMED.fullmatch(name)
    if found is None:
        return None
    base, digits, rest = found.groups()
    base = _LETTERS.get(base, base)
    rest = rest.removesuffix("_t") if timed else rest
    return _CUSTOMARY.get(base, base), tuple(part for part in (digits, *rest.split("_")) if part)


def latex_name(name: str, timed: bool = False) -> tuple[str, list[str]]:
    """A name as LaTeX for math mode: what stands on the line, and what below."""
    parts = spelt(name, timed)
    if parts is None:
        return latex_text(name), []
    base, below = parts
    return _latex_letters(base, 1), [_latex_letters(part, 2) for part in below]


def _latex_letters(word: str, most: int) -> str:
    """A word of more than `most` letters is set upright, as it would be no product of variables."""
    if word in GREEK:
        return "\\" + word
    return word if len(word) <= most or word.isdigit() else rf"\mathrm{{{word}}}"


def latex_text(name: str) -> str:
    """Any text as LaTeX that every engine sets; what its fonts may lack is given by number."""
    escaped = "".join(
        _ESCAPES.get(c, c if c.isascii() or "À" <= c <= "ÿ" else f"U+{ord(c):04X}") for c in visible(name, "\n")
    )
    return rf"\text{{{escaped}}}"


def unicode_name(name: str, timed: bool = False) -> tuple[str, list[str]]:
    """A name as plain text: what stands on the line, and what below."""
    parts = spelt(name, timed)
    if parts is None:
        return visible(name.replace("\n", "↵")), []
    base, below = parts
    return GREEK.get(base, base), [GREEK.get(part, part) for part in below]
