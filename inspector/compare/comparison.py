"""compare_graphs: two cells in one diagram, and the same in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn import Bidirectional, Cell, Graph, Node, Stacked, unroll
from tinygrad_rnn.recurrent.unroll import Run

from ..drawing import Drawing
from ..formats import writer_of
from ..picture.picture import Picture
from ..picture.scene import DETAIL, LEVELS
from ..results import Result
from ..steps.items import Item, Key, Step, entering
from ..steps.labels import Label
from ..steps.operations import operation_step
from ..steps.source import sources_of
from ..text import subscript, visible
from ..tracing.replay import step_by_step
from .match import match_operations
from .merge import NOW, Merged, merge_steps
from .net import Net, net_of
from .normal_form import to_normal_form
from .picture import draw_comparison
from .words import describe

__all__ = ["Comparison", "compare_graphs"]

_STEPS, _BATCH = 3, 1
_NOUNS = {"operation": "operations", "gate": "gates and operations", "cell": "layers and operations"}


class _Drawable(NamedTuple):
    """What the diagram is made from."""

    merged: Merged
    x: Node | None
    title: str
    names: tuple[str, str]
    notes: dict[Key, str]


@dataclass(frozen=True)
class Comparison(Result):
    """Two cells compared; shows its diagram in a notebook, and prints as words.

    Attributes
    ----------
    words : str
        What is the same and what is not, one statement a line.
    shared : tuple of str
        The operations that both have, by the readable ids they have in the first, such as ``"f.sigmoid"``.
    removed : tuple of str
        Those that only the first has.
    added : tuple of str
        Those that only the second has, by their ids there.
    """

    words: str
    shared: tuple[str, ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]
    _drawable: _Drawable = field(repr=False, compare=False)

    @cached_property
    def picture(self) -> Picture:
        """The diagram as data."""
        return draw_comparison(*self._drawable)

    @cached_property
    def drawing(self) -> Drawing:
        """The diagram, to look at and to save."""
        return Drawing(self.picture)

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write the diagram; see :meth:`inspector.Drawing.save`."""
        return self.drawing.save(path)

    def _repr_svg_(self) -> str:
        return self.drawing._repr_svg_()

    def records(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """One line an operation: whether it is shared, removed or added, and its id."""
        kinds = ("shared", self.shared), ("removed", self.removed), ("added", self.added)
        return ("change", "operation"), ((change, key) for change, keys in kinds for key in keys)

    def _picture(self) -> str:
        return self.drawing._repr_html_()

    def _text(self) -> str:
        return self.words


class _MiddleStep(NamedTuple):
    """A cell with the timestep of it that is shown."""

    cell: Cell
    step: Step
    x: Node | None
    nodes: int


def compare_graphs(
    a: Cell | Run, b: Cell | Run, path: str | Path | None = None, *, level: str = "operation"
) -> Comparison:
    """Compare the computation of two cells, in one diagram of one timestep and in words.

    Both are first brought to one form, in which a matrix that several gates share is one a gate, and nested
    sums are one (see :mod:`inspector.compare.normal_form`); so parameters need not be laid out alike, and their names
    do not matter. What then is the same is worked out from the graphs alone
    (see :mod:`inspector.compare.match`).

    Parameters
    ----------
    a, b : Cell or Run
        A cell is unrolled over three steps, of which the middle one is compared; of a run it is also the middle one.
    path : path, optional
        Where to write the diagram; see :meth:`inspector.Drawing.save`.
    level : {"operation", "gate", "cell"}
        As for :func:`inspector.draw`.

    Returns
    -------
    Comparison
        Its ``words`` say what is different; ``shared``, ``removed`` and ``added`` list the operations.

    Raises
    ------
    ValueError
        If the level or the suffix is unknown, or a stack or two directions are given.
    TypeError
        If `a` or `b` is neither a Cell nor a Run.
    GraphvizMissingError
        If a PNG or PDF is asked for and no Graphviz engine is there.

    Examples
    --------
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> print(inspector.compare_graphs(tg.cells.NPCell(3, 4), tg.cells.PeepholeLSTMCell(3, 4)))
    PeepholeLSTM has all 25 operations of NP, and 3 more.
    Both carry h and c from step to step.
    Gates z, i, f and o are in both.
    Added: cₜ₋₁ enters gates i and f through p_i and p_f.
    Added: cₜ enters gate o through p_o.
    Parameters, in numbers: 128 in NP, 140 in PeepholeLSTM.
    """
    if level not in LEVELS:
        raise ValueError(f"compare_graphs: level must be one of {', '.join(LEVELS)}, got {level!r}")
    if path is not None:
        writer_of(path)
    first = _middle_step(a, level, 0)
    second = _middle_step(b, level, first.nodes)
    names = _names(first.cell, second.cell)
    nets = net_of(first.step), net_of(second.step)
    match = match_operations(*nets)
    renamed = _other_names_of_states(*nets, match)
    other = _rename_states(second.step, renamed)
    if renamed:
        nets = nets[0], net_of(other)
        match = match_operations(*nets)
    merged = merge_steps(first.step, other, nets, match)
    words = describe(names, nets, match, _NOUNS[level], (_size(first.cell), _size(second.cell)), renamed)
    title = visible(f"{names[0]} → {names[1]}")
    drawable = _Drawable(merged, first.x or second.x, title, names, _notes(merged, names))
    shared = tuple(str(key) for key in nets[0].operations if key in match)
    removed = tuple(str(key) for key in nets[0].operations if key not in match)
    added = tuple(str(key) for key in nets[1].operations if key not in match.values())
    result = Comparison(words, shared, removed, added, drawable)
    if path is not None:
        result.save(path)
    return result


def _middle_step(value: Cell | Run, level: str, offset: int) -> _MiddleStep:
    """The middle timestep of a run, or of a cell over a short random input; `offset` is added to its nodes' indices."""
    run = value if isinstance(value, Run) else _unroll(value)
    if len(run.cells) != 1:
        raise ValueError(f"compare_graphs: {run.cell!r} are several cells; compare two of run.cells")
    if run.tape is not None:
        run = step_by_step(run)
    t = len(run) // 2
    values = [*(named for (_, step), named in run.names.items() if step <= t), *run.outputs[: t + 1]]
    graph = Graph(values, run.cell.parameters())
    ((source,),) = sources_of([run], graph)
    x = run.inputs[t]
    step = _without_time(operation_step(source, t), offset)
    node = replace(graph.find(x), index=graph.find(x).index + offset) if x in graph else None
    cell = run.cell
    assert isinstance(cell, Cell)
    return _MiddleStep(cell, DETAIL[level](to_normal_form(step)), node, len(graph))


def _unroll(cell: Cell) -> Run:
    if isinstance(cell, (Stacked, Bidirectional)):
        raise ValueError(f"compare_graphs: {cell!r} are several cells; compare two of them")
    if not isinstance(cell, Cell):
        raise TypeError(f"compare_graphs: expected a cell or a run, got {type(cell).__name__}")
    return unroll(cell, np.random.default_rng(0).normal(size=(_STEPS, _BATCH, cell.input_size)))


def _without_time(step: Step, offset: int) -> Step:
    """The step with states called ``cₜ``, and nodes that are told apart from those of another graph."""

    def renumbered(node: Node) -> Node:
        return replace(node, index=node.index + offset)

    def timeless_label(item: Item) -> Label:
        then = item.value.timestep if item.value is not None else None
        ago = 0 if then is None else step.timestep - then
        back = f"₋{subscript(ago)}" if ago > 0 else f"₊{subscript(-ago)}" if ago else ""
        return item.label._replace(time=NOW + back) if item.label.time else item.label

    items = [
        replace(
            item,
            label=timeless_label(item),
            nodes=tuple(map(renumbered, item.nodes)),
            value=renumbered(item.value) if item.value else None,
        )
        for item in step.items
    ]
    return step.with_items(items)


def _other_names_of_states(a: Net, b: Net, match: Mapping[Key, Key]) -> dict[str, str]:
    """States that the same operation gives under another name: from their names in the second cell to those in the
    first.
    """
    found: dict[str, str] = {}
    for name, key in a.states.items():
        candidates = (
            other
            for other, given in b.states.items()
            if other not in a.states and other not in found and given == match.get(key)
        )
        twin = next(candidates, None) if name not in b.states else None
        if twin is not None:
            found[twin] = name
    return found


def _rename_states(step: Step, names: Mapping[str, str]) -> Step:
    ports = {entering(old): entering(new) for old, new in names.items()}
    labels = {Label(old, time=NOW): Label(new, time=NOW) for old, new in names.items()}
    items = [
        replace(
            item,
            links=tuple(link._replace(source=ports.get(link.source, link.source)) for link in item.links),
            label=labels.get(item.label, item.label) if item.value is not None else item.label,
        )
        for item in step.items
    ]
    states = tuple((names.get(name, name), ports.get(key, key)) for name, key in step.states)
    return replace(step, items=tuple(items), states=states)


def _names(a: Cell, b: Cell) -> tuple[str, str]:
    """What the cells are called: by their classes, or, if those are the same, in full, or as the first and the
    second.
    """
    short = [type(cell).__name__.removesuffix("Cell") or type(cell).__name__ for cell in (a, b)]
    for one, other in (short, (repr(a), repr(b))):
        if one != other:
            return one, other
    return f"the first {short[0]}", f"the second {short[1]}"


def _size(cell: Cell) -> int:
    return sum(parameter.size for parameter in cell.parameters())


def _notes(merged: Merged, names: tuple[str, str]) -> dict[Key, str]:
    """Tooltips: what each shape stands for in either cell."""
    notes = {}
    for key, pair in merged.pair.items():
        lines = [
            f"{name}: {item.key}, {item.label}" for name, item in zip(names, pair, strict=True) if item is not None
        ]
        notes[key] = "\n".join(lines)
    return notes
