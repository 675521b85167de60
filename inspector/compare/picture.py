"""How a merged timestep looks: what both have in grey, what is added solid with a plus, what is removed dashed
with a minus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tinygrad_rnn import Node

from ..layout.columns import Row
from ..layout.order import Spacing
from ..picture import theme
from ..picture.badges import beside
from ..picture.canvas import Canvas
from ..picture.frames import tile
from ..picture.ink import Ink, Stroke
from ..picture.picture import Change, Line, Look, Picture, Shape
from ..steps.items import Key, entering, safe
from ..text import label_width
from .merge import ADDED, KEPT, REMOVED, Merged

__all__ = ["CHANGES", "draw_comparison"]

CHANGES: dict[int, Change] = {KEPT: "kept", REMOVED: "removed", ADDED: "added"}
_MARKS = {REMOVED: "−", ADDED: "+"}
_MARK, _APART = 11.0, 1.0


class _ChangeInk(Ink):
    """Lines by whether both steps have them; the numbers of the edges say so."""

    def __init__(self) -> None:
        super().__init__(None, [])

    def stroke(self, edge: tuple[int, int] | None, cut: bool = False, rail: bool = False) -> Stroke:
        change = KEPT if edge is None else edge[1]
        colour = theme.ROLES[CHANGES[change]].stroke
        width = (1.4 if change == KEPT else 2.0) + 1.2 * rail
        says = {KEPT: "in both", REMOVED: "removed", ADDED: "added"}[change] + (
            ", no gradient flows back here" if cut else ""
        )
        return Stroke(
            colour,
            width,
            CHANGES[change],
            says,
            change == REMOVED or cut,
            (2.0 if change == KEPT else 1.0 + change / 10) + 5.0 * rail,
            cut=cut,
        )


def draw_comparison(
    merged: Merged, x: Node | None, title: str, names: tuple[str, str], notes: Mapping[Key, str]
) -> Picture:
    """The merged step with its legend.

    Parameters
    ----------
    merged : Merged
    x : Node or None
        The input, if one of the steps reads it.
    title : str
    names : tuple of str
        Of the two cells.
    notes : mapping
        Tooltips by item key.
    """
    picture = Picture(title)
    canvas = Canvas(picture, _ChangeInk())
    tile(canvas, [Row((merged.step,), False, (), (x,))], "step", Spacing())
    prefix = safe(f"t{merged.step.timestep}.")
    # those of a timestep; here states have theirs at both ends, and what both cells give has two
    picture.shapes = [shape for shape in picture.shapes if shape.look.part != "label"]
    picture.frames = [replace(frame, label="one timestep", tooltip="one timestep") for frame in picture.frames]
    changes = {prefix + own: merged.change[key] for key, own in merged.step.ids.items() if key in merged.change}
    changes[f"{prefix}x"] = _of_input(merged)
    says = {prefix + own: notes.get(key, "") for key, own in merged.step.ids.items()}
    picture.shapes = [_with_change(shape, changes.get(shape.id), says.get(shape.id, "")) for shape in picture.shapes]
    _name_states(picture, merged, prefix)
    _title_and_legend(picture, canvas, merged, names)
    _mark(picture, changes | {f"legend.{part}": change for change, part in CHANGES.items()})
    return picture


def _of_input(merged: Merged) -> int:
    """Whether both steps read the input."""
    found = {
        link.edge[1] for item in merged.step.items for link in item.links if link.source == entering("x") and link.edge
    }
    return found.pop() if len(found) == 1 else KEPT


def _with_change(shape: Shape, change: int | None, says: str) -> Shape:
    if change is None or shape.paint is None or shape.look.part == "join":
        return shape
    part = CHANGES[change]
    label = "xₜ" if shape.look.part == "input" else shape.label
    border = 1.2 if change == KEPT else 2.0
    return replace(
        shape,
        label=label,
        paint=theme.paint(part),
        look=Look(part),
        border=border,
        dashed=change == REMOVED,
        tooltip=says,
        nodes=(),
    )


def _mark(picture: Picture, changes: Mapping[str, int]) -> None:
    """A plus or a minus beside each shape that only one of the steps has."""
    marked = [shape for shape in picture.shapes if changes.get(shape.id, KEPT) != KEPT]
    for shape, (x, y) in beside(picture, [[shape] for shape in marked], _MARK, _APART):
        part, sign = CHANGES[changes[shape.id]], _MARKS[changes[shape.id]]
        paint, look = theme.paint(part)._replace(fill=theme.PAPER), Look(part, "mark")
        mark = Shape(f"{shape.id}.mark", "circle", x, y, _MARK, _MARK, sign, paint, look, font_size=10)
        picture.shapes.append(mark)


def _name_states(picture: Picture, merged: Merged, prefix: str) -> None:
    """The states' names at both ends of their lines, and what leaves as what enters, dressed alike."""
    read = {line.source for line in picture.lines}
    at = {shape.id: shape for shape in picture.shapes if shape.kind == "point"}
    for state, change in merged.exits.items():
        before, after = at[f"{prefix}{safe(state)}.before"], at[f"{prefix}{safe(state)}.after"]
        picture.lines = [_leaving(line, change) if line.target == after.id else line for line in picture.lines]
        for point, text, side in ((before, f"{state}ₜ₋₁", -1), (after, f"{state}ₜ", 1)):
            width = label_width(text, 12) + 4
            if point.id in read or side > 0:
                x = point.x + side * (width / 2 + 3)
                picture.shapes.append(
                    Shape(f"{point.id}.label", "text", x, point.y, width, 14, text, None, Look("label"), font_size=12)
                )


def _leaving(line: Line, change: int) -> Line:
    stroke = _ChangeInk().stroke((0, change))
    return replace(
        line,
        colour=stroke.colour,
        width=stroke.width,
        grade=stroke.grade,
        cut=stroke.cut,
        dashed=stroke.dashed,
        arrow=True,
        tooltip=stroke.tooltip,
    )


def _title_and_legend(picture: Picture, canvas: Canvas, merged: Merged, names: tuple[str, str]) -> None:
    left = canvas.left
    canvas.title(left)
    x, y = left, canvas.bottom - 34
    for change, label in ((KEPT, "in both"), (REMOVED, f"only in {names[0]}"), (ADDED, f"only in {names[1]}")):
        if change != KEPT and change not in (
            *merged.change.values(),
            *(e[1] for i in merged.step.items for _, e, *_ in i.links if e),
        ):
            continue
        part, width = CHANGES[change], label_width(label, 10) + 18
        border = 1.2 if change == KEPT else 2.0
        chip = Shape(
            f"legend.{part}",
            "box",
            x + width / 2,
            y,
            width,
            20,
            label,
            theme.paint(part),
            Look(part, legend=True),
            font_size=10,
            border=border,
            dashed=change == REMOVED,
        )
        picture.shapes.append(chip)
        x += width + (14 if change == KEPT else 26)
