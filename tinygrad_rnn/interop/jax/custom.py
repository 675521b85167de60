"""Functions that bring their own derivative, ``jax.custom_jvp`` and ``jax.custom_vjp``: theirs is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ...autodiff import elementary
from ...autodiff import primitives as p
from ...autodiff.primitive import Primitive
from .graph import Frame, Graph, Known, Operand

if TYPE_CHECKING:
    from .build import Builder

__all__ = ["build_custom"]


def _logaddexp(x: Any, y: Any) -> Any:
    if isinstance(y, float) and y == 0.0:
        return p.softplus(x)
    return elementary.logaddexp(x, y)


NATIVE: dict[str, Callable[..., Any]] = {"logaddexp": _logaddexp, "relu": p.relu}
"""Functions of JAX's own that are ours, with the same derivative everywhere."""


@lru_cache(maxsize=1)
def _library() -> str:
    return str(Path(jax.__file__).parent)


def build_custom(builder: Builder, equation: Any, operands: Sequence[Operand]) -> list[Operand]:
    """A function with a derivative of its own, as a primitive of its own for each result."""
    from .build import is_floating

    params = equation.params
    function = params["call_jaxpr"] if "call_jaxpr" in params else params["fun_jaxpr"]
    info = str(getattr(getattr(function.jaxpr, "debug_info", None), "func_src_info", ""))
    name = info.partition(" at ")[0] or "custom"
    if name in NATIVE and info.partition(" at ")[2].startswith(_library()):
        native = NATIVE[name]
        return builder.emit(equation, operands, lambda values, frame: (native(*values),))
    reads = [k for k, operand in enumerate(operands) if not isinstance(operand, Known)]
    differentiable = [k for k in reads if is_floating(builder.kind(operands[k]))]
    if not differentiable:
        return builder.inline(function, operands)
    forward = _forward(builder, function, operands, reads)
    calls: list[Any] = []
    for number, variable in enumerate(equation.outvars):
        if is_floating(variable.aval):
            back = partial(_backward, builder, equation, operands, reads, differentiable, number)
            calls.append(_primitive(name, forward, back, number, [k in differentiable for k in reads]))
        else:
            calls.append(_part(forward, number))

    def call(values: Sequence[Any], frame: Frame) -> Sequence[Any]:
        given = [values[k] for k in reads]
        return [one(*given) for one in calls]

    return builder.emit(equation, operands, call)


def _forward(builder: Builder, function: Any, operands: Sequence[Operand], reads: Sequence[int]) -> Graph:
    inner = type(builder)(builder)
    given = {k: inner.new(builder.kind(operands[k])) for k in reads}
    outputs = inner.inline(function, [given.get(k, operand) for k, operand in enumerate(operands)])
    return inner.graph([given[k] for k in reads], outputs)


def _backward(
    builder: Builder,
    equation: Any,
    operands: Sequence[Operand],
    reads: Sequence[int],
    differentiable: Sequence[int],
    number: int,
) -> Graph:
    """From what is read and the cotangent of one result to those of what it is differentiated by."""
    from .build import evaluate

    def back(values: Sequence[Any], cotangent: Any) -> Any:
        given: list[Any] = [operand.array if isinstance(operand, Known) else None for operand in operands]
        for k, value in zip(reads, values, strict=True):
            given[k] = value

        def function(*floats: Any) -> Any:
            for k, value in zip(differentiable, floats, strict=True):
                given[k] = value
            return evaluate(equation, given)[number]

        return jax.vjp(function, *[given[k] for k in differentiable])[1](cotangent)

    kinds = [jax.ShapeDtypeStruct(builder.kind(operands[k]).shape, builder.kind(operands[k]).dtype) for k in reads]
    result = equation.outvars[number].aval
    traced = jax.make_jaxpr(back)(kinds, jax.ShapeDtypeStruct(result.shape, result.dtype))
    inner = type(builder)(builder)
    inputs = [inner.new(aval) for aval in traced.in_avals]
    return inner.graph(inputs, inner.inline(traced, inputs))


def _part(graph: Graph, number: int) -> Any:
    def part(*values: Any) -> Any:
        return graph.run(values, Frame())[number]

    return part


def _primitive(
    name: str, graph: Graph, making: Callable[[], Graph], number: int, differentiable: Sequence[bool]
) -> Primitive:
    part = _part(graph, number)
    back = cache(making)  # made when it is asked for: a derivative may call the function itself

    def rule(g: Any, y: Any, *values: Any) -> Iterator[Any]:
        found = iter(back().run([*values, g], Frame()))
        for has_derivative in differentiable:
            share = next(found) if has_derivative else None
            yield np.asarray(share) if isinstance(share, float) else share

    part.__name__ = name if name.isidentifier() else "custom"
    part.__doc__ = f"{part.__name__}, with the derivative that it has in JAX."
    return Primitive(part, (rule,), variadic=True, analytic=False)
