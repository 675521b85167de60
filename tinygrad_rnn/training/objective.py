"""What a model is trained and judged on: the loss of a task where it asks, and its answers in the task's units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import one_of
from ..autodiff.functions import softmax
from ..autodiff.primitives import getitem, sigmoid
from ..autodiff.scope import no_grad
from ..autodiff.tensor import Tensor
from ..losses import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from ..models import Prediction
from ..tasks import Batch, Task

Array = npt.NDArray[Any]
Loss = Callable[[Tensor, Array], Any]

__all__ = ["LOSSES", "absolute_error", "answers", "evaluate", "loss_of", "objective", "predict_batch"]

LOSSES: dict[str, Loss] = {
    "mse": mse_loss,
    "cross_entropy": cross_entropy,
    "binary": binary_cross_entropy_with_logits,
    "half_sse": lambda outputs, targets: 0.5 * mse_loss(outputs, targets, reduction="sum"),
}
"""Losses of outputs (positions, output_size) at the positions asked; ``half_sse`` is the sum that papers of
the time descend on, on outputs that are squashed already."""


def objective(loss: str, outputs: Tensor, batch: Batch) -> Tensor:
    """The loss of outputs (T, batch, output_size), over the positions that the mask asks for."""
    asked = np.nonzero(batch.mask)
    found: Tensor = LOSSES[loss](getitem(outputs, asked), batch.targets[asked])
    return found


def answers(loss: str, outputs: Tensor) -> Array:
    """Outputs in the units of the targets: probabilities where the loss takes logits."""
    if loss == "cross_entropy":
        return softmax(outputs.data)  # type: ignore[no-any-return]
    return sigmoid(outputs.data) if loss == "binary" else outputs.data


def absolute_error(found: Array, batch: Batch) -> Array:
    """For each sequence the mean absolute error over what is asked of it; (batch,)."""
    errors = np.abs(found - batch.targets).mean(axis=2) * batch.mask
    result: Array = errors.sum(axis=0) / np.maximum(batch.mask.sum(axis=0), 1)
    return result


def evaluate(
    model: Any,
    task: Task,
    size: int,
    *,
    seed: int | Sequence[int] = 1,
    loss: str | None = None,
    predict: Callable[[Any, Batch], Prediction] | None = None,
) -> tuple[float, float]:
    """Loss and share of sequences answered rightly, on fresh sequences.

    Parameters
    ----------
    model, task, loss, predict : see :func:`fit`
    size : int
        How many sequences.
    seed : int or sequence of int
        Of the sequences.

    Returns
    -------
    (float, float)
    """
    drawn = task.batch(size, np.random.default_rng(seed))
    kind = loss_of(task, loss)
    with no_grad():
        outputs = (predict or predict_batch)(model, drawn).outputs
        value = objective(kind, outputs, drawn).item()
    return value, float(np.mean(task.correct(answers(kind, outputs), drawn)))


def predict_batch(model: Any, batch: Batch, **options: Any) -> Prediction:
    """What a model says of a batch, with its lengths where they differ; `options` are those of the model's call."""
    whole = bool((batch.lengths == len(batch.inputs)).all())
    found: Prediction = model(batch.inputs, None if whole else batch.lengths, **options)
    return found


def loss_of(task: Task, loss: str | None) -> str:
    """The loss of that name, or the task's own."""
    kind = task.loss if loss is None else loss
    one_of("fit", "loss", kind, LOSSES)
    return kind
