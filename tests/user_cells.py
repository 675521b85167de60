"""Cells as users write them, with what drawings of the registry's cells do not have: three states, states that hold
older ones, a highway around an LSTM, twelve gates in a row, odd and long names.
"""

from __future__ import annotations

import tinygrad_rnn as tg

__all__ = ["USER_CELLS", "CellOfNames", "State"]

State = tuple[tg.Tensor, ...]


class CellOfNames(tg.Cell):
    """Weights by the names of what they are for: from the input and from the state."""

    inner: tuple[str, ...] = ()
    outer: tuple[str, ...] = ()

    def __init__(self, input_size: int, hidden_size: int, **options: object) -> None:
        super().__init__(input_size, hidden_size, **options)  # type: ignore[arg-type]
        self.w = {k: self.parameter(f"w_{k}", (input_size, hidden_size)) for k in self.outer}
        self.u = {k: self.parameter(f"u_{k}", (hidden_size, hidden_size)) for k in self.inner}


class ThreeStates(CellOfNames):
    """An LSTM with a slow memory m of its memory."""

    state_names = ("h", "c", "m")
    outer, inner = ("i", "f", "o", "g"), ("i", "f", "o", "g", "s")

    def step(self, x: tg.Tensor, state: State) -> State:
        h, c, m = state
        z = {k: x @ self.w[k] + h @ self.u[k] for k in "ifog"}
        i, f, o = tg.named(i=tg.sigmoid(z["i"]), f=tg.sigmoid(z["f"]), o=tg.sigmoid(z["o"]))
        c = f * c + i * tg.named(g=tg.tanh(z["g"]))
        s = tg.named(s=tg.sigmoid(c @ self.u["s"]))
        m = s * m + (1 - s) * c
        return o * tg.tanh(c + m), c, m


class Attention(CellOfNames):
    """Attention over the last four hidden states, which the state holds."""

    state_names = ("h", "h1", "h2", "h3")
    outer, inner = ("x",), ("ctx", "q")

    def step(self, x: tg.Tensor, state: State) -> State:
        h, h1, h2, h3 = state
        memory = tg.stack([h, h1, h2, h3], axis=1)
        q = tg.named(q=h @ self.u["q"])
        score = (memory * q[:, None, :]).sum(axis=2)
        e = tg.exp(score - score.max(axis=1, keepdims=True))
        a = tg.named(a=e / e.sum(axis=1, keepdims=True))
        context = tg.named(ctx=(memory * a[:, :, None]).sum(axis=1))
        return tg.tanh(x @ self.w["x"] + context @ self.u["ctx"]), h, h1, h2


class Highway(CellOfNames):
    """A residual and a highway around an LSTM whose gates share one product."""

    state_names = ("h", "c")
    outer = ("t", "p")

    def __init__(self, input_size: int, hidden_size: int, **options: object) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.all = self.parameter("w", (input_size, 4 * hidden_size))
        self.recurrent = self.parameter("u", (hidden_size, 4 * hidden_size))

    def step(self, x: tg.Tensor, state: State) -> State:
        h, c = state
        zi, zf, zg, zo = tg.split(x @ self.all + h @ self.recurrent, 4, axis=1)
        i, f, g, o = tg.named(i=tg.sigmoid(zi), f=tg.sigmoid(zf), g=tg.tanh(zg), o=tg.sigmoid(zo))
        c = f * c + i * g
        t = tg.named(t=tg.sigmoid(x @ self.w["t"]))
        return t * (o * tg.tanh(c)) + (1 - t) * (x @ self.w["p"]) + h, c


class Twelve(CellOfNames):
    """Twelve gates, one after the other."""

    outer = inner = tuple(str(k) for k in range(12))

    def step(self, x: tg.Tensor, state: State) -> State:
        (h,) = state
        out = h
        for k in range(12):
            gate = tg.named(**{f"g{k}": tg.sigmoid(x @ self.w[str(k)] + h @ self.u[str(k)])})
            out = out * gate if k % 2 else out * gate + (1 - gate)
        return (tg.tanh(out),)


class OddNames(tg.Cell):
    """Names that are markup, or long, or no ASCII."""

    state_names = ("hᵢ", "größe")

    def __init__(self, input_size: int, hidden_size: int, **options: object) -> None:
        super().__init__(input_size, hidden_size, **options)  # type: ignore[arg-type]
        self.a = self.parameter("W<b>bold</b>", (input_size, hidden_size))
        self.b = self.parameter('the "very" long name of a recurrent weight matrix that a student chose', (4, 4))
        self.c = self.parameter("b&bias;'\\n{x}", (hidden_size,))

    def step(self, x: tg.Tensor, state: State) -> State:
        h, c = state
        f = tg.named(**{"<b>f</b>": tg.sigmoid(x @ self.a + h @ self.b + self.c)})
        g = tg.named(**{'gate "quoted" \\ backslash': tg.sigmoid(x @ self.a + h @ self.b)})
        k = tg.named(the_forget_gate_of_the_memory_cell_in_layer_one=tg.tanh(x @ self.a + c @ self.b))
        z = tg.named(**{"σ̃₁²": tg.sigmoid(x @ self.a)})
        c = f * c + g * k
        return z * tg.tanh(c), c


USER_CELLS = {cell.__name__: cell for cell in (ThreeStates, Attention, Highway, Twelve, OddNames)}
