"""The Reber grammar: plain, embedded (1997) and as an endless stream (2000)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import ClassVar

import numpy as np

from ..arguments import generator, integer
from . import criteria
from .automaton import Automaton
from .sequences import next_symbols
from .task import Array, Batch, Task

__all__ = ["ContinualReber", "EmbeddedReber", "Grammar", "Reber"]

_ALPHABET = "BTPSXVE"

# B, then a walk with one fair choice a step, then E
_INNER = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4}, {"T": 3, "V": 5},
    {"X": 3, "S": 6}, {"P": 4, "V": 6},
    {"E": 7},
)  # fmt: skip


def _inner(offset: int) -> list[dict[str, int]]:
    return [{symbol: offset + to for symbol, to in ways.items()} for ways in _INNER]


def _embed(after: int) -> list[dict[str, int]]:
    """B, then T or P, an inner string and the same T or P again, then E."""
    return [{"B": 1}, {"T": 2, "P": 10}, *_inner(2), {"T": 18}, *_inner(10), {"P": 18}, {"E": after}]


class Grammar(Task):
    """Predict the legal next symbols of a string that an automaton writes."""

    input_size = output_size = len(_ALPHABET)
    loss = "cross_entropy"
    automaton: ClassVar[Automaton]
    recalling: ClassVar[tuple[int, ...]] = ()
    """The states in which the next symbol depends on the first choice of the string."""

    def judge(self, outputs: Array, batch: Batch) -> Array:
        return criteria.everywhere(criteria.most_active(outputs, self.legal(batch)), batch)

    def legal(self, batch: Batch) -> Array:
        """Which symbols may come next, by walking the automaton: (T, batch, 7) of bool; none if not asked."""
        return np.asarray(self.automaton.follows[self._states(batch)] & batch.mask[..., None])

    def outer(self, batch: Batch) -> Array:
        """Where the answer is the T or P that the string began with: (T, batch) of bool."""
        return np.asarray(np.isin(self._states(batch), self.recalling) & batch.mask)

    def _states(self, batch: Batch) -> Array:
        symbols = np.where(batch.inputs.any(axis=-1), batch.inputs.argmax(axis=-1), -1)
        return self._walk(symbols)

    def _walk(self, symbols: Array) -> Array:
        states = self.automaton.states(symbols)
        for k, t in np.argwhere(((states < 0) & (symbols >= 0)).T):
            symbol = _ALPHABET[symbols[t, k]]
            raise ValueError(f"{type(self).__name__}: string {k} leaves the grammar with {symbol!r} at position {t}")
        return states


@dataclass(frozen=True)
class Reber(Grammar):
    """Strings of the Reber grammar, such as BTSXSE: at every step, predict the next symbol.

    The seven symbols B T P S X V E are one-hot, in and out; from every state with two ways out either is
    taken with probability 1/2. A string of L symbols gives L - 1 predictions. The targets mark the symbol
    that came; :meth:`correct` demands that the *legal* symbols are the most active outputs at every step.

    Strings have at least 5 and on average exactly 8 symbols, and 6 fair choices are made in one: no
    predictor gets below 6 ln 2 = 4.159 nats a string. :meth:`baselines` gives that a prediction.

    Source: Cleeremans, Servan-Schreiber & McClelland 1989, after Reber 1967.

    Examples
    --------
    >>> import numpy as np
    >>> Reber().strings(3, np.random.default_rng(1))
    ['BPVPXTTVVE', 'BTXSE', 'BTSSSXSE']
    """

    automaton = Automaton([*_inner(0), {}], _ALPHABET)

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        return next_symbols(self.automaton.walk(size, rng), self.input_size)

    def strings(self, size: int, rng: np.random.Generator) -> list[str]:
        """Draw `size` strings, repetitions and all."""
        integer(type(self).__name__, "size", size, 1)
        generator(type(self).__name__, rng)
        return self.automaton.spell(self.automaton.walk(size, rng))

    def split(
        self, rng: np.random.Generator, size: int = 256, *, distinct: bool = False
    ) -> tuple[list[str], list[str]]:
        """Training and test strings, `size` each, no string in both.

        Parameters
        ----------
        rng : numpy.random.Generator
        size : int
        distinct : bool
            Whether a string may not even occur twice in one of them. That makes another problem: of 512
            different embedded strings most are long, 18 symbols on average where the grammar has 12, and a
            net has to track the grammar for longer to be right on all.
        """
        integer(type(self).__name__, "size", size, 1)
        if not distinct:
            training = self.strings(size, rng)
            known, test = set(training), list[str]()
            while len(test) < size:
                test += [string for string in self.strings(size, rng) if string not in known]
            return training, test[:size]
        found: dict[str, None] = {}
        while len(found) < 2 * size:
            found.update(dict.fromkeys(self.strings(size, rng)))
        # short strings are found early: without mixing, the test set would be the one with the long strings
        unique = list(found)[: 2 * size]
        mixed = [unique[k] for k in rng.permutation(len(unique))]
        return mixed[:size], mixed[size:]

    def encode(self, strings: Sequence[str]) -> Batch:
        """The given strings as a batch.

        Raises
        ------
        TypeError, ValueError
            If there is none, or one is not a whole string of the grammar.
        """
        name = type(self).__name__
        if isinstance(strings, str) or not all(isinstance(string, str) for string in strings):
            raise TypeError(f"{name}.encode: needs a sequence of strings, got {strings!r}")
        if not strings:
            raise ValueError(f"{name}.encode: no strings")
        symbols = np.full((max(map(len, strings)), len(strings)), -1)
        for k, string in enumerate(strings):
            unknown = set(string) - set(_ALPHABET)
            if unknown:
                raise ValueError(f"{name}.encode: string {k} has {min(unknown)!r}; the symbols are {_ALPHABET}")
            symbols[: len(string), k] = [_ALPHABET.index(symbol) for symbol in string]
        states = self._walk(symbols)
        for k, string in enumerate(strings):
            if not string or self.automaton.follows[states[len(string) - 1, k]].any():
                raise ValueError(f"{name}.encode: string {k}, {string!r}, stops before its end")
        return next_symbols(symbols, self.input_size)

    def baselines(self) -> dict[str, float]:
        return {"optimum": 6 * log(2) / 7}


@dataclass(frozen=True)
class EmbeddedReber(Reber):
    """The embedded Reber grammar, experiment 1 of 1997: B, T or P, a Reber string, the same T or P, E.

    As :class:`Reber`, but the last symbol but one repeats the second, however long the string between.
    Strings have at least 9 and on average exactly 12 symbols and need 7 ln 2 = 4.852 nats; a predictor that
    forgets the second symbol pays exactly ln 2 more, 5.545. :meth:`baselines` divides both by the
    11 predictions of an average string.

    Published (256 training and 256 test strings, see :meth:`split`; success means right on all of both):

    ==================  =======  =============  =========  =================
    method              weights  learning rate  solved     strings
    ==================  =======  =============  =========  =================
    RTRL                170      .05            some       173,000
    RTRL                494      .1             some       25,000
    Elman               435                     0 %        > 200,000
    cascade-correl.     119-198                 50 %       182,000
    LSTM, 4 blocks x 1  264      .1, .5         100, 97 %  39,740, 9,500
    LSTM, 3 blocks x 2  276      .1, .2, .5     100, 97,   21,730, 14,060,
                                                100 %      8,440
    ==================  =======  =============  =========  =================

    Whether weights changed after every symbol or every string is not said there.

    Source: Hochreiter & Schmidhuber 1997, section 5.1 and table 1.
    """

    automaton = Automaton([*_embed(after=19), {}], _ALPHABET)
    recalling = (9, 17)

    def baselines(self) -> dict[str, float]:
        return {"optimum": 7 * log(2) / 11, "no memory": 8 * log(2) / 11}


@dataclass(frozen=True)
class ContinualReber(Grammar):
    """Embedded Reber strings one after another, with nothing to tell where one ends.

    Predict every next symbol of a stream that begins with a fresh string and is cut after `length`
    predictions; the state of a network is never reset within. What the 1997 cell adds up and cannot forget
    grows along the stream, which is why the forget gate was invented.

    Parameters
    ----------
    length : int
        Predictions in a stream.

    Source: Gers, Schmidhuber & Cummins 2000.
    """

    length: int = 100

    automaton = Automaton(_embed(after=0), _ALPHABET)
    recalling = (9, 17)

    def __post_init__(self) -> None:
        integer("ContinualReber", "length", self.length, 1)

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        return next_symbols(self.automaton.walk(size, rng, self.length + 1), self.input_size)

    def baselines(self) -> dict[str, float]:
        occupancy = self.automaton.occupancy(self.length).mean(axis=0)
        optimum = float(occupancy @ self.automaton.entropies())
        forgotten = float(occupancy[list(self.recalling)].sum()) * log(2)
        return {"optimum": optimum, "no memory": optimum + forgotten}
