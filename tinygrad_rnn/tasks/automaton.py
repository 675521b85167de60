"""A finite automaton that writes strings, walked by a whole batch at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .task import Array

__all__ = ["Automaton"]


class Automaton:
    """States with one or two labelled ways out, taken with equal probability; state 0 is the start.

    Parameters
    ----------
    edges : sequence of mappings
        For each state, the symbols that may follow and the states they lead to; empty where a string ends.
    alphabet : str
        All symbols, in the order of the one-hot code.

    Attributes
    ----------
    follows : (states, symbols) of bool
        Which symbols are legal in a state.
    leads : (states, symbols) of int
        Where they lead; -1 where a symbol is illegal.
    """

    def __init__(self, edges: Sequence[Mapping[str, int]], alphabet: str) -> None:
        self.alphabet = alphabet
        self.leads = np.full((len(edges), len(alphabet)), -1)
        self._choices = np.full((len(edges), 2), -1)
        for state, ways in enumerate(edges):
            symbols = [alphabet.index(symbol) for symbol in ways]
            self.leads[state, symbols] = list(ways.values())
            if symbols:
                self._choices[state] = symbols[0], symbols[-1]
        self.follows = self.leads >= 0
        self._final = np.asarray(~self.follows.any(axis=1))

    def walk(self, size: int, rng: np.random.Generator, steps: int | None = None) -> Array:
        """Draw `size` strings: symbols (T, size), -1 past the end; exactly `steps` symbols where given."""
        state = np.zeros(size, int)
        rows: list[Array] = []
        while len(rows) != steps and not self._final[state].all():
            symbol = self._choices[state, rng.integers(2, size=size)]
            rows.append(symbol)
            state = np.where(symbol < 0, state, self.leads[state, symbol])
        return np.array(rows)

    def states(self, symbols: Array) -> Array:
        """The state after each of the symbols (T, batch): -1 after an illegal one and past the end."""
        state, rows = np.zeros(symbols.shape[1], int), []
        for symbol in symbols:
            state = np.where((state < 0) | (symbol < 0), -1, self.leads[state, symbol])
            rows.append(state)
        return np.array(rows).reshape(symbols.shape)

    def occupancy(self, steps: int) -> Array:
        """The probability of being in a state after each of `steps` symbols: (steps, states)."""
        count = len(self.leads)
        move = np.zeros((count, count))
        for state, symbol in zip(*np.nonzero(self.follows), strict=True):
            move[state, self.leads[state, symbol]] += 1 / self.follows[state].sum()
        rows = [np.eye(count)[0]]
        for _ in range(steps):
            rows.append(rows[-1] @ move)
        return np.array(rows[1:])

    def entropies(self) -> Array:
        """The nats of uncertainty about the next symbol in each state; 0 where a string ends."""
        return np.asarray(np.log(np.maximum(self.follows.sum(axis=1), 1)))

    def spell(self, symbols: Array) -> list[str]:
        """The strings of the columns of `symbols` (T, batch)."""
        return ["".join(self.alphabet[k] for k in column if k >= 0) for column in symbols.T.tolist()]
