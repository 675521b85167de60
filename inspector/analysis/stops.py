"""Where the gradient stops on its way back to a value, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn import Scope, Tensor, grad, tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.cotangent import dense
from tinygrad_rnn.autodiff.sweep import sweep
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..results import Analysis
from ..tracing.finite import NotFinite, first_not_finite, not_finite_behind
from ..tracing.trace import norm_of

__all__ = ["Stop", "Stops", "cuts", "descendants", "stops"]


class Stop(NamedTuple):
    """A dead end.

    Attributes
    ----------
    reason : str
        ``"detached"``, ``"truncated"``, ``"no derivative"``, ``"multiplied by zero"``, ``"masked"``, ``"saturated"``,
        ``"underflow"``, ``"zero derivative"``, ``"not recorded"`` or ``"no path"``.
    path : str
        The operation at which it stops, such as ``t=3/f``.
    timestep : int or None
    says : str
        The reason in words.
    name : str
        What the operation is called within its timestep, such as ``f``.
    """

    reason: str
    path: str
    timestep: int | None
    says: str
    name: str


@dataclass(frozen=True, eq=False)
class Stops(Analysis):
    """Whether a gradient reaches a value, and if not, all the dead ends.

    Attributes
    ----------
    value : str
    norm : float
        Of the gradient that reaches the value.
    reasons : tuple of Stop
        From the loss backwards; also those beside a way on which the gradient does get through.
    """

    value: str
    norm: float
    reasons: tuple[Stop, ...]

    def _text(self) -> str:
        arrives = (
            "a gradient that is not finite arrives"
            if not np.isfinite(self.norm)
            else f"a gradient of norm {self.norm:.3g} arrives"
        )
        head = f"{self.value}: {arrives if self.norm else 'no gradient arrives'}"
        return "\n".join([head, *(f"  {line}" for line in self.lines())])

    def lines(self) -> Iterator[str]:
        """The dead ends in words, one line for those of several timesteps that are alike."""
        alike: dict[tuple[str, str, str], list[int | None]] = {}
        for stop in self.reasons:
            alike.setdefault((stop.reason, stop.name, stop.says), []).append(stop.timestep)
        for (reason, name, says), steps in alike.items():
            known = [t for t in steps if t is not None]
            times = (
                f", t = {known[0]}" if len(set(known)) == 1 else f", t = {max(known)} … {min(known)}" if known else ""
            )
            yield f"{reason}: {says} ({name}{times})"


@np.errstate(all="ignore")
def stops(loss: Tensor, value: Tensor, run: Run | None = None) -> Stops:
    """Follow every way from `loss` back to `value`, and tell at which operations the gradient becomes zero.

    Parameters
    ----------
    loss : Tensor
        A single number.
    value : Tensor
        Any value or leaf, such as ``run.states[0].h``.
    run : Run, optional
        Helps to find where something that depends on `value` was detached.

    Returns
    -------
    Stops

    Raises
    ------
    ValueError
        If `loss` is not a single number.

    Examples
    --------
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([-1.0, -2.0], name="x")
    >>> print(inspector.stops(tg.relu(x).sum(), x))
    x: no gradient arrives
      saturated: relu has slope 0 at all 2 elements (relu)
    """
    if not isinstance(loss, Tensor) or loss.size != 1:
        raise ValueError(
            f"stops: loss must be a Tensor of a single number, got {getattr(loss, 'shape', type(loss).__name__)}"
        )
    order = ancestors([loss])
    behind = descendants(order, value)
    node_norms: dict[int, float] = {}
    edge_norms: dict[tuple[int, int], float] = {}
    if loss.id not in behind:
        return Stops(
            value.path, 0.0, tuple(_unconnected(order, value, run)), not_finite=_ill(loss, run, node_norms, edge_norms)
        )
    found: list[tuple[int, Stop]] = []
    sent: dict[int, tuple[Any, float]] = {}
    for node, total, edges in sweep(
        [loss], [np.ones(loss.shape, loss.dtype)], [node for node in order if node.id in behind]
    ):
        latest, norm = sent.pop(node.id, (None, 0.0))  # mostly all that arrives comes along one edge
        node_norms[node.id] = norm = norm if latest is total else norm_of(total)
        for operand, part in edges:
            arrives = edge_norms[node.id, operand] = norm_of(part)
            sent[node.inputs[operand].id] = part, arrives
        if norm and node.id in behind and node.id != value.id:
            ways = [k for k, source in enumerate(node.inputs) if isinstance(source, Tensor) and source.id in behind]
            found += [(node.id, _why(node, k, dense(total))) for k in ways if not edge_norms.get((node.id, k))]
    return Stops(
        value.path,
        node_norms.get(value.id, 0.0),
        tuple(stop for _, stop in sorted(found, key=lambda pair: -pair[0])),
        not_finite=_ill(loss, run, node_norms, edge_norms),
    )


def _ill(
    loss: Tensor, run: Run | None, node_norms: dict[int, float], edge_norms: dict[tuple[int, int], float]
) -> NotFinite | None:
    """Where it is not finite on the way, or else in the run."""
    return not_finite_behind(loss, node_norms, edge_norms, run) or (first_not_finite(run) if run is not None else None)


def descendants(order: list[Tensor], value: Tensor) -> set[int]:
    """The ids of `value` and of everything in `order` (oldest first) that is computed from it."""
    found = {value.id}
    for node in order:
        if any(isinstance(source, Tensor) and source.id in found for source in node.inputs):
            found.add(node.id)
    return found


def cuts(order: list[Tensor]) -> Iterator[tuple[Tensor, str]]:
    """The values that were cut from their history, with where, newest first."""
    for node in reversed(order):
        origin = getattr(node, "origin", None)
        if origin is not None:
            yield node, "computed under no_grad" if origin.how == "no_grad" else f"{origin.how} at {origin.where}"


# ----------------------------------------------------------------------------------------- reasons


def _why(node: Tensor, operand: int, total: Any) -> Stop:
    """Why nothing of the cotangent `total` of `node` comes through to one operand."""
    return _stop(node, *_reason(node, operand, total))


def _stop(value: Tensor, reason: str, says: str) -> Stop:
    links = value.scope.chain() if value.scope is not None else []
    step = max((k for k, link in enumerate(links) if link.kind == "timestep"), default=-1)
    return Stop(reason, value.path, value.timestep, says, _joined(links[step + 1 :], value))


def _joined(links: Iterable[Scope], value: Tensor) -> str:
    """The name of a value, or of its operation, after those of scopes around it."""
    own = value.name or (value.op.name if value.op is not None else "leaf")
    return "/".join([*(link.name or link.kind for link in links), own])


def _reason(node: Tensor, operand: int, total: Any) -> tuple[str, str]:
    assert node.op is not None
    if node.op.name == "stop_gradient":
        where = node.origin.where
        if "/tinygrad_rnn/recurrent/unroll.py:" in where.replace("\\", "/"):
            return "truncated", "a window of truncated BPTT ends here"
        return "detached", f"detached at {where}"
    if node.op.rule(operand) is None:
        return "no derivative", f"{node.op.name} has no derivative by this operand"
    if (kind := np.asarray(node.values[operand]).dtype).kind != "f":
        return "no derivative", f"{node.op.name} reads {kind}, and only floating numbers have a derivative"
    if _local(node, operand, total / np.abs(total).max()):
        return (
            "underflow",
            (
                f"underflow in {node.op.name}: a cotangent of at most {np.abs(total).max():.1e} times a small"
                f" derivative is 0 in {total.dtype}"
            ),
        )
    other = next((v for k, v in enumerate(node.values) if k != operand), None)
    if node.op.name == "multiply" and other is not None and not np.any(other):
        source = node.inputs[1 - operand]
        name = _seen_from(node, source) if isinstance(source, Tensor) else "a constant"
        return "multiplied by zero", f"multiplied by {name}, which is exactly 0"
    if node.op.name == "where":
        return "masked", "the condition of where picks the other side at every element"
    if node.op.kind in ("nonlinear", "choice"):
        return "saturated", f"{node.op.name} has slope 0 at all {counted(np.size(node.values[operand]), 'element')}"
    return "zero derivative", f"the derivative of {node.op.name} is 0 here"


def _seen_from(node: Tensor, value: Tensor) -> str:
    """The path of a value, without the timestep if that is the same."""
    if value.scope is None or value.timestep != node.timestep:
        return value.path
    return _joined([link for link in value.scope.chain() if link.kind != "timestep"], value)


def _local(node: Tensor, operand: int, cotangent: Any) -> bool:
    """Whether anything of a cotangent comes through the operation by itself."""
    assert node.op is not None
    leaves = [tensor(v) if k == operand else v for k, v in enumerate(node.values)]
    (part,) = grad(node.op.on(tuple(leaves), dict(node.attributes)), leaves[operand], grad_output=cotangent)
    return bool(np.any(part.data))


def _unconnected(order: list[Tensor], value: Tensor, run: Run | None) -> Iterator[Stop]:
    """Why the loss does not depend on a value at all."""
    known = {value.id}
    if run is not None:
        known = descendants(ancestors([*run.names.values(), *run.outputs]), value)
    found = False
    for node, where in cuts(order):
        if node.origin.source in known:
            found = True
            yield _stop(node, "detached", where)
    if not found:
        for node, where in cuts(order):
            if node.origin.how == "no_grad":
                found = True
                yield _stop(node, "not recorded", where)
    if not found:
        yield _stop(value, "no path", "the loss was not computed from it")
