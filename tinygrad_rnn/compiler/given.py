"""What a run is given, as its loops take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .program import Array, Key, Program

__all__ = ["Given", "given_to"]


class Given(NamedTuple):
    """Everything that goes into a run, or a part of one, in the order of processing.

    Attributes
    ----------
    operands : sequence of ndarray
        Those of the run: inputs (T, batch, input_size), states at the beginning, the Tensors that the step captures.
    mask : ndarray of bool (T, batch, 1) or None
        Where sequences have not ended.
    cut : int
        Truncated backpropagation: no cotangent passes from step k to k - 1 for k a multiple of this; 0 never.
    before : int
        How many steps of the run lie before these.
    """

    operands: Sequence[Array]
    mask: Array | None = None
    cut: int = 0
    before: int = 0

    @property
    def steps(self) -> int:
        """How many timesteps there are."""
        return len(self.operands[0])

    def part(self, start: int, stop: int, states: Sequence[Array] = ()) -> Given:
        """The steps from `start` to before `stop`, which begin with `states`, if that matters."""
        operands = (self.operands[0][start:stop], *states, *self.operands[1 + len(states) :])
        return Given(operands, None if self.mask is None else self.mask[start:stop], self.cut, self.before + start)


def given_to(step: Program) -> dict[Key, str]:
    """What the programs of a step read, but for its states, as expressions of the fields of :class:`Given`."""
    first = 1 + sum(role == "state" for role, _ in step.inputs)
    captured = {(role, k): f"operands[{first + int(k)}]" for role, k in step.inputs if role == "operand"}
    return {("x", ""): "operands[0]", ("mask", ""): "mask", **captured}
