"""One visual language: colours, symbols and sizes of everything that is drawn."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

from ..steps.items import Gate

__all__ = [
    "ALARM",
    "CURVES",
    "DARK_INK",
    "DARK_PAPER",
    "FONT",
    "GATE_WORDS",
    "GRADIENT",
    "GREY",
    "GRID",
    "HATCH",
    "INK",
    "LIMIT",
    "LINES",
    "LOST",
    "NEGATIVE",
    "NEUTRAL",
    "PAPER",
    "POSITIVE",
    "RATES",
    "SHARES",
    "SIGNED",
    "TIME",
    "VALUES",
    "Paint",
    "dashed",
    "gate_label",
    "gradient_bin",
    "paint",
    "value_class",
]

FONT = "Helvetica,Arial,sans-serif"
INK, GREY, PAPER = "#1B1F24", "#57606A", "#FFFFFF"
DARK_INK, DARK_PAPER = "#E6EDF3", "#0D1117"


class Paint(NamedTuple):
    """Fill and stroke in light mode, and in dark mode."""

    fill: str
    stroke: str
    dark_fill: str
    dark_stroke: str


# Okabe and Ito's hues at unequal lightness, so that they stay apart under every colour vision deficiency.
ORANGE = Paint("#FFE0CE", "#BD4E05", "#4C2C11", "#EF8F4C")
BLUE = Paint("#B5D8F3", "#045F9A", "#102B42", "#65B0E6")
GREEN = Paint("#8BCFB5", "#005C3F", "#103E30", "#4FCB9E")
PINK = Paint("#FFEEFD", "#9F487C", "#3D1A2E", "#D784AB")
SAND = Paint("#DBD2B1", "#6B5319", "#372D1B", "#D2B571")
SLATE = Paint("#D4DAE2", "#3D4A5B", "#2D3643", "#ABBBCF")
# For more gates than those; searched for under the same distances to all others, which
# tests/inspector/picture/test_colours.py measures.
VIOLET = Paint("#D2BBFB", "#693073", "#4D335D", "#BC7AC1")
LEAF = Paint("#9CC391", "#177D4C", "#32502B", "#54AC72")
GOLD = Paint("#E6CA8F", "#A8763B", "#53400C", "#AF7F47")
INDIGO = Paint("#A5A4DB", "#6A79C7", "#2D3870", "#6C8ADE")
ROSE = Paint("#E5A8CD", "#C86085", "#71415E", "#C45C81")
BRICK = Paint("#DE919A", "#82202D", "#773B49", "#BD4A50")

ROLES = {
    "cell": Paint("#FFF5C6", "#8A6100", "#3D3212", "#E3B341"),
    "input": Paint("#DEF1FE", "#1F78A8", "#0F3347", "#89C5FF"),
    "hidden": Paint("#DAD6EF", "#5B46A0", "#312552", "#B09CFF"),
    "loss": Paint("#FBE2E0", "#A40E26", "#4C1519", "#FF7B72"),
    "shared": Paint("#F7F9FA", "#57606A", "#1F252C", "#8B949E"),
    "parameter": Paint("#FFFFFF", "#57606A", "#0D1117", "#8B949E"),
    "value": Paint("#FFFFFF", "#57606A", "#0D1117", "#8B949E"),
    "layer": Paint("#FFF5A8", "#8F7000", "#4A3F10", "#E3C04A"),
    "pointwise": Paint("#F9C9DA", "#B4577E", "#4E2234", "#E88FB3"),
    "step": Paint("#F6F8FA", "#C8D1DA", "#161B22", "#30363D"),
    "backward": Paint("#FBF6F1", "#DCC8B4", "#1E1813", "#4A3A2A"),
    "cellbox": Paint("#DCEFDC", "#8FB98F", "#15291A", "#3D6B45"),
    "join": Paint("#1B1F24", "#1B1F24", "#C9D1D9", "#C9D1D9"),
    "more": Paint("#F6F8FA", "#79828D", "#161B22", "#6E7681"),
    "highway": Paint("#FFE9A3", "#FFE9A3", "#4A3C10", "#4A3C10"),
    "highlight": Paint("#FFFFFF", "#D1242F", "#0D1117", "#FF7B72"),
    "badge": Paint("#FFFFFF", "#57606A", "#0D1117", "#8B949E"),
    "warning": Paint("#FFFFFF", "#B23A00", "#0D1117", "#FF9B6B"),
    "kept": Paint("#F3F5F7", "#7D8791", "#1C2128", "#768390"),
    "added": Paint("#CFE6F8", "#00568F", "#0F3350", "#6CB8EE"),
    "removed": Paint("#FFEBD6", "#B84A00", "#46280F", "#F39A55"),
}
GATES = {"f": ORANGE, "r": ORANGE, "i": BLUE, "z": BLUE, "g": GREEN, "n": GREEN, "o": PINK}
SPARE = (SAND, SLATE, ORANGE, BLUE, GREEN, PINK, VIOLET, LEAF, GOLD, INDIGO, ROSE, BRICK)

GATE_WORDS = {
    "f": "forget",
    "i": "input",
    "g": "candidate",
    "o": "output",
    "r": "reset",
    "z": "update",
    "n": "candidate",
}
"""What the letters mean in the cells of the registry; a legend shows them beside the letter."""

GRADIENT = (
    ("#C6CCD4", 0.8, "#3A424C"), ("#C3B79E", 1.0, "#544D42"), ("#CFA25F", 1.3, "#75603C"),
    ("#D98B2B", 1.7, "#9C7A38"), ("#C9661C", 2.2, "#C4933A"), ("#AC4117", 2.8, "#E5AC45"),
    ("#86220F", 3.5, "#F7CB72"), ("#5C0A0A", 4.3, "#FFEBB8"),
)  # fmt: skip
"""Colour, width in points and dark-mode colour of the eight classes of gradient norm, weakest first."""

LINES = {
    "plain": (GREY, "#8B949E"),
    "rail": ("#B36200", "#E3B341"),
    "path": ("#D1242F", "#FF7B72"),
    "cut": ("#79828D", "#8B949E"),
    "bad": ("#BF3989", "#BF3989"),
    "none": ("#8E98A4", "#667180"),
    "grid": ("#D8DEE4", "#21262D"),
}
"""Colours in light and in dark mode of lines that have none by the norm of their gradient."""

GRID = LINES["grid"][0]
ALARM = ROLES["warning"].stroke
"""What is not finite."""
LIMIT = "#D55E00"
"""Lines drawn over a picture: limits of saturation, horizons."""
HATCH, LOST = ROLES["step"].stroke, "#EEF1F4"
"""Lines and ground of the hatching where there is nothing to show."""
POSITIVE, NEGATIVE = "#542788", "#B35806"
SIGNED, RATES, SHARES, TIME = "PuOr", "RdBu_r", "Blues", "viridis_r"
"""Colour maps of Matplotlib: of what has a sign, in POSITIVE and NEGATIVE; of decay and growth; of shares of a whole;
and of steps one after the other.
"""
NEUTRAL = "#A3ABB5"
"""What belongs to no name: the direct part of a gradient, side branches."""

CURVES = (
    ("#7438A8", "#A45CFF"),
    ("#B88200", "#FFCC33"),
    ("#0F5BD6", "#8CBFFF"),
    ("#993D00", "#BF6326"),
    ("#1F6B49", "#1FE896"),
    ("#E3307F", "#F0207A"),
    ("#2A9BC8", "#1B8ABF"),
    ("#1B1F24", "#E6EDF3"),
)
"""Colours of plotted lines in light and in dark mode."""
VALUES = (
    ("#A283C4", "#5A3A85"),
    ("#BFA5D6", "#46306A"),
    ("#D9C9E8", "#332650"),
    ("#EEE6F5", "#221B36"),
    ("#FFFFFF", "#0D1117"),
    ("#E0F1E2", "#14291C"),
    ("#BCE1C2", "#1B3D28"),
    ("#8CCB9A", "#245637"),
    ("#58AD6E", "#2C6B42"),
)
"""Fill in light and in dark mode of the nine classes of values, most negative first: not in the hues of gradients."""


def value_class(value: float, low: float, high: float) -> int:
    """The class of a value between `low` and `high`."""
    return round((len(VALUES) - 1) * (value - low) / (high - low))


def gradient_bin(norm: float, low: float, high: float) -> int:
    """The class of a positive `norm` on a logarithmic scale from `low` to `high`."""
    if high <= low:
        return 0 if norm < low else len(GRADIENT) - 1
    place = (math.log10(norm) - math.log10(low)) / (math.log10(high) - math.log10(low))
    return min(len(GRADIENT) - 1, max(0, int(place * len(GRADIENT))))


def paint(role: Gate | str, gates: tuple[str, ...] = ()) -> Paint:
    """The colours of a role.

    Gates without a colour of their own, or whose colour another of the `gates` has, take the spare ones in turn.
    """
    return _look(role, gates)[0]


def dashed(role: Gate | str, gates: tuple[str, ...] = ()) -> bool:
    """Whether a role has a dashed border, by which gates are told apart once their colours are used up."""
    return _look(role, gates)[1]


def _look(role: Gate | str, gates: tuple[str, ...]) -> tuple[Paint, bool]:
    if isinstance(role, Gate):
        return _gate_looks(gates).get(role.name) or (GATES.get(role.name, ROLES["shared"]), False)
    return ROLES[role], False


@lru_cache(maxsize=64)
def _gate_looks(gates: tuple[str, ...]) -> dict[str, tuple[Paint, bool]]:
    usual = {gate: (GATES[gate], False) for gate in gates if _is_usual(gate, gates)}
    spare = [look for look in itertools.product((False, True), SPARE) if look[::-1] not in usual.values()]
    others = [gate for gate in gates if gate not in usual]
    return usual | {gate: look[::-1] for gate, look in zip(others, itertools.cycle(spare), strict=False)}


def _is_usual(gate: str, gates: tuple[str, ...]) -> bool:
    """Whether a letter means what it usually does: beside the i of an LSTM, z is no update gate."""
    return gate in GATES and next(other for other in GATES if other in gates and GATES[other] == GATES[gate]) == gate


def gate_label(gate: str, gates: tuple[str, ...]) -> str:
    """What a legend says of a gate: the letter, with its meaning where that is known."""
    known = (
        gate in GATE_WORDS and _is_usual(gate, gates) and not (gate == "z" and "o" in gates)
    )  # there z is the block input
    return f"{GATE_WORDS[gate]} ({gate})" if known else gate
