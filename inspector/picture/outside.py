"""What belongs to no step of a cell: the loss and what leads to it, and outputs of two directions that meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace

from tinygrad_rnn import Graph, Node
from tinygrad_rnn.plurals import counted

from ..layout.polylines import Path, joined
from ..steps.items import Role, safe
from ..steps.labels import is_view, number_or_name, operation_label
from ..text import label_width, subscript
from . import theme
from .canvas import Canvas
from .picture import At, Frame, Line, Look, Shape
from .strokes import up_to

__all__ = ["add_outside", "is_folded", "of_one_step"]

_MANY = 12


def is_folded(node: Node, graph: Graph) -> bool:
    """Whether it only turns a parameter over, and is told in its consumer's label."""
    return is_view(node) and all(graph.nodes[k].is_leaf for k in node.inputs)


def of_one_step(after: Sequence[Node], steps: Mapping[int, int]) -> dict[int, int]:
    """Those of the nodes that depend on a single timestep, with it; empty unless there are such of several steps.

    A loss read at every step has such nodes, the readout and the errors; a loss of the last output alone has none.

    Parameters
    ----------
    after : sequence of Node
        Oldest first.
    steps : mapping
        Node index to timestep, of what belongs to a step already.
    """
    reach: dict[int, set[int]] = {}
    for node in after:
        own = {steps[k] for k in node.inputs if k in steps}
        reach[node.index] = own.union(*(reach[k] for k in node.inputs if k in reach))
    found = {node.index: next(iter(reach[node.index])) for node in after if len(reach[node.index]) == 1}
    return found if len(set(found.values())) > 1 else {}


def add_outside(
    canvas: Canvas, graph: Graph, above: Mapping[int, Sequence[Node]], after: Sequence[Node], together: bool
) -> None:
    """Draw the operations that belong to no step of a cell.

    Those `above` stand above their timestep, which is their key. Those `after`, such as the loss, follow to the right
    of the last step: up to a dozen as they are; more, or if `together` is set, in one box.
    """
    cuts = {(edge.target, edge.operand) for edge in graph.edges if edge.cut}
    _towers(canvas, graph, above, cuts, together)
    if not after:
        return
    places = _one_box(canvas, graph, after) if together or len(after) > _MANY else _columns(canvas, graph, after)
    canvas.after = set(places.values())
    _connect(canvas, after, places, cuts)
    canvas.right = max(shape.x + shape.width / 2 for shape in canvas.picture.shapes if shape.id in places.values())


def _towers(
    canvas: Canvas, graph: Graph, above: Mapping[int, Sequence[Node]], cuts: set[tuple[int, int]], together: bool
) -> None:
    """Operations above their own timestep; lines from lower layers pass through the gap to its right."""
    shapes = {shape.id: shape for shape in canvas.picture.shapes}
    columns: dict[int, list[Frame]] = {}
    for one in canvas.picture.frames:
        columns.setdefault(one.timestep, []).append(one)
    base = canvas.top
    for t, nodes in above.items():
        frame, edge = max(columns[t], key=lambda f: f.top), max(f.right for f in columns[t])
        initial = [s.x + s.width / 2 for s in shapes.values() if s.kind == "ellipse" and 0 <= s.x - edge < s.width]
        beside = max([edge + 4, *initial]) + 10  # what runs backwards begins there
        for place, block in enumerate(_blocks(nodes, t, together)):
            box = _block(canvas, graph, block, shapes, t, together)
            box = replace(box, x=(frame.left + frame.right) / 2, y=base + 16 + 36.0 * place)
            for node in block:
                for operand, index in enumerate(node.inputs):
                    source = canvas.shown.get(index)
                    if (
                        source is not None
                        and source[0] != box.id
                        and graph.nodes[index].op != "parameter"
                        and node.tensor is not None
                    ):
                        start = shapes[source[0]]
                        stroke = canvas.ink.stroke((node.tensor.id, operand), (node.index, operand) in cuts)
                        path = up_to(start, box, beside if start.y < frame.bottom else None)
                        canvas.picture.lines.append(
                            stroke.line(f"{start.id}--{box.id}--{operand}", start.id, box.id, path)
                        )
                canvas.shown[node.index] = (box.id, box.x, box.y)
                canvas.outputs[node.index] = (box.id, box.x, box.y, 12.0)
            canvas.picture.shapes.append(box)
            shapes[box.id] = box
            canvas.top = max(canvas.top, box.y + 12)


def _blocks(nodes: Sequence[Node], t: int, together: bool) -> Iterator[list[Node]]:
    """What stands in one box each: every node, or outputs of timestep `t` alone and the rest together."""
    if not together:
        yield from ([node] for node in nodes)
        return
    yield from ([node] for node in nodes if node.timestep == t)
    rest = [node for node in nodes if node.timestep != t]
    if rest:
        yield rest


def _block(canvas: Canvas, graph: Graph, block: Sequence[Node], taken: Container[str], t: int, together: bool) -> Shape:
    """The box for some operations that belong to timestep `t`, named after the last of them."""
    last = block[-1]
    label = _label(last, graph)
    role: Role = "hidden" if last.timestep == t else "shared"
    if together and role == "shared" and not last.name:
        label, role = (f"L{subscript(t)}", "loss") if last.value.size == 1 else (last.op, "shared")
    paint, look, border = canvas.ink.outline(last, theme.paint(role), Look(role), 1.6)
    step = f"t{t}."
    own = canvas.picture.unused(step + safe(last.name or last.op), taken)
    indices = tuple(k for node in block for k in _stands_for(canvas, graph, node))
    width = max(40.0, label_width(label) + 14)
    says = canvas.note(last)
    at = At("", t, own.removeprefix(step))
    return Shape(
        own,
        "box",
        0.0,
        0.0,
        width,
        24,
        label,
        paint,
        look,
        tooltip=says,
        border=border,
        nodes=indices,
        value=last.index,
        at=at,
    )


def _one_box(canvas: Canvas, graph: Graph, nodes: Sequence[Node]) -> dict[int, str]:
    """All of `nodes` as a single box named after the last of them."""
    counts = Counter(node.op for node in nodes)
    what = ", ".join(f"{op} ×{n}" if n > 1 else op for op, n in counts.most_common())
    last = nodes[-1]
    label = last.name or ("loss L" if _is_result(last, graph) else last.op)
    width = max(58.0, label_width(label, 12) + 16)
    y = _height(canvas)
    inside = dict.fromkeys(k for n in nodes for k in (n.index, *_folded_into(canvas, graph, n)))
    canvas.picture.shapes.append(
        Shape(
            "loss",
            "box",
            canvas.right + 70 + width / 2,
            y,
            width,
            28,
            label,
            theme.paint("loss"),
            Look("loss"),
            tooltip=f"{counted(len(nodes), 'operation')} after the timesteps: {what}",
            font_size=12,
            border=1.8,
            nodes=tuple(inside),
        )
    )
    return {node.index: "loss" for node in nodes}


def _columns(canvas: Canvas, graph: Graph, nodes: Sequence[Node]) -> dict[int, str]:
    """Each node in the column after its last operand's."""
    depth: dict[int, int] = {}
    for node in nodes:
        depth[node.index] = 1 + max((depth[k] for k in node.inputs if k in depth), default=-1)
    places: dict[int, str] = {}
    stacked: Counter[int] = Counter()
    x = canvas.right + 64.0
    total = Counter(depth.values())
    for column in sorted(total):
        members = [node for node in nodes if depth[node.index] == column]
        labels = [_label(node, graph) for node in members]
        width = max(48.0, *(label_width(label) + 14 for label in labels))
        x += width / 2
        for node, label in zip(members, labels, strict=True):
            own = canvas.picture.unused(f"out.{safe(node.name or node.op)}")
            last = _is_result(node, graph)
            y = _height(canvas) - 40.0 * stacked[column]
            stacked[column] += 1
            canvas.picture.shapes.append(
                Shape(
                    own,
                    "box",
                    x,
                    y,
                    width,
                    24,
                    label,
                    theme.paint("loss" if last else "shared"),
                    Look("loss" if last else "shared"),
                    tooltip=canvas.note(node),
                    border=1.8 if last else 1.2,
                    nodes=_stands_for(canvas, graph, node),
                )
            )
            places[node.index] = own
            canvas.shown[node.index] = (own, x, y)
        x += width / 2 + 34
    return places


def _stands_for(canvas: Canvas, graph: Graph, node: Node) -> tuple[int, ...]:
    """The node and what is folded into it, unless that stands elsewhere already."""
    folded = _folded_into(canvas, graph, node)
    canvas.folded.update(folded)
    return (node.index, *folded)


def _folded_into(canvas: Canvas, graph: Graph, node: Node) -> list[int]:
    return [k for k in node.inputs if is_folded(graph.nodes[k], graph) and k not in canvas.folded]


def _label(node: Node, graph: Graph) -> str:
    label = str(operation_label(node.primitive, [_operand(graph.nodes[k], graph) for k in node.inputs]))
    name = node.name or ("L" if _is_result(node, graph) else "")
    return f"{name} = {label}" if name else label


def _operand(node: Node, graph: Graph) -> str | None:
    """How an operand that no line shows reads in its consumer's label."""
    if node.op == "transpose":
        node = graph.nodes[node.inputs[0]]
    known = node.op == "parameter" or (node.op == "constant" and node.value.size == 1)
    return number_or_name(node) if known else None


def _is_result(node: Node, graph: Graph) -> bool:
    """Whether it is the single number at the very end of the forward graph, a loss."""
    backwards = (
        n for n in reversed(graph.nodes) if not n.is_leaf and not (n.scope is not None and n.scope.is_backward)
    )
    return node is next(backwards, None) and node.value.size == 1


def _height(canvas: Canvas) -> float:
    """Level with the topmost outputs."""
    return max((y for _, _, y, _ in canvas.outputs.values()), default=canvas.top)


def _connect(canvas: Canvas, nodes: Sequence[Node], places: dict[int, str], cuts: set[tuple[int, int]]) -> None:
    """Lines into and between the outside nodes; those into one shape from afar share a track above all."""
    shapes = {shape.id: shape for shape in canvas.picture.shapes}
    tracks: dict[str, float] = {}
    lines: list[tuple[float, Line]] = []
    last = max((x for _, x, _, _ in canvas.outputs.values()), default=0.0)
    for node in nodes:
        target = shapes[places[node.index]]
        for operand, index in enumerate(node.inputs):
            source = places.get(index) or (canvas.shown[index][0] if index in canvas.shown else None)
            if source is None or source == target.id or node.tensor is None:
                continue
            start = shapes[source]
            near = index in places or (index in canvas.outputs and start.x >= last - 1 and abs(start.y - target.y) < 1)
            if near:
                path = _level_path(start, target)
            else:
                track = tracks.setdefault(target.id, canvas.top + 12 + 8 * len(tracks))
                path = _over(start, target, track)
            stroke = canvas.ink.stroke((node.tensor.id, operand), (node.index, operand) in cuts)
            own = f"{source}--{target.id}--{len(lines)}"
            lines.append((stroke.rank, stroke.line(own, source, target.id, path)))
    canvas.top = max([canvas.top, *(track + 8 for track in tracks.values())])
    canvas.picture.lines += [line for _, line in sorted(lines, key=lambda pair: pair[0])]


def _level_path(start: Shape, target: Shape) -> Path:
    """From the right side of one to the left side of the other."""
    a, b = (start.x + start.width / 2, start.y), (target.x - target.width / 2, target.y)
    middle = b[0] - 16
    return joined((a, (middle, a[1]), (middle, b[1]), b))


def _over(start: Shape, target: Shape, track: float) -> Path:
    """Up from the source, along the track, and down in front of the target."""
    a, b = (start.x, start.y + start.height / 2), (target.x - target.width / 2, target.y)
    return joined((a, (a[0], track), (b[0] - 16, track), (b[0] - 16, b[1]), b))
