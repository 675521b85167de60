"""`python benchmarks/analysis.py`: what the analyses cost, measured against what they are made of.

The map of loss steps and states against one backward pass; the Jacobians of a long run against `jax.jacrev` under
`jax.vmap`, compiled and not. Everybody in turn, ratios of neighbouring runs, their median and quartiles.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import inspector
import tinygrad_rnn as tg

STEPS, HIDDEN, INPUTS = 200, 64, 8
LONG = 1000


def reach(name: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The map of a run of 200 steps, batch 1, with a loss at every step; and one backward pass."""
    run = tg.unroll(
        tg.cells.get(name)(INPUTS, HIDDEN, seed=0), np.random.default_rng(0).normal(size=(STEPS, 1, INPUTS))
    )
    loss = (run.stacked**2).sum()
    return lambda: inspector.reach(run, loss), loss.backward


def jacobians(dtype: Any, compiled: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The Jacobians of a tanh network over 1,000 steps, by us and by JAX."""
    cell = tg.cells.RNNCell(INPUTS, HIDDEN, seed=0, dtype=dtype)
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(LONG, 1, INPUTS)))
    w, u, bias = cell.weight_hh.data, cell.weight_ih.data, cell.bias_ih.data + cell.bias_hh.data
    before = jnp.asarray(np.concatenate([run.initial_state.h.data, *[state.h.data for state in run.states[:-1]]]))
    x = jnp.asarray(np.concatenate([step.data for step in run.inputs]))
    theirs = jax.vmap(jax.jacrev(lambda h, v: jnp.tanh(jnp.asarray(u) @ v + jnp.asarray(w) @ h + jnp.asarray(bias))))
    theirs = jax.jit(theirs) if compiled else theirs
    np.testing.assert_allclose(inspector.step_jacobians(run)[:, 0], theirs(before, x), rtol=1e-3, atol=1e-5)
    return lambda: inspector.step_jacobians(run), lambda: theirs(before, x).block_until_ready()


def compare(name: str, ours: Callable[[], Any], other: Callable[[], Any], rounds: int) -> None:
    """Print the times and their ratio."""
    ours(), other()
    times = np.array([[_seconds(ours), _seconds(other)] for _ in range(rounds)])
    low, middle, high = np.quantile(times[:, 0] / times[:, 1], [0.25, 0.5, 0.75])
    mine, theirs = np.median(times, axis=0) * 1e3
    print(f"{name:<44} {mine:8.1f} ms  against {theirs:7.1f} ms:  {middle:5.2f} x  ({low:.2f} to {high:.2f})")


def _seconds(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    jax.config.update("jax_enable_x64", True)
    for name in ("rnn", "gru", "lstm"):
        compare(f"reach, {name}, T={STEPS}, hidden {HIDDEN} / backward", *reach(name), rounds)
    for dtype in (np.float64, np.float32):
        for compiled in (False, True):
            label = f"Jacobians, T={LONG}, n={HIDDEN}, {dtype.__name__} / jacrev{' jit' * compiled}"
            compare(label, *jacobians(dtype, compiled), rounds)


if __name__ == "__main__":
    main()
