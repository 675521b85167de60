"""Runs of one page that follow each other, as an encoder's and its decoder's: what each says of the other."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor
from tinygrad_rnn.recurrent.unroll import Run

from ..text import number, shortened

__all__ = ["follows", "link", "pairs"]

_MOVES = 8
"""Operations at most between the last state of a run and the first one of the next: it may be turned or cut out."""
_LEFT = 76.0
"""Points that the drawing leaves free on the left of the first step."""


def pairs(runs: Sequence[tuple[Run, Tensor]]) -> list[tuple[int, int]]:
    """Which of the runs, each with its loss, end in the state in which another one begins: (it, the other one)."""
    found = []
    for after, (run, loss) in enumerate(runs):
        others = (k for k, (one, of) in enumerate(runs) if of is loss and follows(one, run))
        before = next(others, None)
        if before is not None:
            found.append((before, after))
    return found


def follows(before: Run, after: Run) -> bool:
    """Whether a run begins in the state in which another one ends, as a decoder does after its encoder."""
    if any(part.reverse for part in (*before.cells, *after.cells)):
        return False  # on the page time goes on from the left to the right
    ends = [part.states[-1]._asdict() for part in before.cells]
    starts = [part.initial_state._asdict() for part in after.cells]
    if [list(state) for state in ends] != [list(state) for state in starts]:
        return False
    return all(_is_handed_over(end[name], start[name]) for end, start in zip(ends, starts, strict=True) for name in end)


def _is_handed_over(end: Tensor, start: Tensor) -> bool:
    """Whether a value is another one, as it is or in another shape."""
    if end.size != start.size:
        return False
    reached = {start.id: start}
    for _ in range(_MOVES):
        if end.id in reached:
            return np.array_equal(np.ravel(end.data), np.ravel(start.data), equal_nan=True)
        operands = (operand for value in reached.values() for operand in value.inputs)
        reached = {operand.id: operand for operand in operands if isinstance(operand, Tensor)}
    return False


def link(
    before: dict[str, Any], after: dict[str, Any], norms: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
) -> None:
    """Say in the data of two runs that one goes on where the other one ends, and what of its gradient gets through.

    `norms` are those of the gradient by the whole state of each.
    """
    after["after"] = before["key"]
    first, second = norms
    reached = np.flatnonzero(second)
    kept = number(first[0] / second[reached[-1]] if reached.size else math.nan)
    _note(before, f"{kept} of the gradient at the end of {after['label']} arrives at its t = 0")
    _note(after, f"begins where {before['label']} ends")
    for level in before.get("levels", ()):
        for shape in level["last"]["shapes"]:
            if shape.get("role") == "loss":
                shape["label"] = after["label"]
    for level in after.get("levels", ()):
        upper = min(level["first"]["shapes"], key=operator.itemgetter("y"), default=None)
        if upper is not None:
            level["first"]["shapes"].append(_name_above(upper, before["label"]))


def _note(run: dict[str, Any], words: str) -> None:
    run["note"] = "; ".join(filter(None, (run.get("note"), words)))


def _name_above(shape: dict[str, Any], label: str) -> dict[str, Any]:
    """The name of the run from which the first state comes, above that state."""
    place = {"x": shape["x"], "y": round(shape["y"] - shape["h"] / 2 - 9, 1), "w": _LEFT, "h": 14.0, "size": 11.0}
    return {"key": "before", "kind": "text", "label": shortened(label, _LEFT), "about": "", **place}
