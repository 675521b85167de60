"""Which timesteps of which runs are drawn, and in which rows they stand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import index

from tinygrad_rnn import Node, Scope
from tinygrad_rnn.recurrent.unroll import Run

from ..layout.columns import Fold, Row
from ..steps.adjoint import adjoint_step
from ..steps.alike import steps_of
from ..steps.items import Link, Step
from ..steps.reverse import Reverse
from ..steps.source import Source

__all__ = ["backward_row_of", "in_turn", "row_of", "steps_shown"]

_ALL, _FIRST, _LAST = 20, 3, 2


def in_turn(run: Run | Sequence[Run], steps: slice | Sequence[int] | None) -> tuple[Run, ...]:
    """The runs to draw side by side, each of which goes on where the one before ended."""
    runs = tuple(run) if isinstance(run, (list, tuple)) else (run,)
    for one in runs or [None]:
        if not isinstance(one, Run):
            raise TypeError(f"run must be what unroll returned, got {type(one).__name__}")
    if len(runs) > 1 and (
        steps is not None or any(part.tape is not None or part.reverse for one in runs for part in one.cells)
    ):
        raise ValueError("of several runs, all steps are drawn, or folded; and none may be compiled or run in reverse")
    for before, after in itertools.pairwise(runs):
        ends, starts = (
            [(name, leaf.id) for state in states for name, leaf in state._asdict().items()]
            for states in ([part.states[-1] for part in before.cells], [part.initial_state for part in after.cells])
        )
        if ends != starts:
            raise ValueError(f"{after.cell!r} does not begin in the state in which {before.cell!r} ends")
    return runs


def steps_shown(
    count: int, steps: slice | Sequence[int] | None, fold: bool | None, ends: tuple[int, int] | None = None
) -> list[int]:
    """The timesteps to draw, ascending; folded, so many of the first and of the last."""
    chosen = _chosen(count, steps)
    fold = ends is not None or (steps is None and count > _ALL if fold is None else fold)
    first, last = ends or (_FIRST, _LAST)
    few = first + last + (ends is None)
    return [*chosen[:first], *chosen[-last:]] if fold and len(chosen) > few else chosen


def _chosen(count: int, steps: slice | Sequence[int] | None) -> list[int]:
    if steps is None:
        return list(range(count))
    chosen = range(count)[steps] if isinstance(steps, slice) else steps
    try:
        wanted = sorted({t + count if t < 0 else t for t in map(index, chosen)})
    except TypeError:
        raise TypeError(f"steps must be a slice or whole numbers, got {steps!r}") from None
    if not wanted or wanted[0] < 0 or wanted[-1] >= count:
        raise ValueError(f"steps {steps!r} choose nothing drawable from timesteps 0..{count - 1}")
    return wanted


def row_of(
    layer: Sequence[Source], shown: Sequence[list[int]], upper: Sequence[Source] | None, detail: Callable[[Step], Step]
) -> Row:
    """One layer of the drawing, its runs side by side."""
    feeds_next = upper is not None and upper[0].run.inputs[0].id == layer[0].run.outputs[0].id
    parts = [_one_run(source, steps, feeds_next, detail) for source, steps in zip(layer, shown, strict=True)]
    steps = itertools.chain.from_iterable(part.steps for part in parts)
    inputs = itertools.chain.from_iterable(part.inputs for part in parts)
    return replace(parts[0], steps=tuple(steps), inputs=tuple(inputs))


def _one_run(source: Source, shown: list[int], feeds_next: bool, detail: Callable[[Step], Step]) -> Row:
    run = source.run
    steps: list[Step | Fold] = []
    inputs: list[Node | None] = []
    before = -1
    for t, step in zip(shown, steps_of(source, shown, detail), strict=True):
        if t > before + 1:
            steps.append(Fold(run, source.layer, range(before + 1, t)))
            inputs.append(None)
        steps.append(step)
        x = source.run.inputs[t]
        inputs.append(source.graph.find(x) if x in source.graph else None)
        before = t
    if before < len(run) - 1:
        steps.append(Fold(run, source.layer, range(before + 1, len(run))))
        inputs.append(None)
    edge = len(run) - 1 if source.run.reverse else 0
    initial = source.run.initial_state._asdict()
    first = [(name, source.graph.find(v)) for name, v in initial.items() if edge in shown and v in source.graph]
    return Row(tuple(steps), run.reverse, tuple(first), tuple(inputs), feeds_next)


def backward_row_of(
    source: Source, shown: list[int], reverse: Reverse, layers: frozenset[Scope], norms: dict[tuple[int, int], float]
) -> Row:
    """The reverse sweep of one layer, each step in the column of its forward step."""
    steps: list[Step | Fold] = []
    last: tuple[tuple[str, str, Link], ...] = ()
    initial = source.run.initial_state._asdict()
    edge = len(source.run) - 1 if source.run.reverse else 0
    before = -1
    for t in [*shown, len(source.run)]:
        if t > before + 1:
            steps.append(Fold(source.run, source.layer, range(before + 1, t)))
        before = t
        if t < len(source.run):
            step, links = adjoint_step(source, reverse, t, layers, norms)
            steps.append(step)
            if t == edge:
                last = tuple((state, f"δ{initial[state].name or 'init'}", link) for state, link in links.items())
    return Row(tuple(steps), not source.run.reverse, (), (), last=last)
