"""The cells that are compared, each written once and run by every library: equations over whatever `ops` computes
with.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

State = tuple[Any, ...]
Step = Callable[[Any, dict[str, Any], Any, State], State]


class Recipe(NamedTuple):
    """A cell: its step, how many axes each of its states has beside the batch, all of H units, and the shapes of its
    parameters for I inputs and H units.
    """

    step: Step
    axes: tuple[int, ...]
    shapes: Callable[[int, int], dict[str, tuple[int, ...]]]

    def start(self, batch: int, hidden: int) -> tuple[np.ndarray, ...]:
        """States of zeros."""
        return tuple(np.zeros((batch, *[hidden] * axes), np.float32) for axes in self.axes)


def _affine(p: dict[str, Any], x: Any, h: Any) -> tuple[Any, Any]:
    return x @ p["weight_ih"].T + p["bias_ih"], h @ p["weight_hh"].T + p["bias_hh"]


def _parts(z: Any, count: int) -> list[Any]:
    n = z.shape[1] // count
    return [z[:, k * n : (k + 1) * n] for k in range(count)]


def _gates(count: int) -> Callable[[int, int], dict[str, tuple[int, ...]]]:
    def shapes(i: int, h: int) -> dict[str, tuple[int, ...]]:
        n = count * h
        return {"weight_ih": (n, i), "weight_hh": (n, h), "bias_ih": (n,), "bias_hh": (n,)}

    return shapes


def rnn(ops: Any, p: dict[str, Any], x: Any, s: State) -> State:
    a, b = _affine(p, x, s[0])
    return (ops.tanh(a + b),)


def lstm(ops: Any, p: dict[str, Any], x: Any, s: State) -> State:
    a, b = _affine(p, x, s[0])
    i, f, g, o = _parts(a + b, 4)
    c = ops.sigmoid(f) * s[1] + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(c), c


def gru(ops: Any, p: dict[str, Any], x: Any, s: State) -> State:
    a, b = _affine(p, x, s[0])
    (xr, xz, xn), (hr, hz, hn) = _parts(a, 3), _parts(b, 3)
    r, z = ops.sigmoid(xr + hr), ops.sigmoid(xz + hz)
    n = ops.tanh(xn + r * hn)
    return ((1.0 - z) * n + z * s[0],)


def peephole(ops: Any, p: dict[str, Any], x: Any, s: State) -> State:
    """Gers & Schmidhuber 2000: the gates see the cell state."""
    a, b = _affine(p, x, s[0])
    i, f, g, o = _parts(a + b, 4)
    c = ops.sigmoid(f + p["peep_f"] * s[1]) * s[1] + ops.sigmoid(i + p["peep_i"] * s[1]) * ops.tanh(g)
    return ops.sigmoid(o + p["peep_o"] * c) * ops.tanh(c), c


def coupled(ops: Any, p: dict[str, Any], x: Any, s: State) -> State:
    """Greff et al. 2017: the input gate is what the forget gate leaves."""
    a, b = _affine(p, x, s[0])
    f, g, o = _parts(a + b, 3)
    f = ops.sigmoid(f)
    c = f * s[1] + (1.0 - f) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(c), c


def mgu(ops: Any, p: dict[str, Any], x: Any, s: State) -> State:
    """Zhou et al. 2016: one gate."""
    h = s[0]
    f = ops.sigmoid(x @ p["w_f"].T + h @ p["u_f"].T + p["b_f"])
    n = ops.tanh(x @ p["w_n"].T + (f * h) @ p["u_n"].T + p["b_n"])
    return ((1.0 - f) * h + f * n,)


def nameless(ops: Any, p: dict[str, Any], x: Any, s: State) -> State:
    """A cell nobody has named: a slow and a fast state, multiplied and squashed in ways no kernel foresees."""
    slow, fast = s
    u = ops.tanh(x @ p["w"].T + slow @ p["u"].T)
    k = ops.sigmoid(fast @ p["v"].T + p["b"])
    fast = k * fast * 0.9 + u * (1.0 - k * k)
    return slow + 0.1 * ops.tanh(fast * u - slow), fast


def outer(ops: Any, p: dict[str, Any], x: Any, s: State) -> State:
    """A matrix that forgets, is added outer products, and is asked: linear attention with a gate."""
    q, k, v, f = _parts(x @ p["weight"].T, 4)
    m = ops.sigmoid(f + p["bias"])[:, :, None] * s[1] + v[:, :, None] * k[:, None, :]
    return (m @ q[:, :, None])[:, :, 0], m


def delta(ops: Any, p: dict[str, Any], x: Any, s: State) -> State:
    """Schlag et al. 2021: what the matrix answers to a key is moved towards a value."""
    q, k, v, b = _parts(x @ p["weight"].T, 4)
    error = ops.sigmoid(b + p["bias"]) * (v - (s[1] @ k[:, :, None])[:, :, 0])
    m = s[1] + error[:, :, None] * k[:, None, :]
    return (m @ q[:, :, None])[:, :, 0], m


def full(ops: Any, p: dict[str, Any], x: Any, s: State) -> State:
    """A matrix multiplied by a matrix in every step."""
    q, k, v = _parts(x @ p["weight"].T, 3)
    turn = p["turn"] + 0.1 * v[:, :, None] * k[:, None, :]
    m = turn @ s[1] + v[:, :, None] * k[:, None, :]
    return (m @ q[:, :, None])[:, :, 0], m


def _with_peepholes(i: int, h: int) -> dict[str, tuple[int, ...]]:
    return {**_gates(4)(i, h), "peep_i": (h,), "peep_f": (h,), "peep_o": (h,)}


def _of_mgu(i: int, h: int) -> dict[str, tuple[int, ...]]:
    return {"w_f": (h, i), "u_f": (h, h), "b_f": (h,), "w_n": (h, i), "u_n": (h, h), "b_n": (h,)}


def _of_nameless(i: int, h: int) -> dict[str, tuple[int, ...]]:
    return {"w": (h, i), "u": (h, h), "v": (h, h), "b": (h,)}


def _with_a_gate(i: int, h: int) -> dict[str, tuple[int, ...]]:
    return {"weight": (4 * h, i), "bias": (h,)}


def _with_a_turn(i: int, h: int) -> dict[str, tuple[int, ...]]:
    return {"weight": (3 * h, i), "turn": (h, h)}


RECIPES = {
    "LSTM": Recipe(lstm, (1, 1), _gates(4)), "GRU": Recipe(gru, (1,), _gates(3)), "RNN": Recipe(rnn, (1,), _gates(1)),
    "peephole": Recipe(peephole, (1, 1), _with_peepholes), "coupled": Recipe(coupled, (1, 1), _gates(3)),
    "MGU": Recipe(mgu, (1,), _of_mgu), "nameless": Recipe(nameless, (1, 1), _of_nameless),
    "outer products": Recipe(outer, (1, 2), _with_a_gate), "delta rule": Recipe(delta, (1, 2), _with_a_gate),
    "full products": Recipe(full, (1, 2), _with_a_turn),
}  # fmt: skip
STANDARD, CUSTOM = ("LSTM", "GRU", "RNN"), ("peephole", "coupled", "MGU", "nameless")
MATRIX = ("outer products", "delta rule", "full products")
"""Their second state is a matrix."""


def weights(name: str, inputs: int, hidden: int) -> dict[str, np.ndarray]:
    """The same float32 parameters for every library."""
    rng = np.random.default_rng(0)
    bound = hidden**-0.5
    shapes = RECIPES[name].shapes(inputs, hidden)
    return {key: rng.uniform(-bound, bound, shape).astype(np.float32) for key, shape in shapes.items()}


@functools.cache
def _class(name: str) -> Any:
    import tinygrad_rnn as tg

    recipe = RECIPES[name]

    class Written(tg.Cell):
        state_names = ("h", "c")[: len(recipe.axes)]

        def initial_state(self, batch: int) -> Any:
            return self.State(*recipe.start(batch, self.hidden_size))

        def step(self, x: Any, state: Any) -> Any:
            return recipe.step(tg, dict(self.named_parameters()), x, tuple(state))

    Written.__name__ = name
    return Written


def cell(name: str, inputs: int, hidden: int) -> Any:
    """The recipe as a cell of ours."""
    made = _class(name)(inputs, hidden, dtype=np.float32)
    for key, value in weights(name, inputs, hidden).items():
        made.parameter(key, value.shape, value)
    return made
