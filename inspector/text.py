"""How text, a number and the width of a label read, wherever they are written."""

from __future__ import annotations

import math
from functools import lru_cache, reduce
from operator import add

__all__ = ["label_width", "number", "oval_width", "percent", "shortened", "subscript", "superscript", "visible"]

_EMS = {
    **dict.fromkeys("iljtfrI.,:;·|()[]'! /₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹", 0.42),
    **dict.fromkeys("ABCDEFGHJKLNOPQRSTUVXYZ", 0.79),
    **dict.fromkeys("₋⁻αβγδεθλμνσΣτφ∂", 0.69),
    **dict.fromkeys("+<>=~^×÷−#&", 0.84),
    **dict.fromkeys("mwMW@%", 1.02),
}
"""Widths of characters in ems that DejaVu Sans, the widest of the usual fonts, does not exceed."""

_LOW = dict(zip("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
_HIGH = dict(zip("0123456789+-=()abcdefghijklmnoprstuvwxyz", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", strict=True))


def visible(text: str, keep: str = "") -> str:
    """Text in which nothing controls a terminal, a font or a parser; characters in `keep` stay."""
    if (text.replace(keep, "") if keep else text).isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else "�" for c in text)


@lru_cache(maxsize=4096)
def label_width(text: str, size: float = 11.0) -> float:
    """How wide `text` is set, in points, in a wide font such as DejaVu Sans; no installed font can change it."""
    widths = [_EMS.get(c, 0.64 if c.isascii() else 0.88 if ord(c) < 0x2E80 else 1.05) for c in text]
    return size * reduce(add, widths, 0.0)  # one by one: `sum` rounds otherwise from Python 3.12 on


def oval_width(text: str, size: float, height: float) -> float:
    """How wide an ellipse of that height is that holds `text`."""
    width = label_width(text, size)
    return (width + max(4.0, 0.09 * width)) / math.sqrt(1 - (size / height) ** 2)


def shortened(text: str, room: float, size: float = 11.0) -> str:
    """`text`, without its middle where it is wider than `room`."""
    if label_width(text, size) <= room:
        return text
    fits = (n for n in range(len(text) // 2, 1, -1) if label_width(f"{text[:n]}…{text[-n:]}", size) <= room)
    keep = next(fits, 1)
    return f"{text[:keep]}…{text[-keep:]}"


def subscript(value: int | str) -> str:
    """Lowered characters where Unicode has all of them, otherwise after an underscore: 12 gives ``₁₂``."""
    text = str(value)
    return "".join(_LOW[c] for c in text) if set(text) <= _LOW.keys() else f"_{text}"


def superscript(value: int | str) -> str:
    """Raised characters where Unicode has all of them, otherwise after a circumflex."""
    text = str(value)
    return "".join(_HIGH[c] for c in text) if set(text) <= _HIGH.keys() else f"^{text}"


def number(value: float, digits: int = 3) -> str:
    """So many significant digits, the way a person writes them."""
    if value == 0 or not math.isfinite(value):
        return f"{value + 0.0:g}"  # no -0
    if 1e-3 <= abs(value) < 10 ** min(digits, 4) - 1:
        return f"{value:.{digits}g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if digits <= int(exponent) < 4:
        return f"{float(f'{mantissa}e{exponent}'):.0f}"
    if -3 <= int(exponent) < 4:
        return f"{value:.{digits}g}"
    return mantissa + _power_of_ten(exponent)


@lru_cache(maxsize=1024)
def _power_of_ten(exponent: str) -> str:
    return f"×10{superscript(int(exponent))}"


def percent(share: float) -> str:
    """A share of a whole; what rounding leaves below 0 is 0."""
    return f"{round(100 * share, 0) + 0.0:.0f} %"
