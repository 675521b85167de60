"""Operations composed of primitives: no derivative rules here."""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..plurals import counted
from . import primitives as p
from .primitive import Value, gather

__all__ = [
    "clip",
    "concatenate",
    "cumsum",
    "einsum",
    "expand_dims",
    "linear",
    "mean",
    "softmax",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
]


def value_of(x: Value) -> Value:
    """`x` as something with a shape: numbers and lists of numbers as an array."""
    x = gather(x)
    return x if hasattr(x, "shape") else np.asarray(x)


def _shape(x: Value) -> tuple[int, ...]:
    shape: tuple[int, ...] = value_of(x).shape
    return shape


def normal_axis(name: str, axis: int, ndim: int) -> int:
    """The axis counted from the front; `name` is the function that an error names."""
    if not isinstance(axis, (int, np.integer)):
        raise TypeError(f"{name}: axis must be an integer, got {axis!r}")
    if not -ndim <= axis < ndim:
        raise ValueError(f"{name}: axis {axis} is out of range for {counted(ndim, 'dimension')}")
    return axis % ndim


def _several(name: str, arrays: Any) -> None:
    if not isinstance(arrays, Iterable):
        raise TypeError(f"{name}: needs a sequence of arrays, got {type(arrays).__name__}")


def linear(x: Value, weight: Value, bias: Value | None = None) -> Value:
    """The affine map ``x @ weight.T + bias``: x (batch, I), weight (O, I), bias (O,) or None."""
    product = p.matmul(x, value_of(weight).T)
    return product if bias is None else p.add(product, bias)


def mean(x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """Mean over `axis` (all axes when None); that of float16 is added up in float32."""
    if getattr(x, "dtype", None) == np.float16:
        return p.astype(mean(p.astype(x, np.dtype(np.float32)), axis, keepdims), np.dtype(np.float16))
    shape = _shape(x)
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    count = int(np.prod([shape[normal_axis("mean", a, len(shape))] for a in axes]))
    return p.divide(p.sum(x, axis=axis, keepdims=keepdims), float(count))


def softmax(x: Value, axis: Any = -1) -> Value:
    """``exp(x) / sum(exp(x))`` along `axis`, without overflow."""
    return p.exp(p.log_softmax(x, axis))


def clip(x: Value, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Value:
    """`x` limited to ``[a_min, a_max]``; ``None`` leaves a side open. Of NumPy's two names for a side give one."""
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise ValueError("clip: min is a_min, and max is a_max; give one of the two")
    a_min, a_max = (min if a_min is None else a_min), (max if a_max is None else a_max)
    if a_min is None and a_max is None:
        raise ValueError("clip: give a_min, a_max or both")
    if a_min is not None:
        x = p.maximum(x, a_min)
    return x if a_max is None else p.minimum(x, a_max)


def cumsum(x: Value, axis: int | None = None) -> Value:
    """Running sum along `axis`; of the flattened array when `axis` is None."""
    return p.cumsum(p.reshape(x, (-1,)), 0) if axis is None else p.cumsum(x, axis)


def concatenate(arrays: Sequence[Value], axis: int | None = 0) -> Value:
    """A sequence of arrays joined along an existing axis; flattened first when `axis` is None."""
    _several("concatenate", arrays)
    if axis is None:
        return p.concatenate(*[p.reshape(x, (-1,)) for x in arrays], axis=0)
    return p.concatenate(*arrays, axis=axis)


def stack(arrays: Sequence[Value], axis: int = 0) -> Value:
    """A sequence of arrays of one shape joined along a new axis."""
    _several("stack", arrays)
    return p.stack(*arrays, axis=axis)


def split(x: Value, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Value]:
    """`x` cut into equal sections, or at the given indices, along `axis`.

    Raises
    ------
    ValueError
        If the axis does not divide into that many equal sections.
    """
    shape = _shape(x)
    axis = normal_axis("split", axis, len(shape))
    n = shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        sections = int(indices_or_sections)
        if sections < 1 or n % sections:
            raise ValueError(f"split: axis {axis} of shape {shape} does not divide into {sections}")
        cuts = [k * (n // sections) for k in range(1, sections)]
    elif isinstance(indices_or_sections, Iterable):
        cuts = [int(k) for k in indices_or_sections]
    else:
        raise TypeError(f"split: sections must be an integer or indices, got {indices_or_sections!r}")
    return cut(x, cuts, axis)


def cut(x: Value, cuts: Sequence[int], axis: int) -> list[Value]:
    """`x` cut before the given places along `axis`."""
    before = (slice(None),) * axis
    parts = [(*before, slice(start, stop)) for start, stop in itertools.pairwise([0, *cuts, _shape(x)[axis]])]
    return [p.getitem.on((x,), {"index": part}) for part in parts]


def swapaxes(x: Value, axis1: int, axis2: int) -> Value:
    """`x` with two axes exchanged."""
    ndim = len(_shape(x))
    first, second = normal_axis("swapaxes", axis1, ndim), normal_axis("swapaxes", axis2, ndim)
    axes = list(range(ndim))
    axes[first], axes[second] = axes[second], axes[first]
    return p.transpose(x, tuple(axes))


def expand_dims(x: Value, axis: int | Sequence[int]) -> Value:
    """`x` with axes of length 1 inserted at the given places of the result."""
    return p.reshape(x, _shape_after(np.expand_dims, x, axis))


def squeeze(x: Value, axis: int | Sequence[int] | None = None) -> Value:
    """`x` without axes of length 1 (all of them when `axis` is None)."""
    return p.reshape(x, _shape_after(np.squeeze, x, axis))


def _shape_after(function: Callable[..., Any], x: Value, axis: Any) -> tuple[int, ...]:
    """The shape that a NumPy function of an array and an axis would give `x`."""
    shape = _shape(x)
    try:
        after: tuple[int, ...] = function(np.broadcast_to(0, shape), axis).shape
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{function.__name__}(shape {shape}, axis={axis}): {error}") from None
    return after


def einsum(subscripts: str, *operands: Value) -> Value:
    """Einstein summation as :func:`numpy.einsum`, implicit outputs, ``...`` and diagonals included.

    Parameters
    ----------
    subscripts : str
        For example ``"bi,oi->bo"``.
    *operands : arrays or Tensors
        As many as `subscripts` has terms.

    Raises
    ------
    ValueError
        If subscripts and operands do not match.
    """
    terms, output = _explicit(subscripts, [len(_shape(x)) for x in operands])
    plain = [_diagonals(term, x) for term, x in zip(terms, operands, strict=True)]
    recipe = ",".join(term for term, _ in plain) + "->" + output
    return p.einsum(*[x for _, x in plain], subscripts=recipe)


def _diagonals(term: str, x: Value) -> tuple[str, Value]:
    """The diagonals over labels that a term repeats, and the term without repetition."""
    for label in sorted(set(term)):
        while term.count(label) > 1:
            first, second = term.index(label), term.rindex(label)
            rest = [k for k in range(len(term)) if k not in (first, second)]
            n, m = _shape(x)[first], _shape(x)[second]
            if n != m:
                raise ValueError(f"einsum: term {term!r} repeats {label!r} for axes of lengths {n} and {m}")
            x = p.getitem.on((p.transpose(x, (*rest, first, second)),), {"index": (..., np.arange(n), np.arange(n))})
            term = "".join(term[k] for k in rest) + label
    return term, x


def _explicit(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """Terms and output with every ellipsis spelt out and the output given."""
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: subscripts must be a string, got {type(subscripts).__name__}")
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum: {subscripts!r} names {counted(len(terms), 'operand')}, got {len(ndims)}")
    spare = sorted(set(string.ascii_letters) - set(subscripts), reverse=True)
    widths = [n - len(t.replace("...", "")) for t, n in zip(terms, ndims, strict=True)]
    for term, width, ndim in zip(terms, widths, ndims, strict=True):
        if width < 0 or (width and "..." not in term):
            raise ValueError(f"einsum: term {term!r} of {subscripts!r} does not fit {counted(ndim, 'dimension')}")
    rest = "".join(spare[: max([0, *widths])])
    terms = [t.replace("...", rest[len(rest) - w :]) for t, w in zip(terms, widths, strict=True)]
    if arrow:
        return terms, output.replace("...", rest)
    letters = "".join(terms)
    once = sorted(c for c in set(letters) if letters.count(c) == 1 and c not in rest)
    return terms, rest + "".join(once)
