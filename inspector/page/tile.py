"""Timesteps as tiles: those that are drawn alike share one drawing, and bring the numbers of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Node
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.compose import compose
from ..picture.picture import Band, Curve, Frame, Line, Picture, Shape
from ..picture.scene import Scene, scene_of
from ..picture.theme import dashed
from ..steps.items import Gate, Step
from ..text import subscript, visible
from ..tracing.trace import GradientTrace
from .names import namer, within
from .packing import pack_floats, pack_levels, pack_norms, pooled
from .theme_css import hue_of

__all__ = ["MOST_TILES", "level_of", "turns_of_sweep"]

MOST_TILES = 24
"""Kinds of steps that are drawn at most; a run with more is not drawn as tiles."""
_BESIDE = frozenset({"title", "legend", "equation", "more", "label", "anchor", "badge", "warning", "parameter"})
_ROOM = 12.0

Alike = tuple[Any, ...]


def level_of(run: Run, trace: GradientTrace, level: str, pool: int) -> dict[str, Any] | None:
    """The tiles of one level of detail, and which of them each timestep uses; ``None`` if there are too many kinds.

    Parameters
    ----------
    run : Run
        Not compiled.
    trace : GradientTrace
        Of that run.
    level : {"cell", "gate", "operation"}
    pool : int
        How many timesteps make a column of the numbers over time.
    """
    steps = _Steps(scene_of(run, level, trace, range(len(run)), False, False), len(run))
    kinds = list(dict.fromkeys(steps.alike))
    if len(kinds) > MOST_TILES:
        return None
    tile_of = [kinds.index(kind) for kind in steps.alike]
    places = [_place_to_draw(tile_of, k) for k in range(len(kinds))]
    tiles = [_Tile(run, trace, steps, t, tile_of, pool).data() for t in places]
    gates = steps.scene.gates
    looks = [{"name": within(gate), "hue": hue_of(gate, gates), "dashed": dashed(Gate(gate), gates)} for gate in gates]
    found: dict[str, Any] = {"level": level, "gates": looks, "tiles": tiles}
    if len(tiles) > 1:
        found["tileOf"] = pack_levels(np.array(tile_of), 0, 254)
    return {**found, **_ends(steps.scene, len(run))}


def _place_to_draw(tile_of: Sequence[int], kind: int) -> int:
    """A timestep of that kind, one with neighbours on both sides if there is any; a late one, whose number is as long
    as any.
    """
    own = [t for t, k in enumerate(tile_of) if k == kind]
    inner = [t for t in own if 0 < t < len(tile_of) - 1]
    return (inner or own)[-1]


class _Steps:
    """All timesteps at one level, and what in one of them is what in another."""

    def __init__(self, scene: Scene, count: int) -> None:
        self.scene, self.count = scene, count
        self.norms = scene.norms or {}
        self.towers, _ = scene.outside()

    @cached_property
    def alike(self) -> list[Alike]:
        """For every timestep all that its drawing depends on."""
        return [self._kind(t) for t in range(self.count)]

    def _kind(self, t: int) -> Alike:
        steps = list(self._layers(t))
        labels = tuple(item.label.full.removesuffix(subscript(t)) for step in steps for item in step.items)
        above = tuple((node.op, len(node.inputs)) for node in self.towers.get(t, ()))
        return tuple(step.shape for step in steps), labels, above, len(self.nodes(t))

    def _layers(self, t: int) -> Iterator[Step]:
        for row in self.scene.rows:
            step = row.steps[t]
            assert isinstance(step, Step)
            yield step

    def nodes(self, t: int) -> list[Node | None]:
        """The nodes of a timestep, in an order that is the same in all that are alike."""
        found: list[Node | None] = []
        for row, step in zip(self.scene.rows, self._layers(t), strict=True):
            found.append(row.inputs[t])
            for item in step.items:
                found += (*item.nodes, item.value)
        return [*found, *self.towers.get(t, ())]


@dataclass
class _Tile:
    """The drawing of one timestep, and what flows through it at all that are drawn alike."""

    run: Run
    trace: GradientTrace
    steps: _Steps
    t: int
    tile_of: Sequence[int]
    pool: int

    @cached_property
    def picture(self) -> Picture:
        around = [t for t in (self.t - 1, self.t, self.t + 1) if 0 <= t < len(self.run)]
        return compose(self.steps.scene.showing(around), whole_lines=True)

    @cached_property
    def frames(self) -> list[Frame]:
        return [frame for frame in self.picture.frames if frame.timestep == self.t]

    @cached_property
    def left(self) -> float:
        return min(frame.left for frame in self.frames)

    @property
    def period(self) -> float:
        """From the left edge of a step to that of the next."""
        lefts = sorted({t: self._left_of(t) for t in {frame.timestep for frame in self.picture.frames}}.values())
        return min(np.diff(lefts), default=max(frame.right for frame in self.frames) - self.left + 46.0)

    def _left_of(self, t: int) -> float:
        return min(frame.left for frame in self.picture.frames if frame.timestep == t)

    @cached_property
    def shapes(self) -> list[Shape]:
        return [shape for shape in self.picture.shapes if shape.at is not None and shape.at.timestep == self.t]

    @cached_property
    def keys(self) -> dict[str, str]:
        """What the shapes of this step are called in every step, by their ids."""
        return {shape.id: _key(shape) for shape in self.shapes}

    @cached_property
    def lines(self) -> list[Line]:
        return [line for line in self.picture.lines if line.target in self.keys and not line.use]

    def data(self) -> dict[str, Any]:
        """As the page has it, see ``schema.json``."""
        ys = [y for shape in self.shapes for y in (-shape.y - shape.height / 2, -shape.y + shape.height / 2)]
        names = self._names()
        said, states = self._words()
        lines = [self._line(line) for line in self.lines]
        turns = turns_of_sweep((line["from"], line["to"]) for line in lines)
        return {
            "period": round(float(self.period), 1),
            "top": round(min(ys) - _ROOM, 1),
            "bottom": round(max(ys) + _ROOM, 1),
            "frames": [{"box": self._box(frame), "label": self._layer_of(frame)} for frame in self.frames],
            "bands": [
                {"box": self._box(band), "name": visible(band.tooltip)}
                for band in self.picture.bands
                if self.left - 1 <= band.left and band.right <= self.left + self.period
            ],
            "shapes": [
                _shape(shape, self.left, self.t, names.get(shape.value))
                | ({"said": self._said(said[shape.id])} if shape.id in said else {})
                for shape in self.shapes
            ],
            "states": [self._said(label) for label in states],
            "lines": [{**line, "order": turns[line["to"]]} for line in lines],
            "lineNorms": pack_norms(self._over_time([line.edge for line in self.lines])),
            "shapeNorms": pack_norms(self._over_time([self._whole(shape) for shape in self.shapes])),
            "shapeMeans": pack_floats(self._means()),
        }

    def _words(self) -> tuple[dict[str, Shape], list[Shape]]:
        """The names of this step's gates, by the shape beside whose line they stand; and those of its states."""
        labels = [shape for shape in self.picture.shapes if shape.look.part == "label"]
        prefixes = tuple(frame.id.removesuffix("step") for frame in self.frames)
        gates = {shape.id.removesuffix(".name"): shape for shape in labels if shape.id.endswith(".name")}
        return gates, [shape for shape in labels if shape.id.endswith(".label") and shape.id.startswith(prefixes)]

    def _said(self, label: Shape) -> dict[str, Any]:
        """A name without its timestep, and where its middle stands."""
        words = visible(label.label.removesuffix(subscript(self.t)))
        x, y = round(label.x - self.left, 1), round(-label.y, 1)
        return {"x": x, "y": y, "label": words, "size": label.font_size}

    def _layer_of(self, frame: Frame) -> str:
        inside = set(frame.members)
        return next((visible(s.at.layer) for s in self.shapes if s.at is not None and s.id in inside), "")

    def _box(self, frame: Frame | Band) -> list[float]:
        box = (frame.left - self.left, -frame.top, frame.right - frame.left, frame.top - frame.bottom)
        return [round(side, 1) for side in box]

    def _line(self, line: Line) -> dict[str, Any]:
        source = self.keys.get(line.source) or self._from_beside(line)
        return {
            "key": f"{source}--{self.keys[line.target]}",
            "from": source,
            "to": self.keys[line.target],
            "d": _pieces(line, self.left),
            "arrow": line.arrow,
            **({"cut": True} if line.cut else {}),
        }

    def _from_beside(self, line: Line) -> str:
        """What it is in the step before, or after where time runs from right to left."""
        start = next(shape for shape in self.picture.shapes if shape.id == line.source)
        side = "<" if start.x < self.left + self.period / 2 else ">"
        return side + (_key(start) if start.at is not None else "")

    def _names(self) -> dict[int | None, str]:
        """What the trace calls the values of this step, by the index of their node."""
        graph = self.steps.scene.graph
        names = ((name, self._tensor(name)) for name in self.trace.names)
        name_of = namer(self.run)
        return {graph.find(value).index: name_of(name) for name, value in names if value is not None and value in graph}

    def _tensor(self, name: str) -> Any:
        return self.run.inputs[self.t] if name == "x" else self.run.names.get((name, self.t))

    def _whole(self, shape: Shape) -> tuple[int, int] | None:
        """The whole cotangent of the value that a shape shows, as an edge."""
        node = None if shape.value is None else self.steps.scene.graph.nodes[shape.value]
        return None if node is None or node.tensor is None else (node.tensor.id, -1)

    @cached_property
    def _where(self) -> dict[int, int]:
        """The place of each Tensor of this step among the nodes of all steps that are alike, by its id."""
        nodes = self.steps.nodes(self.t)
        return {node.tensor.id: k for k, node in enumerate(nodes) if node is not None and node.tensor is not None}

    @cached_property
    def _alike(self) -> list[tuple[int, list[Node | None]]]:
        kind = self.tile_of[self.t]
        return [(t, self.steps.nodes(t)) for t, own in enumerate(self.tile_of) if own == kind]

    def _over_time(self, edges: Sequence[tuple[int, int] | None]) -> npt.NDArray[np.float64]:
        """The gradient along edges of this step at every timestep, NaN where none is drawn."""

        def norm(node: Node, operand: int) -> float:
            return math.nan if node.tensor is None else self.steps.norms.get((node.tensor.id, operand), math.nan)

        return self._along(edges, norm)

    def _means(self) -> npt.NDArray[np.float64]:
        """The mean of the value that each shape shows, at every timestep."""

        def mean(node: Node, _: int) -> float:
            is_number = node.value.size and node.value.dtype.kind in "fiub"
            return float(np.mean(node.value)) if is_number else math.nan

        return self._along([self._whole(shape) for shape in self.shapes], mean)

    def _along(
        self, edges: Sequence[tuple[int, int] | None], measure: Callable[[Node, int], float]
    ) -> npt.NDArray[np.float64]:
        """A number of the node and operand that each edge has, at every timestep that is drawn alike."""
        found = np.full((len(edges), len(self.run)), np.nan)
        for row, edge in enumerate(edges):
            place = None if edge is None else self._where.get(edge[0])
            if edge is None or place is None:
                continue
            for t, nodes in self._alike:
                node = nodes[place]
                if node is not None:
                    found[row, t] = measure(node, edge[1])
        return pooled(found, self.pool)


def _ends(scene: Scene, count: int) -> dict[str, Any]:
    """What stands left of the first timestep, and right of the last."""
    begin = compose(scene.showing(range(min(2, count))))
    end = begin if count <= 2 else compose(scene.showing(range(count - 2, count)))
    left = min(frame.left for frame in begin.frames if frame.timestep == 0)
    last = [frame for frame in end.frames if frame.timestep == count - 1]
    right, edge = max(frame.right for frame in last), min(frame.left for frame in last)
    before = [shape for shape in begin.shapes if _is_drawn(shape) and shape.x < left]
    after = [shape for shape in end.shapes if _is_drawn(shape) and shape.x > right]
    sources = {shape.id for shape in end.shapes if shape.at is None or shape.at.timestep == count - 1}
    reach = {shape.id for shape in after}
    lines = [line for line in end.lines if line.target in reach and line.source in sources]
    return {
        "first": {"shapes": [_shape(shape, left, 0, None) for shape in before], "lines": []},
        "last": {
            "shapes": [_shape(shape, edge, count - 1, None) for shape in after],
            "lines": [{"d": _pieces(line, edge), "arrow": line.arrow, "norm": _number(line.norm)} for line in lines],
        },
    }


def _is_drawn(shape: Shape) -> bool:
    return shape.look.part not in _BESIDE and not isinstance(shape.look.part, Curve) and not shape.look.legend


def _key(shape: Shape) -> str:
    assert shape.at is not None
    return f"{shape.at.layer}.{shape.at.key}" if shape.at.layer else shape.at.key


def _shape(shape: Shape, left: float, t: int, name: str | None) -> dict[str, Any]:
    stem = shape.label.removesuffix(subscript(t))
    timed = bool(stem) and stem != shape.label and shape.at is not None
    part = shape.look.part
    return {
        "key": _key(shape) if shape.at is not None else shape.id,
        "kind": shape.kind,
        "x": round(shape.x - left, 1),
        "y": round(-shape.y, 1),
        "w": round(shape.width, 1),
        "h": round(shape.height, 1),
        "label": visible(stem if timed else shape.label),
        **({"timed": True} if timed else {}),
        **({"gate": within(part.name)} if isinstance(part, Gate) else {"role": str(part)}),
        "size": shape.font_size,
        "about": visible(shape.tooltip.split("\n", 1)[0].replace(f"t={t}/", "", 1)),
        **({} if name is None else {"name": name}),
    }


def _pieces(line: Line, left: float) -> list[list[list[float]]]:
    return [[[round(x - left, 1), round(-y, 1)] for x, y in piece] for piece in line.pieces]


def _number(norm: float | None) -> float | None:
    return None if norm is None or not math.isfinite(norm) else norm


def turns_of_sweep(lines: Iterable[tuple[str, str]]) -> dict[str, int]:
    """When the reverse sweep comes to each end of lines (source, target): the longest way from where none goes on."""
    onward = nx.DiGraph((target, source) for source, target in lines)
    return {key: turn for turn, keys in enumerate(nx.topological_generations(onward)) for key in keys}
