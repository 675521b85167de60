"""Ten cells of papers that are not in the registry: kept aside, so that no weight of the layout was chosen on them."""

from __future__ import annotations

import tinygrad_rnn as tg
from tests.user_cells import CellOfNames, State

__all__ = ["CELLS_ASIDE"]


class Antisymmetric(CellOfNames):
    """Chang et al. 2019, with its gate."""

    outer, inner = ("h", "z"), ("a",)

    def step(self, x: tg.Tensor, state: State) -> State:
        (h,) = state
        turned = h @ (self.u["a"] - self.u["a"].T)
        z = tg.named(z=tg.sigmoid(turned + x @ self.w["z"]))
        return (h + 0.1 * z * tg.tanh(turned + x @ self.w["h"]),)


class ChaosFree(CellOfNames):
    """Laurent and von Brecht 2017."""

    outer, inner = ("t", "i", "h"), ("t", "i")

    def step(self, x: tg.Tensor, state: State) -> State:
        (h,) = state
        t, i = tg.named(
            t=tg.sigmoid(x @ self.w["t"] + h @ self.u["t"]), i=tg.sigmoid(x @ self.w["i"] + h @ self.u["i"])
        )
        return (t * tg.tanh(h) + i * tg.tanh(x @ self.w["h"]),)


class Delta(CellOfNames):
    """Ororbia, Mikolov and Reitter 2017."""

    outer, inner = ("x",), ("h",)

    def step(self, x: tg.Tensor, state: State) -> State:
        (h,) = state
        a, b = x @ self.w["x"], h @ self.u["h"]
        z = tg.named(z=tg.tanh(a * b + a + b))
        r = tg.named(r=tg.sigmoid(a))
        return (tg.tanh((1 - r) * z + r * h),)


class FastGRNN(CellOfNames):
    """Kusupati et al. 2018: gate and candidate share their weights."""

    outer, inner = ("x",), ("h",)

    def step(self, x: tg.Tensor, state: State) -> State:
        (h,) = state
        shared = x @ self.w["x"] + h @ self.u["h"]
        z, n = tg.named(z=tg.sigmoid(shared), n=tg.tanh(shared))
        return ((0.9 * (1 - z) + 0.05) * n + z * h,)


class Intersection(CellOfNames):
    """Collins, Sohl-Dickstein and Sussillo 2017, without the layer above."""

    outer, inner = ("g", "c"), ("g", "c")

    def step(self, x: tg.Tensor, state: State) -> State:
        (h,) = state
        g, c = tg.named(g=tg.sigmoid(x @ self.w["g"] + h @ self.u["g"]), c=tg.relu(x @ self.w["c"] + h @ self.u["c"]))
        return (g * h + (1 - g) * c,)


class LightRecurrent(CellOfNames):
    """Ravanelli et al. 2018."""

    outer, inner = ("z", "n"), ("z", "n")

    def step(self, x: tg.Tensor, state: State) -> State:
        (h,) = state
        z = tg.named(z=tg.sigmoid(x @ self.w["z"] + h @ self.u["z"]))
        return (z * h + (1 - z) * tg.named(n=tg.relu(x @ self.w["n"] + h @ self.u["n"])),)


class Multiplicative(CellOfNames):
    """Krause et al. 2016: an LSTM that reads a product of input and state."""

    state_names = ("h", "c")
    outer, inner = ("m", "i", "f", "o", "g"), ("m", "i", "f", "o", "g")

    def step(self, x: tg.Tensor, state: State) -> State:
        h, c = state
        m = tg.named(m=(x @ self.w["m"]) * (h @ self.u["m"]))
        z = {k: x @ self.w[k] + m @ self.u[k] for k in "ifog"}
        i, f, o, g = tg.named(i=tg.sigmoid(z["i"]), f=tg.sigmoid(z["f"]), o=tg.sigmoid(z["o"]), g=tg.tanh(z["g"]))
        c = f * c + i * g
        return o * tg.tanh(c), c


class Mutated(CellOfNames):
    """Jozefowicz, Zaremba and Sutskever 2015, the first of three."""

    outer, inner = ("z", "r"), ("r", "h")

    def step(self, x: tg.Tensor, state: State) -> State:
        (h,) = state
        z, r = tg.named(z=tg.sigmoid(x @ self.w["z"]), r=tg.sigmoid(x @ self.w["r"] + h @ self.u["r"]))
        n = tg.named(n=tg.tanh((r * h) @ self.u["h"] + tg.tanh(x @ self.w["z"])))
        return (n * z + h * (1 - z),)


class RecurrentHighway(CellOfNames):
    """Zilly et al. 2017, two micro-steps deep."""

    outer, inner = ("n", "t"), ("n1", "t1", "n2", "t2")

    def step(self, x: tg.Tensor, state: State) -> State:
        (h,) = state
        t1 = tg.named(t1=tg.sigmoid(x @ self.w["t"] + h @ self.u["t1"]))
        s = t1 * tg.named(n1=tg.tanh(x @ self.w["n"] + h @ self.u["n1"])) + (1 - t1) * h
        t2 = tg.named(t2=tg.sigmoid(s @ self.u["t2"]))
        return (t2 * tg.named(n2=tg.tanh(s @ self.u["n2"])) + (1 - t2) * s,)


class StructurallyConstrained(CellOfNames):
    """Mikolov et al. 2015: a slow context beside the hidden layer."""

    state_names = ("h", "s")
    outer, inner = ("s", "h"), ("p", "h")

    def step(self, x: tg.Tensor, state: State) -> State:
        h, s = state
        s = 0.05 * (x @ self.w["s"]) + 0.95 * s
        return tg.sigmoid(s @ self.u["p"] + x @ self.w["h"] + h @ self.u["h"]), s


CELLS_ASIDE = {
    cell.__name__: cell
    for cell in (
        Antisymmetric, ChaosFree, Delta, FastGRNN, Intersection,
        LightRecurrent, Multiplicative, Mutated, RecurrentHighway, StructurallyConstrained,
    )
}  # fmt: skip
