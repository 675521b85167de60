"""What is added up to the cotangent of a value: by readers in its own step, in later steps, and elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tinygrad_rnn import Scope, Tensor
from tinygrad_rnn.recurrent.unroll import Run

from .reverse import Reverse, Use

__all__ = ["Contributions", "Readers"]


class Readers(NamedTuple):
    """What the readers of one value contribute, by where they are.

    Attributes
    ----------
    later : list of Use
        In later steps of the run, to which every step on the way hands the value on as a state.
    elsewhere : list of list of Use
        In the loss, in another layer, in a step that is no neighbour; one list for each.
    own : list of Use
        In this step.
    """

    later: list[Use]
    elsewhere: list[list[Use]]
    own: list[Use]


class Contributions:
    """The contributions to the cotangents of one timestep of a run."""

    def __init__(self, run: Run, reverse: Reverse, t: int, layers: frozenset[Scope]) -> None:
        self.run, self.uses, self.layers = run, reverse.uses, layers
        self.places = {scope: (-k if run.reverse else k) for k, scope in enumerate(run.scopes)}
        self.now = self.places[run.scopes[t]]

    def to(self, value: Tensor) -> Readers:
        """Those to the cotangent of `value`."""
        uses = self.uses.get(value.id, [])
        later = [use for use in uses if self._comes_by_state(use)]
        own = [use for use in uses if self.when(use) == self.now]
        rest = [use for use in uses if use not in own and use not in later]
        return Readers(later, _grouped(rest, self.origin), own)

    def additions(self, readers: Readers) -> list[Tensor | None]:
        """The additions that those from elsewhere, each group as one, and from this step take.

        n contributions are added up by n - 1 additions; the one without is the last in time.
        """
        late = [use for group in readers.elsewhere for use in group]
        spare = max(readers.later or late or readers.own, key=lambda use: self.when(use) or 0)
        firsts = [*(group[0] for group in readers.elsewhere), *readers.own]
        return [spare.sum if use.sum is None else use.sum if use is not spare else None for use in firsts]

    def when(self, use: Use) -> int | None:
        """The place in time of the step that a reader was recorded in; ``None`` outside this run."""
        step = use.consumer.scope.step if use.consumer.scope is not None else None
        return self.places.get(step) if step is not None else None

    def origin(self, use: Use) -> int | str:
        """Where a contribution from elsewhere comes from: another step of this run, another layer, or the loss."""
        when = self.when(use)
        step = use.consumer.scope.step if use.consumer.scope is not None else None
        return when if when is not None else "layer" if step in self.layers else "loss"

    def _comes_by_state(self, use: Use) -> bool:
        when = self.when(use)
        if when is None or when <= self.now:
            return False
        return all(any(use.value is value for value in self.run.states[abs(k)]) for k in range(self.now, when))


def _grouped(uses: Iterable[Use], key: Callable[[Use], object]) -> list[list[Use]]:
    """The uses by what `key` says of them, in the order of their first ones."""
    found: dict[object, list[Use]] = {}
    for use in uses:
        found.setdefault(key(use), []).append(use)
    return list(found.values())
