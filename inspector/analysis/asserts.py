"""Assertions about gradients and graphs, for tests and for grading; their messages say what to blame."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_rnn import Graph, Tensor, grad, parts
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.plurals import counted

from ..tracing.sparkline import sparkline
from ..tracing.trace import norm_of
from .stops import cuts, descendants, stops

__all__ = ["assert_gradient_reaches", "assert_no_detach", "assert_same_graph"]


@np.errstate(all="ignore")
def assert_gradient_reaches(
    loss: Tensor, value: Tensor, *, at_least: float = 1e-3, relative_to: Tensor | None = None
) -> None:
    """Assert that the gradient of `loss` by `value` is not too small.

    Parameters
    ----------
    loss : Tensor
        A single number.
    value : Tensor
        Such as ``run.states[0].h``.
    at_least : float
        What its L2 norm has to be.
    relative_to : Tensor, optional
        Then `at_least` is a share of the norm of the gradient by this, such as ``run.states[-1].h``.

    Raises
    ------
    AssertionError
        With the norms at all timesteps of that name as a sparkline, and the operation that lost most on the way.
    """
    wanted = [value] if relative_to is None else [value, relative_to]
    norms = [norm_of(g.data) for g in grad(loss, wanted)]
    share = norms[0] if relative_to is None else norms[0] / norms[1] if norms[1] else math.nan
    if share >= at_least:
        return
    said = f"the gradient at {value.path} is {norms[0]:.3g}"
    if relative_to is not None:
        said += f", {share:.3g} of the {norms[1]:.3g} at {relative_to.path}"
    lines = [f"{said}; at least {at_least:g} is asked for"]
    alike = [node for node in ancestors([loss]) if node.name is not None and node.name == value.name]
    if len(alike) > 1:
        curve = [norm_of(g.data) for g in grad(loss, alike)]
        lines.append(f"{value.name} from t = {alike[0].timestep} to {alike[-1].timestep}: {sparkline(curve)}")
    found = stops(loss, value)
    lines += [str(found.not_finite)] if found.not_finite is not None else []
    if norms[0] and np.isfinite(norms).all():
        lines.append(_blame(loss, value))
    elif not norms[0]:
        lines.append(str(found))
    raise AssertionError("\n".join(lines))


def assert_no_detach(loss: Tensor) -> None:
    """Assert that nothing `loss` was computed from was cut from its history, by ``detach``, ``stop_gradient`` or
    ``no_grad``.

    Raises
    ------
    AssertionError
        Naming the values, and the files and lines.
    """
    found = [f"{node.path}: {where}" for node, where in cuts(ancestors([loss]))]
    if found:
        more = [f"and {len(found) - 10} more"] if len(found) > 10 else []
        raise AssertionError(
            "\n".join(["the loss was computed from values cut from their history:", *found[:10], *more])
        )


def assert_same_graph(a: Any, b: Any) -> None:
    """Assert that two graphs are made of the same operations in the same order, of the same shapes; values may differ.

    Parameters
    ----------
    a, b : Graph, Tensor or sequence of Tensors

    Raises
    ------
    AssertionError
        Naming the first node in which they differ.
    """
    first, second = (one if isinstance(one, Graph) else Graph(one) for one in (a, b))
    for x, y in zip(first.nodes, second.nodes, strict=False):
        for what, one, other in (
            ("operation", x.op, y.op),
            ("operands", x.inputs, y.inputs),
            ("shape", x.shape, y.shape),
            ("dtype", x.dtype, y.dtype),
            ("name", x.name, y.name),
            ("settings", repr(sorted(x.attributes.items())), repr(sorted(y.attributes.items()))),
        ):
            if one != other:
                raise AssertionError(f"node {x.index}, {x.path} and {y.path}: {what} {one} and {other}")
    if len(first) != len(second):
        longer, shorter = (first, second) if len(first) > len(second) else (second, first)
        raise AssertionError(
            f"{counted(len(first), 'node')} and {len(second)}; node {len(shorter)} of the larger is"
            f" {longer.nodes[len(shorter)].path}"
        )


def _blame(loss: Tensor, value: Tensor) -> str:
    """The operation that loses most on the way that carries most, from the loss back to the value."""
    order = ancestors([loss])
    behind = descendants(order, value)
    size: dict[int, float] = {}
    ways: dict[int, list[tuple[float, Tensor]]] = {}
    for node, total, edges in sweep(
        [loss], [np.ones(loss.shape, loss.dtype)], [node for node in order if node.id in behind]
    ):
        size[node.id] = norm_of(total)
        ways[node.id] = [(norm_of(part), node.inputs[k]) for k, part in edges]
    best: dict[int, tuple[float, Tensor]] = {}
    for key in sorted(ways):  # from the value on: a way that carries much may end before it
        arriving = [(norm, to) for norm, to in ways[key] if norm and (to.id == value.id or to.id in best)]
        if arriving:
            best[key] = max(arriving, key=lambda way: way[0])
    owners = parts([loss])
    lost: dict[str, float] = {}
    node = loss
    while node.id != value.id:
        norm, following = best[node.id]
        assert node.op is not None
        owner = owners.get(node.id)
        label = f"{node.op.name} of {owner}" if owner else node.op.name
        lost[label] = lost.get(label, 0.0) + math.log(max(norm, 1e-300) / size[node.id])
        node = following
    worst = min(lost, key=lambda label: lost[label])
    return f"most is lost in {worst}: a factor of {math.exp(lost[worst]):.2g} on the way that carries most"
