"""Cotangents kept in a cheaper form than a dense array until somebody needs the numbers.

A weight used at T timesteps receives T outer products, and a sequence read slice by slice receives T
arrays that are zero almost everywhere. Added up densely, both cost far more than the forward pass. These
two types hold the ingredients, so that the sum over timesteps is one matrix product, or one buffer.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

__all__ = ["Joints", "Lazy", "Product", "Scatter", "accumulate", "dense", "is_basic_index", "own"]


class Lazy:
    """A cotangent that stands for an array without being one."""

    __slots__ = ()
    shape: tuple[int, ...]

    def dense(self) -> Array:
        """The array."""
        raise NotImplementedError

    @staticmethod
    def _apply(primitive: Any, operands: Sequence[Any], attributes: dict[str, Any]) -> Any:
        first = operands[0]
        if primitive.name == "transpose" and type(first) is Product:
            return first.T if attributes.get("axes") in (None, (1, 0)) else first
        return primitive(*[dense(operand) for operand in operands], **attributes)


class Product(Lazy):
    """``left.T @ right`` for `left` of shape (n, p) and `right` of shape (n, q)."""

    __slots__ = ("left", "right", "shape")

    def __init__(self, left: Array, right: Array) -> None:
        self.left = left
        self.right = right
        self.shape = (left.shape[1], right.shape[1])

    @staticmethod
    def pays(rows: int, p: int, q: int) -> bool:
        """Whether the factors are smaller than the product they stand for."""
        return rows * (p + q) < p * q

    @property
    def dtype(self) -> np.dtype[Any]:
        left, right = self.left.dtype, self.right.dtype
        return left if left is right else np.result_type(left, right)

    @property
    def T(self) -> Product:
        """The transpose, which exchanges the factors."""
        return Product(self.right, self.left)

    def dense(self) -> Array:
        product: Array = self.left.T @ self.right
        return product


class Scatter(Lazy):
    """Zeros of `shape` with `values` added at `index`."""

    __slots__ = ("index", "shape", "values")

    def __init__(self, values: Array, index: Any, shape: tuple[int, ...]) -> None:
        self.values = values
        self.index = index
        self.shape = shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def add_to(self, buffer: Array) -> None:
        """Add the values to `buffer` in place."""
        if is_basic_index(self.index):
            buffer[self.index] += self.values
        else:
            np.add.at(buffer, self.index, self.values)

    def dense(self) -> Array:
        buffer = np.zeros(self.shape, self.values.dtype)
        self.add_to(buffer)
        return buffer


_BASIC = {int, slice, type(None), type(Ellipsis), np.int64}


def is_basic_index(index: Any) -> bool:
    """Whether `index` selects every element at most once, so that ``+=`` is safe."""
    if type(index) is not tuple:
        return type(index) in _BASIC
    return all([type(part) in _BASIC for part in index])  # noqa: C419 - a list, for speed


def dense(cotangent: Any) -> Any:
    """The cotangent as a plain array (or unchanged, if it is no :class:`Lazy`)."""
    return cotangent.dense() if isinstance(cotangent, Lazy) else cotangent


def own(cotangent: Any) -> Array:
    """The cotangent as an array that nobody else holds."""
    return np.asarray(cotangent.dense()) if isinstance(cotangent, Lazy) else np.array(cotangent)


Joints: TypeAlias = list[tuple[list[Array], Array]]
"""Arrays that were concatenated, and to what."""


def accumulate(contributions: Sequence[Any], joints: Joints | None = None) -> Any:
    """The sum of the cotangents that reached one node, two or more.

    No contribution is modified: several nodes may hold the same array. Where `joints` is given, factors that were
    joined before are not joined again: all weights of an affine map get the same cotangent at every step.
    """
    if len(contributions) == 2 and type(contributions[0]) is type(contributions[1]) is np.ndarray:
        return contributions[0] + contributions[1]
    whole = _joined(contributions)
    if whole is not None:
        return whole
    plain, products, scatters = [], [], []
    for contribution in contributions:
        kind = type(contribution)
        if kind is Product:
            products.append(contribution)
        elif kind is Scatter:
            scatters.append(contribution)
        else:
            plain.append(contribution)
    total = _sum(plain)
    if products:
        merged = _merge(products, [] if joints is None else joints)
        if total is None and not scatters:
            return merged
        total = merged.dense() if total is None else total + merged.dense()
    if scatters:
        owned = len(plain) > 1 or bool(products)
        total = _scatter(scatters, total, owned)
    return total


def _sum(arrays: Sequence[Any]) -> Any:
    if len(arrays) < 2:
        return arrays[0] if arrays else None
    total = arrays[0] + arrays[1]
    in_place = type(total) is np.ndarray
    for array in arrays[2:]:
        if in_place:
            np.add(total, array, out=total)
        else:
            total = total + array
    return total


def _merge(products: Sequence[Product], joints: Joints) -> Product:
    if len(products) == 1:
        return products[0]
    return Product(_join([part.left for part in products], joints), _join([part.right for part in products], joints))


def _join(arrays: list[Array], joints: Joints) -> Array:
    for parts, whole in joints:
        if len(parts) == len(arrays) and all(map(operator.is_, parts, arrays)):
            return whole
    whole = np.concatenate(arrays)
    joints.append((arrays, whole))
    return whole


def _scatter(scatters: Sequence[Scatter], total: Any, owned: bool) -> Array:
    if total is None:
        buffer = np.zeros(scatters[0].shape, scatters[0].values.dtype)
    else:
        buffer = total if owned and type(total) is np.ndarray else np.array(total)
    for scatter in scatters:
        scatter.add_to(buffer)
    return buffer


_WHOLE = slice(None)


def _joined(contributions: Sequence[Any]) -> Array | None:
    """The whole, if the contributions are those of slices that, last to first, follow each other and fill it.

    Gates are cut from one array in order, so the cotangent of the last one comes back first.
    """
    leading: list[slice] | None = None
    parts, end, shape = [], 0, contributions[0].shape
    for part in reversed(contributions):
        if type(part) is not Scatter or type(part.index) is not tuple or not part.index:
            return None
        *before, cut = part.index
        if leading is None:
            leading = [_WHOLE] * len(before)
        if before != leading or type(cut) is not slice or cut.step is not None or (cut.start or 0) != end:
            return None
        start, end = end, shape[len(before)] if cut.stop is None else cut.stop
        if end < start:
            return None
        parts.append(part.values)
    axis = len(leading or ())
    return np.concatenate(parts, axis) if end == shape[axis] else None
