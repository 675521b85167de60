"""From a module that loops over time itself to the cell of its step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autodiff.tensor import Tensor
from ..names import named_after
from ..refusal import UnsupportedError
from .check import agree
from .graph import Computation, DependentError
from .loop_cell import LoopCell
from .pieces import Pieces, same_pieces, taken_apart
from .rolling import roll
from .source import WHO, Source, numbers, traced
from .timesteps import Irregular, timeline
from .trace import leaves
from .unrolled import UnrolledCell

__all__ = ["loop_of"]

LENGTHS = (5, 6)
"""Over how many steps the module is run to find its loop: the one in the middle has two neighbours on either side."""


def loop_of(source: Source, sequence: Any) -> LoopCell | UnrolledCell:
    """The cell of the step that a module repeats; if it repeats none, its graph for sequences of this length.

    Raises
    ------
    UnsupportedError
        If there is none, or an operation has no counterpart.
    ValueError
        If the sequence has fewer than two axes.
    """
    if sequence.ndim < 2:
        shape = tuple(sequence.shape)
        raise ValueError(f"{WHO}: a sequence must be (T, batch, ...) or (batch, T, ...), got {shape}; add a batch axis")
    if sequence.ndim == 2 and sequence.is_floating_point():
        raise ValueError(
            f"{WHO}: a sequence must be (T, batch, features) or (batch, T, features), got {tuple(sequence.shape)}; for"
            " one step give an example of its states, too: tg.from_torch(module, x, *states)"
        )
    try:
        pieces, axis = _found(source, sequence)
    except Irregular as error:
        return _unrolled(source, sequence, error)
    dtype = _dtype(source, sequence)
    parameters = {name: (numbers(p), p.requires_grad) for name, p in source.parameters().items()}
    kind = named_after(source.name, LoopCell)
    why = _whole(pieces, sequence, {name: value for name, (value, _) in parameters.items()}, axis)
    shapes = pieces.element_shapes()
    x_shape = (sum(int(np.prod(shape)) for shape in shapes),) if why else tuple(sequence.shape[2:])
    try:
        cell = kind(pieces, parameters, x_shape, dtype, batch_first=axis == 1, steps=sequence.shape[axis], reason=why)
    except Irregular as error:
        raise _no_loop(source, error) from None
    _check(source, cell, sequence)
    return cell


def _found(source: Source, sequence: Any) -> tuple[Pieces, int]:
    """The pieces of the loop, and which axis of the sequence is time: the one over which there is a loop."""
    problems: list[Exception] = []
    for axis in _axes(source):
        try:
            pieces = [_at_length(source, sequence, axis, steps) for steps in LENGTHS]
            return same_pieces(pieces[0], pieces[1], LENGTHS, WHO), axis
        except (Irregular, DependentError) as error:
            problems.append(error)
    raise next((problem for problem in problems if isinstance(problem, Irregular)), problems[0])


def _unrolled(source: Source, sequence: Any, why: Irregular) -> UnrolledCell:
    """A module whose steps differ, for sequences of the length of the example."""
    parameters = {name: (numbers(p), p.requires_grad) for name, p in source.parameters().items()}
    kind = named_after(source.name, UnrolledCell)
    for axis in _axes(source):
        try:
            trace, _ = traced(source, [sequence], {0: 1 - axis}, "over the sequence")
            time = timeline(trace, sequence.shape[axis])
            shape, dtype = tuple(sequence.shape[2:]), _dtype(source, sequence)
            cell = kind(time, trace, parameters, shape, dtype, batch_first=axis == 1, reason=str(why))
        except (Irregular, DependentError):
            continue
        _check(source, cell, sequence)
        return cell
    raise _no_loop(source, why)


def _axes(source: Source) -> tuple[int, int]:
    """The axes that may be time, the likelier first."""
    return (1, 0) if getattr(source.roots.get(""), "batch_first", False) else (0, 1)


def _no_loop(source: Source, why: Exception) -> UnsupportedError:
    return UnsupportedError(
        f"{WHO}: {source.name} does not repeat a step over time: {why}; give one step alone, tg.from_torch(step, x,"
        " *states), or watch it as it is with inspector.watch"
    )


def _at_length(source: Source, sequence: Any, axis: int, steps: int) -> Pieces:
    torch = source.torch
    places = torch.arange(steps, device=sequence.device) % sequence.shape[axis]
    example = sequence.detach().index_select(axis, places)
    trace, _ = traced(source, [example], {0: 1 - axis}, f"over {steps} steps")
    return taken_apart(roll(trace, steps), trace)


def _dtype(source: Source, sequence: Any) -> Any:
    if sequence.is_floating_point():
        return numbers(sequence).dtype
    first = next((p for p in source.parameters().values() if p.is_floating_point()), None)
    return np.dtype(np.float64) if first is None else numbers(first).dtype


def _whole(pieces: Pieces, sequence: Any, parameters: Any, axis: int) -> str:
    """Why the step cannot begin with one timestep of the sequence itself; empty if it can."""
    if all(number == 0 for number in pieces.sources):
        return ""
    if not sequence.is_floating_point():
        return "the sequence holds whole numbers"
    random = np.random.default_rng(0)
    before = Computation(pieces.before, pieces.before.output)
    shape = (2, LENGTHS[0]) if axis == 1 else (LENGTHS[0], 2)
    x = random.normal(size=(*shape, *sequence.shape[2:])).astype(numbers(sequence).dtype)
    together = before.run([x], parameters, 2, LENGTHS[0])
    try:
        for t in range(LENGTHS[0]):
            alone = before.run([np.take(x, [t], axis)], parameters, 2, 1)
            for number, taken in zip(pieces.sources, pieces.states.taken, strict=True):
                there = np.take(together[number], [t], taken.axis)
                if not np.allclose(alone[number], there, rtol=0.0, atol=1e-5 * (1.0 + np.abs(there).max())):
                    return "what is computed before the loop differs for a timestep alone"
    except (ValueError, IndexError):
        return "what is computed before the loop needs the whole sequence"
    return ""


def _check(source: Source, cell: LoopCell | UnrolledCell, sequence: Any) -> None:
    """Compare with the module on the example: all that it returns, and all gradients."""
    torch = source.torch
    theirs = sequence.detach().clone()
    ours: Any = numbers(sequence)
    if sequence.is_floating_point():
        theirs.requires_grad_(True)
        ours = Tensor(ours, True)
    with torch.enable_grad():
        expected = [leaf for leaf in leaves(source.function(theirs)) if isinstance(leaf, torch.Tensor)]
    _, returned = cell.run(ours)
    found = _tensors(returned)
    parameters = {name: p for name, p in source.parameters().items() if p.requires_grad}
    own = dict(cell.named_parameters())
    inputs = [("x", ours, theirs)] if sequence.is_floating_point() else []
    both = [*inputs, *((name, own[name], p) for name, p in parameters.items())]
    agree(
        source,
        [(f"result {k}", mine, other) for k, (mine, other) in enumerate(zip(found, expected, strict=True))],
        [name for name, _, _ in both],
        [mine for _, mine, _ in both],
        [other for _, _, other in both],
    )


def _tensors(value: Any) -> Sequence[Any]:
    return [leaf for leaf in leaves(value) if hasattr(leaf, "shape")]
