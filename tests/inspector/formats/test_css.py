"""The classes of an SVG say all that a look says, and its style sheet knows the colours of every part."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import inspector
from inspector.formats.css import class_of_line, class_of_part, class_of_shape, style_sheet
from inspector.picture import theme
from inspector.picture.picture import Curve, Grade, Line, Look
from inspector.steps.items import Gate

GATES = ("f", "i")


@pytest.mark.parametrize(
    ("look", "classes"),
    [
        (Look("hidden"), "hidden"),
        (Look(Gate("i"), "named", 3, True, 2), "gate1 named v3 ill on-g2"),
        (Look(Gate("g"), legend=True), "gate99 legend"),
        (Look("input", "copy", value=0, grade="unreached"), "input copy v0 on-unreached"),
        (Look("value", value=8, legend=True), "value v8 legend"),
        (Look(Curve(2), "hollow"), "curve2 hollow"),
        (Look("removed", "mark"), "removed mark"),
    ],
)
def test_a_shape_has_a_class_for_all_that_its_look_says(look: Look, classes: str) -> None:
    assert class_of_shape(look, GATES) == classes


@pytest.mark.parametrize(
    ("grade", "more", "classes"),
    [
        (0, {}, "g0"),
        ("cut", {"cut": True}, "cut"),
        ("added", {"cut": True}, "added-line cut"),
        ("none", {"use": "ribbon"}, "none ribbon"),
        (Curve(1), {"use": "chart"}, "curve1 chart"),
    ],
)
def test_a_line_has_a_class_for_its_grade_and_its_use(grade: Grade, more: dict[str, object], classes: str) -> None:
    line = Line("a--b", "a", "b", (((0, 0), (1, 0)),), "#000000", 1.0, grade, **more)  # type: ignore[arg-type]
    assert class_of_line(line) == classes


def test_the_sheet_has_a_rule_for_every_part_and_every_class_of_numbers() -> None:
    sheet = style_sheet(GATES)
    looks = [*map(Gate, GATES), *map(Curve, range(len(theme.CURVES)))]
    classes = [*theme.ROLES, *(class_of_part(part, GATES) for part in looks)]
    classes += [f"v{k}" for k in range(len(theme.VALUES))] + [f"g{k}" for k in range(len(theme.GRADIENT))]
    assert [name for name in classes if f" .{name} path" not in sheet] == []


@pytest.mark.parametrize("folder", ["picture", "formats"])
def test_colours_stand_in_the_theme_alone(folder: str) -> None:
    files = (Path(inspector.__file__).parent / folder).glob("*.py")
    found = {file.name: re.findall("#[0-9A-Fa-f]{6}", file.read_text(encoding="utf-8")) for file in files}
    assert [name for name, colours in found.items() if colours and name != "theme.py"] == []
