"""Analytic derivatives compared with finite differences, first and second order."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import positive
from . import primitives as p
from .ancestry import ancestors
from .backward import grad
from .graph import Graph
from .node import Node
from .tensor import Tensor

Array = npt.NDArray[Any]

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

COMPLEX_STEP = 1e-30


class GradcheckError(AssertionError):
    """An analytic derivative disagrees with the numerical one.

    Attributes
    ----------
    input : str
        Name of the input, or ``input 0`` and so on.
    index : tuple of int
        The element of it.
    analytic, numerical : float
        The two numbers.
    path : str
        The node whose own rule is wrong, or the chain of nodes from the input to the output.
    """

    def __init__(
        self, input: str, index: tuple[int, ...], analytic: float, numerical: float, path: str, note: str
    ) -> None:
        self.input, self.index, self.path = input, index, path
        self.analytic, self.numerical = analytic, numerical
        super().__init__(
            f"gradient by {input}{list(index)}: analytic {analytic:.10g}, numerical {numerical:.10g}; {path}"
            + (f" ({note})" if note else "")
        )


def gradcheck(
    fn: Callable[..., Any], inputs: Any, eps: float = 1e-6, rtol: float = 1e-6, atol: float = 1e-8, seed: int = 0
) -> bool:
    """Compare the gradient of `fn` with a numerical one, element by element.

    The outputs are projected on random cotangents with no small coordinate. Where every operation is
    analytic the numerical derivative is a complex step, exact to rounding (Squire & Trapp 1998);
    otherwise it is a central difference.

    Parameters
    ----------
    fn : callable
        Takes Tensors, returns a Tensor or a sequence of them.
    inputs : array, Tensor, or sequence of them
        float64 values at which to check; every element of every one is checked.
    eps : float
        Step of the central difference, relative to ``max(1, |x|)``.
    rtol, atol : float
        Accept ``|analytic - numerical| <= atol + rtol * |numerical|``.
    seed : int
        Of the random cotangents.

    Returns
    -------
    bool
        True; a disagreement raises.

    Raises
    ------
    GradcheckError
        Naming the input, the index, both numbers and the node.
    ValueError
        If an input is not float64, or `eps` is not positive.
    TypeError
        If `fn` returns something else than Tensors.
    """
    arrays, names = _inputs(inputs)
    positive("gradcheck", eps=eps)
    leaves = [Tensor(array, True, name) for array, name in zip(arrays, names, strict=True)]
    outputs = _outputs(fn(*leaves))
    rng = np.random.default_rng(seed)
    cotangents = [rng.uniform(0.5, 1.5, o.shape) * rng.choice([-1.0, 1.0], o.shape) for o in outputs]
    total = _project(outputs, cotangents)
    analytic = [g.data for g in grad(total, leaves)]
    nodes = ancestors([total])

    def value(points: Sequence[Array]) -> Any:
        return _project(_outputs(fn(*[Tensor(x) for x in points])), cotangents).data.item()

    complex_step = all(node.op.analytic for node in nodes if node.op is not None) and _takes_complex(value, arrays)

    for k, array in enumerate(arrays):
        for index in np.ndindex(*array.shape):
            step = eps * max(1.0, abs(float(array[index])))
            numerical = _derivative(value, arrays, k, index, step, complex_step)
            found = float(analytic[k][index])
            if not abs(found - numerical) <= atol + rtol * abs(numerical):
                note = _note(value, arrays, k, index, step)
                culprit = "" if note else _culprit(total, eps, max(rtol, 1e-5))
                path = culprit or _chain(total, leaves[k])
                raise GradcheckError(names[k] or f"input {k}", index, found, numerical, path, note)
    return True


def gradgradcheck(
    fn: Callable[..., Any], inputs: Any, eps: float = 1e-6, rtol: float = 1e-6, atol: float = 1e-8, seed: int = 0
) -> bool:
    """Compare second derivatives with numerical ones: :func:`gradcheck` applied to the gradient of `fn`.

    The gradient is checked as a function of the inputs and of the cotangents it starts from. Parameters,
    return value and errors are those of :func:`gradcheck`.
    """
    arrays, _ = _inputs(inputs)
    shapes = [o.shape for o in _outputs(fn(*[Tensor(a) for a in arrays]))]
    rng = np.random.default_rng([seed, 2])
    cotangents = [rng.uniform(0.5, 1.5, s) * rng.choice([-1.0, 1.0], s) for s in shapes]

    def gradient(*values: Tensor) -> tuple[Tensor, ...]:
        points, directions = values[: len(arrays)], values[len(arrays) :]
        # an input that is the output itself would otherwise be handed its own cotangent, unrecorded
        points = tuple(p.identity(x) for x in points)
        total = _project(_outputs(fn(*points)), directions)
        return grad(total, points, create_graph=True)

    return gradcheck(gradient, [*arrays, *cotangents], eps, rtol, atol, seed)


def _inputs(inputs: Any) -> tuple[list[Array], list[str | None]]:
    values = [inputs] if isinstance(inputs, (np.ndarray, Tensor, float, int)) else list(inputs)
    arrays, names = [], []
    for k, value in enumerate(values):
        array = np.array(value.data if isinstance(value, Tensor) else value)
        if array.dtype.kind in "iu":
            array = array.astype(np.float64)
        if array.dtype != np.float64:
            raise ValueError(f"gradcheck: input {k} is {array.dtype}; differences need float64")
        arrays.append(array)
        names.append(value.name if isinstance(value, Tensor) else None)
    return arrays, names


def _outputs(result: Any) -> list[Tensor]:
    outputs = [result] if isinstance(result, Tensor) else result
    if not isinstance(outputs, (list, tuple)) or not all(isinstance(o, Tensor) for o in outputs):
        raise TypeError(f"gradcheck: fn must return Tensors, got {type(result).__name__}")
    return list(outputs)


def _project(outputs: Sequence[Tensor], cotangents: Sequence[Any]) -> Tensor:
    total: Any = 0.0
    for output, cotangent in zip(outputs, cotangents, strict=True):
        total = total + p.sum(output * cotangent)
    if not isinstance(total, Tensor):
        raise TypeError("gradcheck: fn returned no outputs")
    return total


def _move(arrays: Sequence[Array], k: int, index: tuple[int, ...], step: complex) -> list[Array]:
    kind = complex if isinstance(step, complex) else float
    points = [array.astype(kind) for array in arrays]
    points[k][index] += step
    return points


def _takes_complex(value: Callable[[Sequence[Array]], Any], arrays: Sequence[Array]) -> bool:
    """Whether the function, which may look at the numbers or make Tensors of them, runs on complex ones at all."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            value([array.astype(complex) for array in arrays])
    except (TypeError, np.exceptions.ComplexWarning):
        return False
    return True


def _derivative(
    value: Callable[[Sequence[Array]], Any],
    arrays: Sequence[Array],
    k: int,
    index: tuple[int, ...],
    step: float,
    complex_step: bool,
) -> float:
    if complex_step:
        return float(np.imag(value(_move(arrays, k, index, 1j * COMPLEX_STEP))) / COMPLEX_STEP)
    right, left = _move(arrays, k, index, step), _move(arrays, k, index, -step)
    width = float(right[k][index] - left[k][index])
    return float((value(right) - value(left)) / width)


def _note(
    value: Callable[[Sequence[Array]], Any], arrays: Sequence[Array], k: int, index: tuple[int, ...], step: float
) -> str:
    """Whether the slopes to the left and to the right differ, as they do at a kink."""
    middle = value(_move(arrays, k, index, 0.0))
    right = (value(_move(arrays, k, index, step)) - middle) / step
    left = (middle - value(_move(arrays, k, index, -step))) / step
    scale = max(abs(right), abs(left), 1e-12)
    if abs(right - left) > 1e-3 * scale:
        return f"the function has a kink here: slope {left:.4g} to the left, {right:.4g} to the right"
    return ""


def _culprit(total: Tensor, eps: float, tolerance: float) -> str:
    """The first node whose own rule disagrees with differences of its own forward."""
    for node in Graph(total).nodes:
        if node.tensor is not None and node.tensor.op is not None and not _rule_holds(node, eps, tolerance):
            return f"wrong rule at {node.path} (op {node.op})"
    return ""


def _rule_holds(node: Node, eps: float, tolerance: float) -> bool:
    assert node.tensor is not None and node.tensor.op is not None
    op, values = node.tensor.op, [np.asarray(v) for v in node.tensor.values]
    rng = np.random.default_rng(node.index)
    leaves = [Tensor(v) for v in values]
    out = Tensor._apply(op, leaves, dict(node.attributes))
    cotangent = rng.uniform(0.5, 1.5, out.shape)
    if out.dtype.kind != "f":
        return True
    for k, leaf in enumerate(leaves):
        if op.rule(k) is None or leaf.dtype.kind != "f":
            continue
        direction = rng.uniform(0.5, 1.5, leaf.shape)
        analytic = float(np.sum(grad(out, leaf, cotangent)[0].data * direction))
        ends = []
        for sign in (1.0, -1.0):
            moved = list(values)
            moved[k] = values[k] + sign * eps * direction
            ends.append(op.forward(*moved, **node.attributes))
        numerical = float(np.sum((ends[0] - ends[1]) * cotangent) / (2 * eps))
        if not abs(analytic - numerical) <= tolerance * max(1.0, abs(numerical)):  # NaN is wrong too
            return False
    return True


def _chain(total: Tensor, leaf: Tensor) -> str:
    """The nodes from an input to the output, along first uses."""
    graph = Graph(total)
    users: dict[int, int] = {}
    for edge in reversed(graph.edges):
        users[edge.source] = edge.target
    if leaf.id not in {n.tensor.id for n in graph.nodes if n.tensor is not None}:
        return "the output does not depend on it in the graph (was it detached, or read with .data?)"
    at = graph.find(leaf).index
    names = [graph.nodes[at].path]
    while at in users:
        at = users[at]
        names.append(graph.nodes[at].path)
    shown = names if len(names) <= 8 else [*names[:4], "...", *names[-3:]]
    return "along " + " -> ".join(shown)
