"""What if: a run once more with something in it changed, and how its gradient decays then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tinygrad_rnn import Graph, Node, Tensor, stop_gradient
from tinygrad_rnn.recurrent.states import leaves_of, rebuild
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.paper import Width
from ..plots.curves import plot_decay
from ..results import Analysis, Labelled
from ..tracing.decay import decay_rate
from ..tracing.finite import in_words
from ..tracing.replay import recorded
from ..tracing.sparkline import sparkline
from ..tracing.trace import GradientTrace, trace

__all__ = ["WhatIf", "bias_words", "rerun", "scale_words", "what_if"]

Change = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class WhatIf(Analysis):
    """Decay before and after a change.

    Attributes
    ----------
    change : str
        In words.
    before, after : Labelled (T, states)
        Gradient norm of every state at every timestep.
    half_life : Labelled (states, 2)
        In steps, before and after, see :class:`~inspector.Decay`.
    loss_before, loss_after : float
    traces : tuple of GradientTrace
        The run as it was, and the changed one, to draw or to analyse like any other.
    """

    change: str
    before: Labelled
    after: Labelled
    half_life: Labelled
    loss_before: float
    loss_after: float
    traces: tuple[GradientTrace, GradientTrace] = field(repr=False)

    def plot(self, ax: Axes | None = None, *, width: Width = None) -> Axes:
        """Both decays on one logarithmic axis, see :func:`~inspector.plot_decay`."""
        return plot_decay(dict(zip(("as it was", self.change), self.traces, strict=True)), ax=ax, width=width)

    def _text(self) -> str:
        lines = [f"{self.change}: loss {in_words(self.loss_before)} → {in_words(self.loss_after)}"]
        width = max(len(str(state)) for state in self.before.axes["state"])
        for state in self.before.axes["state"]:
            old, new = self.before["state", state], self.after["state", state]
            both = np.concatenate([old, new])
            lines.append(f"  {state:{width}}  before {sparkline(old, like=both)}  {decay_rate(old)}")
            lines.append(f"  {'':{width}}  after  {sparkline(new, like=both)}  {decay_rate(new)}")
        return "\n".join(lines)


@np.errstate(all="ignore")
def what_if(
    run: Run,
    loss: Tensor,
    *,
    hold: Mapping[str, Any] | None = None,
    bias: Mapping[str, float] | None = None,
    scale: Mapping[str, float] | None = None,
    swap: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    cut: Sequence[str] = (),
) -> WhatIf:
    """Run the graph again with something changed at every timestep, and compare the decay of the gradient.

    Names are those of :func:`~inspector.trace`, in stacks ``layer0/f``.

    Parameters
    ----------
    run : Run
    loss : Tensor
        A single number computed from the run.
    hold : mapping of name to value, optional
        Gates or other named values held at a value: ``{"f": 1.0}`` is a forget gate that stands open.
    bias : mapping of name to float, optional
        Added in front of the nonlinearity that gives a gate: ``{"f": 1.0}`` is one more of forget bias.
    scale : mapping of parameter to float, optional
        Parameters multiplied: ``{"weight_hh": 1.5}``.
    swap : mapping of name to function, optional
        Another nonlinearity for the one that gives a named value: ``{"g": tg.relu}``.
    cut : sequence of str, optional
        No gradient flows back through these: a gate, or a state on its way into the next step (``"h"`` leaves an LSTM
        its cell state's path alone; Kanuparthi et al. 2019, h-detach with probability 1).

    Returns
    -------
    WhatIf

    Raises
    ------
    KeyError
        If something is not called that, or no nonlinearity stands where one is needed.
    ValueError
        If nothing is changed, or a value does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((30, 1, 2)))
    >>> found = inspector.what_if(run, run.outputs[-1].sum(), hold={"f": 1.0}, cut=["h"])
    >>> bool(abs(found.after["state", "c"][0] - found.after["state", "c"][-1]) < 1e-12)
    True
    """
    return rerun(trace(run, loss), hold, bias, scale, swap, cut)


@np.errstate(all="ignore")
def rerun(
    before: GradientTrace,
    hold: Mapping[str, Any] | None = None,
    bias: Mapping[str, float] | None = None,
    scale: Mapping[str, float] | None = None,
    swap: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    cut: Sequence[str] = (),
    weights: Mapping[str, Any] | None = None,
) -> WhatIf:
    """:func:`what_if` of a run that has been traced; `weights` are other values of parameters, by which there are then
    no gradients.
    """
    edits = _Edits(*recorded(before.run, before.loss))
    for name, value in (hold or {}).items():
        edits.hold(name, value)
    for name, more in (bias or {}).items():
        edits.bias(name, more)
    for name, factor in (scale or {}).items():
        edits.scale(name, factor)
    for name, value in (weights or {}).items():
        edits.fill(name, value)
    for name, other in (swap or {}).items():
        edits.swap(name, other)
    for name in cut:
        edits.cut(name)
    changed, new_loss = edits.result()
    after = trace(changed, new_loss)
    return _compared(", ".join(edits.said), before, after)


def _compared(change: str, before: GradientTrace, after: GradientTrace) -> WhatIf:
    old, new = (
        Labelled(
            np.stack([found.norm(state) for state in before.states], axis=1),
            {"t": range(before.steps), "state": before.states},
            "gradient norm",
        )
        for found in (before, after)
    )
    lives = [[decay_rate(table["state", state]).half_life for table in (old, new)] for state in before.states]
    half_life = Labelled(lives, {"state": before.states, "when": ("before", "after")}, "half-life in steps")
    return WhatIf(
        change,
        old,
        new,
        half_life,
        float(before.loss.item()),
        float(after.loss.item()),
        (before, after),
        not_finite=before.not_finite or after.not_finite,
    )


class _Edits:
    """Collects changes of a run's graph, to make them all at once."""

    def __init__(self, run: Run, loss: Tensor) -> None:
        self.run = run
        self.tensors = {value.id: value for value in _values(run)}
        self.graph = Graph([loss, *self.tensors.values()])
        self.changes: dict[int, Change] = {}
        self.cuts: list[tuple[Node, int]] = []
        self.said: list[str] = []

    def hold(self, name: str, value: Any) -> None:
        """A named value is a constant at every timestep."""
        for node in self._named(name):
            try:
                held = np.broadcast_to(np.asarray(value, dtype=node.dtype), node.shape)
            except (TypeError, ValueError) as error:
                raise ValueError(f"what_if: {name} has shape {node.shape}: {error}") from None
            self._change(node, lambda was, *operands, held=held: held)
        self.said.append(f"{name} held at {_short(value)}")

    def bias(self, name: str, more: float) -> None:
        """Something is added in front of a gate's nonlinearity."""
        for node in self._nonlinear(name):
            assert node.tensor is not None and node.tensor.op is not None
            self._change(node, lambda was, z, op=node.tensor.op: op(z + more))
        self.said.append(bias_words(name, more))

    def scale(self, name: str, factor: float) -> None:
        """A parameter is multiplied."""
        self._parameter(name, lambda was, *operands: was * factor)
        self.said.append(scale_words(name, factor))

    def fill(self, name: str, value: Any) -> None:
        """A parameter has other values."""
        self._parameter(name, lambda was, *operands: value)
        self.said.append(f"{name} anew")

    def _parameter(self, name: str, change: Change) -> None:
        parameters = dict(self.run.cell.named_parameters())
        if name not in parameters:
            raise KeyError(f"what_if: no parameter is called {name!r}; there are {', '.join(parameters)}")
        if parameters[name] in self.graph:
            self._change(self.graph.find(parameters[name]), change)

    def swap(self, name: str, other: Callable[[Tensor], Tensor]) -> None:
        """A gate has another nonlinearity."""
        for node in self._nonlinear(name):
            self._change(node, lambda was, z: other(z))
        self.said.append(f"{getattr(other, 'name', None) or getattr(other, '__name__', 'another function')} for {name}")

    def cut(self, name: str) -> None:
        """No gradient flows back through a gate, or along a state into the next step."""
        states = self._state(name)
        if not states:
            for node in self._named(name):
                self._change(node, lambda was, *operands: stop_gradient(was))
        for part, field_ in states:
            carried = [state._asdict()[field_] for state in (part.initial_state, *part.states)]
            for scope, value in zip(part.scopes, self._entering(part, carried), strict=True):
                if value in self.graph:
                    index = self.graph.find(value).index
                    steps = (e for e in self.graph.edges if e.source == index)
                    own = [
                        e for e in steps if (at := self.graph.nodes[e.target].scope) is not None and at.step is scope
                    ]
                    self.cuts += [(self.graph.nodes[e.target], e.operand) for e in own]
        self.said.append(f"no gradient through {name}")

    def result(self) -> tuple[Run, Tensor]:
        """The changed run and its loss."""
        if not self.said:
            raise ValueError("what_if: nothing is changed; give hold, bias, scale, swap or cut")
        loss, *values = self.graph.edit(
            {self.graph.nodes[k]: change for k, change in self.changes.items()}, self.cuts
        ).outputs
        return _with(self.run, dict(zip(self.tensors, values, strict=True))), loss

    # ---------------------------------------------------------------------------------- looking up

    def _change(self, node: Node, change: Change) -> None:
        if node.index in self.changes:
            raise ValueError(f"what_if: {node.path} is changed twice; make one change after the other")
        self.changes[node.index] = change

    def _named(self, name: str) -> list[Node]:
        found = [
            value for (own, _), value in sorted(self.run.names.items(), key=lambda item: item[0][1]) if own == name
        ]
        if not found:
            known = ", ".join(dict.fromkeys(own for own, _ in self.run.names))
            raise KeyError(f"what_if: nothing is called {name!r}; there are {known}")
        return [self.graph.find(value) for value in found]

    def _nonlinear(self, name: str) -> list[Node]:
        nodes = self._named(name)
        for node in nodes:
            if not node.primitive.activation:
                raise KeyError(
                    f"what_if: {name} is the result of {node.op}, not of a nonlinearity such as sigmoid or tanh"
                )
        return nodes

    def _state(self, name: str) -> list[tuple[Run, str]]:
        """The run and the field of a state called `name`, in a stack ``layer0/h``."""
        parts = [("", self.run)]
        found = []
        while parts:
            prefix, run = parts.pop()
            parts += [(f"{prefix}{own}/", child) for own, child in run.children.items()]
            if not run.children:
                found += [(run, own) for own in run.initial_state._fields if prefix + own == name]
        return found

    @staticmethod
    def _entering(part: Run, carried: Sequence[Tensor]) -> Sequence[Tensor]:
        """The state that enters each step, of the initial one followed by those after each step."""
        first, *later = carried
        return [*later[1:], first] if part.reverse else [first, *later[:-1]]


def _values(run: Run) -> list[Tensor]:
    """Every Tensor that a Run holds."""
    states = (leaf for state in (run.initial_state, *run.states) for leaf in leaves_of(state))
    inner = (value for child in run.children.values() for value in _values(child))
    return [v for v in (*run.inputs, *run.outputs, *states, *run.names.values(), *inner) if isinstance(v, Tensor)]


def _with(run: Run, new: Mapping[int, Tensor]) -> Run:
    """The run with other Tensors."""

    def state(old: Any) -> Any:
        return rebuild(old, (new[leaf.id] if isinstance(leaf, Tensor) else leaf for leaf in leaves_of(old)))

    return replace(
        run,
        inputs=[new[x.id] for x in run.inputs],
        outputs=[new[h.id] for h in run.outputs],
        states=[state(s) for s in run.states],
        initial_state=state(run.initial_state),
        names={key: new[value.id] for key, value in run.names.items()},
        children={name: _with(child, new) for name, child in run.children.items()},
    )


def bias_words(name: str, more: float) -> str:
    """What adding to the bias of a gate is called."""
    return f"{more:+g} of bias in {name}"


def scale_words(name: str, factor: float) -> str:
    """What multiplying a parameter is called."""
    return f"{name} × {factor:g}"


def _short(value: Any) -> str:
    return f"{value:g}" if np.ndim(value) == 0 else f"values of shape {np.shape(value)}"
