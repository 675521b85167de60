"""What belongs to no step of a cell: the loss and what leads to it, and outputs of two directions that meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tinygrad_rnn import Graph, Node

from . import theme
from .columns import safe
from .ink import Ink, number
from .paths import joined
from .picture import Line, Path, Picture, Shape
from .tile import Tiling

__all__ = ["add_outside"]

_MANY = 12


def add_outside(
    picture: Picture, tiling: Tiling, above: Sequence[Node], after: Sequence[Node], graph: Graph, ink: Ink,
    notes: dict[int, str], together: bool,
) -> None:  # fmt: skip
    """Draw the operations that belong to no step of a cell.

    Those `above` stand above their timestep. Those `after`, such as the loss, follow to the right of the
    last step: up to a dozen as they are; more, or if `together` is set, in one box.
    """
    cuts = {(edge.target, edge.operand) for edge in graph.edges if edge.cut}
    _meet(picture, tiling, above, ink, cuts, notes)
    if not after:
        return
    if together or len(after) > _MANY:
        places = _one_box(picture, tiling, after, graph)
    else:
        places = _columns(picture, tiling, after, graph, notes)
    _connect(picture, tiling, ink, after, places, cuts)
    tiling.right = max(shape.x + shape.width / 2 for shape in picture.shapes if shape.id in places.values())


def _meet(
    picture: Picture, tiling: Tiling, nodes: Sequence[Node], ink: Ink, cuts: set[tuple[int, int]], notes: dict[int, str]
) -> None:
    """Each operation above its own timestep; lines from lower layers pass through the gap to its right."""
    shapes = {shape.id: shape for shape in picture.shapes}
    base = tiling.top
    stacked: Counter[int] = Counter()
    for node in nodes:
        t = node.timestep
        assert t is not None and node.tensor is not None
        frame = max((f for f in picture.frames if f.timestep == t), key=lambda f: f.top)
        y = base + 16 + 34.0 * stacked[t]
        stacked[t] += 1
        label = node.name or theme.SYMBOLS.get(node.op, node.op)
        width = theme.label_width(label) + 14
        own = picture.unused(f"t{t}.{safe(node.name or node.op)}")
        box = Shape(own, "box", (frame.left + frame.right) / 2, y, width, 24, label, theme.paint("hidden"), "hidden",
                    notes.get(node.index, ""), 11, 1.6, nodes=(node.index,))  # fmt: skip
        picture.shapes.append(box)
        shapes[own] = box
        for operand, index in enumerate(node.inputs):
            if index in tiling.shown:
                start = shapes[tiling.shown[index][0]]
                stroke = ink.stroke((node.tensor.id, operand), (node.index, operand) in cuts)
                path = _up_to(start, box, frame.right + 14 if start.y < frame.bottom else None)
                picture.lines.append(stroke.line(f"{start.id}--{own}--{operand}", start.id, own, path))
        tiling.shown[node.index] = (own, box.x, y)
        tiling.outputs[node.index] = (own, box.x, y, 12.0)
        tiling.top = max(tiling.top, y + 12)


def _up_to(start: Shape, box: Shape, detour: float | None) -> Path:
    """Straight up from the top row, otherwise along the gap at `detour`, and into the nearer side of the box."""
    if detour is not None:
        side = start.x + start.width / 2
        return joined(((side, start.y), (detour, start.y), (detour, box.y), (box.x + box.width / 2, box.y)))
    half = box.width / 2 if start.x > box.x else -box.width / 2
    if abs(start.x - box.x) < box.width / 2:
        return joined(((start.x, start.y + start.height / 2), (start.x, box.y - box.height / 2)))
    return joined(((start.x, start.y + start.height / 2), (start.x, box.y), (box.x + half, box.y)))


def _one_box(
    picture: Picture, tiling: Tiling, nodes: Sequence[Node], graph: Graph
) -> dict[int, str]:
    """All of `nodes` as a single box named after the last of them."""
    counts = Counter(node.op for node in nodes)
    what = ", ".join(f"{op} ×{n}" if n > 1 else op for op, n in counts.most_common())
    last = nodes[-1]
    label = last.name or ("loss L" if _is_result(last, graph) else last.op)
    width = max(58.0, theme.label_width(label, 12) + 16)
    y = _height(tiling)
    picture.shapes.append(
        Shape("loss", "box", tiling.right + 70 + width / 2, y, width, 28, label, theme.paint("loss"), "loss",
              f"{len(nodes)} operations after the timesteps: {what}", 12, 1.8, nodes=tuple(n.index for n in nodes))
    )  # fmt: skip
    return {node.index: "loss" for node in nodes}


def _columns(
    picture: Picture, tiling: Tiling, nodes: Sequence[Node], graph: Graph, notes: dict[int, str]
) -> dict[int, str]:
    """Each node in the column after its last operand's."""
    depth: dict[int, int] = {}
    for node in nodes:
        depth[node.index] = 1 + max((depth[k] for k in node.inputs if k in depth), default=-1)
    places: dict[int, str] = {}
    stacked: Counter[int] = Counter()
    x = tiling.right + 64.0
    total = Counter(depth.values())
    for column in sorted(total):
        members = [node for node in nodes if depth[node.index] == column]
        labels = [_label(node, graph) for node in members]
        width = max(48.0, *(theme.label_width(label) + 14 for label in labels))
        x += width / 2
        for node, label in zip(members, labels, strict=True):
            own = picture.unused(f"out.{safe(node.name or node.op)}")
            last = _is_result(node, graph)
            y = _height(tiling) - 40.0 * stacked[column]
            stacked[column] += 1
            picture.shapes.append(
                Shape(own, "box", x, y, width, 24, label, theme.paint("loss" if last else "shared"),
                      "loss" if last else "shared", notes.get(node.index, ""), 11, 1.8 if last else 1.2,
                      nodes=(node.index,))
            )  # fmt: skip
            places[node.index] = own
            tiling.shown[node.index] = (own, x, y)
        x += width / 2 + 34
    return places


def _label(node: Node, graph: Graph) -> str:
    symbol = theme.SYMBOLS.get(node.op, node.op)
    constants = [graph.nodes[k] for k in node.inputs if graph.nodes[k].op == "constant"]
    known = [number(float(c.value.reshape(-1)[0])) for c in constants if c.value.size == 1]
    label = f"{symbol} {known[0]}" if known else symbol
    name = node.name or ("L" if _is_result(node, graph) else "")
    return f"{name} = {label}" if name else label


def _is_result(node: Node, graph: Graph) -> bool:
    """Whether it is the single number at the very end, a loss."""
    return node.index == len(graph.nodes) - 1 and node.value.size == 1


def _height(tiling: Tiling) -> float:
    """Level with the topmost outputs."""
    return max((y for _, _, y, _ in tiling.outputs.values()), default=tiling.top)


def _connect(
    picture: Picture, tiling: Tiling, ink: Ink, nodes: Sequence[Node], places: dict[int, str], cuts: set[tuple[int, int]]
) -> None:
    """Lines into and between the outside nodes; those into one shape from afar share a track above all."""
    shapes = {shape.id: shape for shape in picture.shapes}
    tracks: dict[str, float] = {}
    lines: list[tuple[float, Line]] = []
    last = max((x for _, x, _, _ in tiling.outputs.values()), default=0.0)
    for node in nodes:
        target = shapes[places[node.index]]
        for operand, index in enumerate(node.inputs):
            source = places.get(index) or (tiling.shown[index][0] if index in tiling.shown else None)
            if source is None or source == target.id or node.tensor is None:
                continue
            start = shapes[source]
            near = index in places or (index in tiling.outputs and start.x >= last - 1 and abs(start.y - target.y) < 1)
            if near:
                path = _level_path(start, target)
            else:
                track = tracks.setdefault(target.id, tiling.top + 12 + 8 * len(tracks))
                path = _over(start, target, track)
            stroke = ink.stroke((node.tensor.id, operand), (node.index, operand) in cuts)
            own = f"{source}--{target.id}--{len(lines)}"
            lines.append((stroke.rank, stroke.line(own, source, target.id, path)))
    tiling.top = max([tiling.top, *(track + 8 for track in tracks.values())])
    picture.lines += [line for _, line in sorted(lines, key=lambda pair: pair[0])]


def _level_path(start: Shape, target: Shape) -> Path:
    """From the right side of one to the left side of the other."""
    a, b = (start.x + start.width / 2, start.y), (target.x - target.width / 2, target.y)
    middle = b[0] - 16
    return joined((a, (middle, a[1]), (middle, b[1]), b))


def _over(start: Shape, target: Shape, track: float) -> Path:
    """Up from the source, along the track, and down in front of the target."""
    a, b = (start.x, start.y + start.height / 2), (target.x - target.width / 2, target.y)
    return joined((a, (a[0], track), (b[0] - 16, track), (b[0] - 16, b[1]), b))
