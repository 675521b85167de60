"""What the analyses cost: how long they take over a long run, and against what they are made of."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import inspector
import tinygrad_rnn as tg

HIDDEN, INPUTS = 64, 8
Call = Callable[[], Any]


def analyses(quick: bool) -> dict[str, Any]:
    """Seconds over long runs, the map of losses against a backward pass, and Jacobians against JAX."""
    rounds = 1 if quick else 9
    maps = {name: compare(*reach(name, 20 if quick else 200), rounds) for name in ("rnn", "gru", "lstm")}
    steps = 100 if quick else 1000
    against = [
        {"dtype": dtype.__name__, "compiled": compiled, **compare(*jacobians(steps, dtype, compiled), rounds)}
        for dtype in (np.float64, np.float32)
        for compiled in (False, True)
    ]
    longs = [long(steps) for steps in ((50, 100) if quick else (1000, 2000))]
    return {"long": longs, "reach": maps, "jacobians": against}


def long(steps: int) -> dict[str, Any]:
    """Seconds of single analyses of an LSTM of 16 units over a batch of 4, by what the loss reads."""
    run = tg.unroll(tg.cells.LSTMCell(8, 16, seed=0), np.random.default_rng(0).normal(size=(steps, 4, 8)))
    last, every = (run.outputs[-1] ** 2).sum(), (run.stacked**2).sum()
    warm = tg.unroll(run.cell, np.zeros((3, 1, 8)))
    inspector.diagnose(warm, warm.outputs[-1].sum())  # imports what it needs
    calls: dict[str, Call] = {
        "trace": lambda: inspector.trace(run, last),
        "weights": lambda: inspector.weights(run, last),
        "weights, all steps": lambda: inspector.weights(run, every),
        "reach, all steps": lambda: inspector.reach(run, every),
        "diagnose": lambda: inspector.diagnose(run, last),
    }
    if steps > 1000:
        del calls["weights, all steps"], calls["reach, all steps"]  # quadratic
    return {"steps": steps, "seconds": {name: _least(call) for name, call in calls.items()}}


def reach(name: str, steps: int) -> tuple[Call, Call]:
    """The map of a run with a loss at every step, batch 1; and one backward pass."""
    cell = tg.cells.get(name)(INPUTS, HIDDEN, seed=0)
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(steps, 1, INPUTS)))
    loss = (run.stacked**2).sum()
    return lambda: inspector.reach(run, loss), loss.backward


def jacobians(steps: int, dtype: Any, compiled: bool) -> tuple[Call, Call]:
    """The Jacobians of a tanh network, by us and by JAX."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    cell = tg.cells.RNNCell(INPUTS, HIDDEN, seed=0, dtype=dtype)
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(steps, 1, INPUTS)))
    w, u, bias = cell.weight_hh.data, cell.weight_ih.data, cell.bias_ih.data + cell.bias_hh.data
    before = jnp.asarray(np.concatenate([run.initial_state.h.data, *[state.h.data for state in run.states[:-1]]]))
    x = jnp.asarray(np.concatenate([step.data for step in run.inputs]))
    theirs = jax.vmap(jax.jacrev(lambda h, v: jnp.tanh(jnp.asarray(u) @ v + jnp.asarray(w) @ h + jnp.asarray(bias))))
    theirs = jax.jit(theirs) if compiled else theirs
    np.testing.assert_allclose(inspector.step_jacobians(run)[:, 0], theirs(before, x), rtol=1e-3, atol=1e-5)
    return lambda: inspector.step_jacobians(run), lambda: theirs(before, x).block_until_ready()


def compare(ours: Call, other: Call, rounds: int) -> dict[str, Any]:
    """Both in turn: median milliseconds of each, and quartiles of the ratio of neighbours."""
    ours(), other()
    times = 1e3 * np.array([[_seconds(ours), _seconds(other)] for _ in range(rounds)])
    mine, theirs = np.median(times, axis=0).tolist()
    low, ratio, high = np.quantile(times[:, 0] / times[:, 1], [0.25, 0.5, 0.75]).tolist()
    return {"ours": mine, "other": theirs, "ratio": [ratio, low, high]}


def _least(run: Call) -> float:
    first = _seconds(run)
    return first if first > 3.0 else min(first, _seconds(run))


def _seconds(run: Call) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
