"""Changes tried on a run, many side by side where that can be: what is left of the gradient with each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.recurrent.inner import HELD

from ..tracing.trace import GradientTrace, norms
from ..tracing.values import recorded_values
from .side_by_side import side_by_side
from .whatif import WhatIf, bias_words, rerun, scale_words

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

__all__ = ["Change", "Trials", "whole_norms"]

_NUMBERS = 1 << 25
"""How many the values of a run may be, for all changes that are tried side by side."""


class Change(NamedTuple):
    """More of a bias in gates, parameters multiplied or filled anew, or states that are cut.

    Attributes
    ----------
    kind : {"bias", "scale", "weights", "cut"}
    names : tuple of str
        Of gates, parameters or states; of one initialisation, if weights are filled anew.
    much : float
        How much more, or how many times.
    """

    kind: str
    names: tuple[str, ...]
    much: float = 1.0

    def __str__(self) -> str:
        return (bias_words if self.kind == "bias" else scale_words)(", ".join(self.names), self.much)


class Trials:
    """What comes of changes of a run.

    Parameters
    ----------
    found : GradientTrace
        Of the run as it is, every operation on record.
    fillings : mapping of str to mapping, optional
        By initialisation the values of all parameters, for changes of ``"weights"``.

    Attributes
    ----------
    together : bool
        Whether changes can be tried side by side, and have been whenever that was asked for.
    numbers : int
        How many the values of the run are.
    whole : ndarray (T,)
        The norms of the gradient by all states together of the run as it is.
    """

    def __init__(self, found: GradientTrace, fillings: Mapping[str, Mapping[str, Array]] | None = None) -> None:
        self.found, self.whole = found, whole_norms(found)
        self._fillings = fillings or {}
        self._lost = 1e6 * float(np.finfo(found.run.cell.dtype).tiny)  # below it digits are missing
        self._known: dict[Change, Floats] = {}
        values = [node for node in ancestors([found.loss]) if node.op is not None and node.op.kind != "view"]
        self.together = all(node.op is not HELD for node in values)  # else a state's gradient is read off another value
        self.numbers: int = sum(value.size for value in values)
        self._at_once = max(1, _NUMBERS // self.numbers - 1)

    def measure(self, changes: Sequence[Change]) -> None:
        """Try changes side by side; where that does not give the run as it is, each is tried when it is asked for."""
        new = [one for one in dict.fromkeys(changes) if one not in self._known and one.kind != "cut"]
        for first in range(0, len(new) if self.together else 0, self._at_once):
            lanes = new[first : first + self._at_once]
            try:
                rows = _side_by_side(self.found, lanes, self._fillings)
            except (TypeError, ValueError):
                self.together = False
                return
            self.together = np.allclose(rows[0], self.whole, rtol=1e-6, atol=self._lost)
            if not self.together:
                return
            self._known |= dict(zip(lanes, rows[1:], strict=True))

    def norms(self, change: Change) -> Floats:
        """The norm of the gradient by all states together, with a change, (T,)."""
        if change not in self._known:
            self._known[change] = whole_norms(self.again(change).traces[1])
        return self._known[change]

    def again(self, change: Change) -> WhatIf:
        """The run with a change."""
        kind, names, much = change
        if kind == "cut":
            return rerun(self.found, cut=names)
        made: Any = self._fillings[names[0]] if kind == "weights" else dict.fromkeys(names, much)
        return rerun(self.found, **{kind: made})

    def change_nothing(self, changes: Sequence[Change]) -> bool:
        """Whether the gradient by the states is the same with each of them."""
        return all(np.allclose(self.norms(change), self.whole, rtol=1e-9, atol=self._lost) for change in changes)


def whole_norms(found: GradientTrace) -> Floats:
    """The norm of the gradient by all states together, at every timestep; a state without a value there has no
    part in it.
    """
    rows = [[n if found.has(state, t) else 0.0 for t, n in enumerate(found.norm(state))] for state in found.states]
    return norms(np.stack(rows, axis=1))


def _side_by_side(
    found: GradientTrace, changes: Sequence[Change], fillings: Mapping[str, Mapping[str, Array]]
) -> Floats:
    """The same for the run as it is, and with each change, (1 + changes, T), from one pass there and back."""
    run, count = found.run, 1 + len(changes)
    parameters, values = dict(run.cell.named_parameters()), recorded_values(run)
    feeds: dict[int, Array] = {}
    more: dict[int, Floats] = {}
    for lane, (kind, names, much) in enumerate(changes, 1):
        if kind != "bias":
            scaled = {name: parameters[name].data * much for name in names if kind == "scale"}
            for name, filled in (scaled or fillings[names[0]]).items():
                weight = parameters[name]
                feeds.setdefault(weight.id, np.repeat(weight.data[None], count, axis=0))[lane] = filled
            continue
        for (own, _), gate in run.names.items():
            if own in names:
                if gate.op is None or not gate.op.activation:
                    raise TypeError(f"{own} is no function of one value")
                more.setdefault(gate.id, np.zeros(count))[lane] = much
    states = [[values.get((name, t)) for name in found.states] for t in range(found.steps)]
    wanted = [value for row in states for value in row if value is not None]
    _, gradients = side_by_side(found.loss, feeds, more, wanted)
    rows = np.zeros((count, found.steps, len(found.states)))
    for t, row in enumerate(states):
        for k, value in enumerate(row):
            if value is not None:
                rows[:, t, k] = norms(gradients[value.id])
    return norms(rows.reshape(-1, len(found.states))).reshape(count, -1)
