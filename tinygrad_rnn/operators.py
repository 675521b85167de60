"""Python's operators, the usual methods and NumPy's protocols, for every type the primitives accept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import functions as f
from . import primitives as p
from .primitive import PRIMITIVES, Primitive, Value

__all__ = ["Operators"]


class Operators:
    """Python's operators and the usual methods, for every type the primitives accept."""

    __slots__ = ()
    shape: tuple[int, ...]

    @staticmethod
    def _apply(op: Primitive, operands: Sequence[Any], attributes: dict[str, Any]) -> Any:
        """Apply a primitive to operands of which at least one is of this type."""
        raise NotImplementedError

    def __add__(self, other: Value) -> Any:
        return self._apply(p.add, (self, other), {})

    def __radd__(self, other: Value) -> Any:
        return self._apply(p.add, (other, self), {})

    def __sub__(self, other: Value) -> Any:
        return self._apply(p.subtract, (self, other), {})

    def __rsub__(self, other: Value) -> Any:
        return self._apply(p.subtract, (other, self), {})

    def __mul__(self, other: Value) -> Any:
        return self._apply(p.multiply, (self, other), {})

    def __rmul__(self, other: Value) -> Any:
        return self._apply(p.multiply, (other, self), {})

    def __truediv__(self, other: Value) -> Any:
        return self._apply(p.divide, (self, other), {})

    def __rtruediv__(self, other: Value) -> Any:
        return self._apply(p.divide, (other, self), {})

    def __pow__(self, other: Value) -> Any:
        if isinstance(other, (int, float)) and other == 2:
            return self._apply(p.square, (self,), {})
        return self._apply(p.power, (self, other), {})

    def __rpow__(self, other: Value) -> Any:
        return self._apply(p.power, (other, self), {})

    def __matmul__(self, other: Value) -> Any:
        return self._apply(p.matmul, (self, other), {})

    def __rmatmul__(self, other: Value) -> Any:
        return self._apply(p.matmul, (other, self), {})

    def __neg__(self) -> Any:
        return self._apply(p.negative, (self,), {})

    def __abs__(self) -> Any:
        return self._apply(p.abs, (self,), {})

    def __gt__(self, other: Value) -> Any:
        return self._apply(p.greater, (self, other), {})

    def __ge__(self, other: Value) -> Any:
        return self._apply(p.greater_equal, (self, other), {})

    def __lt__(self, other: Value) -> Any:
        return self._apply(p.less, (self, other), {})

    def __le__(self, other: Value) -> Any:
        return self._apply(p.less_equal, (self, other), {})

    def __eq__(self, other: object) -> Any:
        return self._apply(p.equal, (self, other), {})

    def __ne__(self, other: object) -> Any:
        return self._apply(p.not_equal, (self, other), {})

    __hash__ = object.__hash__

    def __getitem__(self, index: Any) -> Any:
        return self._apply(p.getitem, (self,), {"index": _own_index(index)})

    @property
    def T(self) -> Any:
        """The value with its axes reversed."""
        return self._apply(p.transpose, (self,), {})

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Sum over `axis`."""
        return p.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Mean over `axis`."""
        return f.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Largest element along `axis`."""
        return p.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Smallest element along `axis`."""
        return p.min(self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Product over `axis`."""
        return p.prod(self, axis=axis, keepdims=keepdims)

    def cumsum(self, axis: int | None = None) -> Any:
        """Running sum along `axis`."""
        return f.cumsum(self, axis)

    def reshape(self, *shape: Any) -> Any:
        """The same elements in another shape."""
        return p.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Any:
        """The value with its axes permuted."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return p.transpose(self, tuple(order) if order else None)

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        """The value with two axes exchanged."""
        return f.swapaxes(self, axis1, axis2)

    def squeeze(self, axis: Any = None) -> Any:
        """The value without axes of length 1."""
        return f.squeeze(self, axis)

    def clip(self, min: Any = None, max: Any = None) -> Any:
        """The value limited to ``[min, max]``."""
        return f.clip(self, min, max)

    def astype(self, dtype: Any) -> Any:
        """The value in another dtype."""
        return p.astype(self, dtype=np.dtype(dtype))

    # ---------------------------------------------------------------------------- NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        operation = _NUMPY.get(ufunc)
        if method != "__call__" or operation is None:
            call = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            raise TypeError(_no_rule(f"np.{call}"))
        if kwargs:
            raise TypeError(f"np.{ufunc.__name__} on a Tensor takes no {', '.join(kwargs)}")
        return operation(*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        operation = _NUMPY.get(function)
        if operation is None:
            module = function.__module__.replace("numpy", "np", 1)
            raise TypeError(_no_rule(f"{module}.{function.__name__}"))
        return operation(*args, **kwargs)


def _own_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_own_index(part) for part in index)
    if isinstance(index, (np.ndarray, list, Operators)):
        return np.array(index)
    return index


def _no_rule(name: str) -> str:
    return (
        f"{name} has no derivative rule for Tensors. Use one of tinygrad_rnn's operations, or take the "
        "plain array with .data if no gradient should flow"
    )


def _numpy_table() -> dict[Any, Any]:
    """NumPy's ufuncs and functions that have a counterpart here."""
    ours = {**PRIMITIVES, **{name: getattr(f, name) for name in f.__all__}}
    table = {getattr(np, name): ours[name] for name in ours if hasattr(np, name)}
    table |= {np.shape: lambda x: x.shape, np.ndim: lambda x: x.ndim, np.size: lambda x: x.size}
    return {**table, np.concatenate: f.concatenate, np.stack: f.stack, np.einsum: f.einsum}


_NUMPY = _numpy_table()
