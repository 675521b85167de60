"""One step of a cell as arrays, to be compared with its equations."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.strategies import reached

RNG = np.random.default_rng(7)
N, H, B, T = 3, 4, 2, 6
X = RNG.normal(size=(T, B, N))


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def one(cell: tg.Cell) -> tuple[Any, Any, Any, dict[str, Any]]:
    """An input, a state that can be reached, the next state, and the weights, as arrays."""
    state = cell.State(*reached(cell, B, np.random.default_rng(3)))
    new = cell(tg.tensor(X[0]), state)
    return X[0], state, cell.State(*[np.asarray(value.data) for value in new]), cell.state_dict()


def close(left: Any, right: Any) -> None:
    np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-14)


def jacobian(cell: tg.Cell, of: str, by: str) -> Any:
    """d of_t / d by_{t-1} of a single sequence, (units, units)."""
    state = cell.State(*[tg.tensor(s, requires_grad=True) for s in reached(cell, 1, np.random.default_rng(3))])
    new = cell(tg.tensor(X[0, :1]), state)
    return tg.jacobian(getattr(new, of), getattr(state, by))[0, :, 0, :]


def nets(w: Any, names: str, x: Any, h: Any) -> dict[str, Any]:
    return {name: x @ w[f"W_{name}"].T + h @ w[f"R_{name}"].T + w[f"b_{name}"] for name in names}


ODYSSEY = ["peephole", "nig", "nfg", "nog", "niaf", "noaf", "cifg", "np", "fgr"]
