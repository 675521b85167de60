"""The decay of the gradient below the steps: one time axis for the drawing and the plot.

Where steps are folded away, the plot has an even axis of its own, as a straight decay would look like a cliff
otherwise, and a line leads from each step that is drawn to its place there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from ..steps.items import safe
from ..text import label_width, number, superscript
from . import theme
from .canvas import Canvas
from .curve_styles import Style, styles
from .picture import Band, Curve, Grade, Line, Look, Shape

__all__ = ["add_chart"]

_HEIGHT, _MARK, _BADGE, _TICKS = 190.0, 7.0, 13.0, 7
_LEADERS, _PITCH, _TICK = 58.0, 52.0, 36.0
"""Points from the ends of leaders to the axis that they lead to, at least from tick to tick, and for a power of ten."""
_AXIS, _GRID = theme.LINES["plain"][0], theme.LINES["grid"][0]
_COLUMNS, _PIECES = 300, 200
"""Parts of a folded axis, of each of which a curve has the lowest and the highest step; and straight pieces of one
line, as Graphviz reads no more than 16,384 characters of it.
"""
Points = list[tuple[int, float, float]]


def add_chart(
    canvas: Canvas, curves: Mapping[str, Sequence[float]], words: Mapping[str, str], title: str, in_rows: bool = False
) -> None:
    """Plot norms on a logarithmic scale so that timestep t stands exactly under step t, or where a line from there
    leads.

    Parameters
    ----------
    curves : mapping of name to (T,) norms
        Zeros are marked at the lower edge and what is not finite at the upper one.
    words : mapping of name to text
        What the key says beside each name.
    in_rows : bool
        Whether the steps stand in rows, so that the axis is one of its own.
    """
    chart = _Chart(canvas, curves, in_rows)
    chart.scaffold(title)
    chart.key(words)
    for k, (name, norms) in enumerate(curves.items()):
        chart.curve(k, name, norms)
    canvas.bottom = chart.bottom - 34


class _Chart:
    def __init__(self, canvas: Canvas, curves: Mapping[str, Sequence[float]], in_rows: bool) -> None:
        self.canvas, self.picture, self.columns = canvas, canvas.picture, canvas.columns
        self.left, self.right = canvas.left + _TICK * in_rows, self._end(in_rows)
        self.shown = sorted({frame.timestep for frame in self.picture.frames})
        self.folded, self.led = in_rows or len(self.shown) < len(self.columns), not in_rows
        self.unit = (self.right - self.left) / len(self.columns)
        self.at = (
            {t: self.left + self.unit * (k + 0.5) for k, t in enumerate(sorted(self.columns))}
            if self.folded
            else self.columns
        )
        self.top = canvas.bottom - 40 - 20 * len(curves) - _LEADERS * (self.folded and self.led)
        self.bottom = self.top - _HEIGHT
        seen = [math.log10(v) for norms in curves.values() for v in norms if 0 < v < math.inf]
        self.low, self.high = math.floor(min(seen, default=0.0)), math.ceil(max(seen, default=1.0))
        self.high += self.high == self.low
        self.keys = len(curves)
        self.looks = styles(curves)

    def _end(self, in_rows: bool) -> float:
        """The right end of the axis."""
        return self.canvas.right if in_rows else max(frame.right for frame in self.picture.frames)

    def height(self, norm: float) -> float:
        """Where a positive norm stands."""
        return self.bottom + (math.log10(norm) - self.low) / (self.high - self.low) * _HEIGHT

    def scaffold(self, title: str) -> None:
        """Axes, grid lines at powers of ten and at timesteps, and a shade where steps are folded away."""
        self._text("chart.title", title, self.left, self.key_top + 20 * self.keys, 11)
        every = next(n for n in (1, 2, 5, 10, 20, 50, 100) if (self.high - self.low) / n <= _TICKS)
        for power in range(math.ceil(self.low / every) * every, self.high + 1, every):
            y = self.height(10.0**power)
            self._line(f"chart.grid{power}", (self.left, y), (self.right, y), _GRID, 0.8, "grid")
            label = number(10.0**power) if -3 <= power < 4 else "10" + superscript(power)
            self._text(f"chart.tick{power}", label, self.left - label_width(label, 10) - 8, y, 10)
        self._line("chart.axis", (self.left, self.bottom), (self.right, self.bottom), _AXIS, 1.0, "plain")
        for t in self._ticks() if self.folded else self.shown:
            x = self.at[t]
            self._line(f"chart.guide{t}", (x, self.bottom), (x, self.top), _GRID, 0.8, "grid")
            self._centred(f"chart.t{t}", f"t = {t}", x, self.bottom - 13)
        if self.folded and self.led:
            self._leaders()
        for first, last in self._folds():
            half = self.unit / 2
            self.picture.bands.append(
                Band(
                    f"chart.fold{first}",
                    self.at[first] - half,
                    self.bottom,
                    self.at[last] + half,
                    self.top,
                    theme.paint("more"),
                    "more",
                    f"timesteps {first} to {last}",
                )
            )

    @property
    def key_top(self) -> float:
        """Where the lowest line of the key stands."""
        return self.top + 16 + _LEADERS * (self.folded and self.led)

    def _ticks(self) -> list[int]:
        """Timesteps at even distances, inside the fold too."""
        every = next(n * 10**k for k in range(9) for n in (1, 2, 5) if n * 10**k * self.unit >= _PITCH)
        return [t for t in sorted(self.at) if t % every == 0]

    def _leaders(self) -> None:
        """From under each step to its place on the even axis."""
        high = self.top + _LEADERS - 22
        for t in self.shown:
            self._line(f"chart.leader{t}", (self.columns[t], high), (self.at[t], self.top), _AXIS, 0.8, "plain")
            self._centred(f"chart.step{t}", f"t = {t}", self.columns[t], high + 10)

    def _folds(self) -> Iterator[tuple[int, int]]:
        """First and last of each run of timesteps that are not shown."""
        hidden = [t for t in sorted(self.at) if t not in self.shown]
        for _, run in itertools.groupby(enumerate(hidden), key=lambda pair: pair[1] - pair[0]):
            steps = [t for _, t in run]
            yield steps[0], steps[-1]

    def key(self, words: Mapping[str, str]) -> None:
        """A sample of each line, its name, and how fast it decays."""
        for k, (name, says) in enumerate(words.items()):
            y = self.key_top + 20 * (self.keys - 1 - k)
            look = self.looks[name]
            self._line(
                f"chart.key{k}",
                (self.left, y),
                (self.left + 26, y),
                look.colour,
                2.2,
                Curve(look.place),
                look.variant % 2 == 1,
            )
            self._mark(f"chart.key{k}.mark", look, self.left + 13, y, "")
            self._text(f"chart.key{k}.name", f"{name}: {says}", self.left + 34, y, 10)

    def curve(self, k: int, name: str, norms: Sequence[float]) -> None:
        """One line through all timesteps, with a mark at those that are shown."""
        look, own = self.looks[name], f"chart.{safe(name)}"
        points = [(t, self.at[t], norms[t]) for t in sorted(self.at, key=lambda t: self.at[t])]
        for number_, run in enumerate(self._stretches(points)):
            usual = [point for point in run if _usual(point)]
            if len(usual) > 1 or (usual and usual[0][0] not in self.shown):
                self._course(f"{own}.{number_}", look, usual)
        zeros, ill = [p for p in points if p[2] == 0], [p for p in points if p[2] != 0 and not _usual(p)]
        spots = {spot[0][0]: spot for kind in (zeros, ill) for spot in self._spots(kind)}
        for t, x, norm in points:
            if t in spots:
                y, label = (self.bottom + _BADGE * k, "0") if norm == 0 else (self.top - _BADGE * k, "!")
                self._badges(name, look, spots[t], y, label, _of_several(norms, name, spots[t]))
            elif t in self.shown:
                self._mark(f"{own}.t{t}", look, x, self.height(norm), _of_one(norms, name, t))

    def _stretches(self, points: Points) -> Iterator[Points]:
        """What has a line and what has none, in turn: a line breaks where a whole column has nothing to draw."""
        columns = [list(column) for _, column in itertools.groupby(points, key=self._column)]
        for _, run in itertools.groupby(columns, key=lambda column: any(map(_usual, column))):
            yield list(itertools.chain.from_iterable(run))

    def _column(self, point: tuple[int, float, float]) -> int:
        """In which part of the axis a step stands; in a short run each has its own."""
        x = (point[1] - self.left) / (self.right - self.left)
        return int(x * _COLUMNS) if self.folded and len(self.at) > _COLUMNS else point[0]

    def _course(self, own: str, look: Style, points: Points) -> None:
        """A line through the lowest and the highest point of every column, its ends, and the steps that are shown."""
        kept = {points[0], points[-1], *(point for point in points if point[0] in self.shown)}
        for _, column in itertools.groupby(points, key=self._column):
            part = list(column)
            kept |= {min(part, key=lambda p: p[2]), max(part, key=lambda p: p[2])}
        path = [(x, self.height(norm)) for _, x, norm in sorted(kept, key=lambda p: p[1])]
        if len(path) == 1:
            (x, y), half = path[0], max(2.0, self.unit / 2)
            path = [(x - half, y), (x + half, y)]
        pieces = tuple(itertools.pairwise(path))
        for k in range(0, len(pieces), _PIECES):
            part_id = f"{own}.{k}" if k else own
            part_of = pieces[k : k + _PIECES]
            self._path(part_id, part_of, look.colour, 2.0, Curve(look.place), look.variant % 2 == 1)

    def _spots(self, points: Points) -> Iterator[Points]:
        """What one badge or, in a wide stretch, three stand for; steps that are shown have their own."""
        loose: Points = []
        for shown, hidden in itertools.groupby(points, key=lambda p: p[0] in self.shown):
            if shown:
                yield from ([point] for point in hidden)
                continue
            for _, run in itertools.groupby(enumerate(hidden), key=lambda pair: pair[1][0] - pair[0]):
                stretch = [point for _, point in run]
                if self.unit < _BADGE and stretch[-1][1] - stretch[0][1] > 3 * _BADGE:
                    yield stretch
                else:
                    loose += stretch
        while loose:
            close = [point for point in loose if point[1] - loose[0][1] < _BADGE]
            yield close
            loose = loose[len(close) :]

    def _badges(self, name: str, look: Style, spot: Points, y: float, label: str, tooltip: str) -> None:
        """Where a curve is zero or not finite: at the ends and the middle of what is wide, on a thin dashed line."""
        first, middle, last = spot[0], spot[len(spot) // 2], spot[-1]
        own = f"chart.{safe(name)}.t"
        wide = last[1] - first[1] > 3 * _BADGE
        if wide:
            ends = ((first[1], y), (last[1], y))
            self._path(f"{own}{first[0]}-t{last[0]}", (ends,), look.colour, 0.8, Curve(look.place), True, tooltip)
        for t, x, _ in (first, middle, last) if wide else (first,):
            self.picture.shapes.append(
                Shape(
                    f"{own}{t}",
                    "circle",
                    x,
                    y,
                    _BADGE,
                    _BADGE,
                    label,
                    theme.paint("badge")._replace(stroke=look.colour),
                    Look("badge"),
                    tooltip=tooltip,
                    font_size=9,
                    border=0.8,
                )
            )

    # ------------------------------------------------------------------------------------- primitives

    def _centred(self, own: str, label: str, x: float, y: float) -> None:
        self._text(own, label, x - label_width(label, 10) / 2, y, 10)

    def _text(self, own: str, label: str, x: float, y: float, size: float) -> None:
        """Text that begins at x."""
        width = label_width(label, size)
        middle = x + width / 2
        self.picture.shapes.append(
            Shape(own, "text", middle, y, width, size + 6, label, None, Look("chart"), font_size=size, align="start")
        )

    def _mark(self, own: str, look: Style, x: float, y: float, tooltip: str) -> None:
        """Where a curve has a value; with the dash of its line it tells four curves of one colour apart."""
        light, dark = theme.CURVES[look.place]
        hollow = look.variant % 4 > 1
        shown = Look(Curve(look.place), "hollow" if hollow else "mark")
        paint = theme.Paint(theme.PAPER if hollow else light, light, theme.DARK_PAPER if hollow else dark, dark)
        border = 1.6 if hollow else 0.8
        self.picture.shapes.append(
            Shape(own, "circle", x, y, _MARK, _MARK, "", paint, shown, tooltip=tooltip, font_size=9, border=border)
        )

    def _line(
        self,
        own: str,
        a: tuple[float, float],
        b: tuple[float, float],
        colour: str,
        width: float,
        grade: Grade,
        dashed: bool = False,
    ) -> None:
        self._path(own, ((a, b),), colour, width, grade, dashed)

    def _path(
        self,
        own: str,
        pieces: tuple[tuple[tuple[float, float], tuple[float, float]], ...],
        colour: str,
        width: float,
        grade: Grade,
        dashed: bool,
        tooltip: str = "",
    ) -> None:
        start, end = f"{own}.a", f"{own}.b"
        for key, (x, y) in ((start, pieces[0][0]), (end, pieces[-1][1])):
            self.canvas.anchor(key, x, y)
        self.picture.lines.append(
            Line(own, start, end, pieces, colour, width, grade, tooltip, arrow=False, dashed=dashed, use="chart")
        )


def _usual(point: tuple[int, float, float]) -> bool:
    """Whether a logarithmic scale has a place for it."""
    return 0 < point[2] < math.inf


def _of_one(norms: Sequence[float], name: str, t: int) -> str:
    return f"‖∂L/∂{name}‖ at t = {t}: {number(norms[t])}"


def _of_several(norms: Sequence[float], name: str, spot: Points) -> str:
    """What the badge of a spot says: at how many of its steps what is the case."""
    first, last = spot[0][0], spot[-1][0]
    if first == last:
        return _of_one(norms, name, first)
    what = "exactly 0" if spot[0][2] == 0 else " or ".join(sorted({number(norm) for _, _, norm in spot}))
    count, of = len(spot), last - first + 1
    return f"‖∂L/∂{name}‖ from t = {first} to {last}: {what} at {'all' if count == of else f'{count} of'} {of} steps"
