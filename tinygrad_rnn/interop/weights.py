"""PyTorch's weights as cells of ours: modules, state_dicts and files, by the names that their parameters have."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import cells
from ..autodiff.tensor import Tensor
from ..plurals import counted
from ..recurrent.cell import Cell
from ..recurrent.stacks import Bidirectional, Layer, Stacked
from .refusal import printable
from .tensor_files import load_tensors

Array = npt.NDArray[Any]

__all__ = ["Group", "as_array", "groups_among", "groups_of", "load_torch", "printable", "tensors_of"]

_WHO = "load_torch"
_NAME = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)(?:_l(\d+))?(_reverse)?")
_GATES = {4: "LSTM", 3: "GRU", 1: "RNN"}
"""What a network is by the rows of its matrices for each unit."""
_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
_CELLS = {f"{kind}{end}" for kind in _GATES.values() for end in ("", "Cell")}


@dataclass(frozen=True)
class Group:
    """The weights of one recurrent module.

    Attributes
    ----------
    prefix : str
        Where they are: names joined by dots, without the last one.
    weights : dict of str to tensor or array
        By PyTorch's names, such as ``weight_ih_l0_reverse``, or ``weight_ih`` in a cell.
    nonlinearity : str
        Of a plain RNN: as its module says, else ``"tanh"``.
    """

    prefix: str
    weights: dict[str, Any]
    nonlinearity: str = "tanh"

    def network(self, dtype: Any = None) -> Cell | Bidirectional | Stacked:
        """The weights as a network of ours.

        Raises
        ------
        KeyError
            If a name is missing or unknown; the message has the nearest.
        ValueError
            If a shape fits no network, or a value holds no real floating-point numbers.
        """
        layers, directions = self._extent()
        arrays = {name: self._numbers(name) for name in self.weights}
        chosen = np.result_type(*arrays.values()) if dtype is None else np.dtype(dtype)
        width: int | None = None
        built: list[Layer] = []
        for layer in layers:
            pair = [self._cell(arrays, layer + direction, width, chosen) for direction in directions]
            built.append(Bidirectional(*pair) if len(pair) == 2 else pair[0])
            width = built[-1].hidden_size
        network = built[0] if len(built) == 1 else Stacked(*built)
        network.load_state_dict(arrays)
        return network

    def _extent(self) -> tuple[list[str], list[str]]:
        """The suffixes of layers and of directions, once every name is there that they demand and no other."""
        found = {name: _NAME.fullmatch(name) for name in self.weights}
        matches = [match for match in found.values() if match]
        numbered = [int(match[2]) for match in matches if match[2]]
        layers = [f"_l{k}" for k in range(min(max(numbered) + 1, len(matches)))] if numbered else [""]
        directions = ["", "_reverse"] if any(match[3] for match in matches) else [""]
        kinds = ["weight_ih", "weight_hh"]
        kinds += ["bias_ih", "bias_hh"] if any(match[1].startswith("bias") for match in matches) else []
        kinds += ["weight_hr"] if any(match[1] == "weight_hr" for match in matches) else []
        wanted = {kind + layer + direction for layer in layers for direction in directions for kind in kinds}
        missing, unknown = sorted(wanted - found.keys()), sorted(found.keys() - wanted)
        if missing or unknown:
            near = [*_near(missing, self.weights), *_near(unknown, wanted)]
            raise KeyError(
                f"{_WHO}: {_place(self.prefix)} has missing {missing or 'nothing'}, unknown {unknown or 'nothing'}"
                f"{''.join(near)}"
            )
        return layers, directions

    def _cell(self, arrays: Mapping[str, Array], suffix: str, width: int | None, dtype: Any) -> Cell:
        """The cell, still with random parameters, that the shapes of one layer and direction belong to."""
        shapes = {name: arrays[name + suffix].shape for name in _NAMES if name + suffix in arrays}
        for name, shape in shapes.items():
            if len(shape) != (1 if name.startswith("bias") else 2) or 0 in shape:
                raise ValueError(f"{_WHO}: {self._full(name + suffix)} has shape {shape}, which no such network has")
        (rows, features), (_, hidden) = shapes["weight_ih"], shapes["weight_hh"]
        units = shapes["weight_hr"][1] if "weight_hr" in shapes else hidden
        kind = _GATES.get(rows // units) if rows % units == 0 else None
        if kind is None or ("weight_hr" in shapes and kind != "LSTM"):
            raise ValueError(
                f"{_WHO}: {self._full('weight_ih' + suffix)} has {counted(rows, 'row')} for {counted(units, 'unit')};"
                " an LSTM has 4 a unit, a GRU 3, an RNN 1" + (", and a projection only an LSTM" if kind else "")
            )
        if width is not None and features != width:
            raise ValueError(
                f"{_WHO}: {self._full('weight_ih' + suffix)} reads {counted(features, 'feature')}, the layer below"
                f" gives {width}"
            )
        expected = {
            "weight_ih": (rows, features),
            "weight_hh": (rows, hidden),
            "weight_hr": (hidden, units),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
        }
        for name, shape in shapes.items():
            if shape != expected[name]:
                raise ValueError(f"{_WHO}: {self._full(name + suffix)} has shape {shape}, must have {expected[name]}")
        options: dict[str, Any] = {"bias": "bias_ih" in shapes, "dtype": dtype, "seed": 0}
        if "weight_hr" in shapes:
            return cells.ProjectedLSTMCell(features, units, hidden, **options)
        if kind == "RNN":
            options["nonlinearity"] = self.nonlinearity
        made: Cell = cells.get(kind.lower())(features, units, **options)
        return made

    def _numbers(self, name: str) -> Array:
        try:
            array = as_array(self.weights[name])
        except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:  # quantised, sparse, on "meta"
            reason, *_ = str(error).splitlines() or [type(error).__name__]
            raise ValueError(f"{_WHO}: {self._full(name)} cannot be read: {reason}") from None
        if array.dtype.kind != "f":
            raise ValueError(f"{_WHO}: {self._full(name)} holds {array.dtype}, not floating-point numbers")
        return array

    def _full(self, name: str) -> str:
        return printable(f"{self.prefix}.{name}" if self.prefix else name)


def load_torch(source: Any, *, prefix: str = "", dtype: Any = None) -> Cell | Bidirectional | Stacked:
    """A recurrent network of PyTorch's, with its weights, as a cell of ours.

    Parameters
    ----------
    source : torch.nn.Module, mapping or path
        An ``nn.RNN``, ``nn.LSTM``, ``nn.GRU`` or one of their Cells, or a module that contains such; a ``state_dict``
        of tensors or arrays, however deep it lies in dicts and lists; or a file: ``.pt``, ``.pth``, ``.ckpt`` (read
        with ``weights_only``: nothing in it is executed), ``.safetensors`` or ``.npz`` (which need no PyTorch).
    prefix : str
        Which of several: the beginning of the names, with or without the dot at the end, such as ``"encoder.rnn"``.
        What stands before it, such as ``module.`` or ``state_dict``, may be left out.
    dtype : dtype, optional
        Of the parameters. As they are when omitted; half precision becomes float32.

    Returns
    -------
    Cell, Bidirectional or Stacked
        A Cell for one layer in one direction, :class:`~tinygrad_rnn.Bidirectional` for one in two, else
        :class:`~tinygrad_rnn.Stacked`. Sequences are (T, batch, features), whatever ``batch_first`` says; dropout is no
        part of it. The way back is ``tg.Stacked(...).state_dict()``, which the ``nn.Module`` loads.

    Raises
    ------
    ValueError
        If there are no recurrent weights, or several without a `prefix` (the message lists them); if shapes fit no
        network or not each other; if a file is damaged, or holds more than tensors.
    KeyError
        If there is nothing behind the `prefix`, or names are missing or unknown; the message has the nearest.
    FileNotFoundError
        If there is no such file.
    ImportError
        If PyTorch is needed and not installed.

    Notes
    -----
    A state_dict says by the rows of its matrices whether it is an LSTM (4 a unit), a GRU (3) or an RNN (1), but not
    whether an RNN has ``nonlinearity="relu"``: it is taken for tanh unless `source` is the module itself.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> weights = {"rnn.weight_ih_l0": np.ones((12, 2)), "rnn.weight_hh_l0": np.ones((12, 4))}
    >>> tg.load_torch({"state_dict": {**weights, "head.weight": np.ones((1, 4))}})
    GRUCell(2, 4)
    """
    return _choose(groups_of(source), prefix).network(dtype)


def groups_of(source: Any) -> dict[str, Group]:
    """All recurrent weights in a module, state_dict or file, by their prefixes.

    Raises
    ------
    TypeError
        If `source` is none of these.
    ValueError
        If there are none, or a file cannot be read.
    """
    if isinstance(source, (str, os.PathLike)):
        source, what = load_tensors(Path(source)), str(source)
        if not isinstance(source, (Mapping, list, tuple)):
            raise ValueError(f"{what} holds one {type(source).__name__}, not tensors by their names")
    else:
        what = f"this {type(source).__name__}"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.nn.Module):
        found = dict(_in_module(source))
        there = [name for name, _ in source.named_parameters()]
    elif isinstance(source, (Mapping, list, tuple)):
        there = list(tensors := tensors_of(source))
        found = groups_among(tensors)
    else:
        raise TypeError(
            f"{_WHO}: needs a torch.nn.Module, a state_dict or the path of a file, got {what.removeprefix('this ')}"
        )
    if not found:
        listed = (
            f"has {', '.join(map(printable, there[:6]))}{'...' if len(there) > 6 else ''}"
            if there
            else "has no tensors"
        )
        raise ValueError(
            f"{_WHO}: {what} has no recurrent weights (weight_ih_l0, weight_hh_l0 and the like); it {listed}"
        )
    return found


def _in_module(module: Any) -> Iterator[tuple[str, Group]]:
    """The recurrent modules in a module, itself included."""
    torch = sys.modules["torch"]
    for prefix, part in module.named_modules():
        kind = getattr(part, "original_name", "")  # of a scripted module, which is none of nn's own
        if isinstance(part, (torch.nn.RNNBase, torch.nn.RNNCellBase)) or kind in _CELLS:
            names = [
                name for name in getattr(part, "_flat_weights_names", _NAMES) if getattr(part, name, None) is not None
            ]
            mode = str(getattr(part, "mode", "")).removeprefix("RNN_").lower()
            nonlinearity = getattr(part, "nonlinearity", mode if mode in ("tanh", "relu") else "tanh")
            yield prefix, Group(prefix, {name: getattr(part, name) for name in names}, nonlinearity)


def groups_among(tensors: Mapping[str, Any]) -> dict[str, Group]:
    """The recurrent weights among tensors, by their prefixes; none if there are none."""
    beside: dict[str, dict[str, Any]] = {}
    for path, value in tensors.items():
        prefix, _, name = path.rpartition(".")
        beside.setdefault(prefix, {})[name] = value
    return {
        prefix: Group(prefix, weights)
        for prefix, weights in beside.items()
        if any((match := _NAME.fullmatch(name)) and match[1] in ("weight_ih", "weight_hh") for name in weights)
    }


def tensors_of(source: Any) -> dict[str, Any]:
    """The tensors and arrays in dicts and lists, by the ways to them: keys joined by dots."""
    found: dict[str, Any] = {}
    stack, seen = [("", source)], set()
    while stack:
        path, value = stack.pop()
        if isinstance(value, (Mapping, list, tuple)):
            if id(value) not in seen:  # or what holds itself would have no end
                seen.add(id(value))
                items = value.items() if isinstance(value, Mapping) else enumerate(value)
                stack += reversed([(f"{path}.{key}" if path else str(key), inner) for key, inner in items])
        elif path and hasattr(value, "shape") and hasattr(value, "dtype") and len(value.shape):
            found[path] = value
    return found


def _choose(groups: dict[str, Group], prefix: str) -> Group:
    """The group meant by a prefix: behind it, or behind something that ends in it."""
    wanted = prefix.rstrip(".")
    inside = [group for path, group in groups.items() if not wanted or f"{path}.".startswith(f"{wanted}.")]
    behind = [group for path, group in groups.items() if f".{wanted}." in f".{path}."]
    found = [groups[wanted]] if wanted and wanted in groups else inside or behind
    if len(found) > 1:
        raise ValueError(
            f"{_WHO}: there are several recurrent networks, {', '.join(_place(group.prefix) for group in found)};"
            " choose one with prefix="
        )
    if not found:
        near = "".join(_near([wanted], groups))
        listed = ", ".join(map(_place, groups))
        raise KeyError(f"{_WHO}: no recurrent weights behind prefix {prefix!r}{near}; there are {listed}")
    return found[0]


def _place(prefix: str) -> str:
    return repr(prefix) if prefix else "the top level"


def _near(names: Sequence[str], others: Any) -> list[str]:
    found = {name: get_close_matches(name, list(others), n=1) for name in names}
    return [f"; nearest to {printable(name)} is {printable(near[0])}" for name, near in found.items() if near]


def as_array(value: Any) -> Array:
    """A tensor or array of anybody's as NumPy's, half precision as float32."""
    if isinstance(value, Tensor):
        return value.data
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        is_known = not value.is_floating_point() or value.element_size() >= 4
        return np.array((value if is_known else value.float()).numpy())
    array = np.array(value)
    is_half = array.dtype.name in ("float16", "bfloat16")
    return array.astype(np.float32) if is_half else array
