"""Values inside a larger one: a state of a run that is a single node, one timestep of a sequence of inputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..autodiff.cotangent import Lazy, Scatter, dense
from ..autodiff.primitive import Primitive, Value
from ..autodiff.primitives import getitem, reshape, scatter, transpose, where
from ..autodiff.scope import Context, Scope, context
from ..autodiff.tensor import Tensor
from .lazy import LazySequence

Array = npt.NDArray[Any]

__all__ = ["HELD", "INSIDE", "ROW", "TRAJECTORY", "TRAJECTORY_AGAIN", "VALUE", "VALUE_AGAIN", "RowsOf", "rows_of"]


class _Inner(Primitive):
    """A value whose whole cotangent is a row of the cotangent of what it lies in."""

    inner = True

    def read(self, node: Any, whole: Any, own: Any) -> Any:
        """The value's cotangent, given that of what it lies in and that of its own uses; ``None`` if there is none."""
        series = whole.inner.get(node.attributes["key"]) if hasattr(whole, "inner") else whole
        if series is None:
            return None
        row = node.attributes["row"]
        return series[row] if type(series) is np.ndarray else getitem(series, row)


class _Held(Primitive):
    """A new state where sequences are running, the old one where they have ended.

    The step goes on with the new state as it is: what h reads of c is there in the new c alone. The gradient of the
    state, where it is new, is therefore the whole gradient of the new one, and that of its own uses only where it is
    held.
    """

    inner = True
    within = 1

    def read(self, node: Any, whole: Any, own: Any) -> Any:
        """As for any value inside another."""
        return where(node.inputs[0], dense(whole), 0.0 if own is None else dense(own))


def _window_rule(g: Value, y: Value, tape: Value, start: int) -> Value:
    lead = tape.shape[:-1]
    flat = reshape(g, (*lead, -1))
    where = slice(start, start + flat.shape[-1])
    index = (slice(None),) * len(lead) + (where,) if lead else where
    return scatter(flat, index, tape.shape)


def _value_rule(g: Value, y: Value, tape: Value, key: tuple[str, str], row: int, start: int, shape: Any) -> Value:
    if isinstance(g, (np.ndarray, np.generic)):
        return RowsOf(key, row, np.asarray(g)[None], tape, start)
    return _window_rule(g, y, tape, start)


def _trajectory_rule(g: Value, y: Value, tape: Value, key: tuple[str, str], start: int, shape: Any) -> Value:
    if isinstance(g, (np.ndarray, np.generic)):
        return RowsOf(key, 0, g, tape, start)
    g = g if tape.ndim == 1 else transpose(g, (1, 0, *range(2, g.ndim)))
    return _window_rule(g, y, tape, start)


def _row_rule(g: Value, y: Value, x: Value, key: tuple[str, str], row: int) -> Value:
    return Scatter(g, row, x.shape) if type(g) is np.ndarray else scatter(g, row, x.shape)


def value(tape: Array, key: tuple[str, str], row: int, start: int, shape: tuple[int, ...]) -> Array:
    """A state or named value of a run at one timestep; of an ensemble, whose tapes are rows, of every member."""
    stop = start + math.prod(shape)
    if tape.ndim == 1:
        return tape[start:stop].reshape(shape)
    return tape[..., start:stop].reshape((*tape.shape[:-1], *shape))


def trajectory(tape: Array, key: tuple[str, str], start: int, shape: tuple[int, ...]) -> Array:
    """A state or named value of a run at all timesteps, (T, ...); of an ensemble (T, members, ...)."""
    part = tape[..., start : start + math.prod(shape)].reshape(*tape.shape[:-1], *shape)
    return part if tape.ndim == 1 else np.swapaxes(part, 0, 1)


def timestep_of(x: Array, key: tuple[str, str], row: int) -> Any:
    """One timestep of a sequence (T, ...)."""
    return x[row]


class _Inside(Primitive):
    """Stands for everything inside a run; what it reads is all that the run's adjoint found out."""

    inner = True

    def read(self, node: Any, whole: Any, own: Any) -> Any:
        """The cotangents of the run as they are."""
        return whole


def inside(tape: Array, key: tuple[str, str]) -> Array:
    """Nothing: only to be wanted."""
    return tape[:0]


class RowsOf(Lazy):
    """The cotangent of a run as far as some rows of one of its values go, which need not lie on the tape.

    Parameters
    ----------
    key : tuple
        Whose rows.
    first : int
        The step, in the order of processing, of the first.
    rows : array, Tensor or Batched (n, *shape); of an ensemble (n, members, *shape)
    tape : array or Tensor
        The run.
    start : int, optional
        Where on the tape they lie, if they do.
    """

    __slots__ = ("dtype", "first", "key", "rows", "shape", "start")

    def __init__(self, key: tuple[str, str], first: int, rows: Any, tape: Any, start: int | None = None) -> None:
        self.key, self.first, self.rows, self.start = key, first, rows, start
        self.shape, self.dtype = tape.shape, tape.dtype

    def dense(self) -> Array:
        if self.start is None:
            raise TypeError(
                f"the cotangent of {self.key[1]} is not part of a checkpointed tape; ask for that of its values"
            )
        whole = np.zeros(self.shape, self.dtype)
        flat = self.rows if whole.ndim == 1 else np.swapaxes(self.rows, 0, 1)
        flat = flat.reshape((*whole.shape[:-1], -1)) if flat.size else whole[..., :0]
        whole[..., self.start : self.start + flat.shape[-1]] = flat
        return whole


def _reread_rule(g: Value, y: Value, tape: Value, values: Value, key: tuple[str, str], row: int, **rest: Any) -> Value:
    return RowsOf(key, row, reshape(g, (1, *g.shape)), tape)


def _reread_all_rule(g: Value, y: Value, tape: Value, values: Value, key: tuple[str, str]) -> Value:
    return RowsOf(key, 0, g, tape)


def value_again(
    tape: Array, values: Array, key: tuple[str, str], row: int, start: int, shape: tuple[int, ...]
) -> Array:
    """A value of a checkpointed run at one timestep, read from a segment that was computed again."""
    return values[start : start + math.prod(shape)].reshape(shape)


def trajectory_again(tape: Array, values: Array, key: tuple[str, str]) -> Array:
    """A value of a checkpointed run at all timesteps, computed again."""
    return values


VALUE_AGAIN = _Inner(value_again, (_reread_rule, None), analytic=False)
TRAJECTORY_AGAIN = Primitive(trajectory_again, (_reread_all_rule, None), analytic=False)
INSIDE = _Inside(inside, (None,), analytic=False)
HELD = _Held(where.forward, where.rules, elementwise=True, analytic=False)
VALUE = _Inner(value, (_value_rule,), analytic=False)
TRAJECTORY = Primitive(trajectory, (_trajectory_rule,), analytic=False)
ROW = _Inner(timestep_of, (_row_rule,), analytic=False)


def rows_of(whole: Tensor, name: str | None = None) -> LazySequence:
    """The timesteps of a Tensor (T, ...), each made when it is looked at, in the scope of its timestep."""
    around = context.get().scope

    def make(t: int) -> Tensor:
        token = context.set(Context(Scope(around, "timestep", f"t={t}", t)))
        try:
            row: Tensor = ROW.on((whole,), {"key": ("row", ""), "row": t})
        finally:
            context.reset(token)
        row.name = name
        return row

    return LazySequence(whole.shape[0], make, lambda: whole)
