"""One timestep: its frame, the bands behind its highways, and its items."""

from __future__ import annotations

from ..layout.columns import Laid, frame_label
from ..layout.names import HEIGHT, name_of
from ..steps.items import Gate, Item, safe
from ..text import label_width
from . import theme
from .canvas import Canvas, Outfit
from .picture import At, Band, Frame, Look, Part, Shape

__all__ = ["draw_frame", "draw_highways", "draw_item"]


def draw_frame(canvas: Canvas, laid: Laid, part: Part) -> Frame:
    """The frame of a step, whose members are the items inside."""
    canvas.columns[laid.step.timestep] = laid.left + laid.placement.width / 2
    label = frame_label(laid.step)
    frame = Frame(
        f"{laid.prefix}step",
        laid.left,
        laid.bottom,
        laid.left + laid.placement.width,
        laid.bottom + laid.placement.height,
        label,
        theme.paint(part),
        part,
        label,
        members=tuple(laid.ids[item.key] for item in laid.step.inside),
        label_right=(laid.mirror is None) == laid.step.backward,
        timestep=laid.step.timestep,
    )
    canvas.picture.frames.append(frame)
    return frame


def draw_highways(canvas: Canvas, laid: Laid) -> None:
    """A band behind each state that crosses the step on diagonal Jacobians alone."""
    for state in sorted(laid.placement.highways):
        _, y = laid.port(0.0, laid.placement.rails[state])
        right, paint = laid.left + laid.placement.width, theme.paint("highway")
        note = f"highway of {state}: every operation on it has a diagonal Jacobian"
        band = Band(f"{laid.prefix}{safe(state)}.highway", laid.left, y - 9, right, y + 9, paint, "highway", note)
        canvas.picture.bands.append(band)


def draw_item(canvas: Canvas, laid: Laid, item: Item, x: float, y: float) -> Shape:
    """The shape of an item, in the colours of its role and of the gradient of its value."""
    node = item.value or (item.nodes[0] if item.nodes else None)
    kind = id(laid.step.kind), item.key
    if kind not in canvas.outfits:
        canvas.outfits[kind] = _outfit(canvas, item)
    paint, look, border, dashed, font_size = canvas.outfits[kind]
    if not item.beside:
        paint, look, border = canvas.ink.outline(node, paint, look, border)
    own = laid.step.ids[item.key]
    shape = Shape(
        laid.prefix + own,
        item.shape,
        x,
        y,
        *item.size,
        str(item.label),
        paint,
        look,
        tooltip=canvas.note(node),
        font_size=font_size,
        border=border,
        dashed=dashed,
        nodes=tuple([inner.index for inner in item.nodes if inner.index not in canvas.stood_for]),  # layers share some
        value=None if node is None else node.index,
        at=At(laid.step.layer, laid.step.timestep, own),
    )
    canvas.stood_for.update(shape.nodes)
    canvas.picture.shapes.append(shape)
    if item.key in laid.names:
        spot = laid.names[item.key]
        label = name_of(item, laid.step.timestep, spot.room)
        place, size = laid.port(spot.x, spot.y), (label_width(label), HEIGHT)
        canvas.picture.shapes.append(Shape(f"{shape.id}.name", "text", *place, *size, label, None, Look("label")))
    if not laid.step.backward:
        for shown in item.nodes if item.value is None else (*item.nodes, item.value):
            canvas.shown[shown.index] = (shape.id, x, y)
    return shape


def _outfit(canvas: Canvas, item: Item) -> Outfit:
    """How an item looks in every step that is alike; a gate's value beside its operation is pale."""
    nonlinear = bool(item.nodes) and item.nodes[0].primitive.activation
    gates = canvas.picture.gates
    paint, look = theme.paint(item.role, gates), Look(item.role)
    if canvas.ink.norms is None and item.value is not None and isinstance(item.role, Gate) and not item.layer:
        paint, look = paint._replace(fill=theme.PAPER, dark_fill=theme.DARK_PAPER), look._replace(variant="named")
    border = 0.9 if item.beside else 2.0 if nonlinear or item.role == "hidden" else 1.2
    font_size = 10 if item.beside or item.role == "parameter" else 12 if item.value else 11
    return Outfit(paint, look, border, theme.dashed(item.role, gates), font_size)
