"""Timesteps side by side, layers above each other, and the states carried from step to step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..layout.columns import ABOVE, BELOW, Fold, Laid, Row, lay_out, seams
from ..layout.order import Spacing
from ..layout.polylines import Path, joined
from ..layout.route import Wire
from ..steps.items import entering
from .canvas import Canvas
from .layers import Layers
from .picture import Part
from .states import Carried, States
from .step import draw_frame, draw_highways, draw_item

__all__ = ["tile"]


def tile(canvas: Canvas, rows: Sequence[Row], part: Part, spacing: Spacing) -> None:
    """Draw the timesteps of all layers.

    Parameters
    ----------
    canvas : Canvas
        Is told where they stand.
    rows : sequence of Row
        From the bottom up.
    part : {"step", "cellbox"}
        What the frames are.
    """
    tiler = _Tiler(canvas, part)
    pairs = list(zip(rows, lay_out(rows, spacing), strict=True))
    for row, laid in [*(p for p in pairs if not p[0].backward), *(p for p in reversed(pairs) if p[0].backward)]:
        tiler.draw_row(row, laid)
    canvas.seams = seams(rows, [laid for _, laid in pairs])
    frames = canvas.picture.frames
    canvas.left = min(frame.left for frame in frames)
    canvas.right = max([*(frame.right for frame in frames), *tiler.states.right])
    canvas.bottom = min(frame.bottom for frame in frames) - BELOW - 17
    canvas.top = max(frame.top for frame in frames) + ABOVE + 17
    canvas.draw_lines()


class _Tiler:
    """Draws layer after layer, each in the order of time."""

    def __init__(self, canvas: Canvas, part: Part) -> None:
        self.canvas, self.part = canvas, part
        self.states, self.layers = States(canvas), Layers(canvas)
        self.ways: dict[int, list[_Way]] = {}

    def draw_row(self, row: Row, laid_steps: Sequence[Laid | float]) -> None:
        """One layer."""
        carried = self.states.start(row, laid_steps)
        columns = range(len(laid_steps))
        for column in reversed(columns) if row.reverse else columns:
            laid, step = laid_steps[column], row.steps[column]
            if isinstance(laid, Laid):
                carried = self._draw_step(row, column, laid, carried)
            else:
                assert isinstance(step, Fold)
                carried = self.states.fold(row, step, laid, carried, laid_steps)
        last = laid_steps[0 if row.reverse else -1]
        if isinstance(last, Laid):
            self.states.end(row, last, carried)

    def _draw_step(self, row: Row, column: int, laid: Laid, carried: Carried) -> Carried:
        """One step; gives back the states on their way out."""
        self.layers.join(row, column, laid)
        frame = draw_frame(self.canvas, laid, "backward" if laid.step.backward else self.part)
        draw_highways(self.canvas, laid)
        for item in laid.step.inside:
            draw_item(self.canvas, laid, item, *laid.at(item.key))
        entered = {**carried, "x": self.layers.enter(row, column, laid)}
        self.layers.frames.setdefault(column, []).append(frame)
        self._draw_links(laid, entered)
        self.layers.leave(laid)
        return self.states.leave(laid, entered)

    def _draw_links(self, laid: Laid, entered: Carried) -> None:
        """The lines to the operands of all items, from other items or from outside the frame."""
        pattern = id(laid.step.kind)
        if pattern not in self.ways:
            self.ways[pattern] = list(_ways(laid))
        inside, left, rails = laid.step.inside, laid.left, laid.rails
        for place, operand, source, target, is_port, rail, way in self.ways[pattern]:
            link = inside[place].links[operand]
            path: Path = tuple([(x + left, y) for x, y in way])
            start = laid.prefix + source
            if is_port:
                start, before = entered[source]
                if not start:
                    continue
                path = joined((*before, *path))
                rail = rail and path[-1][1] == path[0][1]
            self.canvas.line(
                start, laid.prefix + target, path, self.canvas.ink.stroke(link.edge, link.cut, rail), rails=rails
            )


class _Way(NamedTuple):
    """The line to an operand of one of the items inside, in all steps that are alike: the ids, or a state's name,
    behind the prefix of a step; whether it comes by a port; whether it is a rail, or is one if it comes on its height;
    and its corners from the left side of a step.
    """

    item: int
    operand: int
    source: str
    target: str
    is_port: bool
    rail: bool
    path: Path


def _ways(laid: Laid) -> Iterator[_Way]:
    for place, item in enumerate(laid.step.inside):
        target = laid.step.ids[item.key]
        for operand, link in enumerate(item.links):
            source, path = link.source, laid.way(Wire(link.source, item.key, operand))
            if source == entering("x"):
                yield _Way(place, operand, "x", target, True, False, path[1:])
            elif source.is_port:
                yield _Way(place, operand, source.name, target, True, source.name in laid.placement.highways, path)
            else:
                rail = path[0][1] == path[-1][1] and path[0][1] in laid.rails
                yield _Way(place, operand, laid.step.ids[source], target, False, rail, path)
