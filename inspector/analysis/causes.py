"""Which mistake makes somebody's gradient of ours: one slip, one change of the sweep, or two of them together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Tensor
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..tracing.trace import GradientTrace
from .altered import Mistake, Wanted, altered, both
from .mistakes import mistakes
from .slips import Item, listed, ratio, ratio_words, slips
from .step_order import forwards, products
from .step_roles import Steps
from .truncation import kept

Numbers = Mapping[str, npt.NDArray[np.float64]]

__all__ = ["find_causes"]

_SLIDING = 2**24
"""How many numbers the gradients under windows of every length may have together."""
_STARTED = 4
"""Mistakes that explain a part, with each of which all others are tried."""
_WORK = 2**31
"""Numbers that a search for two mistakes may move."""


def find_causes(run: Run, loss: Tensor, items: Sequence[Item], wanted: Wanted, found: GradientTrace) -> list[str]:
    """What makes theirs of ours, in words; several where they cannot be told apart.

    Parameters
    ----------
    run, loss
        With every operation recorded.
    items : sequence of Item
        What was given, some of it wrong.
    wanted : mapping
        The Tensors that the items are gradients by.
    found : GradientTrace
    """
    search = _Search(run, loss, items, wanted, found)
    return search.single() or search.pairs()


class _Search:
    def __init__(self, run: Run, loss: Tensor, items: Sequence[Item], wanted: Wanted, found: GradientTrace) -> None:
        self.run, self.loss, self.items, self.wanted = run, loss, items, wanted
        self.steps = Steps(run, loss)
        self.ours = {item.name: item.ours for item in items}
        self.found = found
        self.right = self._score(self.ours)
        self.partial: list[tuple[float, Mistake]] = []
        self.with_slip: list[str] = []

    def single(self) -> list[str]:
        """The mistakes that alone reproduce everything."""
        said = list(self._slips(self.ours))
        for says, numbers, mistake in self._numbers():
            if self._fit(numbers):
                said.append(says)
                continue
            score = self._score(numbers)
            if all(after >= before for after, before in zip(score, self.right, strict=True)) and score != self.right:
                if mistake is not None:
                    self.partial.append((sum(score), mistake))
                self.with_slip += (f"{says}; and {slip}" for slip in itertools.islice(self._slips(numbers), 1))
        return [*said, *self._sliding()]

    def pairs(self) -> list[str]:
        """Those that do so two at a time."""
        two = list(self._different_slips())
        if two or self.with_slip:
            return [*two, *self.with_slip]
        size = sum(node.size for layer in self.steps.layers for step in layer.nodes for node in step)
        every = list(mistakes(self.steps))
        if _STARTED * len(every) * size > _WORK:
            return []
        said = []
        for _, first in sorted(self.partial, key=lambda pair: -pair[0])[:_STARTED]:
            tried = (both(first, second) for second in every if second.lanes == 1 or first.lanes == 1)
            said += [one.says for one, numbers in altered(self.loss, self.wanted, tried) if self._fit(numbers)]
        return said

    def _numbers(self) -> Iterator[tuple[str, Numbers, Mistake | None]]:
        for order in (forwards, products):
            for says, numbers in order(self.steps, self.wanted):
                yield says, numbers, None
        yield from self._ended()
        for mistake, numbers in altered(self.loss, self.wanted, mistakes(self.steps)):
            yield mistake.says, numbers, mistake

    def _ended(self) -> Iterator[tuple[str, Numbers, None]]:
        """What loops over time leave that end too early."""
        count, backwards = len(self.run), {part.reverse for part in self.run.cells}
        if len(backwards) > 1:
            return
        order = range(count) if True in backwards else range(count)[::-1]
        numbers = {item.name: np.zeros_like(item.ours) for item in self.items}
        for done, t in enumerate(order[:-1], 1):
            for item in self.items:
                if item.is_parameter:
                    numbers[item.name] += self.found.parameter_gradient(item.name, t)
                else:
                    numbers[item.name][t] = item.ours[t]
            left = f"{counted(count - done, 'step')} are" if count - done > 1 else "step is"
            yield f"the loop ends after {counted(done, 'step')}: the first {left} left out", numbers, None

    def _fit(self, numbers: Numbers) -> bool:
        return all(item.fits(numbers[item.name]) for item in self.items)

    def _score(self, numbers: Numbers) -> list[float]:
        """How much of each item is right."""
        return [float((item.errors(numbers[item.name]) <= item.tolerance).mean()) for item in self.items]

    # ------------------------------------------------------------------------------------------- slips

    def _slips(self, numbers: Numbers) -> Iterator[str]:
        """One kind of slip that makes theirs of some numbers, wherever they differ."""
        whole = self._factor(numbers)
        if whole is not None:
            yield whole
            return
        wrong = [item for item in self.items if not item.fits(numbers[item.name])]
        options = [self._options(item, numbers) for item in wrong]
        names = listed([item.name for item in wrong])
        for says in options[0] if options else ():
            if all(says in others for others in options):
                yield f"the gradient by {names} {says}"

    def _options(self, item: Item, numbers: Numbers) -> list[str]:
        several = item.is_parameter and numbers is self.ours and len(self.run) > 1
        shares = self.found.parameter_shares(item.name) if several else None
        return list(slips(item, numbers[item.name], self.run, shares))

    def _factor(self, numbers: Numbers) -> str | None:
        """One factor of all that is given, if there are several."""
        some = [item for item in self.items if item.masked(numbers[item.name]).any()]
        factors = [ratio(item, numbers[item.name]) for item in some]
        known = [factor for factor in factors if factor is not None]
        if len(some) < 2 or len(known) < len(some) or abs(known[0] - 1) < some[0].tolerance:
            return None
        same = all(item.fits(known[0] * item.masked(numbers[item.name])) for item in some)
        return f"the whole gradient {ratio_words(known[0], self.run)}" if same and known[0] else None

    def _different_slips(self) -> Iterator[str]:
        """A slip of its own for each that is wrong, of two kinds at most."""
        wrong = [item for item in self.items if not item.fits(self.ours[item.name])]
        options = [self._options(item, self.ours) for item in wrong]
        if all(options) and len({first for first, *_ in options}) <= 2:
            yield "; ".join(
                f"the gradient by {one.name} {first}" for one, (first, *_) in zip(wrong, options, strict=True)
            )

    def _sliding(self) -> Iterator[str]:
        """Every loss sent back through as many steps, of which values have no single gradient."""
        size = sum(item.theirs.size for item in self.items) * len(self.run)
        if not all(item.is_parameter for item in self.items) or size > _SLIDING or len(self.run) < 2:
            return
        windows = kept(self.run, self.loss)
        for k in range(1, len(self.run)):
            if self._fit({item.name: windows[item.name].sliding[k - 1][None] for item in self.items}):
                yield f"truncated: each step’s loss is sent back through {counted(k, 'step')} only"
