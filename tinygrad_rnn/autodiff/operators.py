"""Python's operators, the usual methods and NumPy's protocols, for every type the primitives accept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import arrangement, discrete, products, reductions
from . import elementary as e
from . import functions as f
from . import primitives as p
from .dispatch import call_function, call_ufunc
from .primitive import NONE, Primitive, Value

__all__ = ["Operators"]


class Operators:
    """Python's operators and the usual methods, for every type the primitives accept."""

    __slots__ = ()
    shape: tuple[int, ...]
    dtype: Any

    @staticmethod
    def _apply(op: Primitive, operands: Sequence[Any], attributes: dict[str, Any]) -> Any:
        """Apply a primitive to operands of which at least one is of this type."""
        raise NotImplementedError

    def __add__(self, other: Value) -> Any:
        return self._apply(p.add, (self, other), NONE)

    def __radd__(self, other: Value) -> Any:
        return self._apply(p.add, (other, self), NONE)

    def __sub__(self, other: Value) -> Any:
        return self._apply(p.subtract, (self, other), NONE)

    def __rsub__(self, other: Value) -> Any:
        return self._apply(p.subtract, (other, self), NONE)

    def __mul__(self, other: Value) -> Any:
        return self._apply(p.multiply, (self, other), NONE)

    def __rmul__(self, other: Value) -> Any:
        return self._apply(p.multiply, (other, self), NONE)

    def __truediv__(self, other: Value) -> Any:
        return self._apply(p.divide, (self, other), NONE)

    def __rtruediv__(self, other: Value) -> Any:
        return self._apply(p.divide, (other, self), NONE)

    def __pow__(self, other: Value) -> Any:
        if isinstance(other, (int, float)) and other == 2:
            return self._apply(p.square, (self,), NONE)
        return self._apply(p.power, (self, other), NONE)

    def __rpow__(self, other: Value) -> Any:
        return self._apply(p.power, (other, self), NONE)

    def __mod__(self, other: Value) -> Any:
        return self._apply(e.mod, (self, other), NONE)

    def __rmod__(self, other: Value) -> Any:
        return self._apply(e.mod, (other, self), NONE)

    def __floordiv__(self, other: Value) -> Any:
        return self._apply(discrete.floor_divide, (self, other), NONE)

    def __rfloordiv__(self, other: Value) -> Any:
        return self._apply(discrete.floor_divide, (other, self), NONE)

    def __divmod__(self, other: Value) -> Any:
        return e.divmod(self, other)

    def __rdivmod__(self, other: Value) -> Any:
        return e.divmod(other, self)

    def __round__(self, ndigits: int | None = None) -> Any:
        return self._apply(discrete.round, (self,), {"decimals": ndigits or 0})

    def __matmul__(self, other: Value) -> Any:
        return self._apply(p.matmul, (self, other), NONE)

    def __rmatmul__(self, other: Value) -> Any:
        return self._apply(p.matmul, (other, self), NONE)

    def __neg__(self) -> Any:
        return self._apply(p.negative, (self,), NONE)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self._apply(p.abs, (self,), NONE)

    def __gt__(self, other: Value) -> Any:
        return self._apply(p.greater, (self, other), NONE)

    def __ge__(self, other: Value) -> Any:
        return self._apply(p.greater_equal, (self, other), NONE)

    def __lt__(self, other: Value) -> Any:
        return self._apply(p.less, (self, other), NONE)

    def __le__(self, other: Value) -> Any:
        return self._apply(p.less_equal, (self, other), NONE)

    def __eq__(self, other: object) -> Any:
        return self._apply(p.equal, (self, other), NONE) if _comparable(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return self._apply(p.not_equal, (self, other), NONE) if _comparable(other) else NotImplemented

    __hash__ = object.__hash__

    def __and__(self, other: Value) -> Any:
        return discrete.bitwise_and(self, other)

    def __or__(self, other: Value) -> Any:
        return discrete.bitwise_or(self, other)

    def __xor__(self, other: Value) -> Any:
        return discrete.bitwise_xor(self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> Any:
        return discrete.invert(self)

    def __getitem__(self, index: Any) -> Any:
        plain = type(index) is tuple and _PLAIN.issuperset(map(type, index))
        return self._apply(p.getitem, (self,), {"index": index if plain else _own_index(index)})

    @property
    def T(self) -> Any:
        """The value with its axes reversed."""
        return self._apply(p.transpose, (self,), NONE)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Sum over `axis`."""
        if axis is None or type(axis) is int:
            return self._apply(p.sum, (self,), {"axis": axis, "keepdims": keepdims})
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

    def cumprod(self, axis: int | None = None) -> Any:
        """Running product along `axis`."""
        return reductions.cumprod(self, axis)

    def var(self, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
        """Variance over `axis`, divided by ``n - ddof``."""
        return reductions.var(self, axis, ddof, keepdims)

    def std(self, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
        """Standard deviation over `axis`; its derivative is 0 where the deviation is 0."""
        return reductions.std(self, axis, ddof, keepdims)

    def any(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether any element along `axis` is true."""
        return discrete.any(self, axis=axis, keepdims=keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether all elements along `axis` are true."""
        return discrete.all(self, axis=axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Where the first largest element along `axis` stands."""
        return discrete.argmax(self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Where the first smallest element along `axis` stands."""
        return discrete.argmin(self, axis=axis, keepdims=keepdims)

    def argsort(self, axis: int | None = -1) -> Any:
        """The places of the elements in ascending order along `axis`."""
        return discrete.argsort(self, axis=axis)

    def round(self, decimals: int = 0) -> Any:
        """The value rounded to that many decimals."""
        return discrete.round(self, decimals=decimals)

    def dot(self, other: Value) -> Any:
        """Product as :func:`numpy.dot`."""
        return products.dot(self, other)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        """Sum of a diagonal."""
        return products.trace(self, offset, axis1, axis2)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        """A diagonal, as the last axis."""
        return arrangement.diagonal(self, offset, axis1, axis2)

    def ravel(self) -> Any:
        """The elements in one dimension."""
        return arrangement.ravel(self)

    flatten = ravel

    def repeat(self, repeats: Any, axis: int | None = None) -> Any:
        """Every element along `axis` as many times."""
        return arrangement.repeat(self, repeats, axis)

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
        return call_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return call_function(function, args, kwargs)


def _comparable(other: object) -> bool:
    """Whether `other` can be numbers; what cannot is equal to no Tensor."""
    return hasattr(other, "__array__") or isinstance(other, (int, float, complex, list, tuple))


_PLAIN = {int, slice, type(None), type(Ellipsis)}
"""What an index is made of that nobody can change later."""


def _own_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple([_own_index(part) for part in index])
    if isinstance(index, (np.ndarray, list, Operators)):
        if isinstance(index, Operators) and index.dtype.kind == "f":
            raise IndexError(f"getitem: an index must be integers or booleans, got a Tensor of dtype {index.dtype}")
        array = np.array(index)
        return array.astype(np.intp) if isinstance(index, list) and not array.size else array
    return index
