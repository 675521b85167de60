"""exp, sigmoid and tanh of compiled loops: within their bounds, and right where there are no bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="compiled loops need pip install tinygrad-rnn[compile]")
from tinygrad_rnn.compiler import kernels
from tinygrad_rnn.compiler.fastmath import BOUNDS

WIDER = {"float32": np.float64, "float64": np.longdouble}
TRUE = {"exp": np.exp, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh}


TEXT = """def loop(start, stop, cut, shift, blas, d, b0, b1):
    for k in range(stop - start):
        b1[k] = {name}(b0[k])
"""


def over(name: str, x: Any) -> Any:
    loop = kernels.load(TEXT.format(name=name), [x.dtype] * 2)
    out = np.empty_like(x)
    loop(*map(np.uint64, (0, len(x), 0, 0)), np.zeros(2, np.int64), np.zeros(1, np.uint64), x, out)
    return out


def samples(kind: str) -> Any:
    """Every 4,093rd of all float32 numbers; or float64 numbers of every size."""
    if kind == "float32":
        return np.arange(0, 2**32, 4093, dtype=np.int64).astype(np.uint32).view(np.float32)
    rng = np.random.default_rng(0)
    powers = 10 ** rng.uniform(-300, 2.8, 300_000) * rng.choice([-1, 1], 300_000)
    return np.concatenate([rng.uniform(-40, 40, 400_000), rng.uniform(-1, 1, 300_000), powers])


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_errors_stay_within_the_bounds(name: str, kind: str) -> None:
    x = samples(kind)
    x = x[np.isfinite(x)]
    with np.errstate(all="ignore"):
        found, true = over(f"{name}_{kind}", x), TRUE[name](x.astype(WIDER[kind]))
        limits = np.finfo(kind)
        normal = (np.abs(true) >= limits.tiny) & (np.abs(true) <= limits.max)
        ulps = np.abs(found[normal] - true[normal]) / np.spacing(np.abs(true[normal]).astype(kind))
    assert normal.sum() > 100_000
    assert ulps.max() <= BOUNDS[name]


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_the_edges(kind: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30], kind)
    np.testing.assert_array_equal(over(f"exp_{kind}", x), np.array([np.nan, np.inf, 0, 1, np.inf, 0], kind))
    np.testing.assert_array_equal(over(f"sigmoid_{kind}", x), np.array([np.nan, 1, 0, 0.5, 1, 0], kind))
    np.testing.assert_array_equal(over(f"tanh_{kind}", x), np.array([np.nan, 1, -1, 0, 1, -1], kind))
    tiny = np.array([np.log(np.finfo(kind).tiny) - 2], kind)
    np.testing.assert_allclose(over(f"exp_{kind}", tiny), np.exp(tiny), rtol=1e-5)
