"""LSTM as it was trained in 1997: on-line, one sequence at a time, many trials side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import integer
from ..models import SequenceModel
from ..plurals import counted
from ..tasks import Task
from .truncated_rtrl import Net, check_net

Array = npt.NDArray[Any]
Example = tuple[Array, Array, Array]
"""Inputs (T, input_size), targets (T, output_size) and mask (T,) of a single sequence."""

__all__ = ["Example", "OnlineLSTM1997", "stream"]


class OnlineLSTM1997:
    """Nets of 1997 that learn on-line, side by side: each has weights, a stream and a pace of its own.

    Activations begin at zero with every sequence. All trials advance together by one time step, so that
    many small nets cost little more than one, while sequences may begin and end anywhere.

    Hochreiter & Schmidhuber 1997. The paper leaves open whether weights change at every step or after
    every sequence where both differ; both are here.

    Parameters
    ----------
    models : sequence of SequenceModel
        The trials: ``SequenceModel(LSTM1997Cell(..., truncated=True), O, output="sigmoid")``, all of one
        architecture; their weights are where learning begins.
    streams : sequence of iterators
        One a trial, of sequences: tuples of inputs (T, input_size), targets (T, output_size) and mask (T,).
        See :func:`stream`. A trial rests once its stream ends.
    lr : float or (trials,)
        Learning rate, for gradients of ``1/2 sum (t - y)**2``.
    update : {"step", "string"}
        Change weights at every step, or once at the end of a sequence.

    Attributes
    ----------
    sequences : (trials,) of int
        How many each trial has read to their end.
    running : (trials,) of bool

    Raises
    ------
    TypeError
        If a model is not of that kind.
    ValueError
        If the models differ in architecture, or an argument is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn.baselines.online1997 import OnlineLSTM1997, stream
    >>> cells = [tg.cells.LSTM1997Cell(1, 2, truncated=True, seed=seed) for seed in range(3)]
    >>> models = [tg.models.SequenceModel(cell, 1, output="sigmoid", seed=0) for cell in cells]
    >>> rng = np.random.default_rng(0)
    >>> trainer = OnlineLSTM1997(models, [stream(tg.tasks.Parity(3, 4), rng) for _ in models], lr=0.5)
    >>> errors = trainer.train(100)
    >>> [len(e) for e in errors] == trainer.sequences.tolist()
    True
    """

    def __init__(
        self, models: Sequence[SequenceModel], streams: Sequence[Iterator[Example]], lr: Any, *, update: str = "step"
    ) -> None:
        who = type(self).__name__
        self.models = _alike(who, models)
        if len(streams) != len(self.models):
            raise ValueError(
                f"{who}: {counted(len(self.models), 'model needs', plural='models need')} as many streams, got"
                f" {len(streams)}"
            )
        if update not in ("step", "string"):
            raise ValueError(f"{who}: update must be 'step' or 'string', got {update!r}")
        self.lr = _rates(who, lr, len(self.models))
        self.by_string = update == "string"
        self.net = Net(who, self.models[0].cell, self.models[0].readout)
        named = [self.net.arrays(model.cell, model.readout) for model in self.models]
        self.weights = self.net.pack({name: np.stack([each[name] for each in named]) for name in named[0]})
        self.pending = [np.zeros_like(matrix) for matrix in self.weights]
        self.net.begin(len(self.models))
        self.reader = _Reader(who, streams, self.net.inputs, self.net.outputs)
        self.worst = np.zeros(len(self.models))
        self.sequences = np.zeros(len(self.models), int)

    @property
    def running(self) -> Array:
        """Which trials still have something to read, (trials,) of bool."""
        return self.reader.lengths > 0

    def train(self, steps: int) -> list[Array]:
        """Advance every trial by so many time steps.

        Returns
        -------
        list of ndarray
            For each trial the largest error |t - y| at any asked position, one for each sequence that ended
            meanwhile.
        """
        integer(type(self).__name__, "steps", steps, 0)
        ended: list[list[float]] = [[] for _ in self.models]
        for _ in range(steps):
            if not self.reader.lengths.any():
                break
            self._advance()
            for k in self.reader.turn():
                ended[k].append(float(self.worst[k]))
                self._finish(k)
        return [np.array(errors) for errors in ended]

    def store(self) -> None:
        """Write the weights back into the models, to judge them or to save them."""
        for k, model in enumerate(self.models):
            own = self.net.unpack([matrix[k] for matrix in self.weights])
            model.load_state_dict({name: own[name] for name, _ in model.named_parameters()})

    def _advance(self) -> None:
        x, target, asked = self.reader.now()
        y = self.net.forward(self.weights, x)
        if not asked.any():
            return
        error = (y - target) * asked[:, None]
        np.maximum(self.worst, np.abs(error).max(axis=1), out=self.worst)
        for weight, pending, share in zip(
            self.weights, self.pending, self.net.gradients(self.weights, error), strict=True
        ):
            if self.by_string:
                pending += share
            else:
                weight -= self.lr * share

    def _finish(self, k: int) -> None:
        if self.by_string:
            for weight, pending in zip(self.weights, self.pending, strict=True):
                weight[k] -= self.lr[k] * pending[k]
                pending[k] = 0.0
        self.net.forget(k)
        self.worst[k] = 0.0
        self.sequences[k] += 1
        self.reader.load(k)


def stream(task: Task, rng: np.random.Generator, *, together: int = 64) -> Iterator[Example]:
    """An endless stream of single sequences of a task, each cut to its own length.

    Parameters
    ----------
    task : Task
    rng : numpy.random.Generator
    together : int
        Sequences drawn at once, which is faster.
    """
    integer("stream", "together", together, 1)
    while True:
        batch = task.batch(together, rng)
        for k, length in enumerate(batch.lengths):
            yield batch.inputs[:length, k], batch.targets[:length, k], batch.mask[:length, k]


class _Reader:
    """Where each stream is: its present sequence in a row of padded arrays, and the position in it."""

    def __init__(self, who: str, streams: Sequence[Iterator[Example]], inputs: int, outputs: int) -> None:
        self.who, self.streams = who, [iter(each) for each in streams]
        count = len(streams)
        self.inputs = np.zeros((count, 1, inputs))
        self.targets = np.zeros((count, 1, outputs))
        self.mask = np.zeros((count, 1), bool)
        self.lengths, self.position = np.zeros(count, int), np.zeros(count, int)
        self.rows = np.arange(count)
        for k in range(count):
            self.load(k)

    def now(self) -> Example:
        """Inputs, targets and mask of this step, one row a stream."""
        here = self.rows, self.position
        return self.inputs[here], self.targets[here], self.mask[here]

    def turn(self) -> list[int]:
        """Go on by a step; which sequences end with that."""
        self.position += self.lengths > 0
        ended = np.flatnonzero((self.position == self.lengths) & (self.lengths > 0))
        return [int(k) for k in ended]

    def load(self, k: int) -> None:
        """Begin the next sequence of stream `k`, or nothing if it has ended."""
        sequence = next(self.streams[k], None)
        self.position[k] = self.lengths[k] = 0
        self.inputs[k], self.mask[k] = 0.0, False
        if sequence is None:
            return
        x, target, asked = (np.asarray(part) for part in sequence)
        length = len(x)
        if length < 1 or x.shape[1:] != self.inputs.shape[2:] or target.shape != (length, self.targets.shape[2]):
            raise ValueError(
                f"{self.who}: a sequence must be inputs (T, {self.inputs.shape[2]}), targets "
                f"(T, {self.targets.shape[2]}) and mask (T,), got {x.shape}, {target.shape}, {asked.shape}"
            )
        missing = length - self.mask.shape[1]
        if missing > 0:
            self.inputs, self.targets, self.mask = (
                np.pad(part, [(0, 0), (0, missing), (0, 0)][: part.ndim])
                for part in (self.inputs, self.targets, self.mask)
            )
        self.inputs[k, :length], self.targets[k, :length], self.mask[k, :length] = x, target, asked
        self.lengths[k] = length


def _alike(who: str, models: Sequence[SequenceModel]) -> list[SequenceModel]:
    found = list(models)
    if not found:
        raise ValueError(f"{who}: needs at least one model, got {models!r}")
    kinds = set()
    for model in found:
        if not isinstance(model, SequenceModel):
            raise TypeError(f"{who}: models must be SequenceModels, got {type(model).__name__}")
        cell: Any = model.cell
        check_net(who, cell, model.readout)
        if model.output != "sigmoid":
            raise ValueError(
                f"{who}: the rule is for logistic outputs; make the model with output='sigmoid', got {model.output!r}"
            )
        shapes = tuple((name, array.shape) for name, array in model.state_dict().items())
        kinds.add((shapes, cell.blocks, cell.g, cell.h))
    if len(kinds) > 1:
        raise ValueError(f"{who}: all models must be of one architecture, got {len(kinds)}")
    return found


def _rates(who: str, lr: Any, count: int) -> Array:
    rates = np.asarray(lr, float) if isinstance(lr, (Real, list, tuple, np.ndarray)) else np.zeros(0)
    if rates.shape not in ((), (count,)) or not (rates > 0).all():
        raise ValueError(f"{who}: lr must be positive, one number or {count}, got {lr!r}")
    return np.broadcast_to(rates, (count,)).reshape(count, 1, 1)
