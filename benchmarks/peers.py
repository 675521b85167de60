"""Everybody who runs a cell over a sequence and back: each gives a function that does it once.

All compute the sum of the last outputs and its gradient by every parameter, in float32. Ours also keep the
gradient of every h_t and c_t, and so does PyTorch eager. Each imports its own library only: who is measured alone in
a process has nobody else's threads in it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cells
import numpy as np
import plan
from machine import THREADS

Once = Callable[[], Any]


def ours_eager(name: str, x: np.ndarray, hidden: int) -> Once:
    return _ours(cells.cell(name, x.shape[2], hidden), x, every=True)


def ours_compiled(name: str, x: np.ndarray, hidden: int) -> Once:
    import tinygrad_rnn as tg

    return _ours(tg.compile(cells.cell(name, x.shape[2], hidden)), x, every=False)


def ours_traced(name: str, x: np.ndarray, hidden: int) -> Once:
    import inspector
    import tinygrad_rnn as tg

    compiled = tg.compile(cells.cell(name, x.shape[2], hidden))

    def once() -> list[np.ndarray]:
        run = tg.unroll(compiled, x)
        trace = inspector.trace(run, run.outputs[-1].sum())
        return [trace.parameter_gradient(parameter) for parameter in trace.parameters]

    return once


def ours_checkpointed(name: str, x: np.ndarray, hidden: int) -> Once:
    import tinygrad_rnn as tg

    compiled = tg.compile(cells.cell(name, x.shape[2], hidden), checkpoint="sqrt")
    parameters = compiled.parameters()
    return lambda: [g.data for g in tg.grad(tg.unroll(compiled, x).outputs[-1].sum(), parameters)]


def _ours(cell: Any, x: np.ndarray, every: bool) -> Once:
    import tinygrad_rnn as tg

    parameters = cell.parameters()

    def once() -> list[np.ndarray]:
        run = tg.unroll(cell, x)
        # One state of a compiled run is enough to make its adjoint loop keep the gradients of all.
        states = [value for state in run.states for value in state] if every else [run.states[0].h]
        found = tg.grad(run.outputs[-1].sum(), [*parameters, *states])
        return [g.data for g in found[: len(parameters)]]

    return once


def torch_eager(name: str, x: np.ndarray, hidden: int) -> Once:
    import torch

    torch.set_num_threads(THREADS)
    recipe = cells.RECIPES[name]
    p = {k: torch.tensor(v, requires_grad=True) for k, v in cells.weights(name, x.shape[2], hidden).items()}
    xs = torch.tensor(x)

    def once() -> list[np.ndarray]:
        for value in p.values():
            value.grad = None
        state = tuple(map(torch.tensor, recipe.start(x.shape[1], hidden)))
        for step in xs:
            state = recipe.step(torch, p, step, state)
            for value in state:
                value.retain_grad()
        state[0].sum().backward()
        return [value.grad.numpy() for value in p.values()]  # type: ignore[union-attr]

    return once


def torch_nn(name: str, x: np.ndarray, hidden: int) -> Once:
    import torch

    torch.set_num_threads(THREADS)
    layer = getattr(torch.nn, name)(x.shape[2], hidden)
    layer.load_state_dict({f"{k}_l0": torch.tensor(v) for k, v in cells.weights(name, x.shape[2], hidden).items()})
    xs = torch.tensor(x)

    def once() -> list[np.ndarray]:
        layer.zero_grad()
        layer(xs)[0][-1].sum().backward()
        return [value.grad.numpy() for value in layer.parameters()]

    return once


def jax_scan(name: str, x: np.ndarray, hidden: int) -> Once:
    import jax
    import jax.numpy as jnp

    recipe = cells.RECIPES[name]
    ops = SimpleNamespace(tanh=jnp.tanh, sigmoid=jax.nn.sigmoid)
    p = {key: jnp.asarray(value) for key, value in cells.weights(name, x.shape[2], hidden).items()}
    xs = jnp.asarray(x)

    def loss(p: Any, xs: Any) -> Any:
        start = tuple(map(jnp.asarray, recipe.start(x.shape[1], hidden)))
        final, _ = jax.lax.scan(lambda state, step: (recipe.step(ops, p, step, state), None), start, xs)
        return final[0].sum()

    gradient = jax.jit(jax.grad(loss))

    def once() -> list[Any]:
        found = jax.block_until_ready(gradient(p, xs))
        return [found[key] for key in p]

    return once


def hips_autograd(name: str, x: np.ndarray, hidden: int) -> Once:
    import autograd
    import autograd.numpy as anp

    recipe = cells.RECIPES[name]
    ops = SimpleNamespace(tanh=anp.tanh, sigmoid=lambda v: 1 / (1 + anp.exp(-v)))
    p = cells.weights(name, x.shape[2], hidden)

    def loss(p: Any) -> Any:
        state = recipe.start(x.shape[1], hidden)
        for step in x:
            state = recipe.step(ops, p, step, state)
        return anp.sum(state[0])

    gradient = autograd.grad(loss)

    def once() -> list[np.ndarray]:
        found = gradient(p)
        return [found[key] for key in p]

    return once


def numpy_by_hand(name: str, x: np.ndarray, hidden: int) -> Once:
    """An LSTM as one writes it with a pencil and a free afternoon: forward, backward, products gathered."""
    assert name == "LSTM"
    p = cells.weights(name, x.shape[2], hidden)
    steps, batch, features = x.shape
    w, u, bias = p["weight_ih"], p["weight_hh"], p["bias_ih"] + p["bias_hh"]

    def sigmoid(v: Any) -> Any:
        return 1 / (1 + np.exp(-v))

    def once() -> list[np.ndarray]:
        z = (x.reshape(-1, features) @ w.T + bias).reshape(steps, batch, -1)
        h, c = np.zeros((2, steps + 1, batch, hidden), np.float32)
        gates = np.empty((steps, 4, batch, hidden), np.float32)
        for t in range(steps):
            i, f, g, o = np.split(z[t] + h[t] @ u.T, 4, axis=1)
            gates[t] = i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
            c[t + 1] = f * c[t] + i * g
            h[t + 1] = o * np.tanh(c[t + 1])
        dz = np.empty_like(z)
        dh, dc = np.ones((batch, hidden), np.float32), np.zeros((batch, hidden), np.float32)
        for t in reversed(range(steps)):
            i, f, g, o = gates[t]
            squashed = np.tanh(c[t + 1])
            dc = dc + dh * o * (1 - squashed**2)
            parts = dc * g * i * (1 - i), dc * c[t] * f * (1 - f), dc * i * (1 - g**2), dh * squashed * o * (1 - o)
            np.concatenate(parts, axis=1, out=dz[t])
            dh, dc = dz[t] @ u, dc * f
        flat = dz.reshape(steps * batch, -1)
        return [flat.T @ x.reshape(-1, features), flat.T @ h[:-1].reshape(-1, hidden), flat.sum(0), flat.sum(0)]

    return once


PEERS: dict[str, Callable[[str, np.ndarray, int], Once]] = {
    "ours compiled": ours_compiled,
    "ours eager": ours_eager,
    "torch.nn": torch_nn,
    "PyTorch eager": torch_eager,
    "JAX scan": jax_scan,
    "HIPS autograd": hips_autograd,
    "NumPy by hand": numpy_by_hand,
    plan.TRACED: ours_traced,
}


def start(peer: str, name: str, shape: tuple[int, int, int, int]) -> Once:
    """What a peer does once with a cell at (T, batch, inputs, hidden), on the same inputs as everybody."""
    steps, batch, inputs, hidden = shape
    x = np.random.default_rng(1).normal(size=(steps, batch, inputs)).astype(np.float32)
    return PEERS[peer](name, x, hidden)
