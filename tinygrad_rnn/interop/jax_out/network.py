"""The recipes of a cell's steps carried out by JAX, over time by ``lax.scan``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...compiler.program import Literal
from ..recipe import Entry, Recipe
from .ops import JAX, SELECTING

__all__ = ["Network"]

Making = Callable[[int], Recipe]


class Network:
    """``network(params, x, state=None) -> (outputs, state)``; made by ``tg.to_jax``.

    Parameters
    ----------
    label : str
        The cell, for errors.
    input_size : int
    dtype : dtype
        Of the cell.
    tree : tuple or int
        How the single cells stand together.
    makings : sequence of (start, step)
        For each of them what makes the recipes of the state before its first step, and of a step, for a batch size.
    frozen : frozenset of str
        The parameters that have no gradient.
    """

    def __init__(
        self,
        label: str,
        input_size: int,
        dtype: Any,
        tree: Any,
        makings: Sequence[tuple[Making, Making]],
        frozen: frozenset[str],
    ) -> None:
        self._label, self._input_size, self._dtype = label, input_size, np.dtype(dtype)
        self._tree, self._frozen = tree, frozen
        self._makings = [(lru_cache(maxsize=8)(start), lru_cache(maxsize=8)(step)) for start, step in makings]

    def __call__(self, params: Mapping[str, Any], x: Any, state: Any = None) -> Any:
        """Run over a sequence.

        Parameters
        ----------
        params : dict of name to array
        x : array (T, batch, input_size)
        state : tuple, optional
            Where to start; the cell's own initial state when omitted.

        Returns
        -------
        outputs : array (T, batch, hidden_size)
        state : tuple
        """
        x = jnp.asarray(x)
        if x.ndim != 3 or x.shape[0] < 1 or x.shape[2] != self._input_size:
            raise ValueError(f"{self._label}: x must be (T, batch, {self._input_size}), got {x.shape}")
        known = {name: jax.lax.stop_gradient(v) if name in self._frozen else v for name, v in params.items()}
        start = self._initial(self._tree, known, x) if state is None else state
        return self._run(self._tree, known, x, start, False)

    def __repr__(self) -> str:
        return f"to_jax({self._label})"

    def _initial(self, tree: Any, params: Mapping[str, Any], x: Any) -> Any:
        if isinstance(tree, int):
            start, _ = self._makings[tree]
            return self._carry_out(start(x.shape[1]), params, x[0], ())
        return tuple(self._initial(branch, params, x) for branch in tree[1])

    def _run(self, tree: Any, params: Mapping[str, Any], x: Any, state: Any, reverse: bool) -> Any:
        if isinstance(tree, int):
            return self._run_cell(tree, params, x, state, reverse)
        kind, branches = tree
        if not isinstance(state, (tuple, list)) or len(state) != len(branches):
            raise ValueError(
                f"{self._label}: state must be a tuple of {len(branches)}, one for each layer or direction"
            )
        if kind == "stack":
            finals = []
            for branch, start in zip(branches, state, strict=True):
                x, final = self._run(branch, params, x, start, reverse)
                finals.append(final)
            return x, tuple(finals)
        sides = [self._run(b, params, x, s, back) for b, s, back in zip(branches, state, (False, True), strict=True)]
        return jnp.concatenate([outputs for outputs, _ in sides], axis=-1), tuple(final for _, final in sides)

    def _run_cell(self, place: int, params: Mapping[str, Any], x: Any, state: Any, reverse: bool) -> Any:
        _, making = self._makings[place]
        recipe = making(x.shape[1])
        start = tuple(map(jnp.asarray, state)) if isinstance(state, (tuple, list)) else (jnp.asarray(state),)

        def step(old: Any, inputs: Any) -> Any:
            new = self._carry_out(recipe, params, inputs, old)
            return tuple(now.astype(was.dtype) for now, was in zip(new, old, strict=True)), new[0]

        final, outputs = jax.lax.scan(step, start, x, reverse=reverse)
        return outputs, final

    def _carry_out(self, recipe: Recipe, params: Mapping[str, Any], x: Any, state: Sequence[Any]) -> tuple[Any, ...]:
        """What a recipe gives, with the input and the states, if it has any, in order."""
        like = next((jnp.asarray(value).dtype for value in params.values()), x.dtype)
        names = [entry.what for entry in recipe.entries if entry.kind == "state"]
        given = {"state": dict(zip(names, state, strict=True)), "parameter": params, "x": {"": x}}
        values: list[Any] = []
        for entry in recipe.entries:
            if entry.kind == "op":
                values.append(self._operation(recipe, entry, values, like))
            elif entry.kind == "constant":
                values.append(self._number(entry.what, like))
            else:
                values.append(given[entry.kind][entry.what])
        return tuple(values[k] for k in recipe.outputs)

    def _operation(self, recipe: Recipe, entry: Entry, values: Sequence[Any], like: Any) -> Any:
        name, operands = entry.what.name, []
        for operand in entry.operands:
            if isinstance(operand, Literal):
                operands.append(operand.value)
            elif entry.dtype.kind == "f" and recipe.entries[operand].dtype.kind != "f" and name not in SELECTING:
                operands.append(values[operand].astype(like))
            else:
                operands.append(values[operand])
        attributes = dict(entry.attributes)
        if "dtype" in attributes and attributes["dtype"] is not None:
            attributes["dtype"] = like if np.dtype(attributes["dtype"]) == self._dtype else attributes["dtype"]
        return JAX[name](*operands, **attributes)

    def _number(self, array: Any, like: Any) -> Any:
        """A constant; numbers of the cell's precision are of that in which it runs."""
        return jnp.asarray(array, like if array.dtype == self._dtype else None)
