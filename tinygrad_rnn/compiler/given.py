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
    x : ndarray (T, batch, input_size)
    states : sequence of ndarray
        At the beginning.
    operands : sequence of ndarray
        The Tensors that the step captures.
    mask : ndarray of bool (T, batch, 1) or None
        Where sequences have not ended.
    cut : int
        Truncated backpropagation: no cotangent passes from step k to k - 1 for k a multiple of this; 0 never.
    before : int
        How many steps of the run lie before these.
    """

    x: Array
    states: Sequence[Array]
    operands: Sequence[Array]
    mask: Array | None = None
    cut: int = 0
    before: int = 0

    @property
    def steps(self) -> int:
        """How many timesteps there are."""
        return len(self.x)

    def part(self, start: int, stop: int, states: Sequence[Array] = ()) -> Given:
        """The steps from `start` to before `stop`, which begin with `states`."""
        mask = None if self.mask is None else self.mask[start:stop]
        return self._replace(x=self.x[start:stop], states=states, mask=mask, before=self.before + start)


def given_to(step: Program) -> dict[Key, str]:
    """What the programs of a step read, but for its states, as expressions of the fields of :class:`Given`."""
    found = {(role, name): f"operands[{name}]" for role, name in step.inputs if role == "operand"}
    return {("x", ""): "x", ("mask", ""): "mask", **found}
