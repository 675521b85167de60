"""NumPy's functions and what stands for them here: the table behind NumPy's protocols, and how a call is read."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import arrangement, discrete, elementary, functions, products, reductions
from .primitive import PRIMITIVES, Primitive

__all__ = ["NUMPY", "call_function", "call_ufunc", "numpy_name"]

OTHER_NAMES = {
    "amax": "max",
    "amin": "min",
    "around": "round",
    "copy": "identity",
    "deg2rad": "radians",
    "fabs": "abs",
    "fix": "trunc",
    "positive": "identity",
    "rad2deg": "degrees",
}
"""Functions of NumPy whose counterpart here is called otherwise."""


def _table() -> dict[Any, Callable[..., Any]]:
    ours: dict[str, Callable[..., Any]] = dict(PRIMITIVES)
    for module in (functions, elementary, discrete, arrangement, products, reductions):
        ours |= {name: getattr(module, name) for name in module.__all__}
    table = {getattr(np, name): ours[name] for name in ours if hasattr(np, name) and name != "identity"}
    table |= {getattr(np, name): ours[other] for name, other in OTHER_NAMES.items()}
    table |= {np.shape: lambda x: x.shape, np.ndim: lambda x: x.ndim, np.size: lambda x: x.size}
    return {**table, np.linalg.norm: reductions.norm}


NUMPY = _table()
"""From a ufunc or function of NumPy to the primitive or composition that a Tensor makes of it."""


def numpy_name(function: Any) -> str:
    """A function of NumPy as people write it, such as ``np.linalg.inv``."""
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module.replace('numpy', 'np', 1)}.{function.__name__}"


def call_ufunc(ufunc: np.ufunc, method: str, inputs: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What ``ufunc(*inputs, **kwargs)`` is on Tensors.

    Raises
    ------
    TypeError
        If there is no derivative rule for it, or it is given more than operands.
    """
    operation = NUMPY.get(ufunc)
    if method != "__call__" or operation is None:
        name = f"np.{ufunc.__name__}"
        raise TypeError(_no_rule(name if method == "__call__" else f"{name}.{method}"))
    if kwargs:
        raise TypeError(f"np.{ufunc.__name__} on a Tensor takes no {', '.join(kwargs)}")
    return operation(*inputs)


def call_function(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What ``function(*args, **kwargs)`` is on Tensors: places and names of arguments are NumPy's.

    Raises
    ------
    TypeError
        If there is no derivative rule for it, or it is given an argument that has no meaning here.
    """
    operation = NUMPY.get(function)
    if operation is None:
        raise TypeError(_no_rule(numpy_name(function)))
    signature = _signature(function)
    if signature is None:
        return operation(*args, **kwargs)
    given = _rename(function, operation, signature.bind(*args, **kwargs).arguments)
    leading = []
    for name in _signature_of(operation).parameters:
        if name not in given:
            break
        leading.append(given.pop(name))
    return operation(*leading, **given)


def _rename(function: Any, operation: Callable[..., Any], bound: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by the names they have here, without those that say what is the case anyway."""
    theirs = _signature_of(function).parameters
    ours = _signature_of(operation).parameters
    names = list(ours)
    given: dict[str, Any] = {}
    unknown = []
    for place, (name, value) in enumerate(bound.items()):
        parameter = theirs[name]
        if parameter.kind is parameter.VAR_KEYWORD:
            given |= {key: value[key] for key in value if key in ours}
            unknown += [key for key in value if key not in ours]
        elif _is_default(value, parameter.default):
            continue
        elif name in ours:
            given[name] = value
        elif (
            place < len(names) and names[place] not in theirs and ours[names[place]].default is inspect.Parameter.empty
        ):
            given[names[place]] = value  # an operand, which has another name here
        else:
            unknown.append(name)
    if unknown:
        raise TypeError(f"{numpy_name(function)} on a Tensor takes no {', '.join(unknown)}")
    return given


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and isinstance(value, (str, bool)) and value == default)


@functools.cache
def _signature_of(function: Any) -> inspect.Signature:
    return function.signature if isinstance(function, Primitive) else inspect.signature(function)


@functools.cache
def _signature(function: Any) -> inspect.Signature | None:
    """NumPy's signature; None if it takes any number of operands, which then need no reading, or if it has none."""
    try:
        signature = _signature_of(function)
    except ValueError:  # a function in C, before NumPy 2.4
        return None
    variadic = any(q.kind is q.VAR_POSITIONAL for q in signature.parameters.values())
    return None if variadic else signature


def _no_rule(name: str) -> str:
    return (
        f"{name} has no derivative rule for Tensors. Use one of tinygrad_rnn's operations, or take the "
        "plain array with .data if no gradient should flow"
    )
