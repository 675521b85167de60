"""Cells that are hard to write down in another library."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tinygrad_rnn as tg

N, H = 3, 4

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("rnn", {"bias": False, "nonlinearity": "relu"}),
    ("lstm", {"bias": False}),
    ("lstm1997", {"block_size": 2, "truncated": True}),
    ("slstm", {"forget": "exp"}),
    ("projected", {"proj_size": 3}),
    ("narx", {"delays": (1, 3)}),
    ("leaky", {"time_constant": [1.0, 2.0, 3.0, 4.0]}),
]


def network() -> tg.Stacked:
    pair = tg.Bidirectional(tg.cells.LSTMCell(N, 4, seed=0), tg.cells.GRUCell(N, 5, seed=1))
    return tg.Stacked(pair, tg.cells.PeepholeLSTMCell(9, H, seed=2))


class Nested(tg.Cell):
    """Cells within, a frozen parameter, weights computed beforehand, learned and batch-sized states, constants."""

    state_names = ("h", "last", "clock")

    def __init__(self) -> None:
        super().__init__(N, H, seed=0)
        self.parts = [tg.cells.GRUCell(N, H, seed=1), tg.cells.RNNCell(N, H, seed=2)]
        self.log_scale = self.parameter("log_scale", (H,))
        self.start = self.parameter("start", (H,))
        self.frozen = self.parameter("frozen", (H,))
        self.frozen.requires_grad = False
        self.scale = tg.exp(self.log_scale)
        self.outside = tg.tensor(np.linspace(0.5, 1.0, H))

    def initial_state(self, batch: int) -> Any:
        zeros = np.zeros((batch, H))
        return self.State(zeros + tg.tanh(self.start), np.full((batch, N), 0.25), zeros)

    def step(self, x: Any, state: Any) -> Any:
        batch = x.shape[0]
        first = self.parts[0](x, (state.h,)).h
        second = self.parts[1](state.last, (first,)).h
        rows = np.arange(batch)
        mixed = first[rows] * self.scale + second[::1, ::-1] * self.frozen * self.outside + np.ones((batch, H))
        mixed = mixed - tg.reshape(mixed, (batch * H,)).reshape(batch, H).mean(axis=0) / batch
        h = tg.where(state.clock % 2 == 0, tg.tanh(mixed), 0.5 * state.h + tg.tanh(mixed.sum()) * 0.01)
        return h, x, state.clock + 1.0


class Edges(tg.Cell):
    """Where PyTorch's own derivatives, types and defaults are others: kinks, truth as numbers, sizes plus one."""

    def __init__(self) -> None:
        super().__init__(N, H, seed=0)
        self.zero = self.parameter("zero", (H,), np.zeros(H))
        self.tied = self.parameter("tied", (H,), np.ones(H))

    def step(self, x: Any, state: Any) -> Any:
        batch = x.shape[0]
        kinks = tg.root(self.zero) + tg.hypot(self.zero, self.zero * 2.0) + tg.abs(self.zero) + tg.relu(self.zero)
        kinks = kinks + tg.maximum(self.tied, 1.0) + tg.max(self.tied) + tg.softplus(self.tied * 25.0) * 0.1
        truth = (x[:, :1] > 0.0) * 0.1 + tg.astype(x[:, 1:2] * 0.1, np.float64)
        below = tg.concatenate([state.h, np.ones((1, H))], axis=0)
        shifted = tg.reshape(below, ((batch + 1) * H,)).reshape(batch + 1, H)[1 : batch + 1]
        return (tg.tanh(0.1 * kinks + truth + 0.5 * shifted + tg.where(x[:, :1] > 0.0, 0.1, 0.3)),)


class Call(tg.Cell):
    """A step that makes one call of a primitive, on parameters."""

    def __init__(self, call: Any) -> None:
        super().__init__(1, 1)
        self.call = call
        is_real = [np.asarray(value).dtype == np.float64 for value in call.operands]
        self.operands = [
            self.parameter(f"p{k}", np.shape(value), value) if real else value
            for k, (value, real) in enumerate(zip(call.operands, is_real, strict=True))
        ]

    def step(self, x: Any, state: Any) -> Any:
        found = self.call.op(*self.operands, **self.call.attributes)
        weights = np.cos(np.arange(math.prod(found.shape))).reshape(found.shape)
        return (state.h + x * tg.sum(found * weights),)


class Looks(tg.cells.RNNCell):
    """A step that goes by the numbers it is given."""

    def step(self, x: Any, state: Any) -> Any:
        return super().step(x, state) if float(x.sum()) > 0 else (state.h,)


class Draws(tg.cells.RNNCell):
    """A step that draws random numbers."""

    def step(self, x: Any, state: Any) -> Any:
        return (super().step(x, state)[0] * np.random.default_rng().random(),)
