"""What may be done to a gradient that is right up to there: scaled, transposed, put in another order, left out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn.recurrent.inner import HELD
from tinygrad_rnn.recurrent.unroll import Run

from ..text import number

Array = npt.NDArray[Any]

__all__ = ["Item", "listed", "ratio", "ratio_words", "slips"]

_MOST_BLOCKS = 4


@dataclass(frozen=True, eq=False)
class Item:
    """What somebody gives as the gradient by a parameter, (1, *shape), or by a value at every step, (T, *shape).

    `counts` says which numbers are compared, `tolerance` how well they have to agree, relative to the largest of their
    row; what is below `floor` counts as 0.
    """

    name: str
    theirs: Array
    ours: Array
    is_parameter: bool
    tolerance: float
    floor: float
    counts: Array | None = None

    def errors(self, numbers: Array) -> Array:
        """How far they are from some numbers, row by row, relative to the largest of both."""
        a, b = (value.reshape(len(value), -1) for value in (self.masked(numbers), self.theirs))
        if not a.size:
            return np.zeros(len(a))
        size = np.maximum(np.abs(a).max(axis=1), np.abs(b).max(axis=1))
        apart = np.abs(a - b).max(axis=1)
        return np.where(size <= self.floor, 0.0, apart / np.where(size > 0, size, 1.0))  # NaN stays NaN

    def masked(self, numbers: Array) -> Array:
        """Some numbers, 0 where they are not compared."""
        return numbers if self.counts is None else np.where(self.counts, numbers, 0.0)

    def fits(self, numbers: Array) -> bool:
        """Whether they are these very numbers, to rounding."""
        return numbers.shape == self.theirs.shape and bool((self.errors(numbers) <= self.tolerance).all())


def listed(names: Sequence[str]) -> str:
    """Names one after the other, as they are said."""
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]


def ratio(item: Item, numbers: Array) -> float | None:
    """The one number that some numbers are multiplied by in theirs, if there is one."""
    numbers = item.masked(numbers)
    peak = np.abs(numbers).max(initial=0.0)
    if not peak > 0:
        return None
    scaled = numbers / peak
    found = float(np.vdot(scaled, item.theirs / peak) / np.vdot(scaled, scaled))
    return found if item.fits(found * numbers) else None


def ratio_words(found: float, run: Run, entries: int = 2) -> str | None:
    """What a factor may be, that of an array of some size; of a single number any factor is none."""
    steps, batch, units = len(run), *run.outputs[0].shape[:2]
    known = (
        (batch, "the batch"),
        (steps, "the steps"),
        (units, "the units"),
        (batch * steps, "batch and steps"),
        (_running(run), "all positions that are not padded"),
        (batch * units, "batch and units"),
        (batch * steps * units, "batch, steps and units"),
    )
    size, said = abs(found), list[str]()
    if math.isclose(size, 1.0, rel_tol=1e-4):
        return "has the wrong sign"
    for count, what in known:
        if count > 1 and math.isclose(size, 1 / count, rel_tol=1e-4):
            said.append(f"the mean over {what} in place of the sum (1/{count})")
        if count > 1 and math.isclose(size, count, rel_tol=1e-4):
            said.append(f"the sum over {what} in place of the mean ({count} times)")
    for factor, what in ((2.0, "twice ours, by a 2 too many"), (0.5, "half of ours, without the 2 of a squared error")):
        if math.isclose(size, factor, rel_tol=1e-4):
            said.append(what)
    if not said and entries > 1:
        said.append(f"{number(size)} times ours throughout")
    return f"is {' or '.join(said)}{', with the wrong sign' * (found < 0)}" if said else None


def _running(run: Run) -> int:
    """How many positions of a padded batch are none of the padding; 0 of a batch without."""
    held = [leaf for state in run.cells[0].states for leaf in state[:1] if leaf.op is HELD]
    outside = sum(int(leaf.shape[0] - np.asarray(leaf.inputs[0]).sum()) for leaf in held)
    return len(run) * run.outputs[0].shape[0] - outside if held else 0


def slips(item: Item, numbers: Array, run: Run, shares: Iterable[Array] | None = None) -> Iterator[str]:
    """Everything that makes theirs of some numbers; `shares` are what each of several steps adds to them, if known."""
    if not item.theirs.any():
        if item.masked(numbers).any():
            yield from _steps(item, numbers[0], shares) if shares is not None else ()
            yield "is 0 throughout, never added up"
        return
    factor = ratio(item, numbers)
    words = ratio_words(factor, run, int(np.count_nonzero(numbers))) if factor is not None else None
    if words is not None:
        yield words
    if item.is_parameter:
        yield from _turned(item, numbers[0])
        yield from _blocks(item, numbers[0], run)
        if shares is not None:
            yield from _steps(item, numbers[0], shares)
        return
    for shift in (1, -1):
        moved = np.roll(item.masked(numbers), -shift, axis=0)
        moved[-1 if shift > 0 else 0] = item.theirs[-1 if shift > 0 else 0]
        if len(moved) > 2 and item.fits(moved):
            yield f"is that of the step {'behind' if shift > 0 else 'before'}, off by one in time"
    if len(numbers) > 1 and item.fits(numbers[::-1]):
        yield "is in the reverse order of time"


def _turned(item: Item, whole: Array) -> Iterator[str]:
    if whole.ndim != 2 or min(whole.shape) < 2:
        return
    if item.fits(whole.T[None]):
        yield "is transposed"
    elif not whole.shape[0] % whole.shape[1] and whole.shape[0] > whole.shape[1]:
        blocks = np.split(whole, whole.shape[0] // whole.shape[1])
        if item.fits(np.concatenate([block.T for block in blocks])[None]):
            yield "is transposed, each square block by itself"


def _blocks(item: Item, whole: Array, run: Run) -> Iterator[str]:
    """Blocks of rows, one a gate: in another order, or some of them wrong in one way."""
    units = run.outputs[0].shape[1]
    count = whole.shape[0] // units if whole.ndim and not whole.shape[0] % units else 1
    if count < 2:
        return
    blocks, theirs = np.split(whole, count), np.split(item.theirs[0], count)
    orders = itertools.permutations(range(count)) if count <= _MOST_BLOCKS else ()
    for order in orders:
        if list(order) != sorted(order) and item.fits(np.concatenate([blocks[k] for k in order])[None]):
            yield f"has its {count} blocks of rows in the order {', '.join(map(str, order))}"
            return
    wrong: dict[str, list[int]] = {}
    for k, (block, own) in enumerate(zip(blocks, theirs, strict=True)):
        one = Item(item.name, own[None], block[None], True, item.tolerance, item.floor)
        if one.fits(block[None]):
            continue
        factor = ratio(one, block[None]) if block.size > 1 else None
        if own.any() and factor is None:
            return
        wrong.setdefault("is 0" if not own.any() else ratio_words(factor or 0.0, run) or "", []).append(k)
    if wrong and sum(map(len, wrong.values())) < count:
        rows = {what: ", ".join(f"{k * units}…{(k + 1) * units - 1}" for k in places) for what, places in wrong.items()}
        yield "; ".join(f"in rows {where} {what}" for what, where in rows.items())


def _steps(item: Item, whole: Array, shares: Iterable[Array]) -> Iterator[str]:
    """The share of one step alone, as where = stands for +=, or of all but one."""
    for t, share in enumerate(shares):
        if item.fits(share[None]):
            yield f"is the share of the step t = {t} alone: assigned (=) where it should be added up (+=)"
        if share.any() and item.fits((whole - share)[None]):
            yield f"lacks the share of the step t = {t}"
