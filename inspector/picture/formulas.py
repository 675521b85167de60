"""Equations below a drawing, one line each."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from ..steps.items import safe
from . import theme
from .picture import Picture, Shape

__all__ = ["Formula", "add_formulas"]

_SIZE, _LINE = 12.0, 21.0
"""Font size, and the distance from line to line."""


class Formula(NamedTuple):
    """A line of text, what it is about (an id), its tooltip, the same in LaTeX, and whether it is about a highway."""

    text: str
    about: str
    tooltip: str = ""
    latex: str = ""
    rail: bool = False


def add_formulas(picture: Picture, left: float, formulas: Sequence[Formula]) -> None:
    """The lines below everything that is drawn, beginning at `left`; those about a highway in the colour of a rail."""
    y = min(shape.y - shape.height / 2 for shape in picture.shapes) - _LINE - 4
    for formula in formulas:
        width = _width(formula.text)
        css = "equation rail" if formula.rail else "equation"
        picture.shapes.append(
            Shape(
                picture.unused(f"equation.{safe(formula.about)}"),
                "text",
                left + width / 2,
                y,
                width,
                _LINE,
                formula.text,
                theme.ROLES["cell"] if formula.rail else None,
                css,
                formula.tooltip,
                _SIZE,
                align="start",
                latex=formula.latex,
            )
        )
        y -= _LINE


def _width(text: str) -> float:
    """What the text takes; raised and lowered characters are narrow."""
    plain = "".join(
        "x" if unicodedata.category(c) == "Lm" or unicodedata.decomposition(c).startswith("<su") else c for c in text
    )
    return theme.label_width(plain, _SIZE)
