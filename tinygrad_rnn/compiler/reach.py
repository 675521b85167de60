"""What a loss can reach: an operand that no path leads to has no gradient, not one that is zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from .program import Array, Instruction, Key, Program

__all__ = ["Reach"]

_RUNS = 32
"""How many kinds of runs are remembered at a time."""


class Reach:
    """The paths of gradients through a run of a step, step by step as an eager sweep follows them.

    Parameters
    ----------
    step : Program
        As it was traced.
    """

    def __init__(self, step: Program) -> None:
        self._step = step
        self._floating = {value for value, kind in step.types.items() if kind.dtype.kind == "f"}
        self._live = step.depending(value for value in step.inputs.values() if value in self._floating)
        self._padding = {value for (role, _), value in step.inputs.items() if role == "mask"}
        for instruction in step.body:  # of the mask alone: inputs are masked, too, and cells choose by them
            if instruction.values and self._padding.issuperset(instruction.values):
                self._padding.add(instruction.target)
        self._known: dict[tuple[frozenset[Key], bool], frozenset[Key]] = {}
        self._runs: dict[tuple[Any, ...], set[Key]] = {}

    def __call__(self, read: tuple[tuple[Key, int, int], ...], steps: int, cut: int, mask: Array | None) -> set[Key]:
        """The inputs of the step that cotangents come to, over all timesteps; of states, the initial ones.

        Parameters
        ----------
        read : tuple of (Key, int, int)
            Which outputs the loss reads, from which step on, at how many steps, in the order of processing.
        steps, cut, mask : as for the run
        """
        if mask is not None:
            return self._over_time(read, steps, cut, np.asarray(mask.all(axis=(1, 2))))
        run = (read, steps, cut)
        found = self._runs.get(run)
        if found is None:
            if len(self._runs) >= _RUNS:
                self._runs.clear()
            found = self._runs[run] = self._over_time(read, steps, cut, np.ones(steps, bool))
        return found

    def _over_time(self, read: tuple[tuple[Key, int, int], ...], steps: int, cut: int, full: Array) -> set[Key]:
        cuts = np.zeros(steps, bool)
        if cut:
            cuts[cut::cut] = True
        where: dict[Key, Array] = {}
        for key, first, count in read:
            where.setdefault(key, np.zeros(steps, bool))[first : first + count] = True
        rows = np.array([*where.values(), full, cuts])
        starts = np.flatnonzero(np.r_[True, (rows[:, 1:] != rows[:, :-1]).any(axis=0)])
        found: set[Key] = set()
        carried: frozenset[Key] = frozenset()
        for start, stop in reversed(list(zip(starts, [*starts[1:], steps], strict=True))):
            seeds = frozenset(key for key, steps_read in where.items() if steps_read[start])
            for _ in range(start, stop):
                reached = self._through(carried | seeds, bool(full[start]))
                found.update(key for key in reached if key[0] != "state")
                before, carried = (
                    carried,
                    frozenset() if cuts[start] else frozenset(k for k in reached if k[0] == "state"),
                )
                if carried == before:
                    break
        return found | carried

    def _through(self, outputs: frozenset[Key], full: bool) -> frozenset[Key]:
        """What one step takes cotangents of some of its outputs to; `full` where no sequence has ended."""
        if (outputs, full) not in self._known:
            found = {self._step.outputs[key] for key in outputs if key in self._step.outputs}
            for instruction in reversed(self._step.body):
                if instruction.target in found:
                    found.update(self._operands(instruction, full))
            inputs = self._step.inputs.items()
            self._known[outputs, full] = frozenset(key for key, value in inputs if value in found)
        return self._known[outputs, full]

    def _operands(self, instruction: Instruction, full: bool) -> list[int]:
        operands: list[Any] = list(enumerate(instruction.operands))
        if instruction.op.name == "where" and instruction.operands[0] in self._padding and full:
            operands = operands[:2]  # an eager run has no padding where no sequence has ended
        return [o for k, o in operands if o in self._live & self._floating and instruction.op.rule(k) is not None]
