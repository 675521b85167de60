"""Cells to compile: the built-in ones, and some that ask for what those do not."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg

T, B, N, H = 6, 3, 2, 4
X = np.random.default_rng(0).normal(size=(T, B, N))
OPTIONS: list[dict[str, Any]] = [
    {},
    {"reverse": True},
    {"truncate": 2},
    {"lengths": [6, 2, 4]},
    {"reverse": True, "truncate": 4, "lengths": [1, 6, 3]},
]


class Peephole(tg.Cell):
    """Separate weights for each gate, products that share an operand, weights that multiply elementwise."""

    state_names = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        for gate in "ifgo":
            self.parameter(f"w{gate}", (hidden_size, input_size + hidden_size))
            self.parameter(f"b{gate}", (hidden_size,), tg.init.zeros)
            self.parameter(f"p{gate}", (hidden_size,))

    def step(self, x: Any, state: Any) -> Any:
        w = dict(self.named_parameters())
        both = tg.concatenate([x, state.h], axis=1)
        z = {gate: both @ w[f"w{gate}"].T + w[f"b{gate}"] for gate in "ifgo"}
        i, f = tg.named(i=tg.sigmoid(z["i"] + w["pi"] * state.c), f=tg.sigmoid(z["f"] + w["pf"] * state.c))
        g = tg.named(g=tg.tanh(z["g"]))
        c = f * state.c + i * g
        o = tg.named(o=tg.sigmoid(z["o"] + w["po"] * c))
        return o * tg.tanh(c), c


class Normalised(tg.Cell):
    """Sums over features inside the step, maxima, comparisons and a choice."""

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.w = self.parameter("w", (hidden_size, hidden_size))
        self.u = self.parameter("u", (hidden_size, input_size))

    def step(self, x: Any, state: Any) -> Any:
        a = x @ self.u.T + state.h @ self.w.T
        centred = a - a.mean(axis=1, keepdims=True)
        scaled = tg.named(n=centred / tg.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-3))
        spread = tg.max(a, axis=1, keepdims=True) - tg.min(a, axis=1, keepdims=True)
        k = tg.named(k=tg.where(scaled > 0.1, scaled, 0.1 * tg.expm1(scaled)))
        return (tg.maximum(tg.tanh(k), -0.5) * tg.softplus(spread) * 0.3 + tg.relu(state.h) * 0.1,)


class Attentive(tg.Cell):
    """Operations that no loop nest can do: the products run in NumPy, and softmax, flips and powers as they are."""

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.w = self.parameter("w", (hidden_size, hidden_size))
        self.u = self.parameter("u", (hidden_size, input_size))

    def step(self, x: Any, state: Any) -> Any:
        a = tg.named(a=tg.softmax(state.h @ self.w.T, axis=1))
        mixed = tg.einsum("bi,bj->bij", a, x @ self.u.T)
        return (tg.tanh(mixed.sum(axis=1) + tg.flip(state.h, axis=1) + tg.cumsum(a, axis=1)),)


class Chained(tg.Cell):
    """States that are earlier states handed on, a value nobody reads, a product behind everything."""

    state_names = ("h", "c", "s")

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.w = self.parameter("w", (hidden_size, hidden_size))
        self.u = self.parameter("u", (input_size, hidden_size))

    def step(self, x: Any, state: Any) -> Any:
        tg.named(y=state.h @ self.w)
        e = tg.named(e=tg.tanh(x @ self.u))
        return tg.tanh(e + state.s @ self.w.T * 0.5), state.h, state.c


BASIC = ["rnn", "lstm", "gru"]
OTHERS = [name for name in tg.cells.names() if name not in BASIC]
CELLS = [*map(tg.cells.get, BASIC), Peephole, Normalised, Attentive, Chained]
