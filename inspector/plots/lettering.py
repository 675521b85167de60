"""Text in plots: shown as it is, no wider than its room."""

from __future__ import annotations

import re
import textwrap

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from ..text import visible as printable

__all__ = ["SURE", "in_lines", "shortened", "text_width", "visible", "wrapped"]

_GAP = re.compile(r"( {2,})")
SURE = 0.96
"""How much of its room text takes at most: in pixels, each letter begins at a whole one, and it may be wider."""


def visible(text: str) -> str:
    """Text in which Matplotlib finds no mathematics and nothing that cannot be shown."""
    return printable(text.replace("\n", "↵")).replace("$", r"\$")


def shortened(text: str, room: float, size: float) -> str:
    """Text that is no wider than `room` points, with its middle left out where need be."""
    if text_width(text, size) <= room:
        return text
    kept = max(8, int(len(text) * room / text_width(text, size)) - 1)
    return f"{text[: kept // 2]}…{text[-(kept - kept // 2) :]}"


def wrapped(text: str, room: float, size: float) -> list[str]:
    """Text in lines no wider than `room` points."""
    if not text:
        return []
    most = max(8, int(len(text) * room / text_width(text, size)))
    return textwrap.wrap(text, most, break_long_words=True, break_on_hyphens=False, replace_whitespace=False) or [text]


def text_width(text: str, size: float) -> float:
    """In points, as Matplotlib sets it."""
    return max(
        1.0,
        float(
            text_to_path.get_text_width_height_descent(
                visible(text).replace(r"\$", "$"), FontProperties(size=size), False
            )[0]
        ),
    )


def in_lines(shown: str, room: float, size: float) -> str:
    """What :func:`visible` has made, in lines no wider than `room` points, which end at wide gaps first."""
    lines: list[str] = []
    room *= SURE
    for line in shown.replace(r"\$", "$").split("\n"):
        first, *rest = _GAP.split(line)
        parts = [first]
        for gap, part in zip(rest[::2], rest[1::2], strict=True):
            if text_width(parts[-1] + gap + part, size) <= room:
                parts[-1] += gap + part
            else:
                parts.append(part)
        lines += [piece for part in parts for piece in wrapped(part, room, size) or [""]]
    return "\n".join(map(visible, lines))
