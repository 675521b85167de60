"""What fits into named parameters: names as PyTorch's cells, modules of one layer and stacks have them, shapes,
numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from ..autodiff.tensor import Tensor
from ..plurals import counted

Array = npt.NDArray[Any]

__all__ = ["fitting"]

_LAYER = re.compile(r"(.+)_l(\d+)(_reverse)?")


def fitting(who: str, own: Mapping[str, Any], given: Any) -> dict[str, Array]:
    """The arrays of `given`, by the names of `own` and in their dtypes.

    Parameters
    ----------
    who : str
        Who asks, for errors.
    own : mapping of str to Tensor or array
    given : mapping of str to array
        Under the names of `own`; or under those of a ``torch.nn`` module of one layer (``weight_ih_l0``) where `own`
        has the names of a cell, and the reverse.

    Returns
    -------
    dict of str to array
        Every name of `own`.

    Raises
    ------
    TypeError
        If `given` is no mapping.
    KeyError
        If a name is missing or unknown, with those that are nearest.
    ValueError
        If `given` has other layers or directions, a shape differs, or a value holds no real numbers of its dtype.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"{who}: needs a mapping of names to arrays, got {type(given).__name__}")
    given = _rename(who, own, given)
    missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys(), key=str)
    if missing or unknown:
        hints = _hints(unknown, own) or _hints(missing, given)
        raise KeyError(f"{who}: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}{hints}")
    arrays = {}
    for name, parameter in own.items():
        try:
            arrays[name] = _numbers(given[name], parameter.dtype)
        except (TypeError, ValueError, RuntimeError) as error:  # of PyTorch too, for a tensor that requires a gradient
            raise ValueError(f"{who}: {name}: {error}") from None
        if arrays[name].shape != parameter.shape:
            raise ValueError(f"{who}: {name} has shape {parameter.shape}, was given {arrays[name].shape}")
    return arrays


def _hints(names: Iterable[str], others: Iterable[str]) -> str:
    near = {name: get_close_matches(str(name), map(str, others), n=1) for name in names}
    return "".join(f"; nearest to {name} is {found[0]}" for name, found in near.items() if found)


def _rename(who: str, own: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """`given` with the suffix of the only layer taken off or put on, where that is what `own` has."""
    if own.keys() == given.keys():
        return given
    layers, others = _layers(own), _layers(given)
    if layers is None and others is None:
        return given
    theirs, ours = len(others or [0]), len(layers or [0])
    if theirs != ours:
        raise ValueError(
            f"{who}: was given a network of {counted(theirs, 'layer')}, this one has {ours}; tg.Stacked puts cells"
            " above each other"
        )
    if _both(given) and not _both(own):
        raise ValueError(
            f"{who}: was given a network that reads in both directions, this one reads in one; tg.Bidirectional reads"
            " in both"
        )
    if layers is None:
        return {_LAYER.sub(r"\1\3", name): value for name, value in given.items()}
    if others is None:
        return {re.sub(r"(_reverse)?$", r"_l0\1", name, count=1): value for name, value in given.items()}
    return given


def _layers(names: Iterable[Any]) -> set[str] | None:
    """The numbers of the layers, if every name has one."""
    found = [_LAYER.fullmatch(str(name)) for name in names]
    return {match[2] for match in found if match} if found and all(found) else None


def _both(names: Iterable[Any]) -> bool:
    return any(str(name).endswith("_reverse") for name in names)


def _numbers(value: Any, dtype: np.dtype[Any]) -> Array:
    array = np.asarray(value.data if isinstance(value, Tensor) else value)
    if array.dtype.kind not in "fiubV":
        raise TypeError(f"could not convert {'strings' if array.dtype.kind in 'SU' else array.dtype} to real numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        cast: Array = array.astype(dtype)
    if array.dtype.kind == "f" and (np.isfinite(array) > np.isfinite(cast)).any():
        raise ValueError(f"holds numbers too large for {dtype}")
    if dtype.kind in "iub" and not (cast == array).all():
        raise ValueError(f"holds numbers that are no {dtype}")
    return cast
