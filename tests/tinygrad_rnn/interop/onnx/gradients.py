"""Gradients of ONNX files against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg


def assert_gradient(model: Any, arrays: Any, kept: Any = (), seed: int = 0, eps: float = 1e-6) -> None:
    """That what the loaded model sends back along a random direction is what its outputs do along it.

    The direction is one of all inputs of floating point but for those that are `kept`, which say places or sizes.
    """
    rng = np.random.default_rng(seed)
    arrays = {name: np.asarray(value) for name, value in arrays.items()}
    ways = {name: rng.normal(size=value.shape) for name, value in arrays.items()}
    ways = {name: way for name, way in ways.items() if arrays[name].dtype == np.float64 and name not in kept}
    weights: dict[str, Any] = {}

    def loss(given: Any) -> Any:
        total: Any = tg.tensor(0.0)
        for name, value in model(**given).items():
            if isinstance(value, tg.Tensor) and value.dtype.kind == "f":
                weights.setdefault(name, rng.normal(size=value.shape))
                total = total + tg.sum(value * weights[name])
        return total

    leaves = {name: tg.tensor(arrays[name], requires_grad=True) for name in ways}
    with np.errstate(all="ignore"):
        gradients = tg.grad(loss({**arrays, **leaves}), list(leaves.values()))
        ends = [
            loss({**arrays, **{name: arrays[name] + h * way for name, way in ways.items()}}).item() for h in (eps, -eps)
        ]
    found = sum(float((g.data * way).sum()) for g, way in zip(gradients, ways.values(), strict=True))
    np.testing.assert_allclose(found, (ends[0] - ends[1]) / (2 * eps), rtol=1e-4, atol=1e-5)
