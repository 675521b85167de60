"""Slices put back together: a sum of scattered slices becomes one concatenation."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ...autodiff.primitives import add, broadcast_to, concatenate, scatter
from ..indexing import Window, window
from ..program import Instruction, Program
from ..rewrite import rewrite
from ..symbol import Builder, Symbol

__all__ = ["assemble"]

_Parts = dict[tuple[int, int], list[int]]


def assemble(program: Program) -> Program:
    """Write the cotangents of slices side by side instead of adding up arrays that are zero almost everywhere.

    What no slice covers is filled with zeros; slices that overlap, or differ in their axes, are added up all the same.
    """
    made, uses = program.interior(), program.uses()

    def rule(builder: Builder, step: Instruction) -> Symbol | None:
        if step.op is not scatter and step.op is not add:
            return None
        readers = uses.get(step.target, [])
        if readers and all(use.op is add and _parts(program, made, use) for use in readers):
            return None  # part of a larger sum that will be put together as a whole
        found = _parts(program, made, step)
        if found is not None:
            return _join(builder, *found, shape=program.types[step.target].shape)
        return _surround(builder, step) if step.op is scatter and step.values else None

    return rewrite(program, rule)


def _parts(program: Program, made: dict[int, Instruction], root: Instruction) -> tuple[int, _Parts] | None:
    """The axis and the slices, by range, that a tree of additions of scattered slices consists of."""
    stack: list[Instruction | None] = [root]
    leaves = []
    while stack:
        step = stack.pop()
        if step is not None and step.op is add and len(step.values) == 2:
            stack += map(made.get, step.values)
        elif step is not None and step.op is scatter:
            leaves.append(step)
        else:
            return None
    shape = program.types[root.target].shape
    found: _Parts = {}
    axes: set[int] = set()
    for leaf in leaves:
        cut = window(leaf.attributes["index"], shape)
        if cut is None or not leaf.values or leaf.attributes["shape"] != shape:
            return None
        narrowed = cut.narrows(shape)
        axes.update(narrowed)
        if len(narrowed) != 1 or len(axes) != 1:
            return None
        found.setdefault(cut.bounds[narrowed[0]], []).append(leaf.values[0])
    spans = sorted(found)
    if not spans or any(a[1] > b[0] for a, b in itertools.pairwise(spans)):
        return None
    return axes.pop(), found


def _surround(builder: Builder, step: Instruction) -> Symbol | None:
    """A window of any axes with zeros around it."""
    shape = builder.types[step.target].shape
    cut = window(step.attributes["index"], shape)
    if cut is None or step.attributes["shape"] != shape:
        return None
    found = builder.now(step.values[0])
    for axis in cut.narrows(shape):
        around = (*shape[: axis + 1], *found.shape[axis + 1 :])
        found = _join(builder, axis, {cut.bounds[axis]: [found.index]}, around)
    return found


def _join(builder: Builder, axis: int, found: _Parts, shape: tuple[int, ...]) -> Symbol:
    dtype = builder.types[next(iter(found.values()))[0]].dtype
    pieces: list[Any] = []
    at = 0
    for start, stop in [*sorted(found), (shape[axis], shape[axis])]:
        if start > at:
            gap = Window(tuple((0, n) if k != axis else (at, start) for k, n in enumerate(shape))).shape
            pieces.append(builder.apply(broadcast_to, (np.zeros((), dtype),), {"shape": gap}))
        if stop > start:
            terms = [builder.now(value) for value in found[start, stop]]
            total = terms[0]
            for term in terms[1:]:
                total = builder.apply(add, (total, term), {})
            pieces.append(total)
        at = stop
    return builder.apply(concatenate, pieces, {"axis": axis})
