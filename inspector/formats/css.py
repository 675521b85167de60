"""The classes of an SVG and the style sheet that goes with them."""

from __future__ import annotations

from functools import lru_cache

from ..picture import theme
from ..picture.picture import Curve, Grade, Line, Look, Part
from ..steps.items import Gate

__all__ = ["class_of_grade", "class_of_line", "class_of_part", "class_of_shape", "style_sheet"]

_CHANGES = ("kept", "added", "removed")


@lru_cache(maxsize=1024)
def class_of_shape(look: Look, gates: tuple[str, ...]) -> str:
    """The classes of a shape, in a picture of those gates."""
    words = [class_of_part(look.part, gates), look.variant]
    words.append("" if look.value is None else f"v{look.value}")
    words.append("ill" if look.ill else "")
    words.append("" if look.grade is None else f"on-{class_of_grade(look.grade)}")
    words.append("legend" if look.legend else "")
    return " ".join(filter(None, words))


def class_of_line(line: Line) -> str:
    """The classes of a line."""
    return _words_of_line(line.grade, line.cut, line.use)


@lru_cache(maxsize=1024)
def _words_of_line(grade: Grade, cut: bool, use: str) -> str:
    return " ".join(filter(None, [class_of_grade(grade), "cut" if cut and grade != "cut" else "", use]))


def class_of_part(part: Part | Curve, gates: tuple[str, ...] = ()) -> str:
    """The class of a frame, a band, or what a shape is."""
    if isinstance(part, Gate):
        return f"gate{gates.index(part.name) if part.name in gates else 99}"
    return f"curve{part.place}" if isinstance(part, Curve) else part


def class_of_grade(grade: Grade) -> str:
    """The class of a line by what its look says."""
    if isinstance(grade, int):
        return f"g{grade}"
    if isinstance(grade, Curve):
        return f"curve{grade.place}"
    return f"{grade}-line" if grade in _CHANGES else grade


def style_sheet(gates: tuple[str, ...]) -> str:
    """The CSS that an SVG carries: dark mode, and what happens under the pointer."""
    grey, rail, path, none, grid = (theme.LINES[grade][1] for grade in ("plain", "rail", "path", "none", "grid"))
    rules = [
        ":root{color-scheme:light dark}",
        ".node:hover path,.node:hover ellipse,.node:hover polygon{stroke-width:3px}",
        ".edge:hover path{stroke-width:6px}",
        ".node:target path,.node:target ellipse,.node:target polygon"
        f"{{stroke:{theme.LINES['path'][0]};stroke-width:4px}}",
        ".node text{pointer-events:none}",
        "@media (prefers-color-scheme:dark){",
        f" .graph>polygon,.graph>g>a>polygon{{fill:{theme.DARK_PAPER}}}",
        f" text{{fill:{theme.DARK_INK}}}",
        f" .plain path,.cut path,.loose path,.fold path{{stroke:{grey}}}",
        f" .plain polygon,.cut polygon{{fill:{grey};stroke:{grey}}}",
        f" .none path,.unreached path{{stroke:{none}}} .none polygon,.unreached polygon{{fill:{none};stroke:{none}}}",
        f" .rail path{{stroke:{rail}}} .rail polygon{{fill:{rail};stroke:{rail}}} .rail text{{fill:{rail}}}",
        f" .path path{{stroke:{path}}} .path polygon{{fill:{path};stroke:{path}}}",
    ]
    rules += [_dark(role, one) for role, one in theme.ROLES.items()]
    rules += [_dark(f"gate{k}", theme.paint(Gate(gate), gates)) for k, gate in enumerate(gates)]
    for change in _CHANGES:
        dark = theme.ROLES[change].dark_stroke
        rules.append(f" .{change}-line path{{stroke:{dark}}} .{change}-line polygon{{fill:{dark};stroke:{dark}}}")
    rules += [f" .named path,.named ellipse{{fill:{theme.DARK_PAPER}}}"]
    rules += [f" {_shapes(f'.v{k}')}{{fill:{dark}}}" for k, (_, dark) in enumerate(theme.VALUES)]
    rules += [
        f" .curve{k} path{{stroke:{dark}}} .mark.curve{k} ellipse{{fill:{dark};stroke:{dark}}} .hollow.curve{k}"
        f" ellipse{{fill:{theme.DARK_PAPER};stroke:{dark}}}"
        for k, (_, dark) in enumerate(theme.CURVES)
    ]
    rules += [f" .grid path{{stroke:{grid}}}"]
    rules += [f" {_shapes('.on-path')}{{stroke:{path}}}"]
    rules += [f" {_shapes('.on-none')},{_shapes('.on-unreached')}{{stroke:{none}}}"]
    rules += [f" {_shapes(f'.on-g{k}')}{{stroke:{dark}}}" for k, (_, _, dark) in enumerate(theme.GRADIENT)]
    rules += [
        f" .g{k} path{{stroke:{dark}}} .g{k} polygon{{fill:{dark};stroke:{dark}}}"
        for k, (_, _, dark) in enumerate(theme.GRADIENT)
    ]
    return "\n".join([*rules, "}"])


def _dark(css: str, one: theme.Paint) -> str:
    return f" {_shapes('.' + css)}{{fill:{one.dark_fill};stroke:{one.dark_stroke}}}"


def _shapes(selector: str) -> str:
    return ",".join(f"{selector} {shape}" for shape in ("path", "ellipse", "polygon"))
