"""The steps of one cell of a run as maps from state to state, and their Jacobians, many steps at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Cell, Tensor
from tinygrad_rnn.autodiff.arrays import plain
from tinygrad_rnn.autodiff.batching import Batched
from tinygrad_rnn.autodiff.scope import using
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.compiler import CompiledEnsemble, uncompiled
from tinygrad_rnn.recurrent.unroll import Run

from ..tracing.replay import step_by_step
from ..tracing.values import parts_of

Array = npt.NDArray[Any]

__all__ = ["StepMaps", "step_jacobians"]

_BLOCK = 1 << 18
"""Numbers in a batched cotangent, so that what comes of it stays in the cache."""


@np.errstate(all="ignore")
def step_jacobians(run: Run, layer: str | None = None, steps: slice | None = None) -> Array:
    """The Jacobians ``∂s_t/∂s_{t-1}`` of the full state, all states of a cell side by side.

    They come from one VJP with n cotangents at once for many steps and all sequences together, never from differences.
    Truncation cuts the gradient, not the dynamics, and is left out here; a padded step is the identity.

    Parameters
    ----------
    run : Run
    layer : str, optional
        Which cell of a stack or of two directions, such as ``layer0`` or ``forward``.
    steps : slice, optional
        Which timesteps; all when omitted.

    Returns
    -------
    ndarray (T, batch, n, n)
        By timestep; entry (i, j) is the derivative of number i of the new state by number j of the old one. Of a cell
        that reads the sequence from its end the old state is that of timestep t+1.

    Raises
    ------
    TypeError
        If `run` is no Run.
    ValueError
        If the run is an ensemble's, the layer is missing or unknown, `steps` picks nothing or skips steps, or the
        sequences of the batch depend on one another, as by batch statistics.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((5, 4, 2)))
    >>> inspector.step_jacobians(run).shape
    (5, 4, 6, 6)
    """
    maps = StepMaps(run, layer, "step_jacobians")
    chosen = maps.chosen(steps)
    out = np.empty((len(chosen), maps.batch, maps.size, maps.size), maps.cell.dtype)
    for block, found in maps.jacobians(chosen):
        out[block.start - chosen.start : block.stop - chosen.start] = found
    return out


class StepMaps:
    """What one cell of a run did at each step.

    Attributes
    ----------
    cell : Cell
    label : str
        The cell, and the layer if there are several.
    batch, size : int
        Sequences, and the numbers of a full state.
    names : tuple of str
        Of the states.
    reverse : bool
        Whether the sequence was read from its end.
    """

    def __init__(self, run: Run, layer: str | None, who: str) -> None:
        self._who = who
        self._run = self._part(run, layer)
        self.cell: Cell = uncompiled(self._run.cell)
        self.label = repr(self.cell) + (f", {layer}" if layer else "")
        self.reverse = self._run.reverse
        self.names: tuple[str, ...] = self._run.initial_state._fields
        states = [self._run.initial_state, *self._run.states[:: -1 if self.reverse else 1]]
        self._states = [np.stack([np.asarray(state[k].data) for state in states]) for k in range(len(self.names))]
        self._inputs = np.stack([np.asarray(x.data) for x in self._run.inputs[:: -1 if self.reverse else 1]])
        self._shapes = [values.shape[2:] for values in self._states]
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        self.batch, self.size = self._inputs.shape[1], sum(self._sizes)
        self._mask = self._masks()
        self._repeats: int | None = None
        self._replayed: Run | None = None

    def __len__(self) -> int:
        return len(self._inputs)

    def chosen(self, steps: slice | None) -> range:
        """The timesteps meant by a slice.

        Raises
        ------
        ValueError
            If there are none, or some are skipped.
        """
        found = range(len(self))[steps if steps is not None else slice(None)]
        if not found or found.step != 1:
            raise ValueError(f"{self._who}: steps must be a slice of neighbours within 0..{len(self) - 1}, got {steps}")
        return found

    def jacobians(self, chosen: range, last_first: bool = False) -> Iterator[tuple[range, Array]]:
        """Blocks of timesteps with their Jacobians (block, batch, n, n), from the first on, or from the last on."""
        size = max(1, _BLOCK // (self.size * self.batch * max(self._sizes)))
        starts = range(chosen.start, chosen.stop, size)
        for start in reversed(starts) if last_first else starts:
            block = range(start, min(start + size, chosen.stop))
            found = (
                self._block(len(self) - block.stop, len(self) - block.start)
                if self.reverse
                else self._block(block.start, block.stop)
            )
            yield block, found[::-1] if self.reverse else found

    # ------------------------------------------------------------------------------------- of the run

    def _part(self, run: Run, layer: str | None) -> Run:
        if not isinstance(run, Run):
            raise TypeError(f"{self._who}: run must be what unroll returned, got {type(run).__name__}")
        if isinstance(run.cell, CompiledEnsemble):
            raise ValueError(f"{self._who}: {run.cell!r} are many graphs; unroll one of its members")
        parts = {prefix.rstrip("/"): part for prefix, part in parts_of(run)}
        if layer is None and len(parts) == 1:
            return next(iter(parts.values()))
        if layer not in parts:
            raise ValueError(
                f"{self._who}: layer must be one of {', '.join(filter(None, parts)) or 'none, there is a single cell'};"
                f" got {layer!r}"
            )
        return parts[layer]

    def _masks(self) -> Array | None:
        """(T, batch): which sequences had ended at a step, in the order of processing; ``None`` if none had."""
        run, ended = self._run, np.zeros(self._inputs.shape[:2], bool)
        if run.tape is not None:
            mask = run.tape.attributes.get("mask")
            ended = ended if mask is None else ~np.asarray(mask)[:, :, 0]
        else:
            for t, (output, state) in enumerate(zip(run.outputs, run.states, strict=True)):
                if output is not state[0]:  # unroll has put zeros where a sequence has ended
                    ended[t] = ~np.asarray(output.values[0])[:, 0]
        ended = ended[::-1] if run.reverse else ended
        return ended if ended.any() else None

    # ------------------------------------------------------------------------------------- derivatives

    def _block(self, first: int, last: int) -> Array:
        """The Jacobians of steps in the order of processing: by running them again side by side, or off the record."""
        if self._repeats is None:
            self._repeats = self._can_repeat(first, last)
        if not self._repeats:
            return np.stack([self._recorded(k) for k in range(first, last)])
        new, old = self._again(first, last)
        found = _pull(new, old, self._sizes).reshape(last - first, self.batch, self.size, self.size)
        if self._mask is not None:
            found[self._mask[first:last]] = np.eye(self.size)
        return found

    def _again(self, first: int, last: int) -> tuple[Sequence[Any], list[Tensor]]:
        """New and old states of a block of steps, run once more as one batch from the states there were."""
        rows = (last - first) * self.batch
        with using(scope=None, recording=True, anomaly=False, names=None):
            old = [
                Tensor(values[first:last].reshape(rows, *shape))
                for values, shape in zip(self._states, self._shapes, strict=True)
            ]
            x = self._inputs[first:last].reshape(rows, -1)
            if self._mask is not None:
                x = np.where(self._mask[first:last].reshape(rows, 1), 0.0, x).astype(x.dtype)
            return self.cell(Tensor(x), old), old

    def _can_repeat(self, first: int, last: int) -> bool:
        """Whether steps that are run again side by side give what they gave, and no row depends on another."""
        try:
            new, old = self._again(first, last)
        except (ValueError, TypeError, IndexError):  # a step that needs the very batch it was written for
            return False
        ended = np.zeros((last - first, self.batch), bool) if self._mask is None else self._mask[first:last]
        tolerance = float(np.sqrt(np.finfo(self.cell.dtype).eps))
        for value, values in zip(new, self._states, strict=True):
            was = values[first + 1 : last + 1].reshape(value.shape)
            is_now = np.where(ended.reshape(-1, *(1,) * (value.ndim - 1)), was, plain(value))
            if not np.allclose(
                is_now,
                was,
                rtol=tolerance,
                atol=tolerance * float(np.abs(was[np.isfinite(was)]).max(initial=0.0)),
                equal_nan=True,
            ):
                return False
        return not _mixed(new, old)

    def _recorded(self, k: int) -> Array:
        """The Jacobian of one step off its own record."""
        if self._replayed is None:
            self._replayed = self._run if self._run.tape is None else step_by_step(self._run)
        run = self._replayed
        t = len(self) - 1 - k if run.reverse else k
        before = run.initial_state if k == 0 else run.states[t + 1 if run.reverse else t - 1]
        new, old = run.states[t], list(before)
        if self.batch > 1 and _mixed(new, old, run.inputs[t]):
            raise ValueError(
                f"{self._who}: in {self.label} the sequences of a batch depend on one another, as by batch statistics; "
                "unroll them one by one"
            )
        return _pull(new, old, self._sizes, run.inputs[t])


def _pull(new: Sequence[Any], old: Sequence[Tensor], sizes: Sequence[int], *ends: Tensor) -> Array:
    """The derivative of new states by old ones for every row, (rows, n, n), from one sweep with n cotangents."""
    rows, size, starts = old[0].shape[0], sum(sizes), np.cumsum([0, *sizes])
    outputs, seeds = [], []
    for value, start, width in zip(new, starts, sizes, strict=False):
        if isinstance(value, Tensor):
            units = np.zeros((size, rows, width), value.dtype)
            units[start : start + width] = np.eye(width)[:, None, :]
            outputs.append(value)
            seeds.append(Batched(units.reshape(size, *value.shape)))
    found = np.zeros((rows, size, size), old[0].dtype)
    for node, total, _ in sweep(outputs, seeds, old, ends={value.id for value in [*old, *ends]}):
        for k, value in enumerate(old):
            if value is node:
                found[:, :, starts[k] : starts[k + 1]] = (
                    np.asarray(total.array).reshape(size, rows, sizes[k]).swapaxes(0, 1)
                )
    return found


def _mixed(new: Sequence[Any], old: Sequence[Tensor], *ends: Tensor) -> bool:
    """Whether a row of the new states depends on another row of the old ones.

    Any two rows differ in some bit of their numbers: for each bit, what is sent back from the rows that have it must
    not arrive at those that have it not, and the other way round.
    """
    rows = old[0].shape[0]
    bits = max(1, (rows - 1).bit_length())
    has = (np.arange(rows)[None] >> np.arange(bits)[:, None]) & 1 == 1
    sent = np.concatenate([has, ~has])
    rng = np.random.default_rng(0)
    outputs = [value for value in new if isinstance(value, Tensor)]
    seeds = []
    for value in outputs:
        weights = rng.normal(size=value.shape).astype(value.dtype)
        seeds.append(
            Batched(np.where(sent.reshape(*sent.shape, *(1,) * (value.ndim - 1)), weights, 0).astype(value.dtype))
        )
    keys = {value.id for value in old}
    for node, total, _ in sweep(outputs, seeds, list(old), ends=keys | {value.id for value in ends}):
        if node.id in keys:
            arrived = total.array[~sent]
            if np.any(arrived[np.isfinite(arrived)]):  # 0 times NaN arrives everywhere, and says nothing
                return True
    return False
