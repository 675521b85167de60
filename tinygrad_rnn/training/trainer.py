"""A training run at one moment: a step of it, a row of its history, and what of it could be no number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ..arguments import is_integer, is_number
from ..autodiff.tensor import Tensor
from ..models import Prediction
from ..optim import Adam, Optimizer, clip_grad_norm
from ..recurrent.states import leaves_of, rebuild
from ..tasks import Batch, Task
from .history import History
from .objective import absolute_error, answers, evaluate, objective, predict_batch
from .stopping import Solved

__all__ = ["Settings", "Step", "Trainer"]


@dataclass(frozen=True)
class Step:
    """What a hook is shown: one step, before its update.

    Attributes
    ----------
    number : int
        From 1.
    model : Parametrised
    batch : Batch
    prediction : Prediction
        With the run behind it.
    loss : Tensor
    """

    number: int
    model: Any
    batch: Batch
    prediction: Prediction
    loss: Tensor


@dataclass(frozen=True)
class Settings:
    """The numbers and choices of a training run, as :func:`~tinygrad_rnn.fit` takes them."""

    loss: str
    batch: int
    clip: float | None
    truncate: int | None
    carry: bool
    seed: int
    test_size: int
    predict: Callable[[Any, Batch], Prediction] | None

    def check(self, model: Any, task: Task) -> None:
        """Find out before the training what cannot work.

        Raises
        ------
        ValueError
            If a number is out of its range, or the loss or `carry` fits neither model nor task.
        """
        squashed = getattr(model, "output", "identity")
        if self.loss in ("cross_entropy", "binary") and squashed != "identity":
            raise ValueError(
                f"fit: the loss {self.loss} takes logits, but the model puts {squashed} on its outputs; leave that out,"
                " or take loss='mse' or 'half_sse'"
            )
        if self.carry and not hasattr(task, "stream"):
            raise ValueError(
                f"fit: carry needs a task whose batches follow each other; {type(task).__name__} has no stream"
            )
        whole_numbers(batch=(self.batch, 1), test_size=(self.test_size, 0))
        if self.clip is not None and not (is_number(self.clip) and 0 < self.clip < np.inf):
            raise ValueError(f"fit: clip must be positive and finite, got {self.clip!r}")


def whole_numbers(**numbers: tuple[Any, int]) -> None:
    """Demand whole numbers, each given with the least that it may be."""
    for name, (number, least) in numbers.items():
        if not is_integer(number, least):
            raise ValueError(f"fit: {name} must be a whole number of at least {least}, got {number!r}")


class Trainer:
    """A model on its way: what :mod:`~tinygrad_rnn.training.resume` keeps in a checkpoint.

    Parameters
    ----------
    model : SequenceModel, or anything with parameters
    task : Task
    settings : Settings
    optimizer : Optimizer, optional
    stop : Solved, optional
    hooks : sequence of functions of a Step
    """

    def __init__(
        self,
        model: Any,
        task: Task,
        settings: Settings,
        optimizer: Optimizer | None = None,
        stop: Solved | None = None,
        hooks: Sequence[Callable[[Step], None]] = (),
    ) -> None:
        self.model, self.task, self.settings, self.stop, self.hooks = model, task, settings, stop, hooks
        self.optimizer = Adam(model.parameters()) if optimizer is None else optimizer
        self.rng = np.random.default_rng(settings.seed)
        self.step = 0
        self.sequences = 0
        self.history = History()
        self.since: list[tuple[float, float, float]] = []
        self.kept = "no checkpoint was written"
        self.state: Any = None
        self._stream: Iterator[Batch] | None = None

    def advance(self) -> None:
        """One step: a batch, its gradient, an update."""
        batch = self._draw()
        prediction = self._predict(batch)
        loss = objective(self.settings.loss, prediction.outputs, batch)
        value = loss.item()
        if not np.isfinite(value):
            self._fail(self.step + 1, f"the loss is {value}", self._not_finite())
        for hook in self.hooks:
            hook(Step(self.step + 1, self.model, batch, prediction, loss))
        self.optimizer.zero_grad()
        loss.backward()
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None and not np.isfinite(parameter.grad).all():
                self._fail(self.step + 1, f"the gradient of {name} is not finite")
        norm = clip_grad_norm(self.optimizer.parameters, self.settings.clip or np.inf)
        before = [(parameter, parameter.data) for parameter in self.optimizer.parameters]
        self.optimizer.step()
        if self.settings.carry:
            state = prediction.run.final_state
            self.state = rebuild(state, (Tensor(leaf.data) for leaf in leaves_of(state)))
        found = self._not_finite()
        if found:
            for parameter, data in before:
                parameter.data = data
            self._fail(self.step + 1, "after the update", found)
        self._judge(prediction, batch, value, norm)
        self.step += 1
        self.sequences += self.settings.batch

    def record(self) -> dict[str, float]:
        """A row of the history, over the steps since the last one."""
        loss, norm, accuracy = np.mean(self.since, axis=0).tolist()
        row = {
            "step": self.step,
            "sequences": self.sequences,
            "loss": loss,
            "gradient_norm": norm,
            "accuracy": accuracy,
        }
        if self.settings.test_size:
            row["test_loss"], row["test_accuracy"] = evaluate(
                self.model,
                self.task,
                self.settings.test_size,
                seed=[self.settings.seed, self.step],
                loss=self.settings.loss,
                predict=self.settings.predict,
            )
        for name, number in row.items():
            if not np.isfinite(number):
                self._fail(self.step, f"the {name.replace('_', ' ')} is {number}")
        self.history.rows.append(row)
        self.since = []
        return row

    def _draw(self) -> Batch:
        settings = self.settings
        if not settings.carry:
            return self.task.batch(settings.batch, self.rng)
        if self._stream is None:
            rng = np.random.default_rng(settings.seed)
            self._stream = self.task.stream(settings.batch, rng)  # type: ignore[attr-defined]
            for _ in range(self.step):
                next(self._stream)
        return next(self._stream)

    def _predict(self, batch: Batch) -> Prediction:
        settings = self.settings
        if settings.predict:
            return settings.predict(self.model, batch)
        options: dict[str, Any] = {} if settings.truncate is None else {"truncate": settings.truncate}
        return predict_batch(self.model, batch, **options, **({"state": self.state} if settings.carry else {}))

    def _judge(self, prediction: Prediction, batch: Batch, loss: float, norm: float) -> None:
        found = answers(self.settings.loss, prediction.outputs)
        right = self.task.correct(found, batch)
        self.since.append((loss, norm, float(right.mean())))
        if self.stop is not None:
            self.history.solved = self.stop.update(right, absolute_error(found, batch))

    def _not_finite(self) -> str:
        """The first of what a checkpoint would hold that has a NaN or an infinity; empty if there is none."""
        return next((f"{name} is not finite" for name, values in self._kept() if not np.isfinite(values).all()), "")

    def _kept(self) -> Iterator[tuple[str, Any]]:
        """What a checkpoint would hold, with its name for a message."""
        for name, parameter in self.model.named_parameters():
            yield f"parameter {name}", parameter.data
        for name in self.optimizer.memory:
            for k, values in enumerate(getattr(self.optimizer, name)):
                yield f"the optimizer's {name}.{k}", values
        for k, leaf in enumerate(leaves_of(self.state) if self.settings.carry and self.state else ()):
            yield f"the carried state {k}", leaf.data

    def _fail(self, step: int, *what: str) -> NoReturn:
        said = ", ".join(filter(None, what))
        raise FloatingPointError(f"fit: {said} at step {step}; a smaller learning rate or clip= may help; {self.kept}")
