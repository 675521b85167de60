r"""A picture as TikZ, for LaTeX: a file that compiles as it is, and that a paper can ``\input``.

It is meant to be edited: colours and styles have names and are set once, at the top, and each shape and
each line stands on a line of its own.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence

from ..picture import theme
from ..picture.picture import Band, Frame, Grade, Line, Look, Picture, Shape
from ..picture.strokes import ARROW, ROUND, arrow_size, curves, frame_label
from ..steps.items import Gate
from ..text import visible
from . import Fit
from .css import class_of_grade, class_of_part
from .latex_labels import tex

__all__ = ["write_tex"]

_WIDEST = 16_000.0
"""TeX holds no length beyond 16,384 of its points."""

_HEAD = r"""% {title}
%
% pdflatex compiles this file as it is. In a paper, put into the preamble
%   \usepackage{{standalone, tikz, {needs}fix-cm}}  (fix-cm for Computer Modern only, which has few sizes without)
%   \usetikzlibrary{{arrows.meta, shapes.geometric}}
% and then, where the drawing goes (say that this file is called lstm.tex),
%   \resizebox{{\linewidth}}{{!}}{{\input{{lstm}}}}
% Labels take the paper's fonts. Lengths are in points, y grows upwards.
\documentclass[tikz, border=10bp]{{standalone}}
\usepackage{{fix-cm}}{packages}
\usetikzlibrary{{arrows.meta, shapes.geometric}}
\begin{{document}}
\begin{{tikzpicture}}[x=1bp, y=1bp]"""

_STYLES = r"""\tikzset{
  every node/.style={inner sep=0pt, outer sep=0pt, line width=1.2bp, text=ink, text size=11, text depth=0pt,
    execute at begin node=\hbox to 0pt\bgroup\hss, execute at end node=\hss\egroup},
  text size/.style={font=\fontsize{#1bp}{#1bp}\selectfont, text height=0.68*#1bp},
  box/.style={rectangle, rounded corners=#1bp}, size/.style 2 args={minimum width=#1bp, minimum height=#2bp},
  from here/.style={execute at begin node=\hbox to 0pt\bgroup, execute at end node=\hss\egroup},
  head/.style={-{Triangle[length=#1bp, width=0.8*#1bp]}}, dashes/.style={dash pattern=on 5bp off 2bp},"""


def write_tex(picture: Picture, fit: Fit = None) -> str:
    """The picture as a LaTeX file; tooltips are left out, and the paper says how wide it is.

    Raises
    ------
    ValueError
        If it is wider or higher than TeX can hold.
    """
    if any(abs(at) > _WIDEST for part in picture.frames for at in (part.left, part.right, part.bottom, part.top)):
        raise ValueError(
            f"TeX holds nothing wider than {_WIDEST:,.0f} points; draw fewer timesteps (steps=slice(0, 10)) "
            'or less detail (level="cell")'
        )
    palette = _Palette(picture.gates)
    body = [*_section("frames", (_frame(frame, palette) for frame in picture.frames))]
    body += _section("highways", (_band(band, palette) for band in picture.bands)) if picture.bands else []
    bent = zip(picture.lines, curves(picture.lines), strict=True)
    body += _section("lines", (_line(line, pieces, palette) for line, pieces in bent))
    shapes = {shape.id: shape for shape in picture.shapes}
    for frame in picture.frames:
        body += _section(frame.label, (_shape(shapes.pop(key), palette) for key in frame.members))
    body += _section("around the steps", (_shape(shape, palette) for shape in shapes.values()))
    colours = [f"\\definecolor{{{name}}}{{HTML}}{{{value}}}" for value, name in palette.colours.items()]
    styles = [f"  {name}/.style={{{options}}}," for options, name in palette.styles.items()]
    formulas = any(shape.latex for shape in picture.shapes)
    head = _HEAD.format(
        title=_comment(picture.title),
        needs="amsmath, " if formulas else "",
        packages="\n\\usepackage{amsmath}" if formulas else "",
    )
    return "\n".join([head, *colours, _STYLES, *styles, "}", *body, r"\end{tikzpicture}", r"\end{document}", ""])


class _Palette:
    """Colours and styles under readable names, in the order in which they are first used."""

    def __init__(self, gates: tuple[str, ...]) -> None:
        self.gates = gates
        self.colours: dict[str, str] = {}
        self.styles: dict[str, str] = {}
        for value, name in ((theme.INK, "ink"), (theme.GREY, "grey"), (theme.PAPER, "paper")):
            self.colour(value, name)

    def colour(self, value: str, wish: str) -> str:
        return _named(self.colours, value.removeprefix("#").upper(), wish)

    def style(self, options: str, wish: str) -> str:
        return _named(self.styles, options, wish)

    def shape(self, look: Look, paint: theme.Paint) -> str:
        """The style of shapes of that look and paint."""
        words = self.words(look)
        fill = self.colour(paint.fill, f"{words[0]}-fill")
        edge = self.colour(paint.stroke, f"{words[0]}-line" if look.grade is None else words[-1])
        return self.style(f"fill={fill}, draw={edge}", " ".join([*words, "shape"]))

    def line(self, line: Line) -> str:
        """The style of lines of that grade and colour."""
        word = _grade(line.grade)
        dashes = ", dashes" if line.dashed else ""
        return self.style(f"draw={self.colour(line.colour, word)}, line width={line.width:g}bp{dashes}", f"{word} line")

    def words(self, look: Look) -> list[str]:
        """What a look is called: a gate by its name, and all by what they mean."""
        part = class_of_part(look.part, self.gates)
        if (
            isinstance(look.part, Gate)
            and look.part.name in self.gates
            and re.fullmatch("[A-Za-z0-9]+", look.part.name)
        ):
            part = f"gate-{look.part.name}"
        value = "" if look.value is None else f"v{look.value}"
        grade = "" if look.grade is None else _grade(look.grade)
        return [word for word in (part, look.variant, value, "ill" * look.ill, grade) if word]


def _grade(grade: Grade) -> str:
    if isinstance(grade, int):
        return f"gradient{grade}"
    return "zero" if grade == "none" else class_of_grade(grade)


def _named(names: dict[str, str], key: str, wish: str) -> str:
    """The name of `key`: what it was called before, or `wish`, or `wish` with a number."""
    if key not in names:
        wishes = itertools.chain((wish,), (f"{wish}-{k}" for k in itertools.count(2)))
        names[key] = next(one for one in wishes if one not in names.values())
    return names[key]


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"% {_comment(title)}"
    yield from lines


def _comment(text: str) -> str:
    return visible(text.replace("\n", " "))


def _name(own: str) -> str:
    """An id as a node's name, which may not contain dots, commas, colons and brackets; no two become the same."""
    return re.sub(r"[^A-Za-z0-9_]", lambda hit: "-" if hit[0] == "." else f"*{ord(hit[0]):x}*", own)


def _frame(frame: Frame, palette: _Palette) -> str:
    x, y, _ = frame_label(frame)
    width, height = frame.right - frame.left, frame.top - frame.bottom
    look = f"{_box(width, height)}, {palette.shape(Look(frame.part), frame.paint)}, {_size(width, height)}"
    box = f"\\node[{look}] ({_name(frame.id)}) at {_at(frame.left + width / 2, frame.bottom + height / 2)} {{}};"
    return f"{box} \\node[text=grey] at {_at(x, y)} {{{tex(frame.label)}}};"


def _band(band: Band, palette: _Palette) -> str:
    look = f"{palette.colour(band.paint.fill, f'{class_of_part(band.part)}-fill')}"
    return f"\\fill[{look}] {_at(band.left, band.bottom)} rectangle {_at(band.right, band.top)}; % {_name(band.id)}"


def _shape(shape: Shape, palette: _Palette) -> str:
    left = shape.x - shape.width / 2 if shape.align == "start" else shape.x
    place = f"({_name(shape.id)}) at {_at(left, shape.y)}"
    if shape.kind == "point":
        return f"\\coordinate {place};"
    look = []
    if shape.kind != "text":
        assert shape.paint is not None
        look += [
            _box(shape.width, shape.height) if shape.kind == "box" else shape.kind,
            palette.shape(shape.look, shape.paint),
        ]
        look += [f"line width={shape.border:g}bp"] if shape.border != 1.2 else []
        look += ["dashes"] if shape.has_dashes else []
    elif shape.paint is not None:
        look += [f"text={palette.colour(shape.paint.stroke, palette.words(shape.look)[-1])}"]
    look += ["from here"] if shape.align == "start" else [_size(shape.width, shape.height)]
    look += [f"text size={shape.font_size:g}"] if shape.font_size != 11 else []
    label = f"${shape.latex}$" if shape.latex else tex(shape.label)
    return f"\\node[{', '.join(look)}] {place} {{{label}}};"


def _line(line: Line, pieces: Sequence[Sequence[tuple[float, float]]], palette: _Palette) -> str:
    size = ARROW * arrow_size(line) if line.arrow else 0.0
    paths = [_path(piece, path[-1]) for piece, path in zip(pieces, line.pieces, strict=True)]
    look = palette.line(line) + (f", head={size:.3g}" if size > 0.5 else "")
    label = f" \\node at {_at(*line.label_at)} {{{tex(line.label)}}};" if line.label and line.label_at else ""
    return f"\\draw[{look}] {' '.join(paths)};{label} % {_name(line.source)} to {_name(line.target)}"


def _path(points: Sequence[tuple[float, float]], tip: tuple[float, float]) -> str:
    """A curve of 3n + 1 points, with lines where it is straight; the last of them goes on to the arrowhead's `tip`."""
    path = [_at(*points[0])]
    for start, a, b, end in zip(points[:-4:3], points[1:-3:3], points[2:-3:3], points[3:-1:3], strict=True):
        if math.dist(a, b) + math.dist(b, end) > math.dist(a, end) + 0.01:
            path.append(f".. controls {_at(*a)} and {_at(*b)} .. {_at(*end)}")
        elif math.dist(start, end) > 0.01:
            path.append(f"-- {_at(*end)}")
    return " ".join([*path, f"-- {_at(*tip)}"])


def _box(width: float, height: float) -> str:
    return f"box={_number(min(ROUND, width / 3, height / 3))}"


def _size(width: float, height: float) -> str:
    return f"size={{{_number(width)}}}{{{_number(height)}}}"


def _at(x: float, y: float) -> str:
    return f"({_number(x)},{_number(y)})"


def _number(value: float) -> str:
    """Hundredths of a point, without what is not needed."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")
