"""What goes from layer to layer: outputs, what joins them, and inputs; in a reverse sweep, their gradients."""

from __future__ import annotations

from ..layout.columns import ABOVE, BELOW, Laid, Row
from ..layout.polylines import Path, joined
from ..layout.route import Wire
from ..steps.items import OUTPUT, layer_prefix, safe
from ..text import label_width, subscript
from .canvas import Canvas
from .picture import At, Frame, Shape
from .step import draw_item
from .strokes import up_to

__all__ = ["Layers"]


class Layers:
    """Draws what the layers give and read, from the bottom up."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.frames: dict[int, list[Frame]] = {}
        self.gradients: dict[int, tuple[str, float, float, float]] = {}
        self.given: dict[int, Shape] = {}

    def join(self, row: Row, column: int, laid: Laid) -> None:
        """What joins the outputs of layers below into this one's input, as two directions are: a box between the
        frames.
        """
        node = None if laid.step.backward else row.inputs[column]
        below = self.frames.get(column, ())
        if node is None or not below or node.index in self.canvas.shown or self.given.keys().isdisjoint(node.inputs):
            return
        assert node.tensor is not None
        frame, beside = below[-1], max(frame.right for frame in below) + 14
        step = node.scope.step if node.scope is not None else None
        label = node.name or node.op
        at = At(laid.step.layer, laid.step.timestep, safe(label))
        shape_id = f"{layer_prefix(str(step.parent or '') if step else '')}t{laid.step.timestep}.{safe(label)}"
        width = max(40.0, label_width(label) + 14)
        foot, _ = laid.port(laid.placement.x_port, 0.0)
        x = foot if frame.left < foot - width / 2 and foot + width / 2 < frame.right else (frame.left + frame.right) / 2
        box = self.canvas.value(
            node, shape_id, "box", (x, frame.top + ABOVE + 33), (width, 24), label, "hidden", border=1.6, at=at
        )
        for operand, index in enumerate(node.inputs):
            start = self.given.get(index)
            if start is not None:
                path = up_to(start, box, beside if start.y < frame.bottom else None)
                self.canvas.line(start.id, box.id, path, self.canvas.ink.stroke((node.tensor.id, operand)))
        self.given[node.index] = box
        self.canvas.shown[node.index] = (box.id, box.x, box.y)
        self.canvas.outputs[node.index] = (box.id, box.x, box.y, 12.0)

    def enter(self, row: Row, column: int, laid: Laid) -> tuple[str, Path]:
        """The circle below a step, or the output circle of the layer below; and the line up to the frame."""
        foot = laid.port(laid.placement.x_port, 0.0)
        if laid.step.backward:
            return self._seed(laid, foot, self.frames.get(column, []))
        node = row.inputs[column]
        if node is None:
            return "", (foot,)
        if node.index in self.canvas.outputs:
            circle, x, y, radius = self.canvas.outputs[node.index]
            passed = [frame for frame in self.frames.get(column, ()) if frame.bottom > y]
            turn = passed[0].bottom - 16 if passed else None
            return circle, _around((x, y + radius), laid.bottom - 16, foot, passed, turn)
        circle, y = f"{laid.prefix}x", laid.bottom - BELOW
        label = f"x{subscript(laid.step.timestep)}"
        self.canvas.value(
            node,
            circle,
            "circle",
            (foot[0], y),
            (34, 34),
            label,
            "input",
            1.6,
            font_size=12,
            at=At(laid.step.layer, laid.step.timestep, "x"),
        )
        self.canvas.shown.setdefault(node.index, (circle, foot[0], y))
        return circle, ((foot[0], y + 17), foot)

    def _seed(self, laid: Laid, foot: tuple[float, float], column: list[Frame]) -> tuple[str, Path]:
        """What enters a backward step from above: the gradient by the input of the layer above, or what the loss
        adds.
        """
        seed = laid.step.seed
        if seed is None:
            return "", (foot,)
        above = seed.value or laid.step.joined
        if above is not None and above.index in self.gradients:
            circle, x, y, radius = self.gradients[above.index]
            passed = [frame for frame in column if foot[1] < frame.bottom and frame.top < y]
            turn = passed[0].top + 16 if passed else None
            return circle, _around((x, y - radius), foot[1] + 16, foot, passed, turn)
        shape = draw_item(self.canvas, laid, seed, *laid.port(laid.placement.x_port, -ABOVE))
        return shape.id, (laid.port(laid.placement.x_port, seed.size[1] / 2 - ABOVE), foot)

    def leave(self, laid: Laid) -> None:
        """The output's circle outside the frame; in a reverse sweep, that of the gradient by the input."""
        item = laid.step.circle
        if item is None:
            return
        inner, backward = item.links[0].source, laid.step.backward
        path = laid.wire(Wire(inner, OUTPUT, 0))
        x, y = path[-1][0], laid.port(0.0, laid.placement.height + (BELOW if backward else ABOVE))[1]
        shape = draw_item(self.canvas, laid, item, x, y)
        assert item.value is not None
        circles = self.gradients if backward else self.canvas.outputs
        circles[item.value.index] = (shape.id, x, y, item.size[1] / 2)
        if not backward:
            self.given[item.value.index] = shape
        stroke = self.canvas.ink.stroke(item.links[0].edge, item.links[0].cut)
        half = item.size[1] / 2 * (-1 if backward else 1)
        self.canvas.line(laid.ids[inner], shape.id, joined((*path, (x, y - half))), stroke, rails=laid.rails)


def _around(
    start: tuple[float, float], bend: float, foot: tuple[float, float], passed: list[Frame], turn: float | None
) -> Path:
    """From a circle to the foot of a frame, past the left side of the frames between, before which it turns."""
    if turn is None:
        return start, (start[0], bend), (foot[0], bend), foot
    beside = min(frame.left for frame in passed) - 14
    return start, (start[0], turn), (beside, turn), (beside, bend), (foot[0], bend), foot
