"""Seen: a pass through one recurrent part of a model, as a run of ours, with proof that the numbers are theirs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

import tinygrad_rnn as tg
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..analysis.diagnose import Diagnosis, Outcome, diagnose, outcome
from ..picture.paper import Width
from ..plots.figures import picture
from ..reports import report
from ..results import Labelled, Result
from ..tracing.decay import decay_rate
from ..tracing.sparkline import sparkline
from ..tracing.trace import GradientTrace, trace
from .record import Record
from .replay import Replay, replay

Array = npt.NDArray[Any]

__all__ = ["Seen"]

TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "float16": 0.05, "bfloat16": 0.05}
"""The largest disagreement that rounding in PyTorch's precision explains."""


_ROOM = 2**31
"""Bytes that the gradients along time may take in float64."""


class Seen(Result):
    """What a pass of a model sent through one of its recurrent parts.

    Attributes
    ----------
    name : str
        Of the part.
    run, loss : Run, Tensor
        The part over the same inputs, with the same weights and states, and a number with the same gradient: every
        analysis and drawing takes them. The loss's value means nothing; its derivatives are those of the model's loss.
    """

    def __init__(self, name: str, record: Callable[[], Record], dtype: Any, max_batch: int | None) -> None:
        self.name = name
        self._make, self._dtype, self._max_batch = record, dtype, max_batch

    # ------------------------------------------------------------------------------------- the run

    @cached_property
    def _record(self) -> Record:
        record = self._make()
        return record if self._max_batch is None else record.first(self._max_batch)

    @cached_property
    def _replay(self) -> Replay:
        return replay(self._record, self._precision)

    @property
    def _precision(self) -> Any:
        if self._dtype is not None:
            return self._dtype
        return np.float64 if self._record.numbers * 8 <= _ROOM else np.float32

    @property
    def what(self) -> str:
        """Its class, sizes, layers and directions."""
        record, cell = self._record, self.run.cell
        gates = {"R": 1, "G": 3, "L": 4}[record.kind.name[0]]
        hidden = next(len(array) for name, array in record.weights.items() if name.startswith("weight_hh")) // gates
        layers = len(cell.layers) if isinstance(cell, tg.Stacked) else 1
        both = any(name.endswith("_reverse") for name in record.weights)
        more = [f"{layers} layers"] * (layers > 1) + ["both directions"] * both
        return ", ".join([f"{record.kind.name}({cell.input_size}, {hidden})", *more])

    @property
    def run(self) -> Run:
        """The part over time."""
        return self._replay.run

    @property
    def loss(self) -> tg.Tensor:
        """A number whose derivatives by the run are those of the model's loss."""
        return self._replay.loss

    @cached_property
    def _trace(self) -> GradientTrace:
        return trace(self.run, self.loss)

    def trace(self) -> GradientTrace:
        """The gradient along time, see :func:`inspector.trace`."""
        return self._trace

    def diagnose(self) -> Diagnosis:
        """What is wrong with it, and what would help, see :func:`inspector.diagnose`."""
        return diagnose(self.run, self.loss)

    def report(self, path: str | Path) -> Path:
        """One page about it, as of :func:`inspector.report`, with the diagnosis, and how exactly it is PyTorch's."""
        return report(self, path=path)

    @picture
    def plot(self, ax: Axes | None = None, *, width: Width = None) -> Axes:
        """The decay of the gradient along time."""
        return self._trace.plot(ax, width=width)

    # ----------------------------------------------------------------------------------- the proof

    @property
    def reached(self) -> bool:
        """Whether any gradient came to it."""
        return any(seed.any() for seed in self._record.seeds.values())

    @property
    def agreement(self) -> float:
        """How far our gradients are from PyTorch's own: max |ours - theirs| / max |theirs| over the part's parameters.

        What is compared with is what this very pass sent to them, whatever else they are used for. Frozen weights, and
        all where only a part of the batch is looked at, leave the gradients by the inputs and the initial states.
        Infinite if nothing can be compared; :attr:`remark` says why.
        """
        return self._compared[0]

    @property
    def readers(self) -> int:
        """The number of timesteps at which the loss reads its outputs."""
        along = [seed for name, seed in self._record.seeds.items() if name == "outputs" or self._record.kind.steps_once]
        return sum(any(seed[t].any() for seed in along) for t in range(len(self.run)))

    @property
    def remark(self) -> str:
        """What the agreement rests on, or what is in its way."""
        return self._compared[1]

    @cached_property
    def trusted(self) -> bool:
        """Whether the run gives out what the module gave, and gradients that differ by no more than rounding."""
        most = TOLERANCE[self._record.precision]
        return self._drift <= most and (self.agreement <= most or not self.reached)

    @cached_property
    def _drift(self) -> float:
        """How far the outputs of the run are from those of the module."""
        theirs = self._record.outputs
        return _distance([(self.run.stacked.data, theirs)])

    @cached_property
    def _compared(self) -> tuple[float, str]:
        record = self._record
        most = TOLERANCE[record.precision]
        theirs = {name: array for name, array in record.theirs.items() if name in record.weights}
        remark = "on the gradients of its parameters"
        if not theirs:
            theirs, remark = dict(record.theirs), "on the gradient of its inputs"
        if not self.reached:
            return math.inf, "no gradient reached it"
        if not theirs:
            return math.inf, self._nothing_to_compare()
        ours = {name: self._ours(name) for name in theirs}
        found = _distance([(ours[name].reshape(array.shape), array) for name, array in theirs.items()])
        if self._drift > most:
            remark = f"its outputs differ by {self._drift:.2g}: {self._why_it_differs()}"
        elif not math.isfinite(found):
            remark = "a gradient is not finite"
        elif found > most:
            remark = f"more than rounding in {record.precision}: {self._why_it_differs()}"
        return found, remark

    def _ours(self, name: str) -> Array:
        """Our gradient by what PyTorch has under a name."""
        made, found = self._replay, self._trace
        if name == "x":
            return np.stack([found.gradient("x", t) for t in range(len(made.run))])
        if name in made.states:
            return np.stack([gradient.data for gradient in tg.grad(made.loss, made.states[name])])
        return found.parameter_gradient(name if name in found.parameters else name.replace("_l0", ""))

    def _nothing_to_compare(self) -> str:
        if self._max_batch is not None:
            return "of a part of the batch only the gradient of the inputs can be compared, and they ask for none"
        return "neither its parameters nor its inputs ask for a gradient"

    def _why_it_differs(self) -> str:
        kind = self._record.kind
        if self._drift > TOLERANCE[self._record.precision]:
            if kind.dropout:
                return "the masks that dropout drew between its layers could not be drawn again"
            return f"its forward is not that of torch.nn.{kind.name}, or its weights or inputs changed during the pass"
        if self._record.differentiated:
            return (
                "a gradient was differentiated again (create_graph=True), and what comes back through that cannot be"
                " replayed; look at a pass without this penalty"
            )
        if self._record.precision == "float64":
            return "a gradient came to it from elsewhere than its outputs and states, as through a changed backward"
        return "in float32 a gradient that grows along time loses digits; run the model in float64 to see"

    # ----------------------------------------------------------------------------------- in words

    @property
    def outcome(self) -> Outcome:
        """The verdict on the gradient along time, what is left of it at the other end, and its half-life."""
        return outcome(self._trace, math.isfinite(self._drift))

    @np.errstate(all="ignore")
    def _text(self) -> str:
        lines = [f"{self.name}: {self.what}, {counted(len(self.run), 'step')}, batch of {self._record.inputs.shape[1]}"]
        if not self.reached:
            lines.append("no gradient reached it: all is 0")
        wide = max(map(len, self._trace.states))
        for state in self._trace.states:
            norms = self._trace.norm(state)
            lines.append(f"  {state:{wide}}  {sparkline(norms, 40)}  {decay_rate(norms)}")
        lines.append(
            f"against PyTorch: {self.proof} ({self.remark})" if self.trusted else f"against PyTorch: {self.proof}"
        )
        return "\n".join(lines)

    @property
    def proof(self) -> str:
        """Whether the numbers are PyTorch's, in a few words."""
        if not math.isfinite(self.agreement):
            same = (
                "outputs agree" if self._drift <= TOLERANCE[self._record.precision] else "do not trust: outputs differ"
            )
            return f"not compared, {self.remark}; {same} ({self._drift:.1e})"
        if self.trusted:
            return f"agrees to {self.agreement:.1e}{self._room}"
        return f"do not trust: off by {self.agreement:.1e}, {self.remark}"

    @property
    def _room(self) -> str:
        """That the replay is in float32 only, if nobody asked for it."""
        if self._dtype is not None or self._precision is not np.float32:
            return ""
        return f", in float32: float64 would take {self._record.numbers * 8 / 2**30:.1f} GB"

    def tables(self) -> dict[str, Labelled]:
        """The norms of the gradient along time, as of a trace."""
        return self._trace.tables()

    def facts(self) -> dict[str, Any]:
        """The part, its cell, and the agreement with PyTorch."""
        return {
            "name": self.name,
            "cell": self.what,
            "agreement": self.agreement,
            "remark": self.remark,
            **self._trace.facts(),
        }

    def records(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """One line for each timestep and name, as of a trace."""
        return self._trace.records()


def _distance(pairs: Iterable[tuple[Array, Array]]) -> float:
    """The largest difference as a share of the largest number on the right; infinite if any is not finite."""
    worst = largest = 0.0
    for ours, theirs in pairs:
        if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
            return math.inf
        worst = max(worst, float(np.abs(ours - theirs).max(initial=0.0)))
        largest = max(largest, float(np.abs(theirs).max(initial=0.0)))
    if not largest:
        return math.inf if worst else 0.0
    return worst / largest
