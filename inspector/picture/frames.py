"""Timesteps side by side, layers above each other, and the states carried from step to step."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tinygrad_rnn import Node

from ..layout.columns import ABOVE, BELOW, GAP, Fold, Laid, Row, fold_width, frame_label, lay_out
from ..layout.order import Spacing
from ..layout.polylines import Path, bridged, joined, without_trunk
from ..layout.route import OUTPUT, Wire
from ..steps.items import Gate, Item, Link, entering, layer_prefix, leaving, safe
from ..text import label_width, oval_width, subscript
from . import theme
from .ink import Ink, Stroke
from .outside import up_to
from .picture import Band, Frame, Line, Look, Part, Picture, Shape
from .tiling import Tiling

__all__ = ["tile"]

_LOOSE = Stroke("#79828D", 1.0, "loose", "", True, -1.0)


def tile(
    rows: Sequence[Row], picture: Picture, ink: Ink, part: Part, notes: dict[int, str], spacing: Spacing
) -> Tiling:
    """Add the timesteps of all layers to `picture`.

    Parameters
    ----------
    rows : sequence of Row
        From the bottom up.
    part : {"step", "cellbox"}
        What the frames are.
    notes : dict
        Tooltips by node index.
    """
    return _Tiler(picture, ink, part, notes, spacing).run(rows)


class _Tiler:
    def __init__(self, picture: Picture, ink: Ink, part: Part, notes: dict[int, str], spacing: Spacing) -> None:
        self.picture, self.ink, self.part, self.notes, self.spacing = picture, ink, part, notes, spacing
        self.tiling = Tiling()
        self.stood_for: set[int] = set()
        self.lines: list[tuple[float, Line, tuple[float, ...]]] = []
        self.pairs: Counter[str] = Counter()
        self.gradients: dict[int, tuple[str, float, float, float]] = {}
        self.columns: dict[int, list[Frame]] = {}
        self.given: dict[int, Shape] = {}

    def run(self, rows: Sequence[Row]) -> Tiling:
        laid_rows = lay_out(rows, self.spacing)
        pairs = list(zip(rows, laid_rows, strict=True))
        for row, laid in [*(p for p in pairs if not p[0].backward), *(p for p in reversed(pairs) if p[0].backward)]:
            self._draw_row(row, laid)
        frames = self.picture.frames
        self.tiling.left = min(frame.left for frame in frames)
        ends = [shape.x + shape.width / 2 for shape in self.picture.shapes if shape.id.endswith(".initial")]
        self.tiling.right = max([*(frame.right for frame in frames), *ends])
        self.tiling.bottom = min(frame.bottom for frame in frames) - BELOW - 17
        self.tiling.top = max(frame.top for frame in frames) + ABOVE + 17
        self.picture.lines += self._finished()
        return self.tiling

    def _finished(self) -> list[Line]:
        """The lines, weakest first, each from where it leaves a stronger one of the same source."""
        drawn: dict[str, list[Path]] = {}
        finished = []
        for _, line, rails in sorted(self.lines, key=lambda entry: -entry[0]):
            path = line.pieces[0]
            trunks = drawn.setdefault(line.source, [])
            pieces = bridged(without_trunk(path, trunks), rails)
            finished.append(line if pieces == line.pieces else replace(line, pieces=pieces))
            trunks.append(path)
        return finished[::-1]

    # ------------------------------------------------------------------------------------- one layer

    def _draw_row(self, row: Row, laid: list[Laid | float]) -> None:
        order = list(range(len(laid)))
        carried = self._initial(row, laid)
        for k in reversed(order) if row.reverse else order:
            here = laid[k]
            if not isinstance(here, Laid):
                folded = row.steps[k]
                assert isinstance(folded, Fold)
                carried = self._skip(row, folded, here, carried, laid)
                continue
            carried = self._draw_step(row, k, here, carried)
        last = laid[0 if row.reverse else -1]
        if isinstance(last, Laid):
            self._loose_ends(row, last, carried)

    def _initial(self, row: Row, laid: list[Laid | float]) -> dict[str, tuple[str, Path]]:
        """Where the states come from before the first step that is shown."""
        shown = [here for here in laid if isinstance(here, Laid)]
        first = shown[-1 if row.reverse else 0]
        outermost = row.steps[-1 if row.reverse else 0]
        names = dict(row.first)
        carried: dict[str, tuple[str, Path]] = {}
        for state, _ in first.step.states:
            x, y = first.port(-GAP if state in names else -GAP / 2, first.placement.rails[state])
            if isinstance(outermost, Fold):
                x += (fold_width(outermost.steps) + GAP) * (1 if row.reverse else -1)
            if state in names:
                carried[state] = self._initial_value(first, state, names[state], x, y, row.reverse)
            else:
                own = f"{first.prefix}{safe(state)}.before"
                self._anchor(own, x, y)
                carried[state] = (own, ((x, y),))
        return carried

    def _initial_value(
        self, first: Laid, state: str, node: Node, x: float, y: float, reverse: bool
    ) -> tuple[str, Path]:
        """An initial state in front of the first step."""
        label = node.name or "init"
        width = oval_width(label, 11, 20)
        middle = x + (width / 2 - 10) * (1 if reverse else -1)
        own = f"{first.prefix}{safe(state)}.initial"
        again = node.index in self.tiling.shown
        paint, look, border = self.ink.outline(node, theme.paint("value"), Look("value"), 1.2)
        self.picture.shapes.append(
            Shape(
                own,
                "ellipse",
                middle,
                y,
                width,
                20,
                label,
                paint,
                look,
                self.notes.get(node.index, ""),
                11,
                border,
                again,
                () if again else (node.index,),
            )
        )
        self.tiling.shown[node.index] = (own, middle, y)
        return own, ((middle + (-width / 2 if reverse else width / 2), y),)

    def _skip(
        self, row: Row, fold: Fold, left: float, carried: dict[str, tuple[str, Path]], laid: list[Laid | float]
    ) -> dict[str, tuple[str, Path]]:
        """A box for the steps that are not shown, in the widest gap between the states that pass by, coloured step
        for step.
        """
        some = next(here for here in laid if isinstance(here, Laid))
        folded, width = fold.steps, fold_width(fold.steps)
        lanes = sorted(
            {some.bottom, some.bottom + some.placement.height, *(path[-1][1] for _, path in carried.values())}
        )
        low, high = max(itertools.pairwise(lanes), key=lambda pair: pair[1] - pair[0])
        own = f"{some.prefix.removesuffix(f't{some.step.timestep}.')}t{folded[0]}-t{folded[-1]}"
        label = f"× {len(folded)}, same parameters"
        self.picture.shapes.append(
            Shape(
                own,
                "box",
                left + width / 2,
                (low + high) / 2,
                label_width(label, 12) + 16,
                min(34.0, high - low - 12),
                label,
                theme.paint("more"),
                Look("more"),
                f"timesteps {folded[0]} to {folded[-1]}, {len(folded)} of them, are not shown; they use the same"
                " parameters",
                12,
                1.2,
                True,
            )
        )
        unit = (width - 20) / len(folded)
        self.tiling.columns.update((t, left + 10 + unit * (k + 0.5)) for k, t in enumerate(folded))
        following: dict[str, tuple[str, Path]] = {}
        for state, (source, path) in carried.items():
            y = path[-1][1]
            end = left + (-GAP / 2 if row.reverse else width + GAP / 2)
            anchor = f"{own}.{safe(state)}"
            self._anchor(anchor, end, y)
            stroke = self.ink.stroke(None, rail=self.ink.norms is None and state in some.placement.highways)
            stroke = stroke._replace(grade="fold", tooltip="", dashed=True, rank=0.5)
            self._line(source, anchor, (*path, (end, y)), stroke, arrow=False)
            self._ribbon(fold, state, anchor, y, unit / 2)
            following[state] = (anchor, ((end, y),))
        return following

    def _ribbon(self, fold: Fold, state: str, anchor: str, y: float, half: float) -> None:
        """The state's line through a fold, in the colour of its gradient at every step; alike neighbours in one
        piece.
        """
        if self.ink.norms is None:
            return
        strokes = [(t, self.ink.stroke((fold.run.states[t]._asdict()[state].id, -1))) for t in fold.steps]
        for (grade, colour), steps in itertools.groupby(strokes, key=lambda pair: (pair[1].grade, pair[1].colour)):
            (first, one), *_, (last, other) = [*steps] * 2
            ends = (self.tiling.columns[first] - half, y), (self.tiling.columns[last] + half, y)
            tooltip = f"{state}, t = {first}: {one.tooltip}" + (
                f"\n{state}, t = {last}: {other.tooltip}" if last > first else ""
            )
            own = f"{anchor}.t{first}"
            for key, end in zip((own, f"{own}.end"), ends, strict=True):
                self._anchor(key, *end)
            ribbon = Line(
                f"{own}.ribbon", own, f"{own}.end", (ends,), colour, 8.0, grade, tooltip, arrow=False, use="ribbon"
            )
            self.lines.append((0.6, ribbon, ()))

    def _draw_step(
        self, row: Row, k: int, here: Laid, carried: dict[str, tuple[str, Path]]
    ) -> dict[str, tuple[str, Path]]:
        """Draw one step, and give back the states on their way out."""
        self._joint(row, k, here)
        self._frame(here)
        self._highways(here)
        for item in here.step.items:
            if item.key != here.step.output:
                self._item(here, item, *here.at(item.key))
        source, riser = self._input(row, k, here)
        self.columns.setdefault(k, []).append(self.picture.frames[-1])
        for item in here.step.items:
            if item.key == here.step.output:
                continue
            for operand, link in enumerate(item.links):
                self._link(here, item, operand, link, carried, source, riser)
        self._output(here)
        return self._carry(here, {**carried, "x": (source, riser)})

    def _frame(self, here: Laid) -> None:
        part: Part = "backward" if here.step.backward else self.part
        self.tiling.columns[here.step.timestep] = here.left + here.placement.width / 2
        label = frame_label(here.step)
        members = tuple(here.prefix + safe(i.key) for i in here.step.items if i.key != here.step.output)
        self.picture.frames.append(
            Frame(
                f"{here.prefix}step",
                here.left,
                here.bottom,
                here.left + here.placement.width,
                here.bottom + here.placement.height,
                label,
                theme.paint(part),
                part,
                label,
                members,
                (here.mirror is None) == here.step.backward,
                here.step.timestep,
            )
        )

    def _highways(self, here: Laid) -> None:
        """A band behind each state that crosses the step on diagonal Jacobians alone."""
        for state in sorted(here.placement.highways):
            _, y = here.port(0.0, here.placement.rails[state])
            says = f"highway of {state}: every operation on it has a diagonal Jacobian"
            right = here.left + here.placement.width
            own = f"{here.prefix}{safe(state)}.highway"
            self.picture.bands.append(
                Band(own, here.left, y - 9, right, y + 9, theme.paint("highway"), "highway", says)
            )

    def _item(self, here: Laid, item: Item, x: float, y: float) -> str:
        node = item.value or (item.nodes[0] if item.nodes else None)
        own = here.prefix + safe(item.key)
        nonlinear = bool(item.nodes) and item.nodes[0].primitive.activation
        paint = theme.paint(item.role, self.picture.gates)
        look = Look(item.role)
        if self.ink.norms is None and item.value is not None and isinstance(item.role, Gate) and not item.layer:
            paint, look = paint._replace(fill="#FFFFFF", dark_fill="#0D1117"), look._replace(variant="named")
        border = 0.9 if item.beside else 2.0 if nonlinear or item.role == "hidden" else 1.2
        if not item.beside:
            paint, look, border = self.ink.outline(node, paint, look, border)
        self.picture.shapes.append(
            Shape(
                own,
                item.shape,
                x,
                y,
                *item.size,
                item.label,
                paint,
                look,
                self.notes.get(node.index, "") if node else "",
                _font(item),
                border,
                theme.dashed(item.role, self.picture.gates),
                self._stands_for(item),
            )
        )
        for shown in () if here.step.backward else (*item.nodes, *([item.value] if item.value is not None else [])):
            self.tiling.shown[shown.index] = (own, x, y)
        return own

    def _stands_for(self, item: Item) -> tuple[int, ...]:
        """The nodes of an item that no shape stands for yet; layers may share some."""
        fresh = tuple(n.index for n in item.nodes if n.index not in self.stood_for)
        self.stood_for.update(fresh)
        return fresh

    def _joint(self, row: Row, k: int, here: Laid) -> None:
        """What joins the outputs of layers below into this one's input, as two directions are: a box between the
        frames.
        """
        node = None if here.step.backward else row.inputs[k]
        below = self.columns.get(k, ())
        if node is None or not below or node.index in self.tiling.shown or self.given.keys().isdisjoint(node.inputs):
            return
        assert node.tensor is not None
        frame, beside = below[-1], max(frame.right for frame in below) + 14
        step = node.scope.step if node.scope is not None else None
        own = (
            f"{layer_prefix(str(step.parent or '') if step else '')}t{here.step.timestep}.{safe(node.name or node.op)}"
        )
        label = node.name or node.op
        width = max(40.0, label_width(label) + 14)
        foot, _ = here.port(here.placement.x_port, 0.0)
        x = foot if frame.left < foot - width / 2 and foot + width / 2 < frame.right else (frame.left + frame.right) / 2
        paint, look, border = self.ink.outline(node, theme.paint("hidden"), Look("hidden"), 1.6)
        box = Shape(
            own,
            "box",
            x,
            frame.top + ABOVE + 33,
            width,
            24,
            label,
            paint,
            look,
            self.notes.get(node.index, ""),
            11,
            border,
            nodes=(node.index,),
        )
        self.picture.shapes.append(box)
        for operand, index in enumerate(node.inputs):
            start = self.given.get(index)
            if start is not None:
                path = up_to(start, box, beside if start.y < frame.bottom else None)
                self._line(start.id, own, path, self.ink.stroke((node.tensor.id, operand)))
        self.given[node.index] = box
        self.tiling.shown[node.index] = (own, box.x, box.y)
        self.tiling.outputs[node.index] = (own, box.x, box.y, 12.0)

    def _input(self, row: Row, k: int, here: Laid) -> tuple[str, Path]:
        """The circle below a step, or the output circle of the layer below; and the line up to the frame."""
        foot = here.port(here.placement.x_port, 0.0)
        if here.step.backward:
            return self._seed(here, foot, self.columns.get(k, []))
        node = row.inputs[k]
        if node is None:
            return "", (foot,)
        if node.index in self.tiling.outputs:
            own, x, y, radius = self.tiling.outputs[node.index]
            bend = here.bottom - 16
            passed = [frame for frame in self.columns.get(k, ()) if frame.bottom > y]
            if not passed:
                return own, ((x, y + radius), (x, bend), (foot[0], bend), foot)
            turn, beside = passed[0].bottom - 16, min(frame.left for frame in passed) - 14
            return own, ((x, y + radius), (x, turn), (beside, turn), (beside, bend), (foot[0], bend), foot)
        own = f"{here.prefix}x"
        label = f"x{subscript(here.step.timestep)}"
        y = here.bottom - BELOW
        again = node.index in self.tiling.shown
        look = Look("input", "copy" if again else "")
        paint, look, border = self.ink.outline(node, theme.paint("input"), look, 1.6)
        self.picture.shapes.append(
            Shape(
                own,
                "circle",
                foot[0],
                y,
                34,
                34,
                label,
                paint,
                look,
                self.notes.get(node.index, ""),
                12,
                border,
                again,
                () if again else (node.index,),
            )
        )
        self.tiling.shown.setdefault(node.index, (own, foot[0], y))
        return own, ((foot[0], y + 17), foot)

    def _seed(self, here: Laid, foot: tuple[float, float], column: list[Frame]) -> tuple[str, Path]:
        """What enters a backward step from above: the gradient by the input of the layer above, or what the loss
        adds.
        """
        seed = here.step.seed
        if seed is None:
            return "", (foot,)
        above = seed.value or here.step.joined
        if above is not None and above.index in self.gradients:
            own, x, y, radius = self.gradients[above.index]
            bend = foot[1] + 16
            passed = [frame for frame in column if foot[1] < frame.bottom and frame.top < y]
            if not passed:
                return own, ((x, y - radius), (x, bend), (foot[0], bend), foot)
            turn, beside = passed[0].top + 16, min(frame.left for frame in passed) - 14
            return own, ((x, y - radius), (x, turn), (beside, turn), (beside, bend), (foot[0], bend), foot)
        own = self._item(here, seed, *here.port(here.placement.x_port, -ABOVE))
        return own, (here.port(here.placement.x_port, seed.size[1] / 2 - ABOVE), foot)

    def _link(
        self,
        here: Laid,
        item: Item,
        operand: int,
        link: Link,
        carried: dict[str, tuple[str, Path]],
        source: str,
        riser: Path,
    ) -> None:
        target = here.prefix + safe(item.key)
        path = here.wire(Wire(link.source, item.key, operand))
        port = link.source.removeprefix(entering(""))
        rail = False
        if link.source == entering("x"):
            if not source:
                return
            origin, path = source, (*riser, *path[1:])
        elif link.source.startswith(entering("")):
            origin, before = carried[port]
            path = (*before, *path)
            rail = port in here.placement.highways and path[-1][1] == path[0][1]
        else:
            origin = here.prefix + safe(link.source)
            rail = path[0][1] == path[-1][1] and path[0][1] in here.rails
        self._line(origin, target, path, self.ink.stroke(link.edge, link.cut, rail), over=here)

    def _output(self, here: Laid) -> None:
        item = here.step.by_key.get(here.step.output)
        if item is None:
            return
        inner = item.links[0].source
        path = here.wire(Wire(inner, OUTPUT, 0))
        beyond = BELOW if here.step.backward else ABOVE
        x, y = path[-1][0], here.port(0.0, here.placement.height + beyond)[1]
        own = self._item(here, item, x, y)
        assert item.value is not None
        shown = self.gradients if here.step.backward else self.tiling.outputs
        shown[item.value.index] = (own, x, y, item.size[1] / 2)
        if not here.step.backward:
            self.given[item.value.index] = self.picture.shapes[-1]
        stroke = self.ink.stroke(item.links[0].edge, item.links[0].cut)
        half = item.size[1] / 2 * (-1 if here.step.backward else 1)
        self._line(here.prefix + safe(inner), own, (*path, (x, y - half)), stroke, over=here)

    # ---------------------------------------------------------------------------------- between steps

    def _carry(self, here: Laid, entered: dict[str, tuple[str, Path]]) -> dict[str, tuple[str, Path]]:
        """The states on their way out of the frame, for the next step to go on with."""
        carried = {}
        for state, key in here.step.states:
            path = here.wire(Wire(key, leaving(state), 0))
            if key.startswith(entering("")):
                source, before = entered[key.removeprefix(entering(""))]
                carried[state] = (source, (*before, *path))
            else:
                carried[state] = (here.prefix + safe(key), path)
            if self.part == "cellbox":
                self._label_line(here, state)
        return carried

    def _label_line(self, here: Laid, state: str) -> None:
        """A state's name above its line, where no shape on the line says it."""
        label = state + subscript(here.step.timestep)
        x, y = here.port(here.placement.width + GAP / 2 - 4, here.placement.rails[state] + 11)
        own = f"{here.prefix}{safe(state)}.label"
        width = label_width(label, 12) + 4
        self.picture.shapes.append(Shape(own, "text", x, y, width, 14, label, None, Look("label"), "", 12))

    def _loose_ends(self, row: Row, here: Laid, carried: dict[str, tuple[str, Path]]) -> None:
        """After the last step nobody reads the states: dashed stubs, unless the drawing goes on.

        A reverse sweep ends at the initial state.
        """
        ends = {state: (label, link) for state, label, link in row.last}
        for state, (source, path) in carried.items():
            if state in ends:
                self._last_gradient(row, here, state, source, path, *ends[state])
                continue
            end = here.port(here.placement.width + 22, 0.0)[0], path[-1][1]
            own = f"{here.prefix}{safe(state)}.after"
            self._anchor(own, *end)
            self._line(source, own, (*path, end), _LOOSE, arrow=False, over=here)

    def _last_gradient(self, row: Row, here: Laid, state: str, source: str, path: Path, label: str, link: Link) -> None:
        """The gradient by an initial state, behind the step that reads it."""
        width = label_width(label, 10) + 14
        x, y = here.port(here.placement.width + GAP + width / 2 - 10, 0.0)[0], path[-1][1]
        own = f"{here.prefix}{safe(state)}.initial"
        stroke = self.ink.stroke(link.edge)
        paint = theme.paint("value")._replace(stroke=stroke.colour)
        look = Look("value", grade=stroke.grade)
        self.picture.shapes.append(
            Shape(own, "ellipse", x, y, width, 18, label, paint, look, stroke.tooltip, 10, max(1.0, 0.8 * stroke.width))
        )
        side = width / 2 * (1 if row.reverse else -1)
        self._line(source, own, (*path, (x + side, y)), stroke, over=here)

    # ------------------------------------------------------------------------------------- primitives

    def _anchor(self, own: str, x: float, y: float) -> None:
        self.picture.shapes.append(Shape(own, "point", x, y, 0.4, 0.4, "", None, Look("anchor")))

    def _line(
        self, source: str, target: str, path: Path, stroke: Stroke, *, arrow: bool = True, over: Laid | None = None
    ) -> None:
        own = f"{source}--{target}"
        before, self.pairs[own] = self.pairs[own], self.pairs[own] + 1
        rails = over.rails if over else []
        line = stroke.line(f"{own}--{before}" if before else own, source, target, joined(path), arrow)
        self.lines.append((stroke.rank, line, tuple(rails)))


def _font(item: Item) -> int:
    return 10 if item.beside or item.role == "parameter" else 12 if item.value else 11
