"""The duality line: a visual proof that gradients are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from tinygrad_rnn import Bidirectional, Tensor, grad, tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.states import leaves_of
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.curve_styles import styles
from ..picture.paper import Width
from ..picture.theme import ALARM
from ..plots.curves import mark_rows, plain_axes
from ..plots.figures import axes_of, picture
from ..plots.legends import title
from ..results import Analysis, Labelled
from ..tracing.replay import recorded
from ..tracing.trace import trace

__all__ = ["Duality", "duality"]


@dataclass(frozen=True, eq=False)
class Duality(Analysis):
    """The same inner product at every cut between two timesteps.

    Attributes
    ----------
    products : Labelled (T + 1,)
        At the cut in front of each step, and behind the last: the inner product of the tangent pushed forward to the
        cut with the cotangent pulled back to it, and of what the loss has read before the cut.
    deviation : float
        The largest difference from their mean, relative to the largest sum of absolute values that makes up a product.
    """

    products: Labelled
    deviation: float

    @picture
    def plot(self, ax: Axes | None = None, *, width: Width = None) -> Axes:
        """A flat line; a derivative that is wrong at one step is a kink there."""
        axes, values = axes_of(ax, 8.0, 3.4), self.products.values
        axes.plot(np.arange(len(values)), values, **styles(["product"])["product"].line(len(values)))
        usual = values[np.isfinite(values)]
        middle = float(usual.mean()) if usual.size else 0.0
        reach = max(abs(middle) * 0.5, float(np.abs(usual - middle).max(initial=0.0)) * 1.2, 1e-300)
        axes.set_ylim(middle - reach, middle + reach)
        mark_rows(axes, [], [(~np.isfinite(values), ALARM)])
        axes.set(xlabel="cut in front of timestep t", ylabel="⟨cotangent, tangent⟩")
        title(axes, self._title())
        plain_axes(axes)
        return axes

    def _title(self) -> str:
        finite = np.isfinite(self.products.values).all()
        return (
            f"Duality: the same at every cut, to {self.deviation:.1e}" if finite else "Duality: not finite at every cut"
        )

    def _text(self) -> str:
        values = self.products.values
        if not np.isfinite(values).all():
            return (
                f"⟨cotangent, tangent⟩ is finite at {np.isfinite(values).sum()} of {counted(len(values), 'cut')}:"
                " nothing to compare"
            )
        return (
            f"⟨cotangent, tangent⟩ is {values.mean():.6g} at each of {counted(len(values), 'cut')}, to"
            f" {self.deviation:.1e}"
        )


@np.errstate(all="ignore")
def duality(run: Run, loss: Tensor, seed: int = 0) -> Duality:
    """Push a random tangent of the initial state forward, pull the cotangent of `loss` back, and multiply at every cut.

    With J_t the Jacobian of the steps up to t, ⟨λ_t, J_t v⟩ = ⟨J_tᵀ λ_t, v⟩ is the same number wherever the sequence is
    cut: the derivative of the loss along v. The forward half uses no rule of its own: as uᵀ(J v) is linear in u, its
    gradient by u is J v.

    Parameters
    ----------
    run : Run
        Of a cell or a stack, in one direction.
    loss : Tensor
        A single number computed from the run.
    seed : int
        Of the tangent, which is normally distributed.

    Returns
    -------
    Duality

    Raises
    ------
    ValueError
        If the run has two directions, or the loss does not depend on its initial state.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.GRUCell(2, 3, seed=0), np.ones((20, 1, 2)))
    >>> bool(inspector.duality(run, run.outputs[-1].sum()).deviation < 1e-12)
    True
    """
    if isinstance(run.cell, Bidirectional):
        raise ValueError("duality: two directions have no cut between steps; take the run of one of them")
    run, loss = recorded(run, loss)
    known = {node.id for node in ancestors([loss])}
    start = [leaf for part in run.cells for leaf in leaves_of(part.initial_state) if leaf.id in known]
    if not start:
        raise ValueError("duality: the loss does not depend on the run's initial state")
    tangents = _pushed(run, start, seed)
    cut, read = _pulled(run, loss, set(tangents))
    steps = range(len(run))
    order = [*reversed(steps)] if run.reverse else [*steps]
    products, sizes = [], []
    seen: list[float] = []
    for t in (None, *order):
        seen += [_dot(part, tangents[key]) for key, part in read.get(t, [])]
        crossing = [_dot(part, tangents[key]) for key, part in cut.get(t, [])]
        products.append(sum(seen) + sum(crossing))
        sizes.append(sum(map(abs, seen)) + sum(map(abs, crossing)))
    labels = ["start", *order]
    deviation = float(np.abs(np.array(products) - np.mean(products)).max() / max(*sizes, 1e-300))
    return Duality(
        Labelled(products, {"behind t": labels}, "inner product"), deviation, not_finite=trace(run, loss).not_finite
    )


def _pushed(run: Run, start: list[Tensor], seed: int) -> dict[int, npt.NDArray[Any]]:
    """The tangent of every state and output, by id, for a random tangent of the initial state."""
    rng = np.random.default_rng(seed)
    direction = [rng.normal(size=leaf.shape).astype(leaf.dtype) for leaf in start]
    values = {leaf.id: leaf for part in run.cells for state in part.states for leaf in leaves_of(state)}
    values |= {h.id: h for part in run.cells for h in part.outputs}
    inside = {node.id for node in ancestors(list(values.values()))}
    roots = [leaf for leaf in start if leaf.id in inside]
    probes = {
        key: tensor(np.zeros(value.shape), dtype=value.dtype, requires_grad=True) for key, value in values.items()
    }
    found = {leaf.id: v for leaf, v in zip(start, direction, strict=True)}
    reached = {key: value for key, value in values.items() if key not in found}
    total = sum(((probes[key] * value).sum() for key, value in reached.items()), tensor(0.0))
    pulled = grad(total, roots, create_graph=True)
    along = sum(((part * found[leaf.id]).sum() for leaf, part in zip(roots, pulled, strict=True)), tensor(0.0))
    pushed = grad(along, [probes[key] for key in reached])
    return found | {key: part.data for key, part in zip(reached, pushed, strict=True)}


Parts = dict[int | None, list[tuple[int, npt.NDArray[Any]]]]


def _pulled(run: Run, loss: Tensor, wanted: set[int]) -> tuple[Parts, Parts]:
    """What flows back, by the value's id: into the next step, by the timestep that the value leaves; and from
    outside all steps.
    """
    at: dict[int, int | None] = {leaf.id: None for own in run.cells for leaf in leaves_of(own.initial_state)}
    for own in run.cells:
        for t in range(len(run)):
            at.update((leaf.id, t) for leaf in (*leaves_of(own.states[t]), own.outputs[t]) if leaf.id not in at)
    steps = {scope for own in run.cells for scope in own.scopes}
    order = ancestors([loss])
    cut: Parts = {}
    read: Parts = {}
    for node, _, edges in sweep(
        [loss], [np.ones(loss.shape, loss.dtype)], [node for node in order if node.id in wanted]
    ):
        step = node.scope.step if node.scope is not None else None
        for operand, part in edges:
            source = node.inputs[operand].id
            if source not in wanted:
                continue
            if step not in steps:
                read.setdefault(at[source], []).append((source, dense(part)))
            elif node.timestep != at[source]:
                for crossed in _between(run, at[source], node.timestep):
                    cut.setdefault(crossed, []).append((source, dense(part)))
    return cut, read


def _between(run: Run, left: int | None, entered: int | None) -> Iterator[int | None]:
    """The cuts that a value crosses on its way from the step it leaves to the step that reads it."""
    order: list[int | None] = [None, *(reversed(range(len(run))) if run.reverse else range(len(run)))]
    yield from order[order.index(left) : order.index(entered)]


def _dot(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    return float(np.sum(a * b))
