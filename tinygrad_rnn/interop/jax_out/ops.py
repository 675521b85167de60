"""Every primitive in JAX's own operations: a function, by the primitive's name, of its operands and attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special

__all__ = ["JAX", "SELECTING"]


def _root(x: Any) -> Any:
    """The square root whose derivative at 0 is 0."""
    return jnp.where(x == 0, 0.0, jnp.sqrt(jnp.where(x == 0, 1.0, x)))


def _hypot(x: Any, y: Any) -> Any:
    """``jnp.hypot`` whose derivative at the origin is 0."""
    origin = (x == 0) & (y == 0)
    return jnp.where(origin, 0.0, jnp.hypot(jnp.where(origin, 1.0, x), y))


def _abs(x: Any) -> Any:
    """``jnp.abs`` whose derivative at 0 is 0."""
    return x * jax.lax.stop_gradient(jnp.sign(x))


def _constant(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function without a derivative."""
    return lambda *operands, **attributes: function(*map(jax.lax.stop_gradient, operands), **attributes)


def _getitem(x: Any, index: Any) -> Any:
    parts = index if isinstance(index, tuple) else (index,)
    return x[tuple(np.asarray(part) if isinstance(part, list) else part for part in parts)]


def _scatter(values: Any, index: Any, shape: Any) -> Any:
    """Zeros of `shape` with `values` added at `index`."""
    parts = index if isinstance(index, tuple) else (index,)
    places = tuple(np.asarray(part) if isinstance(part, list) else part for part in parts)
    return jnp.zeros(shape, values.dtype).at[places].add(values)


def _scatter_along_axis(values: Any, indices: Any, length: int, axis: int = -1) -> Any:
    shape = list(values.shape)
    places = list(jnp.indices(shape, sparse=True))
    places[axis] = jnp.broadcast_to(indices, shape) % length
    shape[axis] = length
    return jnp.zeros(shape, values.dtype).at[tuple(places)].add(values)


def _take(x: Any, indices: Any, axis: Any = 0) -> Any:
    return jnp.take(x, indices, axis=axis, mode="wrap")


def _take_along_axis(x: Any, indices: Any, axis: int = -1) -> Any:
    return jnp.take_along_axis(x, indices % x.shape[axis], axis=axis)


_SAME = (
    "all any arctan arctan2 broadcast_to ceil cos cumsum equal exp expm1 flip floor greater greater_equal isclose"
    " isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or"
    " logical_xor matmul max maximum min minimum mod multiply add subtract divide negative not_equal pad power prod"
    " reshape rint round sign sin sqrt square sum tanh transpose trunc where"
)
"""What is called alike there, takes the same attributes and has the same derivative."""

JAX: dict[str, Callable[..., Any]] = {
    **{name: getattr(jnp, name) for name in _SAME.split()},
    "abs": _abs,
    "argmax": jnp.argmax,
    "argmin": jnp.argmin,
    "argsort": lambda x, axis=-1: jnp.argsort(x, axis=axis, stable=True),
    "astype": lambda x, dtype: x.astype(dtype),
    "concatenate": lambda *arrays, axis=0: jnp.concatenate(arrays, axis=axis),
    "einsum": lambda *operands, subscripts: jnp.einsum(subscripts, *operands),
    "erf": special.erf,
    "floor_divide": _constant(jnp.floor_divide),
    "getitem": _getitem,
    "heaviside": _constant(jnp.heaviside),
    "hypot": _hypot,
    "identity": lambda x: x,
    "log_softmax": jax.nn.log_softmax,
    "logsumexp": special.logsumexp,
    "ones_like": jnp.ones_like,
    "relu": jax.nn.relu,
    "root": _root,
    "scatter": _scatter,
    "scatter_along_axis": _scatter_along_axis,
    "sigmoid": jax.nn.sigmoid,
    "softplus": lambda x: jnp.logaddexp(x, 0.0),
    "stack": lambda *arrays, axis=0: jnp.stack(arrays, axis=axis),
    "stop_gradient": jax.lax.stop_gradient,
    "take": _take,
    "take_along_axis": _take_along_axis,
    "zeros_like": jnp.zeros_like,
}

SELECTING = {"getitem", "take", "take_along_axis", "scatter_along_axis", "where"}
"""Those of which an operand may be whole numbers, or true and false, though the result is neither."""
