"""Colours that stay tellable apart for everybody, in light and in dark mode, and text that can be read on them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from inspector.picture import ink, states, theme
from inspector.picture.compose import picture
from inspector.picture.theme import Paint
from inspector.steps.items import Gate

Vector = npt.NDArray[np.float64]

# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency",
# IEEE TVCG 15(6), 2009, severity 1.0; they act on linear RGB.
EYES = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
JND = 2.3
"""A distance in CIELAB that is just noticed (Mahy, Van Eycken and Oosterlinck, 1994)."""

GATES = {
    "f": theme.ORANGE,
    "i": theme.BLUE,
    "g": theme.GREEN,
    "o": theme.PINK,
    "sand": theme.SAND,
    "slate": theme.SLATE,
    "violet": theme.VIOLET,
    "leaf": theme.LEAF,
    "gold": theme.GOLD,
    "indigo": theme.INDIGO,
    "rose": theme.ROSE,
    "brick": theme.BRICK,
}
PARTS = {"fill": 3, "stroke": 4, "dark_fill": 3, "dark_stroke": 4}
"""By how many just noticeable differences two colours have to differ: areas, and thin borders."""
TOGETHER = {
    "operation": ("cell", "input", "hidden", "loss", "shared"),
    "cell": ("layer", "pointwise", "input", "hidden", "loss"),
}
LIGHT, DARK = ("#FFFFFF", "#F6F8FA", "#DCEFDC"), ("#0D1117", "#161B22", "#15291A")
"""The page, the frame of a step, and that of a cell."""


def linear(colour: str) -> Vector:
    """Linear RGB of ``#RRGGBB``."""
    value = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(colour: str, eye: str) -> Vector:
    """CIELAB under D65 of what an eye sees."""
    xyz = XYZ @ np.clip(EYES[eye] @ linear(colour), 0, 1) / XYZ.sum(axis=1)
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def difference(a: str, b: str, eye: str) -> float:
    """Distance in CIELAB (CIE 1976)."""
    return float(np.linalg.norm(lab(a, eye) - lab(b, eye)))


def contrast(a: str, b: str) -> float:
    """The contrast ratio of WCAG 2."""
    dark, light = sorted(float(XYZ[1] @ linear(colour)) for colour in (a, b))
    return (light + 0.05) / (dark + 0.05)


def test_the_measures_are_those_of_the_literature() -> None:
    assert contrast("#FFFFFF", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)
    assert lab("#FF0000", "all cones") == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    assert difference("#FF0000", "#7A6A00", "protanopia") < difference("#FF0000", "#7A6A00", "all cones") / 2
    for matrix in EYES.values():
        assert matrix.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5), "greys stay grey"


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("eye", EYES)
def test_gates_are_told_apart(eye: str, part: str) -> None:
    for a, b in itertools.combinations(GATES, 2):
        assert difference(getattr(GATES[a], part), getattr(GATES[b], part), eye) >= PARTS[part] * JND, (a, b)


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("eye", EYES)
def test_curves_are_told_apart_and_stand_out(eye: str, mode: int) -> None:
    colours = [entry[mode] for entry in theme.CURVES]
    assert len(colours) >= 8
    for a, b in itertools.combinations(colours, 2):
        assert difference(a, b, eye) >= 6 * JND, (a, b)
    assert all(contrast(colour, (LIGHT, DARK)[mode][0]) >= 3 for colour in colours)


@pytest.mark.parametrize("level", TOGETHER)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("eye", EYES)
def test_roles_that_stand_together_are_told_apart(eye: str, part: str, level: str) -> None:
    for a, b in itertools.combinations(TOGETHER[level], 2):
        assert difference(getattr(theme.ROLES[a], part), getattr(theme.ROLES[b], part), eye) >= PARTS[part] * JND, (
            a,
            b,
        )


@pytest.mark.parametrize("mode", [0, 2])
@pytest.mark.parametrize("eye", EYES)
def test_the_classes_of_gradient_norm_are_told_apart_and_get_steadily_stronger(eye: str, mode: int) -> None:
    colours = [str(entry[mode]) for entry in theme.GRADIENT]
    lightness = [lab(colour, eye)[0] for colour in colours]
    steps = np.diff(lightness)
    assert (steps < -3).all() if mode == 0 else (steps > 3).all(), "darker on a light page, lighter on a dark one"
    for a, b in itertools.pairwise(colours):
        assert difference(a, b, eye) >= 4 * JND
    widths = [entry[1] for entry in theme.GRADIENT]
    assert widths == sorted(set(widths))


def paints() -> dict[str, Paint]:
    return {**theme.ROLES, **GATES}


@pytest.mark.parametrize("role", [role for role in paints() if role != "join"])  # a dot without a label
def test_text_can_be_read_on_every_fill(role: str) -> None:
    assert contrast(paints()[role].fill, theme.INK) >= 4.5
    assert contrast(paints()[role].dark_fill, "#E6EDF3") >= 4.5


@pytest.mark.parametrize(
    "role", [role for role in paints() if role not in ("step", "cellbox", "backward", "highway")]
)  # frames have a fill and a label
def test_borders_stand_out_from_what_lies_behind(role: str) -> None:
    behind = slice(0, 1) if role == "more" else slice(None)
    for part, grounds in (("stroke", LIGHT), ("dark_stroke", DARK)):
        assert all(contrast(getattr(paints()[role], part), ground) >= 3 for ground in grounds[behind])


def test_lines_without_a_gradient_stand_out_and_the_upper_half_of_the_scale_does() -> None:
    plain = [
        ink.Ink(None, []).stroke(None, cut, rail).colour for cut, rail in ((False, False), (False, True), (True, False))
    ]
    strong = [str(colour) for colour, _, _ in theme.GRADIENT[4:]]
    assert all(contrast(colour, ground) >= 3 for colour in [*plain, *strong, states._LOOSE.colour] for ground in LIGHT)
    assert all(contrast(str(dark), ground) >= 3 for _, _, dark in theme.GRADIENT[4:] for ground in DARK)
    assert (
        contrast(str(theme.GRADIENT[0][0]), "#FFFFFF") >= 1.5 and contrast(str(theme.GRADIENT[0][2]), "#0D1117") >= 1.5
    )


@pytest.mark.parametrize(
    "gates",
    [("z", "i", "f", "o"), ("f", "r"), ("a", "b", "f", "i"), tuple("fiabcd"), tuple("nrzifgo"), tuple("ifgonrzabcde")],
)
def test_gates_of_one_picture_have_colours_of_their_own(gates: tuple[str, ...]) -> None:
    assert set(theme.SPARE) == set(GATES.values())
    assert len({theme.paint(Gate(gate), gates) for gate in gates}) == len(gates)
    assert not any(theme.dashed(Gate(gate), gates) for gate in gates)


@given(gates=st.lists(st.sampled_from("ifgorznabcdehjklmpqstuvwxy"), unique=True).map(tuple))
def test_more_gates_than_colours_are_told_apart_by_their_borders(gates: tuple[str, ...]) -> None:
    looks = {(theme.paint(Gate(gate), gates), theme.dashed(Gate(gate), gates)) for gate in gates}
    assert len(looks) == min(len(gates), 24)
    assert any(is_dashed for _, is_dashed in looks) == (len(gates) > 12)


class Many(tg.Cell):
    """As many gates as one likes."""

    count = 26

    def step(self, x: Any, state: Any) -> Any:
        h = state.h
        for k in range(self.count):
            h = tg.named(**{f"q{k}": tg.sigmoid(h * x)}) * h
        return (h,)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "level"), [("stack", "operation"), ("stack", "gate"), ("many", "gate")])
def test_the_legend_tells_no_two_gates_apart_that_look_alike(name: str, level: str) -> None:
    stack = tg.Stacked(tg.cells.LSTMCell(2, 2, seed=0), tg.cells.GRUCell(2, 2, seed=1))
    drawing = picture(tg.unroll(stack if name == "stack" else Many(2, 2), np.ones((1, 1, 2))), level=level)
    chips = [s for s in drawing.shapes if isinstance(s.look.part, Gate) and s.look.legend]
    looks = [(chip.paint, chip.dashed) for chip in chips]
    assert len(set(looks)) == len(looks) == (7 if name == "stack" else 24)
    told = {gate: look for chip, look in zip(chips, looks, strict=True) for gate in chip.label.split(", ")}
    assert len(told) == len(drawing.gates)
    if name == "many":
        assert told["q0"] == told["q24"] and told["q0"] != told["q12"] and told["q0"][0] == told["q12"][0]
        shown = {s.id: s for s in drawing.shapes if s.id.startswith("t0.q")}
        assert all(told[own.split(".")[1]][1] == s.dashed for own, s in shown.items() if isinstance(s.look.part, Gate))


def test_a_letter_whose_place_another_has_is_not_explained() -> None:
    assert theme.gate_label("z", ("z", "r", "n")) == "update (z)"
    assert theme.gate_label("z", ("z", "i", "f", "o")) == "z", "the block input of an LSTM and no update gate"
