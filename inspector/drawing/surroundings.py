"""What stands around the timesteps: the loss and what leads to it, parameters, the legend and the title."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tinygrad_rnn import Graph, Node

from . import theme
from .ink import Ink, number
from .paths import joined
from .picture import Line, Path, Picture, Shape
from .tile import Tiling, safe

__all__ = ["add_outside", "add_surroundings"]

_MANY = 12


def add_outside(
    picture: Picture, tiling: Tiling, nodes: Sequence[Node], graph: Graph, ink: Ink, notes: dict[int, str], together: bool
) -> None:
    """The operations that belong to no step, such as the loss, to the right of the last one.

    Up to a dozen stand as they are; more, or if `together` is set, share one box.
    """
    nodes = [node for node in nodes if node.index not in tiling.shown]
    if not nodes:
        return
    if together or len(nodes) > _MANY:
        places = _one_box(picture, tiling, nodes, graph)
    else:
        places = _columns(picture, tiling, nodes, graph, notes)
    _connect(picture, tiling, graph, ink, nodes, places)
    tiling.right = max(shape.x + shape.width / 2 for shape in picture.shapes if shape.id in places.values())


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
            own = _unused(picture, f"out.{safe(node.name or node.op)}")
            last = _is_result(node, graph)
            label = f"L = {label}" if last and not node.name else label
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
    return f"{node.name} = {label}" if node.name else label


def _is_result(node: Node, graph: Graph) -> bool:
    """Whether it is the single number at the very end, a loss."""
    return node.index == len(graph.nodes) - 1 and node.value.size == 1


def _unused(picture: Picture, base: str) -> str:
    taken = {shape.id for shape in picture.shapes}
    candidates = [base, *(f"{base}.{k}" for k in range(2, len(taken) + 3))]
    return next(own for own in candidates if own not in taken)


def _height(tiling: Tiling) -> float:
    """Level with the topmost outputs."""
    return max((y for _, _, y, _ in tiling.outputs.values()), default=tiling.top)


def _connect(
    picture: Picture, tiling: Tiling, graph: Graph, ink: Ink, nodes: Sequence[Node], places: dict[int, str]
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
            cut = any(edge.cut for edge in graph.edges if edge.target == node.index and edge.operand == operand)
            stroke = ink.stroke((node.tensor.id, operand), cut)
            own = f"{source}--{target.id}--{len(lines)}"
            lines.append(
                (stroke.rank, Line(own, source, target.id, (path,), stroke.colour, stroke.width, stroke.css,
                                   stroke.tooltip, True, stroke.dashed))
            )  # fmt: skip
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


# --------------------------------------------------------------------------------------- legend


def add_surroundings(
    picture: Picture, tiling: Tiling, graph: Graph, own_steps: set[int], ink: Ink, notes: dict[int, str]
) -> None:
    """The title above, and the parameters and the legend below.

    `own_steps` are the indices of all operations in the steps of the layers drawn, shown or folded away.
    """
    width = theme.label_width(picture.title, 16) + 20
    left = tiling.left - 10
    picture.shapes.append(
        Shape("title", "text", left + width / 2, tiling.top + 16, width, 24, picture.title, None, "title", "", 16)
    )
    y = tiling.bottom - 34
    y = _parameters(picture, tiling, graph, own_steps, ink, notes, left, y)
    x = _roles(picture, left, y)
    if ink.norms is not None:
        _scale(picture, ink, x + 24, y)


def _parameters(
    picture: Picture, tiling: Tiling, graph: Graph, own_steps: set[int], ink: Ink, notes: dict[int, str], left: float, y: float,
) -> float:  # fmt: skip
    """A chip for each parameter, and for each input that is none of the circles.

    What is read by other cells' steps only, or by what the box of everything outside stands for, has none.
    """
    read = {edge.source for edge in graph.edges if edge.target in tiling.shown or edge.target in own_steps}
    leaves = [n for n in graph.nodes if n.is_leaf and n.op != "constant" and n.index not in tiling.shown]
    leaves = [n for n in leaves if n.op == "parameter" or n.timestep is None]
    leaves = [n for n in leaves if n.index in read]
    x = left
    for node in leaves:
        label = f"{node.name or node.op} {_shape(node)}"
        width = theme.label_width(label, 10) + 14
        if x + width > max(tiling.right, left + 700) and x > left:
            x, y = left, y - 28
        own = _unused(picture, f"parameter.{safe(node.name or node.op)}")
        paint = theme.paint("parameter")
        if ink.norms is not None and node.tensor is not None:
            stroke = ink.stroke((node.tensor.id, -1))
            paint = paint._replace(stroke=stroke.colour)
        picture.shapes.append(
            Shape(own, "box", x + width / 2, y, width, 20, label, paint, "parameter", notes.get(node.index, ""), 10, 1.6,
                  nodes=(node.index,))
        )  # fmt: skip
        tiling.shown[node.index] = (own, x + width / 2, y)
        x += width + 8
    return y - 34 if leaves else y


def _shape(node: Node) -> str:
    return "×".join(str(n) for n in node.shape) if node.shape else "scalar"


def _roles(picture: Picture, left: float, y: float) -> float:
    """One chip for each colour in use."""
    used = {shape.css.split()[0] for shape in picture.shapes}
    chips: list[tuple[str, str, str]] = []
    for k, gate in enumerate(picture.gates):
        if f"gate{k}" in used:
            word = theme.GATE_WORDS.get(gate)
            chips.append((f"{word} ({gate})" if word else gate, f"gate:{gate}", f"gate{k}"))
    words = {
        "layer": "learned layer", "pointwise": "pointwise", "shared": "shared by gates", "cell": "state",
        "hidden": "output", "input": "input x", "loss": "loss",
    }  # fmt: skip
    chips += [(word, role, role) for role, word in words.items() if role in used]
    x = left
    for label, role, css in chips:
        width = theme.label_width(label, 10) + 16
        picture.shapes.append(
            Shape(_unused(picture, f"legend.{safe(label)}"), "box", x + width / 2, y, width, 20, label,
                  theme.paint(role, picture.gates), f"{css} legend", "", 10)
        )  # fmt: skip
        x += width + 8
    return x


def _scale(picture: Picture, ink: Ink, x: float, y: float) -> None:
    """The eight classes of gradient norm with the ends of the scale."""
    caption = "gradient norm ‖∂L/∂·‖ of each line"
    width = theme.label_width(caption, 10)
    picture.shapes.append(Shape("legend.scale", "text", x + width / 2, y, width, 18, caption, None, "legend", "", 10))
    x += width + 12
    steps = len(theme.GRADIENT)
    for k, (colour, thickness, _) in enumerate(theme.GRADIENT):
        ends = []
        for side, at in (("a", x), ("b", x + 26)):
            own = f"legend.scale.{k}{side}"
            picture.shapes.append(Shape(own, "point", at, y + 3, 0.4, 0.4, "", None, "anchor"))
            ends.append(own)
        path: Path = ((x, y + 3), (x + 26, y + 3))
        picture.lines.append(Line(f"legend.bin{k}", ends[0], ends[1], (path,), colour, thickness, f"g{k} legend", "", False))
        if k in (0, steps // 2, steps - 1):
            exact = {0: 0.0, steps - 1: 1.0}.get(k, k / steps)
            value = ink.low * (ink.high / ink.low) ** exact
            label = number(float(f"{value:.1e}"))
            picture.shapes.append(
                Shape(f"legend.tick{k}", "text", x + 13, y - 9, 46, 12, label, None, "legend", "", 9)
            )
        x += 30
