"""The first value of a run that is not finite, or else the first gradient, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.anomaly import is_finite, kind_of
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from .values import parts_of, recorded_values

if TYPE_CHECKING:
    from .trace import GradientTrace

__all__ = ["NotFinite", "first_not_finite", "in_words", "not_finite_behind"]

Names: TypeAlias = Mapping[int, str]
Leaves: TypeAlias = Mapping[int, tuple[str, str, Tensor]]
"""By Tensor id what a value is called, and of what was given its kind, name and Tensor."""


@dataclass(frozen=True)
class NotFinite:
    """Where a run stops being finite; as text a sentence. Made by :func:`first_not_finite`.

    Attributes
    ----------
    kind : {"NaN", "infinity"}
    source : {"value", "parameter", "input", "initial state", "leaf", "constant", "gradient"}
        A ``"value"`` was computed from finite ones; parameters, inputs and so on brought it along; ``"gradient"`` means
        that all values are finite, and a gradient on its way back is not.
    timestep : int or None
        Of the operation; none outside the steps, as in the loss.
    name : str or None
        The state or gate that the operation gives or leads to: ``h``, ``layer0/z_f``.
    operation : str or None
        What computed it, first read it, or sent it back; not known of a run of several cells at once.
    culprit : str
        What brought it along, such as ``weight_hh (1 of 64 numbers)``; empty for a value or a gradient.
    """

    kind: str
    source: str
    timestep: int | None
    name: str | None
    operation: str | None
    culprit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The sentence as ``says``, and what it is made of."""
        return {"says": str(self), **asdict(self)}

    def __str__(self) -> str:
        at = "in the loss" if self.timestep is None else f"since t = {self.timestep}"
        if self.source == "gradient":
            at = "" if self.timestep is None else f" from t = {self.timestep} back"
            sent = f"in what {self._operation()} sends back" if self.operation else f"in that of {self.name}"
            return f"gradient not finite{at}: {self.kind} first appears {sent}; all values are finite"
        if self.source == "value":
            return f"not finite {at}: {self.kind} first appears in {self._operation()}"
        read = f", first read by {self._operation()}" if self.operation else ""
        return f"not finite {at}: {self.kind} in the {self.source} {self.culprit}{read}"

    def _operation(self) -> str:
        if not self.operation:
            return str(self.name)
        return self.operation + (f" for {self.name}" if self.name else "")


def in_words(value: float, spec: str = ".4g", instead: str = "not finite") -> str:
    """A number as text, or a word for what is NaN or infinite."""
    return format(value, spec) if np.isfinite(value) else instead


def first_not_finite(run: Run, trace: GradientTrace | None = None) -> NotFinite | None:
    """Find where NaN or infinity first appears in a run, or with a trace, where it does in the gradient.

    What is masked out, such as NaN in the padding of a batch, is not counted: a value counts if it leaves a state, a
    gate, an output, the loss or a gradient not finite.

    Parameters
    ----------
    run : Run
        With every operation on record; of a compiled one only names and timesteps are found. A trace's own
        ``not_finite`` replays it.
    trace : GradientTrace, optional
        Of a loss of this run.

    Returns
    -------
    NotFinite or None
        None if all is finite.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> x = np.ones((5, 1, 2))
    >>> x[3, 0, 1] = np.inf
    >>> with np.errstate(invalid="ignore"):
    ...     run = tg.unroll(tg.cells.RNNCell(2, 3, seed=0), x)
    >>> print(inspector.first_not_finite(run))
    not finite since t = 3: infinity in the input x (1 of 2 numbers), first read by matmul for z_h
    """
    if any(part.tape is not None for part in run.cells):
        return _by_name(run, trace)
    names, leaves, results = _known(run)
    found = _in_values([*results, *([trace.loss] if trace is not None else [])], names, leaves)
    return (
        found
        if found is not None or trace is None
        else _in_gradient(trace.loss, trace.node_norms, trace.edge_norms, names, leaves)
    )


def not_finite_behind(
    loss: Tensor, node_norms: Mapping[int, float], edge_norms: Mapping[tuple[int, int], float], run: Run | None = None
) -> NotFinite | None:
    """The same of what a loss was computed from, if need be without a run; norms are those of a
    :class:`GradientTrace`.
    """
    order = ancestors([loss])
    names: Names = {node.id: node.name for node in order if node.name is not None}
    leaves: Leaves = {
        node.id: (_source(node), node.name or "without a name", node) for node in order if node.op is None
    }
    if run is not None and all(part.tape is None for part in run.cells):
        names, leaves, _ = _known(run)
    named = [node for node in order if node.id in names and node.op is not None]
    return _in_values([*named, loss], names, leaves) or _in_gradient(loss, node_norms, edge_norms, names, leaves)


def _known(run: Run) -> tuple[Names, Leaves, list[Tensor]]:
    """The names of values and what was given, by Tensor id, and all named values and outputs."""
    recorded = {key: value for key, value in recorded_values(run).items() if key[0] != "x"}
    leaves = {x.id: ("input", "x", x) for x in run.inputs} | {
        leaf.id: (source, name, leaf) for source, name, leaf in _leaves(run)
    }
    return {value.id: name for (name, _), value in recorded.items()}, leaves, [*recorded.values(), *run.outputs]


def _in_values(results: Sequence[Tensor], names: Names, leaves: Leaves) -> NotFinite | None:
    """What made the first of the results not finite that is."""
    ill = [value for value in results if not is_finite(value.data)]
    return _came_from(min(ill, key=lambda value: value.id), names, leaves) if ill else None


def _came_from(value: Tensor, names: Names, leaves: Leaves) -> NotFinite:
    """Follow what is not finite to where it was computed from finite numbers, or came in."""
    way = [value]
    while operands := [one for one in way[-1].inputs if isinstance(one, Tensor) and not is_finite(one.data)]:
        way.append(min(operands, key=lambda one: one.id))
    way.reverse()
    origin = way[0]
    brought = _brought(way, leaves)
    if brought is None:
        return NotFinite(kind_of(origin.data), "value", origin.timestep, _leads_to(origin, way, names), _name(origin))
    readers = [node for node in way if node.op is not None and node.op.kind != "view"]
    reader = next(iter(readers), way[-1])
    source, name, array = brought
    return NotFinite(
        kind_of(array),
        source,
        reader.timestep,
        _leads_to(reader, way, names),
        _name(reader),
        f"{name} ({_count(array)})",
    )


def _brought(way: Sequence[Tensor], leaves: Leaves) -> tuple[str, str, Any] | None:
    """What stands at the beginning of a way, if it was given and not computed: its kind, name and numbers."""
    for value in way:
        if value.id in leaves:
            source, name, leaf = leaves[value.id]
            return source, name, leaf.data
    origin = way[0]
    constants = [
        v
        for v in (origin.inputs if origin.op is not None else [origin.data])
        if not isinstance(v, Tensor) and not is_finite(v)
    ]
    return ("constant", origin.name or "without a name", constants[0]) if constants else None


def _count(array: Any) -> str:
    ill = int((~np.isfinite(array)).sum())
    return f"{ill} of {counted(np.size(array), 'number')}"


def _source(leaf: Tensor) -> str:
    """What a leaf is, as far as it can be told without a run: what is trained is a parameter, an ``x`` of a step
    an input.
    """
    return "parameter" if leaf.requires_grad else "input" if leaf.name == "x" and leaf.timestep is not None else "leaf"


def _name(node: Tensor) -> str:
    return node.op.name if node.op is not None else "leaf"


def _leads_to(node: Tensor, way: Sequence[Tensor], names: Names) -> str | None:
    """What an operation gives, or the first named value after it on the way."""
    return next((names[value.id] for value in way if value.id >= node.id and value.id in names), None)


def _in_gradient(
    loss: Tensor,
    node_norms: Mapping[int, float],
    edge_norms: Mapping[tuple[int, int], float],
    names: Names,
    leaves: Leaves,
) -> NotFinite | None:
    """The first operation, on the way back from the loss, that sends on what is not finite."""
    if np.isfinite([*node_norms.values(), *edge_norms.values()]).all():
        return None
    order = ancestors([loss])
    for node in reversed(order):
        sent = [edge_norms.get((node.id, operand), 0.0) for operand in range(len(node.inputs))]
        norm = next((norm for norm in [node_norms.get(node.id, 0.0), *sent] if not np.isfinite(norm)), 0.0)
        if np.isfinite(norm):
            continue
        if node.id in node_norms and np.isfinite(node_norms[node.id]):
            ill = [v for v in (node, *node.inputs) if isinstance(v, Tensor) and not is_finite(v.data)]
            if ill:  # as a value that is masked out, whose slope is NaN nevertheless
                return _came_from(min(ill, key=lambda v: v.id), names, leaves)
        step = [v for v in order if v.scope is node.scope]
        return NotFinite(
            "NaN" if np.isnan(norm) else "infinity",
            "gradient",
            node.timestep,
            _leads_to(node, step, names),
            _name(node),
        )
    return None


def _by_name(run: Run, trace: GradientTrace | None) -> NotFinite | None:
    """Where no operations are on record: the first named value, or the last gradient of one, in the order of time."""
    for brought in _leaves(run):
        if not is_finite(brought[2].data):
            source, name, found = brought
            return NotFinite(kind_of(found.data), source, 0, None, None, f"{name} ({_count(found.data)})")
    for t in range(len(run))[:: -1 if run.reverse else 1]:
        for prefix, part in parts_of(run):
            for name in dict.fromkeys(name for name, _ in part.names):
                value = part.names.get((name, t))
                if value is not None and not is_finite(value.data):
                    source = "input" if name == "x" else "value"
                    return NotFinite(
                        kind_of(value.data),
                        source,
                        t,
                        prefix + name,
                        None,
                        f"x ({_count(value.data)})" if name == "x" else "",
                    )
    return None if trace is None else _gradient_by_name(run, trace)


def _gradient_by_name(run: Run, trace: GradientTrace) -> NotFinite | None:
    for t in range(len(run))[:: 1 if run.reverse else -1]:
        for name in trace.names:
            norm = float(trace.norm(name)[t])
            if not np.isfinite(norm) and trace.has(name, t):
                return NotFinite("NaN" if np.isnan(norm) else "infinity", "gradient", t, name, None)
    return None


def _leaves(run: Run) -> Iterator[tuple[str, str, Tensor]]:
    """Parameters and initial states."""
    yield from (("parameter", name, parameter) for name, parameter in run.cell.named_parameters())
    for prefix, part in parts_of(run):
        yield from (("initial state", prefix + name, leaf) for name, leaf in part.initial_state._asdict().items())
