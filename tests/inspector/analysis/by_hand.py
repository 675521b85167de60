"""Backpropagation through time as people write it, in NumPy alone, with a switch for each of their mistakes.

The loss is the sum of the squares of all hidden states. Parameters and layout are PyTorch's; `h` is the whole gradient
by every hidden state, (T, batch, hidden).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


def sigmoid(z: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-z))


def _zeros(p: Arrays) -> Arrays:
    return {name: np.zeros_like(value) for name, value in p.items()}


def _steps(count: int, wrong: str) -> list[int]:
    """The timesteps in the order in which a loop goes through them."""
    order = list(range(count))[::-1]
    if wrong == "forwards":
        return order[::-1]
    if wrong == "first step missing":
        return order[:-1]
    return order[:3] if wrong == "loop ends after 3" else order


def _finished(d: Arrays, wrong: str, steps: int, batch: int) -> Arrays:
    """What is done to gradients in the end."""
    factor = {"mean over batch": 1 / batch, "mean over time": 1 / steps, "sign": -1.0, "scaled": 0.37}.get(wrong, 1.0)
    d = {name: factor * value for name, value in d.items()}
    if wrong == "bias mean":
        d["bias_ih"], d["bias_hh"] = d["bias_ih"] / batch, d["bias_hh"] / batch
    if wrong == "gradient transposed":
        square = np.split(d["weight_hh"], len(d["weight_hh"]) // d["weight_hh"].shape[1])
        d["weight_hh"] = np.concatenate([block.T for block in square])
    if wrong == "time reversed":
        d["h"] = d["h"][::-1]
    return d


def _seed(h: Array, t: int, count: int, wrong: str) -> Array:
    """What the loss sends to the hidden state of a step."""
    if wrong == "last loss only" and t < count - 1:
        return np.zeros_like(h)
    return h if wrong == "no 2" else 2.0 * h


def _bias(delta: Array, wrong: str) -> Array:
    if wrong == "bias over units":
        return delta.sum(axis=1)
    if wrong == "bias over all":
        return np.full(delta.shape[1], delta.sum())
    if wrong == "bias of the first sequence":
        return delta[0]
    return delta.sum(axis=0)


def rnn(p: Arrays, x: Array, wrong: str = "") -> Arrays:
    """``h_t = tanh(W x_t + b + U h_{t-1} + b')``."""
    count, batch = x.shape[:2]
    W, U = p["weight_ih"], p["weight_hh"]
    h = [np.zeros((batch, len(U)))]
    z = []
    for t in range(count):
        z.append(x[t] @ W.T + p["bias_ih"] + h[-1] @ U.T + p["bias_hh"])
        h.append(np.tanh(z[-1]))
    d, dh_all, carry = _zeros(p), np.zeros((count, *h[0].shape)), np.zeros_like(h[0])
    for t in _steps(count, wrong):
        dh = _seed(h[t + 1], t, count, wrong) + carry
        dh_all[t] = dh
        a = h[t + 1]
        slope = {
            "no square": 1 - a,
            "no derivative": np.ones_like(a),
            "sigmoid's derivative": a * (1 - a),
            "at the activation": 1 - np.tanh(a) ** 2,
            "made of z": 1 - z[t] ** 2,
            "of the step before": 1 - h[t] ** 2,
            "twice": (1 - a**2) ** 2,
        }.get(wrong, 1 - a**2)
        dz = dh * slope
        before = {"off by one": h[t + 1], "two before": h[max(t - 1, 0)], "index -1": h[t] if t else h[-1]}.get(
            wrong, h[t]
        )
        if wrong == "assigned":
            d = {"weight_ih": dz.T @ x[t], "weight_hh": dz.T @ before, "bias_ih": dz.sum(0), "bias_hh": dz.sum(0)}
        else:
            d["weight_ih"] += dz.T @ x[t]
            d["weight_hh"] += dz.T @ before
            d["bias_ih"] += _bias(dz, wrong)
            d["bias_hh"] += _bias(dz, wrong)
        carry = dz @ (U.T if wrong == "weight transposed" else U)
        if wrong == "no recurrence" or (wrong == "windows of 3" and t % 3 == 0):
            carry = np.zeros_like(carry)
    return _finished({**d, "h": dh_all}, wrong, count, batch)


def lstm(p: Arrays, x: Array, wrong: str = "") -> Arrays:
    """The LSTM of PyTorch, gates in the order i, f, g, o."""
    count, batch = x.shape[:2]
    W, U = p["weight_ih"], p["weight_hh"]
    units = U.shape[1]
    h, c, gates = [np.zeros((batch, units))], [np.zeros((batch, units))], []
    for t in range(count):
        z = x[t] @ W.T + p["bias_ih"] + h[-1] @ U.T + p["bias_hh"]
        zi, zf, zg, zo = np.split(z, 4, axis=1)
        i, f, g, o = sigmoid(zi), sigmoid(zf), np.tanh(zg), sigmoid(zo)
        gates.append((i, f, g, o))
        c.append(f * c[-1] + i * g)
        h.append(o * np.tanh(c[-1]))
    d, dh_all, dc_all = _zeros(p), np.zeros((count, batch, units)), np.zeros((count, batch, units))
    carry_h = carry_c = np.zeros((batch, units))
    for t in _steps(count, wrong):
        i, f, g, o = gates[t]
        s = np.tanh(c[t + 1])
        dh = _seed(h[t + 1], t, count, wrong) + carry_h
        slope = {"no square at c": 1 - s, "at the activation of c": 1 - np.tanh(s) ** 2, "c itself": 1 - c[t + 1] ** 2}
        dc = carry_c + (0.0 if wrong == "no c through o" else dh * o * slope.get(wrong, 1 - s**2))
        dh_all[t], dc_all[t] = dh, dc
        do, di, dg = dh * s, dc * g, dc * i
        df = dc * (c[t + 1] if wrong == "c off by one" else c[t])
        prime = {"sigmoid is s": lambda s: s, "sigmoid is 1 - s": lambda s: 1 - s}.get(wrong, lambda s: s * (1 - s))
        forget = f if wrong == "f is s" else prime(f)
        tanh_ = (1 - g) if wrong == "no square at g" else 1 - g**2
        parts = [di * prime(i), df * forget, dg * tanh_, do * prime(o)]
        if wrong == "gate left out":
            parts[0] = np.zeros_like(parts[0])
        if wrong == "sign of o":
            parts[3] = -parts[3]
        if wrong == "tanh for sigmoid":
            parts[1] = df * (1 - f**2)
        dz = np.concatenate(parts, axis=1)
        d["weight_ih"] += dz.T @ x[t]
        d["weight_hh"] += dz.T @ (h[t + 1] if wrong == "off by one" else h[t])
        d["bias_ih"] += _bias(dz, wrong)
        d["bias_hh"] += _bias(dz, wrong)
        back = [part.copy() for part in parts]
        if wrong == "o not in dh":
            back[3][:] = 0.0
        blocks = np.split(U, 4)
        if wrong == "weight transposed":
            blocks = [block.T for block in blocks]
        carry_h = sum(part @ block for part, block in zip(back, blocks, strict=True))
        forget = gates[t + 1][1] if wrong == "f of the next step" and t + 1 < count else f
        if wrong == "f of the next step" and t + 1 == count:
            forget = np.zeros_like(f)
        carry_c = dc * forget
        if wrong == "c not carried":
            carry_c = np.zeros_like(dc)
        if wrong == "h not carried":
            carry_h = np.zeros_like(dh)
    found = _finished({**d, "h": dh_all, "c": dc_all}, wrong, count, batch)
    if wrong == "gates in another order":
        for name in p:
            i, f, g, o = np.split(found[name], 4)
            found[name] = np.concatenate([i, f, o, g])
    return found


def gru(p: Arrays, x: Array, wrong: str = "") -> Arrays:
    """The GRU of PyTorch, gates in the order r, z, n."""
    count, batch = x.shape[:2]
    W, U = p["weight_ih"], p["weight_hh"]
    units = U.shape[1]
    h, kept = [np.zeros((batch, units))], []
    for t in range(count):
        xr, xz, xn = np.split(x[t] @ W.T + p["bias_ih"], 3, axis=1)
        hr, hz, hn = np.split(h[-1] @ U.T + p["bias_hh"], 3, axis=1)
        r, z = sigmoid(xr + hr), sigmoid(xz + hz)
        n = np.tanh(xn + r * hn)
        kept.append((r, z, n, hn))
        h.append((1 - z) * n + z * h[-1])
    d, dh_all, carry = _zeros(p), np.zeros((count, batch, units)), np.zeros((batch, units))
    for t in _steps(count, wrong):
        r, z, n, hn = kept[t]
        dh = _seed(h[t + 1], t, count, wrong) + carry
        dh_all[t] = dh
        open_, shut = (z, 1 - z) if wrong == "z and 1 - z exchanged" else (1 - z, z)
        dn = dh * open_ * ((1 - n) if wrong == "no square" else 1 - n**2)
        dz = dh * (h[t] - n) * z * (1 - z)
        if wrong == "sign of z":
            dz = -dz
        if wrong == "n not in dz":
            dz = dh * h[t] * z * (1 - z)
        dr = dn * hn * (r if wrong == "r is s" else r * (1 - r))
        if wrong == "reset gate left out":
            dr = np.zeros_like(dr)
        dhn = dn if wrong == "r forgotten" else dn * r
        of_x = np.concatenate([dr, dz, dn], axis=1)
        of_h = np.concatenate([dr, dz, dhn], axis=1)
        before = h[t + 1] if wrong == "off by one" else h[t]
        d["weight_ih"] += of_x.T @ x[t]
        d["weight_hh"] += of_h.T @ before
        d["bias_ih"] += of_x.sum(axis=0)
        d["bias_hh"] += of_h.sum(axis=0)
        carry = of_h @ U + (0.0 if wrong == "direct path left out" else dh * shut)
    return _finished({**d, "h": dh_all}, wrong, count, batch)


def peephole(p: Arrays, x: Array, wrong: str = "") -> Arrays:
    """The LSTM with peepholes, of which the output gate sees the new cell state; matrices of a name for each gate."""
    count, batch = x.shape[:2]
    zeros = np.zeros((batch, len(p["b_z"])))
    h, c, kept = [zeros], [zeros], []
    for t in range(count):
        a = {k: x[t] @ p[f"W_{k}"].T + h[t] @ p[f"R_{k}"].T + p[f"b_{k}"] for k in "zifo"}
        z, i, f = np.tanh(a["z"]), sigmoid(a["i"] + p["p_i"] * c[t]), sigmoid(a["f"] + p["p_f"] * c[t])
        c.append(f * c[t] + i * z)
        o = sigmoid(a["o"] + p["p_o"] * c[t + 1])
        h.append(o * np.tanh(c[t + 1]))
        kept.append((z, i, f, o))
    d, carry_h, carry_c = _zeros(p), zeros, zeros
    for t in reversed(range(count)):
        z, i, f, o = kept[t]
        s = np.tanh(c[t + 1])
        dh = 2 * h[t + 1] + carry_h
        do = dh * s * o * (1 - o)
        dc = carry_c + dh * o * (1 - s**2) + (0.0 if wrong == "no c through o" else do * p["p_o"])
        di, df, dz = dc * z * i * (1 - i), dc * c[t] * f * (1 - f), dc * i * (1 - z**2)
        for k, delta in zip("zifo", (dz, di, df, do), strict=True):
            d[f"W_{k}"] += delta.T @ x[t]
            d[f"R_{k}"] += delta.T @ h[t]
            d[f"b_{k}"] += delta.sum(axis=0)
        d["p_i"] += (di * c[t]).sum(axis=0)
        d["p_f"] += (df * c[t]).sum(axis=0)
        d["p_o"] += (do * c[t + 1]).sum(axis=0)
        carry_h = dz @ p["R_z"] + di @ p["R_i"] + df @ p["R_f"] + do @ p["R_o"]
        carry_c = dc * f + di * p["p_i"] + (0.0 if wrong == "no c through f" else df * p["p_f"])
    return d
