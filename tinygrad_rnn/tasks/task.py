"""Task: a published problem as an endless supply of batches; Batch: sequences, and what is asked where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import generator, integer
from . import criteria

Array = npt.NDArray[Any]

__all__ = ["Array", "Batch", "Task"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Sequences of possibly different lengths, side by side.

    Parameters
    ----------
    inputs : (T, batch, input_size)
        Zero past each sequence's length.
    targets : (T, batch, output_size)
        Zero where nothing is asked.
    mask : (T, batch) of bool
        Where the error is measured; always within the length.
    lengths : (batch,) of int
    """

    inputs: Array
    targets: Array
    mask: Array
    lengths: Array


class Task:
    """A problem: draws batches, judges answers by its paper's criterion, knows what trivial answers cost.

    A subclass is a frozen dataclass whose fields are the parameters of the task. It says ``input_size``,
    ``output_size`` and ``loss``, and writes :meth:`draw` and, where there are closed forms, :meth:`baselines`. A
    sequence is right if all outputs are nearer to the target than ``tolerance`` wherever they are asked; with classes
    and no tolerance, if the right one exceeds all others. A task that judges otherwise writes :meth:`judge`.
    """

    tolerance: float | None = None

    @property
    def input_size(self) -> int:
        """Features of an input."""
        raise NotImplementedError

    @property
    def output_size(self) -> int:
        """Features of an output."""
        raise NotImplementedError

    @property
    def loss(self) -> str:
        """What training minimises.

        ``"mse"``, ``"cross_entropy"`` (one class a position, targets one-hot) or ``"binary"``
        (independent logistic outputs).
        """
        raise NotImplementedError

    def batch(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw `size` independent sequences.

        Raises
        ------
        ValueError, TypeError
            If `size` is no positive integer, or `rng` no NumPy generator.
        """
        name = type(self).__name__
        integer(name, "batch size", size, 1)
        generator(name, rng)
        return self.draw(int(size), rng)

    def correct(self, outputs: Any, batch: Batch) -> Array:
        """Which sequences are answered rightly, by the criterion of the paper.

        Parameters
        ----------
        outputs : (T, batch, output_size)
            Predictions in the units of the targets: probabilities for ``"cross_entropy"`` and
            ``"binary"``, values for ``"mse"``. A NaN is never right.
        batch : Batch
            What was answered.

        Returns
        -------
        (batch,) of bool
        """
        name = type(self).__name__
        if not isinstance(batch, Batch):
            raise TypeError(f"{name}.correct: needs the Batch that was answered, got {type(batch).__name__}")
        answers = np.asarray(outputs)
        if answers.shape != batch.targets.shape:
            raise ValueError(
                f"{name}.correct: outputs {answers.shape} must have the shape of the targets, {batch.targets.shape}"
            )
        return self.judge(answers, batch)

    def baselines(self) -> dict[str, float]:
        """What trivial predictors cost, by a short name; empty where no closed form is known.

        All are means over the asked positions of many sequences, for ``"mse"`` and ``"binary"`` over the
        outputs as well; nats, or squared errors for ``"mse"``. By convention ``"mean"`` is the best constant
        and ``"chance"`` guessing among the classes, ``"no memory"`` knows all but what had to be kept over
        the long lag, and ``"optimum"`` is the best there is, where that is not zero.
        """
        return {}

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw `size` sequences; the arguments are checked already."""
        raise NotImplementedError

    def judge(self, outputs: Array, batch: Batch) -> Array:
        """Which sequences are right; the shapes are checked already."""
        if self.tolerance is not None:
            return criteria.close(outputs, batch, self.tolerance)
        if self.loss != "cross_entropy":
            raise NotImplementedError(f"{type(self).__name__} has to say a tolerance, or to write judge")
        return criteria.everywhere(criteria.most_active(outputs, batch.targets > 0), batch)
