"""Operators that pick and put by tables of places."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ....autodiff import functions
from ....autodiff import primitives as p
from ....autodiff.primitive import Value
from ..operators import bounded, operator, plain


def _cells(indices: Value, shape: tuple[int, ...]) -> Any:
    """Where tuples of places (..., axes) stand in a flattened array."""
    places = plain(indices).astype(np.int64)
    sizes = np.array(shape, np.int64)
    if places.size and ((places < -sizes) | (places >= sizes)).any():
        raise ValueError(f"indices lie outside of {shape}")
    places = np.where(places < 0, places + sizes, places)
    return places @ np.array([math.prod(shape[k + 1 :]) for k in range(len(shape))], np.int64)


@operator("GatherND")
def _gather_nd(x: Value, indices: Value, *, batch_dims: int = 0) -> Value:
    lead, last = x.shape[:batch_dims], indices.shape[-1]
    table = plain(indices)
    if batch_dims:
        grid = np.indices((*lead, *table.shape[batch_dims:-1]))[:batch_dims]
        table = np.concatenate([np.moveaxis(grid, 0, -1), table], -1)
    depth = batch_dims + last
    cells = _cells(table, x.shape[:depth])
    rest = x.shape[depth:]
    bounded((*cells.shape, *rest))
    return p.take(p.reshape(x, (math.prod(x.shape[:depth]), *rest)), cells, axis=0)


_REDUCTIONS: dict[str, Callable[..., Any]] = {"max": p.maximum, "min": p.minimum, "mul": p.multiply}


def _put(x: Value, cells: Any, updates: Value, reduction: str) -> Value:
    """`x` (cells, ...) with `updates` at some of them."""
    if reduction == "add":
        return p.add(x, p.scatter.on((updates,), {"index": (cells,), "shape": x.shape}))
    order = np.argsort(cells, kind="stable")
    grouped = cells[order]
    turn = np.empty(cells.size, np.int64)  # how often a cell has been written to before
    turn[order] = np.arange(cells.size) - np.searchsorted(grouped, grouped)
    rounds = int(turn.max(initial=-1)) + 1
    if rounds > (1 if reduction == "none" else 64):
        wrong = "twice to the same place, where the order would decide" if reduction == "none" else "over 64 times"
        raise ValueError(f"writes {wrong}")
    for k in range(rounds):
        chosen = np.flatnonzero(turn == k)
        places = cells[chosen]
        part = updates if rounds == 1 else p.take(updates, chosen, axis=0)
        flat = p.scatter.on((part,), {"index": (places,), "shape": x.shape})
        touched = np.zeros(x.shape, bool)
        touched[places] = True
        x = p.where(touched, flat if reduction == "none" else _REDUCTIONS[reduction](x, flat), x)
    return x


def _unknown(*, reduction: str = "none", **_: Any) -> str:
    known = reduction in ("none", "add", *_REDUCTIONS)
    return "" if known else f"reduction {reduction!r} has no counterpart here"


@operator("ScatterND", refuses=_unknown)
def _scatter_nd(x: Value, indices: Value, updates: Value, *, reduction: str = "none") -> Value:
    depth = indices.shape[-1]
    rest = x.shape[depth:]
    cells = _cells(indices, x.shape[:depth]).reshape(-1)
    rows = p.reshape(x, (math.prod(x.shape[:depth]), *rest))
    return p.reshape(_put(rows, cells, p.reshape(updates, (cells.size, *rest)), reduction), x.shape)


@operator("Scatter", "ScatterElements", refuses=_unknown)
def _scatter_elements(x: Value, indices: Value, updates: Value, *, axis: int, reduction: str = "none") -> Value:
    axis = functions.normal_axis("ScatterElements", axis, len(x.shape))
    grid = np.indices(plain(indices).shape)
    grid[axis] = plain(indices)
    cells = _cells(np.moveaxis(grid, 0, -1), x.shape).reshape(-1)
    return p.reshape(_put(p.reshape(x, (-1,)), cells, p.reshape(updates, (-1,)), reduction), x.shape)


@operator("OneHot")
def _one_hot(indices: Value, depth: Value, values: Value, *, axis: int) -> Value:
    count = int(plain(depth).reshape(-1)[0])
    places = plain(indices).astype(np.int64)
    bounded((*places.shape, max(count, 1)))
    places = np.where(places < 0, places + count, places)
    hot = places[..., None] == np.arange(count)
    off, on = values[0], values[1]
    return p.where(np.moveaxis(hot, -1, axis), on, off)
