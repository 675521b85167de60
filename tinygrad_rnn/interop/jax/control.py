"""Branches, and loops that end when a condition says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ...autodiff import primitives as p
from ...autodiff.tensor import Tensor
from ..refusal import UnsupportedError
from ..weights import printable
from .body import Loop, known_carries
from .graph import Frame, Known, Operand, plain
from .place import place_of
from .scan import build_loop

if TYPE_CHECKING:
    from .build import Builder

__all__ = ["build_cond", "build_while"]


def build_cond(builder: Builder, equation: Any, operands: Sequence[Operand]) -> list[Operand]:
    """One of several functions: which, may be known, or a value."""
    branches = equation.params["branches"]
    which, *given = operands
    if isinstance(which, Known):
        return builder.inline(branches[min(max(int(which.array), 0), len(branches) - 1)], given)
    graphs = []
    reads = [k for k, operand in enumerate(given) if not isinstance(operand, Known)]
    for branch in branches:
        inner = type(builder)(builder)
        inside = {k: inner.new(builder.kind(given[k])) for k in reads}
        outputs = inner.inline(branch, [inside.get(k, operand) for k, operand in enumerate(given)])
        graphs.append(inner.graph([inside[k] for k in reads], outputs))

    def call(values: Sequence[Any], frame: Frame) -> Sequence[Any]:
        chosen, *rest = values
        read = [rest[k] for k in reads]
        if isinstance(chosen, (Tensor, np.ndarray, np.generic, int)):
            place = int(plain(chosen))
            return graphs[min(max(place, 0), len(graphs) - 1)].run(read, frame)
        # a symbol: all of them, of which one counts
        every = [graph.run(read, frame) for graph in graphs]
        results = every[-1]
        for k in reversed(range(len(graphs) - 1)):
            hit = p.less_equal(p.astype(chosen, np.dtype(int)), k)
            results = [p.where(hit, one, other) for one, other in zip(every[k], results, strict=True)]
        return results

    return builder.emit(equation, operands, call)


def build_while(builder: Builder, equation: Any, operands: Sequence[Operand]) -> list[Operand]:
    """A loop that ends when a condition on known values says so: as one over so many steps."""
    from .build import _by_jax, is_floating

    params = equation.params
    cut = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    of_condition, of_body, start = operands[: cut[0]], operands[cut[0] : cut[1]], operands[cut[1] :]
    steps = _trips(builder, params, of_condition, of_body, start)
    if steps is None:
        if not any(is_floating(variable.aval) for variable in equation.outvars):
            return builder.emit(equation, operands, _by_jax(equation))
        raise UnsupportedError(
            f"from_jax: {printable(equation.primitive.name)}{place_of(equation)} ends when a condition on values says"
            " so, and has no gradient in JAX either; give the number of steps, as fori_loop and scan do"
        )
    loop = Loop(equation, params["body_jaxpr"], list(of_body), list(start), [], tuple(operands), steps, False)
    return build_loop(builder, loop)


def _trips(
    builder: Builder, params: Any, of_condition: Sequence[Operand], of_body: Sequence[Operand], start: Sequence[Operand]
) -> int | None:
    """How often the loop runs, if that can be told beforehand."""
    moving, still_ones = known_carries(builder, params["body_jaxpr"], of_body, start)
    known = moving + [k for k in still_ones if isinstance(start[k], Known)]
    condition, body = params["cond_jaxpr"], params["body_jaxpr"]
    inner = type(builder)(builder)
    consts = [c if isinstance(c, Known) else inner.new(builder.kind(c)) for c in of_condition]
    inside = [inner.new(builder.kind(operand)) for operand in start]
    (goes_on,) = inner.inline(condition, [*consts, *inside])
    if isinstance(goes_on, Known):
        return 0 if not goes_on.array else None
    graph = inner.graph([], [goes_on])
    read = {number for operation in graph.operations for number in operation.reads}
    if not read.intersection([*consts, *inside]) <= {inside[k] for k in known}:
        return None
    zeros = [jax.numpy.zeros(builder.kind(operand).shape, builder.kind(operand).dtype) for operand in start]

    def full(values: Any) -> list[Any]:
        return [values[known.index(k)] if k in known else zero for k, zero in enumerate(zeros)]

    def arrays(given: Sequence[Operand]) -> list[Any]:
        return [
            c.array if isinstance(c, Known) else jax.numpy.zeros(builder.kind(c).shape, builder.kind(c).dtype)
            for c in given
        ]

    def still(carry: Any) -> Any:
        return jax.core.eval_jaxpr(condition.jaxpr, condition.consts, *arrays(of_condition), *full(carry[1]))[0]

    def step(carry: Any) -> Any:
        after = jax.core.eval_jaxpr(body.jaxpr, body.consts, *arrays(of_body), *full(carry[1]))
        return carry[0] + 1, [after[k] for k in known]

    begin = [start[k].array for k in known]  # type: ignore[union-attr]
    return int(jax.lax.while_loop(still, step, (0, begin))[0])
