"""Writes frozen_cells.safetensors: every cell's numbers and gradients, by PyTorch, from the equations in the
docstrings.

    python tests/tinygrad_rnn/cells/frozen_cells.py

Nothing of tinygrad_rnn is used: each step below is written down from the cell's equations in plain float64 PyTorch, and
differentiated by PyTorch. The loss is a weighted sum of all states at all timesteps, so that every value has a
cotangent of its own. Keys are ``case/kind/name``; kinds are what was drawn (parameters, inputs, initial, weights) and
what came out (states, loss, by_parameters, by_inputs, by_initial).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

torch: Any = None  # imported by make(): whoever only reads the file does not need it
FILE = Path(__file__).with_suffix(".safetensors")
T, BATCH, N, H = 4, 2, 3, 4

Step = Callable[..., tuple[Any, ...]]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Case:
    """A registered cell with options, its parameters' shapes, its states' widths, and one step of it."""

    name: str
    step: Step
    shapes: Shapes
    states: dict[str, int]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.options.items())])


# ------------------------------------------------------------------------------------------- notation


def gates(names: str, rows: int = H, sources: int = H, bias: bool = True) -> Shapes:
    """W, R and b for each gate of one letter."""
    found: Shapes = {}
    for name in names:
        found[f"W_{name}"] = (rows, N)
        found |= {f"R_{name}": (rows, sources)} if sources else {}
        found |= {f"b_{name}": (rows,)} if bias else {}
    return found


def vectors(*names: str, size: int = H) -> Shapes:
    return dict.fromkeys(names, (size,))


def net(p: Any, gate: str, x: Any, h: Any = None) -> Any:
    """``W x + R h + b`` for every row of x and h."""
    a = x @ p[f"W_{gate}"].T
    a = a if h is None else a + h @ p[f"R_{gate}"].T
    return a + p[f"b_{gate}"] if f"b_{gate}" in p else a


def sigma(z: Any) -> Any:
    return torch.sigmoid(z)


def tanh(z: Any) -> Any:
    return torch.tanh(z)


# ---------------------------------------------------------------------------------------------- plain


def rnn(p: Any, x: Any, h: Any) -> Any:
    return (tanh(x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]),)


def irnn(p: Any, x: Any, h: Any) -> Any:
    return (torch.relu(x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]),)


def jordan(p: Any, x: Any, y: Any, s: Any) -> Any:
    s = 0.5 * s + y
    h = tanh(x @ p["W_h"].T + s @ p["R_h"].T + p["b_h"])
    return sigma(h @ p["V"].T + p["c"]), s


def second_order(p: Any, x: Any, h: Any) -> Any:
    return (sigma(torch.einsum("ijk,bj,bk->bi", p["W"].reshape(H, H, N), h, x) + p["b"]),)


# ----------------------------------------------------------------------- long short-term memory, blocks


def g(z: Any) -> Any:
    return 4 * sigma(z) - 2


def squashed(z: Any) -> Any:
    return 2 * sigma(z) - 1


def lstm1997(p: Any, x: Any, h: Any, s: Any, i: Any, o: Any, cut: bool = False) -> Any:
    u = torch.cat([h, i, o], dim=1)
    u = u.detach() if cut else u
    i, o = sigma(net(p, "i", x, u)), sigma(net(p, "o", x, u))
    per_cell = H // i.shape[1]
    s = s + i.repeat_interleave(per_cell, dim=1) * g(net(p, "c", x, u))
    return o.repeat_interleave(per_cell, dim=1) * squashed(s), s, i, o


def lstm1997_truncated(p: Any, x: Any, *state: Any) -> Any:
    return lstm1997(p, x, *state, cut=True)


def lstm2000(p: Any, x: Any, h: Any, s: Any, cut: bool = False) -> Any:
    h = h.detach() if cut else h
    i, f, o = (sigma(net(p, gate, x, h)) for gate in "ifo")
    i, f, o = (gate.repeat_interleave(H // gate.shape[1], dim=1) for gate in (i, f, o))
    s = f * s + i * g(net(p, "c", x, h))
    return o * squashed(s), s


def lstm2000_truncated(p: Any, x: Any, *state: Any) -> Any:
    return lstm2000(p, x, *state, cut=True)


# ---------------------------------------------------------------------------- long short-term memory


def lstm(p: Any, x: Any, h: Any, c: Any) -> Any:
    W, R = p["weight_ih"].reshape(4, H, N), p["weight_hh"].reshape(4, H, -1)
    b = (p["bias_ih"] + p["bias_hh"]).reshape(4, H)
    i, f, o = (sigma(x @ W[k].T + h @ R[k].T + b[k]) for k in (0, 1, 3))
    c = f * c + i * tanh(x @ W[2].T + h @ R[2].T + b[2])
    return o * tanh(c), c


def coupled(p: Any, x: Any, h: Any, c: Any) -> Any:
    f = sigma(net(p, "f", x, h))
    c = f * c + (1 - f) * tanh(net(p, "g", x, h))
    return sigma(net(p, "o", x, h)) * tanh(c), c


def layernorm(p: Any, x: Any, h: Any, c: Any) -> Any:
    def LN(z: Any, which: str) -> Any:
        return torch.nn.functional.layer_norm(z, z.shape[1:], p[f"gain_{which}"], p[f"shift_{which}"], eps=1e-5)

    z = LN(h @ p["weight_hh"].T, "h") + LN(x @ p["weight_ih"].T, "x") + p["bias"]
    f, i, o, g = (z[:, k * H : (k + 1) * H] for k in range(4))
    c = sigma(f) * c + sigma(i) * tanh(g)
    return sigma(o) * tanh(LN(c, "c")), c


def projected(p: Any, x: Any, h: Any, c: Any) -> Any:
    m, c = lstm(p, x, h, c)
    return m @ p["weight_hr"].T, c


def odyssey(p: Any, x: Any, h: Any, c: Any, **change: Any) -> Any:
    """The vanilla LSTM; `change` says in which equation a variant differs."""

    def gate(name: str, cell: Any) -> Any:
        return sigma(net(p, name, x, h) + (p[f"p_{name}"] * cell if f"p_{name}" in p else 0))

    z = net(p, "z", x, h) if change.get("z") == "linear" else tanh(net(p, "z", x, h))
    i = 1 if change.get("i") == "open" else gate("i", c)
    f = 1 if change.get("f") == "open" else 1 - i if change.get("f") == "coupled" else gate("f", c)
    c = z * i + c * f
    o = 1 if change.get("o") == "open" else gate("o", c)
    return o * (c if change.get("output") == "linear" else tanh(c)), c


def variant(**change: Any) -> Step:
    return lambda p, x, h, c: odyssey(p, x, h, c, **change)


def cut_peepholes(p: Any, x: Any, h: Any, c: Any) -> Any:
    i, f = (sigma(net(p, gate, x, h) + p[f"p_{gate}"] * c.detach()) for gate in "if")
    c = tanh(net(p, "z", x, h)) * i + c * f
    return sigma(net(p, "o", x, h) + p["p_o"] * c.detach()) * tanh(c), c


def fgr(p: Any, x: Any, h: Any, c: Any, i: Any, f: Any, o: Any) -> Any:
    before = {"i": i, "f": f, "o": o}

    def gate(name: str, cell: Any) -> Any:
        fed_back = sum(value @ p[f"R_{name}{source}"].T for source, value in before.items())
        return sigma(net(p, name, x, h) + fed_back + p[f"p_{name}"] * cell)

    i, f = gate("i", c), gate("f", c)
    c = tanh(net(p, "z", x, h)) * i + c * f
    o = gate("o", c)
    return o * tanh(c), c, i, f, o


def slstm(p: Any, x: Any, h: Any, c: Any, n: Any, m: Any, exponential: bool = False) -> Any:
    zi, zf = net(p, "i", x, h), net(p, "f", x, h)
    log_f = zf if exponential else torch.nn.functional.logsigmoid(zf)
    new_m = torch.maximum(log_f + m, zi)
    i, f = torch.exp(zi - new_m), torch.exp(log_f + m - new_m)
    c = f * c + i * tanh(net(p, "z", x, h))
    n = f * n + i
    return sigma(net(p, "o", x, h)) * c / n, c, n, new_m


def slstm_exponential(p: Any, x: Any, *state: Any) -> Any:
    return slstm(p, x, *state, exponential=True)


# -------------------------------------------------------------------------------------------- gated units


def gru(p: Any, x: Any, h: Any) -> Any:
    W, R = p["weight_ih"].reshape(3, H, N), p["weight_hh"].reshape(3, H, H)
    b, d = p["bias_ih"].reshape(3, H), p["bias_hh"].reshape(3, H)
    r, z = (sigma(x @ W[k].T + b[k] + h @ R[k].T + d[k]) for k in (0, 1))
    n = tanh(x @ W[2].T + b[2] + r * (h @ R[2].T + d[2]))
    return ((1 - z) * n + z * h,)


def gru_before(p: Any, x: Any, h: Any) -> Any:
    r, z = sigma(net(p, "r", x, h)), sigma(net(p, "z", x, h))
    return (z * h + (1 - z) * tanh(net(p, "n", x, r * h)),)


def mgu(p: Any, x: Any, h: Any) -> Any:
    f = sigma(net(p, "f", x, h))
    return ((1 - f) * h + f * tanh(net(p, "n", x, f * h)),)


def janet(p: Any, x: Any, h: Any) -> Any:
    s = net(p, "f", x, h)
    return (sigma(s) * h + (1 - sigma(s - 1.0)) * tanh(net(p, "n", x, h)),)


# --------------------------------------------------------------------------------------- long lags, time


def narx(p: Any, x: Any, h1: Any, h2: Any, h3: Any) -> Any:
    h = tanh(x @ p["W_h"].T + h1 @ p["R_1"].T + h2 @ p["R_2"].T + h3 @ p["R_3"].T + p["b_h"])
    return h, h1, h2


def leaky(p: Any, x: Any, h: Any) -> Any:
    tau = 4.0
    return ((1 - 1 / tau) * h + 1 / tau * tanh(net(p, "n", x, h)),)


def mozer(p: Any, x: Any, h: Any) -> Any:
    tau = sigma(p["q"])
    return (tau * h + (1 - tau) * tanh(net(p, "n", x, h)),)


def clockwork(p: Any, x: Any, h: Any, clock: Any) -> Any:
    periods = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    R = torch.stack([torch.nn.functional.pad(p[f"R_{k}"][0], (k, 0)) for k in range(4)])
    n = tanh(x @ p["W_n"].T + h @ R.T + p["b_n"])
    return torch.where(clock == 0, n, h), torch.remainder(clock + 1, periods)


def chunker(p: Any, x: Any, h: Any, a: Any, prediction: Any) -> Any:
    u = ((x - prediction).abs().amax(dim=1, keepdim=True) > 0.5).double()
    h = u * tanh(net(p, "h", x, h)) + (1 - u) * h
    a = tanh(net(p, "a", x, a))
    return h, a, sigma(a @ p["V"].T + p["d"])


# -------------------------------------------------------------------------------------------- linear paths


def mingru(p: Any, x: Any, h: Any) -> Any:
    z = sigma(net(p, "z", x))
    return ((1 - z) * h + z * net(p, "n", x),)


def minlstm(p: Any, x: Any, h: Any) -> Any:
    f, i = sigma(net(p, "f", x)), sigma(net(p, "i", x))
    return (f / (f + i) * h + i / (f + i) * net(p, "n", x),)


def sru(p: Any, x: Any, h: Any, c: Any) -> Any:
    f, r = (sigma(net(p, gate, x) + p[f"v_{gate}"] * c) for gate in "fr")
    c = f * c + (1 - f) * (x @ p["W_n"].T)
    return r * c + (1 - r) * (x @ p["P"].T), c


def lru(p: Any, x: Any, h: Any, re: Any, im: Any) -> Any:
    eigenvalues = torch.exp(torch.complex(-torch.exp(p["nu"]), torch.exp(p["theta"])))
    B, C = torch.complex(p["B_re"], p["B_im"]), torch.complex(p["C_re"], p["C_im"])
    s = eigenvalues * torch.complex(re, im) + torch.exp(p["gamma"]) * (x.to(B.dtype) @ B.T)
    return (s @ C.T).real + x @ p["D"].T, s.real, s.imag


def orthogonal(p: Any, x: Any, h: Any) -> Any:
    Q = torch.eye(H, dtype=torch.float64)
    for v in p["v"]:
        Q = Q @ (torch.eye(H, dtype=torch.float64) - 2 * torch.outer(v, v) / (v @ v))
    z = x @ p["W_h"].T + h @ Q.T
    return (torch.sign(z) * torch.relu(z.abs() + p["b"]),)


# ------------------------------------------------------------------------------------------------ the cases


def stacked(count: int) -> Shapes:
    """Parameters in PyTorch's layout, `count` gates one below the other."""
    rows = count * H
    return {"weight_ih": (rows, N), "weight_hh": (rows, H), "bias_ih": (rows,), "bias_hh": (rows,)}


def blocks(names: str, rows: int, sources: int) -> Shapes:
    return {**gates(names, rows, sources), **gates("c", H, sources)}


def peeping(names: str, peepholes: str) -> Shapes:
    return {**gates(names), **vectors(*(f"p_{name}" for name in peepholes))}


ONE, TWO = {"h": H}, {"h": H, "c": H}
NORMS = {f"{kind}_{which}": (4 * H,) if which != "c" else (H,) for which in "hxc" for kind in ("gain", "shift")}
FED_BACK = {f"R_{name}{source}": (H, H) for name in "ifo" for source in "ifo"}

CASES = [
    Case("rnn", rnn, stacked(1), ONE),
    Case("irnn", irnn, stacked(1), ONE),
    Case("jordan", jordan, {"W_h": (H, N), "R_h": (H, H), "V": (H, H), "b_h": (H,), "c": (H,)}, {"y": H, "s": H}),
    Case("lstm1997", lstm1997, blocks("io", H, 3 * H), {"h": H, "s": H, "i": H, "o": H}),
    Case(
        "lstm1997",
        lstm1997_truncated,
        blocks("io", 2, H + 4),
        {"h": H, "s": H, "i": 2, "o": 2},
        {"block_size": 2, "truncated": True},
    ),
    Case("lstm1997", lstm1997, blocks("io", 2, H + 4), {"h": H, "s": H, "i": 2, "o": 2}, {"block_size": 2}),
    Case("lstm2000", lstm2000, blocks("ifo", H, H), {"h": H, "s": H}),
    Case("lstm2000", lstm2000_truncated, blocks("ifo", 2, H), {"h": H, "s": H}, {"block_size": 2, "truncated": True}),
    Case("lstm", lstm, stacked(4), TWO),
    Case("peephole", odyssey, peeping("zifo", "ifo"), TWO),
    Case("peephole", cut_peepholes, peeping("zifo", "ifo"), TWO, {"cut_peepholes": True}),
    Case("coupled", coupled, gates("fgo"), TWO),
    Case("nig", variant(i="open"), peeping("zfo", "fo"), TWO),
    Case("nfg", variant(f="open"), peeping("zio", "io"), TWO),
    Case("nog", variant(o="open"), peeping("zif", "if"), TWO),
    Case("niaf", variant(z="linear"), peeping("zifo", "ifo"), TWO),
    Case("noaf", variant(output="linear"), peeping("zifo", "ifo"), TWO),
    Case("cifg", variant(f="coupled"), peeping("zio", "io"), TWO),
    Case("np", odyssey, gates("zifo"), TWO),
    Case("fgr", fgr, {**peeping("zifo", "ifo"), **FED_BACK}, {"h": H, "c": H, "i": H, "f": H, "o": H}),
    Case("layernorm", layernorm, {"weight_hh": (4 * H, H), "weight_ih": (4 * H, N), **NORMS, "bias": (4 * H,)}, TWO),
    Case("gru", gru, stacked(3), ONE),
    Case("gru_before", gru_before, gates("rzn"), ONE),
    Case("mgu", mgu, gates("fn"), ONE),
    Case("janet", janet, gates("fn"), ONE),
    Case(
        "narx", narx, {**gates("h", sources=0), **{f"R_{d}": (H, H) for d in (1, 2, 3)}}, {"h": H, "h_1": H, "h_2": H}
    ),
    Case("leaky", leaky, gates("n"), ONE),
    Case("mozer", mozer, {"q": (H,), **gates("n")}, ONE),
    Case("second_order", second_order, {"W": (H, H * N), "b": (H,)}, ONE),
    Case(
        "clockwork",
        clockwork,
        {**gates("n", sources=0), **{f"R_{k}": (1, H - k) for k in range(4)}},
        {"h": H, "clock": H},
    ),
    Case("chunker", chunker, {**gates("ha"), "V": (N, H), "d": (N,)}, {"h": H, "a": H, "p": N}),
    Case("mingru", mingru, gates("zn", sources=0), ONE),
    Case("minlstm", minlstm, gates("fin", sources=0), ONE),
    Case(
        "sru",
        sru,
        {**gates("fr", sources=0), **vectors("v_f", "v_r"), **gates("n", sources=0, bias=False), "P": (H, N)},
        TWO,
    ),
    Case(
        "lru",
        lru,
        {
            **vectors("nu", "theta", "gamma"),
            "B_re": (H, N),
            "B_im": (H, N),
            "C_re": (H, H),
            "C_im": (H, H),
            "D": (H, N),
        },
        {"h": H, "re": H, "im": H},
    ),
    Case("slstm", slstm, gates("ifzo"), {"h": H, "c": H, "n": H, "m": H}),
    Case("slstm", slstm_exponential, gates("ifzo"), {"h": H, "c": H, "n": H, "m": H}, {"forget": "exp"}),
    Case("orthogonal", orthogonal, {"W_h": (H, N), "v": (4, H), "b": (H,)}, ONE),
    Case("projected", projected, {**stacked(4), "weight_hh": (4 * H, 2), "weight_hr": (2, H)}, {"h": 2, "c": H}),
]


def drawn(case: Case, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Parameters, inputs, initial states and the loss's weights: random, whatever the cell's own initialisation is."""
    found = {f"parameters/{name}": 0.7 * rng.normal(size=shape) for name, shape in case.shapes.items()}
    found["inputs"] = rng.normal(size=(T, BATCH, N))
    for name, width in case.states.items():
        found[f"initial/{name}"] = 0.5 * rng.normal(size=(BATCH, width))
        found[f"weights/{name}"] = rng.normal(size=(T, BATCH, width))
    if case.name == "clockwork":  # after six steps; the slowest module moves at the ninth
        found["initial/clock"] = np.tile([0.0, 0.0, 2.0, 6.0], (BATCH, 1))
        found["weights/clock"] *= 0  # counting has no slope
    if case.name == "slstm":  # a normaliser is positive
        found["initial/n"] = 1.0 + np.abs(found["initial/n"])
    if case.name == "chunker":  # predictions lie in (0, 1), and some of the inputs are near them
        found["initial/p"] = 1 / (1 + np.exp(-found["initial/p"]))
        found["inputs"] = 0.5 + 0.4 * found["inputs"]
    if case.name == "orthogonal":  # so that modReLU shuts some units off
        found["parameters/b"] = -np.abs(found["parameters/b"])
    return found


def computed(case: Case, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """States of every timestep, loss and gradients, by PyTorch."""
    leaves = {
        key: torch.tensor(value, requires_grad=True) for key, value in given.items() if not key.startswith("weights/")
    }
    p = {name: leaves[f"parameters/{name}"] for name in case.shapes}
    state = tuple(leaves[f"initial/{name}"] for name in case.states)
    over_time = []
    for x in leaves["inputs"]:
        state = case.step(p, x, *state)
        over_time.append(state)
    states = {name: torch.stack(values) for name, values in zip(case.states, zip(*over_time, strict=True), strict=True)}
    loss = sum((torch.tensor(given[f"weights/{name}"]) * value).sum() for name, value in states.items())
    slopes = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    found = {f"states/{name}": value.detach().numpy() for name, value in states.items()} | {
        "loss": loss.detach().numpy()
    }
    for (key, leaf), slope in zip(leaves.items(), slopes, strict=True):
        found[f"by_{key}"] = np.zeros(leaf.shape) if slope is None else slope.numpy()
    return found


def make() -> dict[str, np.ndarray]:
    """Everything that the file holds."""
    global torch
    import torch

    found = {}
    for number, case in enumerate(CASES):
        given = drawn(case, np.random.default_rng([1997, number]))
        found |= {f"{case.key}/{key}": value for key, value in {**given, **computed(case, given)}.items()}
    return {key: np.ascontiguousarray(value) for key, value in found.items()}


if __name__ == "__main__":
    save_file(make(), FILE)
