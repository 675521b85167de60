"""What goes from step to step: the states, from the initial ones through the steps and past folds to the last."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from tinygrad_rnn import Node

from ..layout.columns import GAP, Fold, Laid, Row, fold_width
from ..layout.polylines import Path, joined
from ..layout.route import Wire
from ..steps.items import Key, Link, Step, layer_prefix, leaving, safe
from ..text import label_width, number, oval_width, shortened, subscript
from . import theme
from .canvas import Canvas
from .ink import Stroke
from .picture import Grade, Line, Look, Shape

__all__ = ["Carried", "States"]

Carried: TypeAlias = dict[str, tuple[str, Path]]
"""By state: the shape that its line comes from, and the way of the line so far."""

_INITIAL, _PASSING = 110.0, 60.0
"""Points of the names of an initial state and of what passes on."""
_PIECES = 200
"""Of how many pieces a ribbon is at most."""
_LOOSE = Stroke(theme.LINES["cut"][0], 1.0, "loose", "", True, -1.0)


class States:
    """Draws the states of the steps of one layer after the other.

    Attributes
    ----------
    right : list of float
        The right ends of the initial states and their gradients.
    """

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.right: list[float] = []

    def start(self, row: Row, laid_steps: Sequence[Laid | float]) -> Carried:
        """Where the states come from before the first step that is shown."""
        shown = [laid for laid in laid_steps if isinstance(laid, Laid)]
        first = shown[-1 if row.reverse else 0]
        outermost = row.steps[-1 if row.reverse else 0]
        names = dict(row.first)
        carried: Carried = {}
        for state, _ in first.step.states:
            x, y = first.port(-GAP if state in names else -GAP / 2, first.placement.rails[state])
            if isinstance(outermost, Fold):
                x += (fold_width(outermost.steps) + GAP) * (1 if row.reverse else -1)
            if state in names:
                carried[state] = self._initial_value(first, state, names[state], x, y, row.reverse)
            else:
                before = f"{first.prefix}{safe(state)}.before"
                self.canvas.anchor(before, x, y)
                carried[state] = (before, ((x, y),))
        return carried

    def _initial_value(
        self, first: Laid, state: str, node: Node, x: float, y: float, reverse: bool
    ) -> tuple[str, Path]:
        """An initial state in front of the first step."""
        label = shortened(node.name or "init", _INITIAL)
        width = oval_width(label, 11, 20)
        middle = x + (width / 2 - 10) * (1 if reverse else -1)
        shape_id = f"{first.prefix}{safe(state)}.initial"
        self.canvas.value(node, shape_id, "ellipse", (middle, y), (width, 20), label, "value", 1.2)
        self.right.append(middle + width / 2)
        self.canvas.shown[node.index] = (shape_id, middle, y)
        return shape_id, ((middle + (-width / 2 if reverse else width / 2), y),)

    # -------------------------------------------------------------------------------------- past folds

    def fold(self, row: Row, fold: Fold, left: float, carried: Carried, laid_steps: Sequence[Laid | float]) -> Carried:
        """A box for the steps that are not shown, in the widest gap between the states that pass by, coloured step
        for step.
        """
        beside = next(laid for laid in laid_steps if isinstance(laid, Laid))
        count, first, width = len(fold.steps), fold.steps[0], fold_width(fold.steps)
        heights = {
            beside.bottom,
            beside.bottom + beside.placement.height,
            *(path[-1][1] for _, path in carried.values()),
        }
        low, high = max(itertools.pairwise(sorted(heights)), key=lambda pair: pair[1] - pair[0])
        prefix = beside.prefix if beside.step.backward else layer_prefix(beside.step.layer)
        box, label = f"{prefix}t{first}-t{fold.steps[-1]}", f"× {count}, same parameters"
        self.canvas.picture.shapes.append(
            Shape(
                box,
                "box",
                left + width / 2,
                (low + high) / 2,
                label_width(label, 12) + 16,
                min(34.0, high - low - 12),
                label,
                theme.paint("more"),
                Look("more"),
                tooltip=f"timesteps {first} to {fold.steps[-1]}, {count} of them, are not shown;"
                " they use the same parameters",
                font_size=12,
                dashed=True,
            )
        )
        unit = (width - 20) / count
        self.canvas.columns.update((t, left + 10 + unit * (k + 0.5)) for k, t in enumerate(fold.steps))
        passed: Carried = {}
        for state, (source, path) in carried.items():
            y = path[-1][1]
            end = left + (-GAP / 2 if row.reverse else width + GAP / 2)
            anchor = f"{box}.{safe(state)}"
            self.canvas.anchor(anchor, end, y)
            ink = self.canvas.ink
            stroke = ink.stroke(None, rail=ink.norms is None and state in beside.placement.highways)
            stroke = stroke._replace(grade="fold", tooltip="", dashed=True, rank=0.5)
            self.canvas.line(source, anchor, joined((*path, (end, y))), stroke, arrow=False)
            self._ribbon(fold, state, anchor, y, unit / 2)
            passed[state] = (anchor, ((end, y),))
            last = fold.steps[0 if row.reverse else -1]
            self.canvas.passing.append((end, y, _passing(beside.step, state, last)))
        return passed

    def _ribbon(self, fold: Fold, state: str, anchor: str, y: float, half: float) -> None:
        """The state's line through a fold, in the colour of its gradient at every step; alike neighbours in one
        piece.

        In a long fold some steps share a piece, in the colour of the strongest of them; it is dashed where others of
        them have no gradient.
        """
        ink, columns = self.canvas.ink, self.canvas.columns
        if ink.norms is None:
            return
        strokes = [(t, ink.stroke((fold.run.states[t]._asdict()[state].id, -1))) for t in fold.steps]
        together = math.ceil(len(strokes) / _PIECES)
        pieces = [strokes[k : k + together] for k in range(0, len(strokes), together)]
        for (grade, colour, dashed), alike in itertools.groupby(pieces, key=_look_of):
            steps = list(itertools.chain.from_iterable(alike))
            first, last = steps[0][0], steps[-1][0]
            ends = (columns[first] - half, y), (columns[last] + half, y)
            tooltip = _words_of(state, steps, together)
            start, end = f"{anchor}.t{first}", f"{anchor}.t{first}.end"
            self.canvas.anchor(start, *ends[0])
            self.canvas.anchor(end, *ends[1])
            self.canvas.ribbon(
                Line(f"{start}.ribbon", start, end, (ends,), colour, 8.0, grade, tooltip, False, dashed, use="ribbon")
            )

    # ---------------------------------------------------------------------------------- out of a step

    def leave(self, laid: Laid, entered: Carried) -> Carried:
        """The states on their way out of the frame, for the next step to go on with."""
        carried: Carried = {}
        for state, key in laid.step.states:
            path = laid.wire(Wire(key, leaving(state), 0))
            if key.is_port:
                source, before = entered[key.name]
                carried[state] = (source, (*before, *path))
            else:
                carried[state] = (laid.ids[key], path)
            end = laid.port(laid.placement.width + GAP / 2, laid.placement.rails[state])
            self.canvas.passing.append((*end, _passing(laid.step, state, laid.step.timestep)))
            self._name(laid, state, key)
        return carried

    def _name(self, laid: Laid, state: str, key: Key) -> None:
        """A state's name above its line, where the shape that the line comes from does not say it."""
        label = _passing(laid.step, state, laid.step.timestep)
        if key in laid.placement.at and str(laid.step.by_key[key].label) == label:
            return
        room = GAP - 4
        size = 12.0 if label_width(label, 12) <= room else 11.0
        label = shortened(label, room, size)
        width = label_width(label, size)
        aside = min(GAP / 2 - 4 + width / 2, room) - width / 2
        x, y = laid.port(laid.placement.width + aside, laid.placement.rails[state] + 11)
        shape_id = f"{laid.prefix}{safe(state)}.label"
        self.canvas.picture.shapes.append(
            Shape(shape_id, "text", x, y, width + 4, 14, label, None, Look("label"), font_size=size)
        )

    def end(self, row: Row, laid: Laid, carried: Carried) -> None:
        """After the last step nobody reads the states: dashed stubs, unless the drawing goes on.

        A reverse sweep ends at the initial state.
        """
        ends = {state: (label, link) for state, label, link in row.last}
        for state, (source, path) in carried.items():
            if state in ends:
                self._last_gradient(row, laid, state, source, path, *ends[state])
                continue
            end = laid.port(laid.placement.width + 22, 0.0)[0], path[-1][1]
            after = f"{laid.prefix}{safe(state)}.after"
            self.canvas.anchor(after, *end)
            self.canvas.line(source, after, joined((*path, end)), _LOOSE, arrow=False, rails=laid.rails)

    def _last_gradient(self, row: Row, laid: Laid, state: str, source: str, path: Path, label: str, link: Link) -> None:
        """The gradient by an initial state, behind the step that reads it."""
        width = label_width(label, 10) + 14
        x, y = laid.port(laid.placement.width + GAP + width / 2 - 10, 0.0)[0], path[-1][1]
        shape_id = f"{laid.prefix}{safe(state)}.initial"
        stroke = self.canvas.ink.stroke(link.edge)
        paint, look = theme.paint("value")._replace(stroke=stroke.colour), Look("value", grade=stroke.grade)
        says, border = stroke.tooltip, max(1.0, 0.8 * stroke.width)
        self.canvas.picture.shapes.append(
            Shape(shape_id, "ellipse", x, y, width, 18, label, paint, look, tooltip=says, font_size=10, border=border)
        )
        self.right.append(x + width / 2)
        side = width / 2 * (1 if row.reverse else -1)
        self.canvas.line(source, shape_id, joined((*path, (x + side, y))), stroke, rails=laid.rails)


def _passing(step: Step, state: str, timestep: int) -> str:
    """What passes on from that timestep to the next column."""
    return ("δ" if step.backward else "") + shortened(state, _PASSING) + subscript(timestep)


def _look_of(piece: Sequence[tuple[int, Stroke]]) -> tuple[Grade, str, bool]:
    """Grade and colour of the strongest step of a piece of a ribbon, and whether others have no gradient."""
    strongest = max((stroke for _, stroke in piece), key=lambda stroke: stroke.rank)
    return strongest.grade, strongest.colour, strongest.rank > 0 and any(stroke.rank == 0 for _, stroke in piece)


def _words_of(state: str, steps: Sequence[tuple[int, Stroke]], together: int) -> str:
    """What a piece of a ribbon says: the gradient at its ends or, where steps share a colour, the range of all."""
    (first, one), (last, other) = steps[0], steps[-1]
    if together == 1:
        ends = [f"{state}, t = {first}: {one.tooltip}", f"{state}, t = {last}: {other.tooltip}"]
        return "\n".join(ends if last > first else ends[:1])
    norms = [stroke.norm for _, stroke in steps if isinstance(stroke.grade, int) and stroke.norm is not None]
    kinds = Counter(stroke.tooltip for _, stroke in steps if not isinstance(stroke.grade, int))
    words = [f"{state}, t = {first} to {last}, in the colour of the strongest of every {together} steps"]
    if norms:
        words.append(f"gradient norm {number(min(norms))} … {number(max(norms))}")
    words += [
        f"at {f'{count} of' if count < len(steps) else 'all'} {len(steps)} steps: {says}"
        for says, count in kinds.items()
    ]
    return "\n".join(words)
