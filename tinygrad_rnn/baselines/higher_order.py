"""Temporal transition hierarchies: a net that grows a unit wherever a connection would need two weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..arguments import integer, is_number
from ..plurals import counted

Array = npt.NDArray[Any]

__all__ = ["HigherOrderUnit", "TransitionHierarchy"]


class HigherOrderUnit(NamedTuple):
    """A unit whose output is added to the weight of a connection one step later.

    Attributes
    ----------
    target, source : int
        The connection: to a row, output or unit, from an input.
    delay : int
        How many steps before the output that it serves it looks: one more than its target.
    """

    target: int
    source: int
    delay: int


class TransitionHierarchy:
    """Linear outputs over the present input, and units that change connection weights for the next step.

    ::

        w^_ij(t) = w_ij + n_l(t - 1)   if unit l sits on the connection from j to i, else w_ij
        n_i(t)   = sum_j w^_ij(t) x_j(t)                      i an output or a unit
        d_i(t)   = target_i - n_i(t) for an output,  d_i(t) x_j(t - delay_i) for the unit l on (i, j)
        w_ij    += lr d_i(t) x_j(t - delay_i)                 the exact gradient of 1/2 sum d**2

    A weight that is to be large in one context and small in another is pulled both ways: its changes are large
    but cancel. With running means of the change and of its size::

        m_ij = (1 - rate) m_ij + rate |change|,   s_ij = (1 - rate) s_ij + rate change

    a unit is put on the connection once ``m_ij > threshold |s_ij| + floor lr``, with weights 0, so that nothing
    changes at first. It sees what came one step earlier, where the contexts may differ; if they do not, its
    own connections are pulled both ways, and so on: a lag takes a chain of units as long as itself. After each
    new unit all means begin anew.

    Ring 1993, "Learning sequential tasks by incrementally adding higher orders", and his thesis of 1994,
    from memory: the equations are theirs, the numbers are ours. So is that means move only where there was
    a change, that of several connections over the line the one furthest over gets its unit first, and that
    sequences begin afresh.

    Parameters
    ----------
    input_size, output_size : int
    lr : float
        All weights of a chain of units answer for one error, so that learning diverges once lr times the
        lag nears 2.
    threshold : float
        More than 1; how much larger the mean size must be than the size of the mean.
    floor : float
        Mean size of error, in units of the targets, that is let pass; 0 is too small, since weights come to
        rest only slowly.
    rate : float
        In (0, 1), of the running means.
    max_units : int
        No more units than this.

    Attributes
    ----------
    units : list of HigherOrderUnit
        In order of their birth; unit k is row ``output_size + k``.
    weights : (output_size + units, input_size)

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, or of the wrong kind.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_rnn.tasks import NoiseFree
    >>> from tinygrad_rnn.baselines.higher_order import TransitionHierarchy
    >>> task, rng = NoiseFree(p=3), np.random.default_rng(0)
    >>> net = TransitionHierarchy(task.input_size, task.output_size)
    >>> for _ in range(400):
    ...     batch = task.batch(1, rng)
    ...     error = net.learn(batch.inputs[:, 0], batch.targets[:, 0], batch.mask[:, 0])
    >>> sorted(unit.delay for unit in net.units)
    [1, 1, 2, 2]
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        lr: float = 0.1,
        threshold: float = 4.0,
        floor: float = 0.1,
        rate: float = 0.1,
        max_units: int = 1000,
    ) -> None:
        who = type(self).__name__
        integer(who, "input_size", input_size, 1)
        integer(who, "output_size", output_size, 1)
        integer(who, "max_units", max_units, 0)
        numbers: dict[str, tuple[Any, float, float]] = {
            "lr": (lr, 0.0, np.inf),
            "threshold": (threshold, 1.0, np.inf),
            "floor": (floor, 0.0, np.inf),
            "rate": (rate, 0.0, 1.0),
        }
        for name, (number, low, high) in numbers.items():
            if not is_number(number) or not low < number < high:
                raise ValueError(f"{who}: {name} must lie between {low:g} and {high:g}, got {number!r}")
        self.input_size, self.output_size = int(input_size), int(output_size)
        self.lr, self.threshold, self.floor, self.rate = lr, threshold, floor, rate
        self.max_units = max_units
        self.units: list[HigherOrderUnit] = []
        self.weights = np.zeros((output_size, input_size))
        self._begin_means()

    def predict(self, inputs: Any) -> Array:
        """Outputs (T, output_size) for one sequence of inputs (T, input_size), from a fresh start."""
        x = self._sequence("predict", inputs)
        previous = np.zeros(len(self.units))
        outputs = np.empty((len(x), self.output_size))
        for t, now in enumerate(x):
            n = self._step(now, previous)
            outputs[t], previous = n[: self.output_size], n[self.output_size :]
        return outputs

    def gradient(self, inputs: Any, targets: Any, mask: Any) -> Array:
        """The gradient of ``1/2 sum (target - output)**2`` over one sequence, weights held still.

        Parameters
        ----------
        inputs : (T, input_size)
        targets : (T, output_size)
        mask : (T,) of bool
            Where outputs are asked for.

        Returns
        -------
        ndarray of the shape of ``weights``
        """
        x, target, asked = self._check("gradient", inputs, targets, mask)
        total = np.zeros_like(self.weights)
        errors = target - self.predict(x)
        for t in np.flatnonzero(asked):
            total -= self._ascent(x, int(t), errors[t])
        return total

    def learn(self, inputs: Any, targets: Any, mask: Any) -> float:
        """Learn on-line from one sequence, weights changing and units growing at every step.

        Parameters
        ----------
        inputs, targets, mask : see :meth:`gradient`

        Returns
        -------
        float
            The largest error of any output that was asked for.

        Raises
        ------
        FloatingPointError
            If learning diverges.
        """
        x, target, asked = self._check("learn", inputs, targets, mask)
        previous, largest = np.zeros(len(self.units)), 0.0
        for t, now in enumerate(x):
            n = self._step(now, previous)
            previous = n[self.output_size :]
            if asked[t]:
                error = target[t] - n[: self.output_size]
                largest = max(largest, float(np.abs(error).max()))
                if not largest < 1e100:
                    raise FloatingPointError(
                        f"TransitionHierarchy.learn: errors have grown beyond all bounds; lr={self.lr} is too large for"
                        f" {counted(len(self.units), 'unit')}"
                    )
                self._change(self.lr * self._ascent(x, t, error))
                if len(self.units) < self.max_units and self._grow():
                    previous = np.append(previous, 0.0)
        return largest

    def add_unit(self, target: int, source: int) -> HigherOrderUnit:
        """Put a unit on the connection from an input to an output or unit, with weights of 0.

        Raises
        ------
        ValueError
            If there is no such connection, or a unit on it already.
        """
        rows, columns = self.weights.shape
        if not (0 <= target < rows and 0 <= source < columns):
            raise ValueError(
                f"TransitionHierarchy.add_unit: target and source must lie below {rows} and {columns}, got {target} and"
                f" {source}"
            )
        if any(unit[:2] == (target, source) for unit in self.units):
            raise ValueError(
                f"TransitionHierarchy.add_unit: there is a unit on the connection {(target, source)} already"
            )
        above = target - self.output_size
        unit = HigherOrderUnit(target, source, 1 + (self.units[above].delay if above >= 0 else 0))
        self.units.append(unit)
        self.weights = np.vstack([self.weights, np.zeros(self.input_size)])
        self._begin_means()
        return unit

    def _step(self, x: Array, previous: Array) -> Array:
        """All outputs and units, from an input and the units of the step before."""
        modified = self.weights.copy()
        for unit, n in zip(self.units, previous, strict=True):
            modified[unit.target, unit.source] += n
        return np.asarray(modified @ x)

    def _ascent(self, x: Array, t: int, error: Array) -> Array:
        """Minus the gradient of half the squared error at step t."""
        blame = np.concatenate([error, np.zeros(len(self.units))])
        ascent = np.zeros_like(self.weights)
        ascent[: self.output_size] = error[:, None] * x[t]
        for row, unit in enumerate(self.units, self.output_size):
            delay = unit.delay
            if t < delay:
                continue
            blame[row] = blame[unit.target] * x[t - delay + 1, unit.source]
            ascent[row] = blame[row] * x[t - delay]
        return ascent

    def _change(self, change: Array) -> None:
        self.weights += change
        moved = change != 0.0
        self.size[moved] += self.rate * (np.abs(change) - self.size)[moved]
        self.sum[moved] += self.rate * (change - self.sum)[moved]

    def _grow(self) -> bool:
        """Put a unit on the connection that is pulled both ways the most, if one is."""
        excess = self.size - self.threshold * np.abs(self.sum) - self.floor * self.lr
        for unit in self.units:
            excess[unit.target, unit.source] = -np.inf
        target, source = (int(k) for k in np.unravel_index(np.argmax(excess), excess.shape))
        if excess[target, source] <= 0.0:
            return False
        self.add_unit(target, source)
        return True

    def _begin_means(self) -> None:
        self.size, self.sum = np.zeros_like(self.weights), np.zeros_like(self.weights)

    def _sequence(self, what: str, inputs: Any) -> Array:
        x = np.asarray(inputs, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ValueError(f"TransitionHierarchy.{what}: inputs must be (T, {self.input_size}), got {x.shape}")
        return x

    def _check(self, what: str, inputs: Any, targets: Any, mask: Any) -> tuple[Array, Array, Array]:
        x = self._sequence(what, inputs)
        target, asked = np.asarray(targets, dtype=np.float64), np.asarray(mask, dtype=bool)
        if target.shape != (len(x), self.output_size) or asked.shape != (len(x),):
            raise ValueError(
                f"TransitionHierarchy.{what}: {counted(len(x), 'input needs', plural='inputs need')} targets"
                f" {(len(x), self.output_size)} and mask {(len(x),)}, got {target.shape} and {asked.shape}"
            )
        return x, target, asked
