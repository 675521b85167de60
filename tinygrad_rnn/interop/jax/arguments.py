"""What a function of JAX is given: which of it are inputs, which parameters, and what they are called."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ..weights import printable
from .place import is_library

__all__ = ["Argument", "Signature", "closed_over", "signature_of"]

OF_INPUTS = frozenset({"batch", "carry", "data", "input", "inputs", "state", "x", "xs"})
OF_PARAMETERS = frozenset({"model", "module", "net", "parameters", "params", "theta", "variables", "weights"})
"""What arguments are usually called that hold several arrays."""


@dataclass
class Argument:
    """One argument of a function.

    Attributes
    ----------
    name : str
    tree : PyTreeDef
    leaves : list
    labels : list of str
        What each leaf is called.
    kinds : list of {"input", "parameter", "constant"}
    """

    name: str
    tree: Any
    leaves: list[Any]
    labels: list[str]
    kinds: list[str]


@dataclass
class Signature:
    """A function with examples of its arguments.

    Attributes
    ----------
    function : callable
    name : str
    arguments : list of Argument
    """

    function: Callable[..., Any]
    name: str
    arguments: list[Argument]

    @property
    def leaves(self) -> list[tuple[str, str, Any]]:
        """Kind, label and value of all leaves, in order."""
        return [one for a in self.arguments for one in zip(a.kinds, a.labels, a.leaves, strict=True)]

    def call(self, values: Sequence[Any]) -> Any:
        """The function's results for values of all leaves but the constants."""
        given = iter(values)
        arguments = []
        for argument in self.arguments:
            pairs = zip(argument.kinds, argument.leaves, strict=True)
            leaves = [leaf if kind == "constant" else next(given) for kind, leaf in pairs]
            arguments.append(jax.tree_util.tree_unflatten(argument.tree, leaves))
        return self.function(*arguments)


def signature_of(function: Any, args: Sequence[Any], parameters: Sequence[str] | None) -> Signature:
    """What `function` takes.

    A module of Flax or Equinox is its own first argument.

    Raises
    ------
    TypeError
        If it cannot be called.
    """
    if not callable(function):
        raise TypeError(f"from_jax: expected a function of JAX, got {type(function).__name__}")
    inside = inspect.unwrap(function)
    name = getattr(inside, "__name__", None) or type(inside).__name__
    modules = 0
    nnx = sys.modules.get("flax.nnx")
    if nnx is not None and isinstance(function, nnx.Module):
        graph, state = nnx.split(function)
        args, modules = (state, *args), 1
        names = ["module", *_names(type(function).__call__, len(args))[1:]]
        function = _merged(nnx, graph)
    elif any(leaf is not function and hasattr(leaf, "shape") for leaf in jax.tree_util.tree_leaves(function)):
        args, modules = (function, *args), 1
        names = ["module", *_names(type(function).__call__, len(args))[1:]]
        function = _called
    else:
        names = _names(function, len(args))
    unknown = [one for one in parameters or () if one not in names]
    if unknown:
        raise ValueError(f"from_jax: {name} has no argument {printable(unknown[0])!r}; there are {', '.join(names)}")
    chosen = [
        k < modules or (_holds_parameters(one, value) if parameters is None else one in parameters)
        for k, (one, value) in enumerate(zip(names, args, strict=True))
    ]
    several = sum(chosen) > 1
    arguments = [
        _argument(one, value, is_parameters, several)
        for one, value, is_parameters in zip(names, args, chosen, strict=True)
    ]
    return Signature(function, name if name.isidentifier() else "function", arguments)


def _called(module: Any, *args: Any) -> Any:
    return module(*args)


def _merged(nnx: Any, graph: Any) -> Callable[..., Any]:
    return lambda state, *args: nnx.merge(graph, state)(*args)


def _names(function: Any, count: int) -> list[str]:
    """What the arguments are called."""
    try:
        listed = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [f"arg{k}" for k in range(count)]
    plain = [q.name for q in listed if q.kind in (q.POSITIONAL_ONLY, q.POSITIONAL_OR_KEYWORD)][:count]
    rest = next((q.name for q in listed if q.kind is q.VAR_POSITIONAL), "arg")
    return [*plain, *(f"{rest}{k}" for k in range(count - len(plain)))]


def _holds_parameters(name: str, value: Any) -> bool:
    """Whether an argument holds parameters: several arrays that have names, or stand nested."""
    tree = jax.tree_util.tree_structure(value)
    if jax.tree_util.treedef_is_leaf(tree) or name in OF_INPUTS:
        return False
    if name in OF_PARAMETERS:
        return True
    is_flat = isinstance(value, tuple) and all(
        jax.tree_util.treedef_is_leaf(jax.tree_util.tree_structure(one)) for one in value
    )
    return not is_flat


def _argument(name: str, value: Any, is_parameters: bool, several: bool) -> Argument:
    pairs, tree = jax.tree_util.tree_flatten_with_path(value)
    labels, kinds = [], []
    for path, leaf in pairs:
        within = _path(path)
        prefix = name if not is_parameters or several or not within else ""
        labels.append(".".join(filter(None, (prefix, within))))
        kinds.append(_kind(leaf, is_parameters))
    return Argument(name, tree, [leaf for _, leaf in pairs], labels, kinds)


def _path(path: Any) -> str:
    parts = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", "")))) for key in path]
    return ".".join(part for part in parts if part != "value")


def _kind(leaf: Any, is_parameters: bool) -> str:
    dtype = getattr(leaf, "dtype", None)
    if dtype is None:
        return "input" if isinstance(leaf, float) and not is_parameters else "constant"
    is_key = not isinstance(dtype, np.dtype) or (dtype == np.uint32 and np.shape(leaf)[-1:] == (2,))
    if is_key:
        return "constant"
    if not is_parameters:
        return "input"
    return "parameter" if jax.numpy.issubdtype(dtype, jax.numpy.inexact) else "constant"


def closed_over(function: Any) -> dict[int, str]:
    """Names of the arrays that a function, and those that it calls, read from around them, by who they are."""
    found: dict[int, str] = {}
    holders = dict(_around(function))
    arrays = {
        name: [
            (path, leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(value)
            if hasattr(leaf, "shape") and hasattr(leaf, "dtype")
        ]
        for name, value in holders.items()
    }
    arrays = {name: leaves for name, leaves in arrays.items() if leaves}
    trees = [name for name, leaves in arrays.items() if leaves[0][0]]
    for name, leaves in arrays.items():
        for path, leaf in leaves:
            prefix = name if not path or len(trees) > 1 else ""
            found.setdefault(id(leaf), ".".join(filter(None, (prefix, _path(path)))))
    return found


def _around(function: Any) -> Iterator[tuple[str, Any]]:
    stack, seen = [function], set()
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        owner = getattr(one, "__self__", None)
        if owner is not None and not inspect.ismodule(owner):
            yield from _attributes("self", owner)
        for wrapped in (getattr(one, "__wrapped__", None), getattr(one, "func", None), getattr(one, "__func__", None)):
            if callable(wrapped):
                stack.append(wrapped)
        if not inspect.isroutine(one) and not hasattr(one, "__wrapped__"):  # a module that is mapped or compiled
            yield from _attributes("module", one)
        if isinstance(getattr(one, "args", None), tuple) and hasattr(one, "func"):  # functools.partial
            yield from ((f"arg{k}", value) for k, value in enumerate(one.args))
            yield from (one.keywords or {}).items()
        if inspect.isfunction(one) and not is_library(one.__code__.co_filename):
            for name, value in _read(one).items():
                if inspect.isfunction(value) or hasattr(value, "__wrapped__"):
                    stack.append(value)
                elif not inspect.ismodule(value) and not isinstance(value, type):
                    yield from _attributes(name, value)


def _read(function: Any) -> dict[str, Any]:
    """What a function, and those that are written inside it, read from around it."""
    names: set[str] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        names.update(code.co_names, code.co_freevars)
        codes += [const for const in code.co_consts if inspect.iscode(const)]
    found = {name: function.__globals__[name] for name in sorted(names) if name in function.__globals__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # not assigned yet
            found[name] = cell.cell_contents
    return found


def _attributes(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A value, or what an object of a class unknown to JAX holds."""
    try:
        leaves = jax.tree_util.tree_leaves(value)
    except (TypeError, ValueError):  # keys of several kinds
        return
    if len(leaves) == 1 and leaves[0] is value and not hasattr(value, "shape") and hasattr(value, "__dict__"):
        yield from ((f"{name}.{key}" if name != "self" else key, one) for key, one in vars(value).items())
    else:
        yield name, value
