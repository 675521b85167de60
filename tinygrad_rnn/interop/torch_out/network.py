"""Recipes as PyTorch's graphs, and the module that runs them over time."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...compiler.program import Literal
from ..recipe import Entry, OfBatch, Range, Recipe, Rows
from ..refusal import UnsupportedError
from .ops import OPERATORS, SELECTING, TORCH, dtype_of

__all__ = ["Network", "Part", "emit"]


class Part(torch.nn.Module):  # type: ignore[misc]
    """One step, or the state before the first: a graph of x, the states and the parameters that it names.

    Attributes
    ----------
    graph : torch.fx.GraphModule
    names : tuple of str
        Of the parameters, as the network calls them.
    """

    def __init__(self, graph: torch.fx.GraphModule, names: tuple[str, ...]) -> None:
        super().__init__()
        self.graph = graph
        self.names = names


def emit(recipe: Recipe, label: str, dtype: Any) -> Part:
    """A recipe as a graph; its constants are buffers that are no part of the ``state_dict``."""
    writing = _Writing(recipe, dtype)
    graph = torch.fx.GraphModule(writing.holder, writing.graph, label)
    for name, value in writing.holder.named_buffers():
        if hasattr(graph, name):
            graph.register_buffer(name, value, persistent=False)
    return Part(graph, tuple(writing.names))


class _Writing:
    """A graph in the making, by proxies that record what is done to them."""

    def __init__(self, recipe: Recipe, dtype: Any) -> None:
        self.graph = torch.fx.Graph()
        self.tracer = torch.fx.proxy.GraphAppendingTracer(self.graph)
        self.holder = torch.nn.Module()
        self.recipe = recipe
        self.dtype = np.dtype(dtype)
        self.x = self._proxy("placeholder", "x")
        states = [entry.what for entry in recipe.entries if entry.kind == "state"]
        self.states = {name: self._proxy("placeholder", f"state_{k}") for k, name in enumerate(states)}
        names = dict.fromkeys(entry.what for entry in recipe.entries if entry.kind == "parameter")
        self.names = {name: self._proxy("placeholder", f"parameter_{k}") for k, name in enumerate(names)}
        self.like, self.device, self.batch = self.x.dtype, self.x.device, self.x.size(0)
        self.values: list[Any] = []
        for entry in recipe.entries:
            value = self._entry(entry)
            value.extent, value.is_mask = entry.shape, entry.dtype == bool
            self.values.append(value)
        self.tracer.create_proxy("output", "output", (tuple(self.values[k] for k in recipe.outputs),), {})
        self.graph.eliminate_dead_code()
        self.graph.lint()

    def _proxy(self, kind: str, target: Any, *args: Any, **options: Any) -> Any:
        return self.tracer.create_proxy(kind, target, args, options)

    def _entry(self, entry: Entry) -> Any:
        if entry.kind == "op":
            return self._operation(entry)
        if entry.kind == "constant":
            return self._constant(entry.what)
        return {"state": self.states, "parameter": self.names}.get(entry.kind, {"": self.x})[entry.what]

    def _operation(self, entry: Entry) -> Any:
        name = entry.what.name
        operands = []
        for operand in entry.operands:
            if isinstance(operand, Literal):
                operands.append(self._literal(operand.value, name in OPERATORS, entry.dtype))
                continue
            value, given = self.values[operand], self.recipe.entries[operand]
            if entry.dtype.kind == "f" and given.dtype.kind != "f" and name not in SELECTING:
                value = value.to(self.like)  # or it would become what PyTorch has by default
                value.extent = given.shape
            operands.append(value)
        attributes = {key: self._attribute(value) for key, value in entry.attributes.items()}
        if name == "astype":
            dtype = np.dtype(entry.attributes["dtype"])
            attributes["dtype"] = self.like if dtype == self.dtype else dtype_of(dtype)
        try:
            return TORCH[name](*operands, **attributes)
        except NotImplementedError:
            raise UnsupportedError(f"to_torch: {name} of a part of the batch, backwards, has no counterpart") from None

    def _literal(self, value: Any, as_it_is: bool, dtype: Any) -> Any:
        kind: Any = torch.bool if isinstance(value, bool) else torch.int64
        kind = self.like if isinstance(value, float) or dtype.kind == "f" else kind
        value = self._attribute(value)
        return (
            value if as_it_is else self._proxy("call_function", torch.full, (), value, dtype=kind, device=self.device)
        )

    def _constant(self, array: Any) -> Any:
        if isinstance(array, Range):
            return self._proxy("call_function", torch.arange, self.batch, device=self.device)
        if isinstance(array, Rows):
            shape = tuple(self.batch if k in array.axes else n for k, n in enumerate(array.array.shape))
            return torch.broadcast_to(self._constant(array.array), shape)
        name = f"constant_{len(self.holder._buffers)}"
        self.holder.register_buffer(name, torch.from_numpy(np.array(array)))
        found = self._proxy("get_attr", name)
        found.extent, found.is_mask = array.shape, array.dtype == bool
        return found

    def _attribute(self, value: Any) -> Any:
        """An attribute as a graph may hold it: arrays as buffers, sizes that grow with the batch as operations."""
        if isinstance(value, OfBatch):
            if value.inverse:
                return value.factor / self.batch
            grown = self.batch * value.factor if value.factor != 1 else self.batch
            return grown + value.offset if value.offset else grown
        if isinstance(value, np.ndarray) and not value.ndim:
            return value.item()
        if isinstance(value, list) and value and all(isinstance(v, (int, bool, np.integer)) for v in value):
            value = np.asarray(value)  # an index
        if isinstance(value, (Rows, Range, np.ndarray)):
            return self._constant(value)
        if isinstance(value, (tuple, list)):
            return tuple(self._attribute(part) for part in value)
        if isinstance(value, slice):
            return slice(*[self._attribute(part) for part in (value.start, value.stop, value.step)])
        return value.item() if isinstance(value, np.generic) else value


class Network(torch.nn.Module):  # type: ignore[misc]
    """A cell, stack or two directions: ``module(x, state=None) -> (outputs, state)``; made by ``tg.to_torch``."""

    def __init__(
        self,
        label: str,
        input_size: int,
        parameters: Mapping[str, tuple[Any, bool]],
        tree: Any,
        parts: Sequence[tuple[Part, Part]],
    ) -> None:
        super().__init__()
        self._label, self._input_size, self._tree = label, input_size, tree
        self._steps = torch.nn.ModuleList([step for step, _ in parts])
        self._starts = torch.nn.ModuleList([start for _, start in parts])
        for name, (value, requires_grad) in parameters.items():
            *folders, last = name.split(".")
            place: Any = self
            try:
                for folder in folders:
                    if folder not in place._modules:
                        place.add_module(folder, torch.nn.Module())
                    place = place._modules[folder]
                place.register_parameter(last, torch.nn.Parameter(torch.from_numpy(np.array(value)), requires_grad))
            except KeyError as error:
                raise UnsupportedError(
                    f"to_torch: {label}: no parameter of a Module can be called {name}: {error}"
                ) from None

    def forward(self, x: Any, state: Any = None) -> Any:
        """Run over a sequence.

        Parameters
        ----------
        x : Tensor (T, batch, input_size)
        state : tuple, optional
            Where to start; the cell's own initial state when omitted.

        Returns
        -------
        outputs : Tensor (T, batch, hidden_size)
        state : tuple
        """
        if x.dim() != 3 or x.shape[0] < 1 or x.shape[2] != self._input_size:
            raise ValueError(f"{self._label}: x must be (T, batch, {self._input_size}), got {tuple(x.shape)}")
        dtype = next((one.dtype for one in self.parameters()), x.dtype)
        if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
            raise TypeError(
                f"{self._label}: x is {x.dtype} and the parameters are {dtype}; convert one of them, with"
                f" module.to({x.dtype}) or x.to({dtype})"
            )
        steps = list(x.unbind(0))
        start = self._initial(self._tree, steps[0]) if state is None else state
        outputs, final = self._run(self._tree, steps, start, False)
        return torch.stack(outputs), final

    def _initial(self, tree: Any, x: Any) -> Any:
        if isinstance(tree, int):
            part = self._starts[tree]
            return part.graph(x, *self._named(part))
        return tuple(self._initial(branch, x) for branch in tree[1])

    def _named(self, part: Any) -> list[Any]:
        return [operator.attrgetter(name)(self) for name in part.names]

    def _run(self, tree: Any, steps: list[Any], state: Any, reverse: bool) -> Any:
        if isinstance(tree, int):
            return self._run_cell(self._steps[tree], steps, state, reverse)
        kind, branches = tree
        if not isinstance(state, (tuple, list)) or len(state) != len(branches):
            raise ValueError(
                f"{self._label}: state must be a tuple of {len(branches)}, one for each layer or direction"
            )
        finals = []
        if kind == "stack":
            for branch, start in zip(branches, state, strict=True):
                steps, final = self._run(branch, steps, start, reverse)
                finals.append(final)
            return steps, tuple(finals)
        sides = []
        for branch, start, backwards in zip(branches, state, (False, True), strict=True):
            outputs, final = self._run(branch, steps, start, backwards)
            sides.append(outputs)
            finals.append(final)
        return [torch.cat(pair, dim=1) for pair in zip(*sides, strict=True)], tuple(finals)

    def _run_cell(self, part: Any, steps: list[Any], state: Any, reverse: bool) -> Any:
        state = tuple(state) if isinstance(state, (tuple, list)) else (state,)
        parameters, outputs = self._named(part), []
        for x in reversed(steps) if reverse else steps:
            state = part.graph(x, *state, *parameters)
            outputs.append(state[0])
        return outputs[::-1] if reverse else outputs, state

    def extra_repr(self) -> str:
        """The cell that it was made from."""
        return self._label
