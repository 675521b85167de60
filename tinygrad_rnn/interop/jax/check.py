"""What was taken over from JAX, compared with JAX: values and gradients, each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ...autodiff.backward import grad
from ...autodiff.tensor import Tensor
from ..imported import Imported
from ..weights import printable
from .program import JaxProgram

__all__ = ["check"]


def check(model: Imported, program: JaxProgram) -> None:
    """Compare values with JAX's on the example, and the gradients of their sum with random weights.

    Raises
    ------
    RuntimeError
        With the numbers, if they differ.
    """
    leaves = [(kind, label, leaf) for kind, label, leaf in program.signature.leaves if kind != "constant"]
    examples = {label: np.asarray(leaf, program.inputs[label].dtype) for kind, label, leaf in leaves if kind == "input"}
    inputs = {label: Tensor(array, array.dtype.kind == "f") for label, array in examples.items()}
    call = model(**inputs)
    arrays = [jax.numpy.asarray(leaf) for _, _, leaf in leaves]
    floats = [k for k, array in enumerate(arrays) if array.dtype.kind == "f"]

    def function(*values: Any) -> list[Any]:
        given = list(arrays)
        for k, value in zip(floats, values, strict=True):
            given[k] = value
        return [jax.numpy.asarray(one) for one in jax.tree_util.tree_leaves(program.signature.call(given))]

    values = [arrays[k] for k in floats]
    kinds = jax.eval_shape(function, *values)
    random = np.random.default_rng(0)
    loss: Any = 0.0
    cotangents: list[Any] = []
    for kind in kinds:
        if kind.dtype.kind == "f":
            weight = random.uniform(0.5, 1.5, kind.shape).astype(kind.dtype)
            cotangents.append(weight)
        else:
            cotangents.append(np.zeros(kind.shape, jax.dtypes.float0))
    theirs, expected = _of_jax(function, values, cotangents)
    for (name, result), value, weight in zip(call.items(), theirs, cotangents, strict=True):
        _compare(model.name, f"the value of {name}", result.data, np.asarray(value))
        if value.dtype.kind == "f":
            loss = loss + (result * weight).sum()
    if not isinstance(loss, Tensor) or not floats:
        return
    parameters = dict(model.named_parameters())
    own = [inputs[leaves[k][1]] if leaves[k][0] == "input" else parameters[leaves[k][1]] for k in floats]
    found = [g.data for g in grad(loss, own)]
    if expected is None:
        _compare_forward(model.name, function, values, found, cotangents)
        return
    for k, gradient, other in zip(floats, found, expected, strict=True):
        _compare(model.name, f"the gradient of {leaves[k][1]}", gradient, np.asarray(other))


def _of_jax(function: Any, values: Sequence[Any], cotangents: Sequence[Any]) -> tuple[Any, Any]:
    """JAX's values and gradients; no gradients of a while loop, which it differentiates forward alone."""

    def both(*values: Any) -> Any:
        results, back = jax.vjp(function, *values)
        return results, back(list(cotangents))

    try:
        return jax.jit(both)(*values)  # type: ignore[no-any-return]
    except ValueError:
        return jax.jit(function)(*values), None


def _compare_forward(name: str, function: Any, values: Any, gradients: Any, cotangents: Any) -> None:
    """Compare the derivative along one direction."""
    random = np.random.default_rng(1)
    along = [jax.numpy.asarray(random.uniform(0.5, 1.5, v.shape), v.dtype) for v in values]
    _, slopes = jax.jvp(function, values, along)
    pairs = [(c, s) for c, s in zip(cotangents, slopes, strict=True) if c.dtype != jax.dtypes.float0]
    expected = np.asarray(sum((c * s).sum() for c, s in pairs))
    ours = np.asarray(sum((g * np.asarray(d)).sum() for g, d in zip(gradients, along, strict=True)), expected.dtype)
    _compare(name, "the derivative along a direction", ours, expected)


def _compare(name: str, what: str, ours: Any, theirs: Any) -> None:
    tolerance = 30 * np.finfo(theirs.dtype).eps ** 0.75 if theirs.dtype.kind == "f" else 0.0
    same = ours.shape == theirs.shape
    if same and theirs.size:
        finite = np.nan_to_num(theirs.astype(np.float64), posinf=0.0, neginf=0.0)
        atol = tolerance * (1.0 + np.abs(finite).max())
        same = np.allclose(ours, theirs, rtol=0.0, atol=atol, equal_nan=True)
    if same:
        return
    if ours.shape != theirs.shape:
        off = f"shape {ours.shape} instead of {theirs.shape}"
    else:
        with np.errstate(all="ignore"):
            difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
        place = np.unravel_index(int(np.nanargmax(np.where(np.isnan(difference), np.inf, difference))), ours.shape)
        off = f"{ours[place]} instead of {theirs[place]} at {tuple(map(int, place))}"
    raise RuntimeError(
        f"from_jax: {printable(what)} of {printable(name)} comes out otherwise than in JAX, {off}; the function may"
        " depend on something besides its arguments, or this is a fault of ours: please report it"
    )
