"""fit: train a model on a task, in steps that can be interrupted at any moment and go on exactly as they would have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..models import Prediction
from ..optim import Adam, Optimizer, clip_grad_norm
from ..scope import no_grad
from ..states import leaves_of, rebuilt
from ..tasks import Batch, Task
from ..tensor import Tensor
from .checkpoint import Checkpoint
from .history import History
from .objective import LOSSES, absolute_error, answers, objective
from .stopping import Solved

Array = npt.NDArray[Any]

__all__ = ["Step", "evaluate", "fit"]


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


def fit(
    model: Any,
    task: Task,
    *,
    steps: int,
    batch: int = 32,
    optimizer: Optimizer | None = None,
    loss: str | None = None,
    clip: float | None = None,
    truncate: int | None = None,
    carry: bool = False,
    seed: int = 0,
    stop: Solved | None = None,
    every: int = 100,
    test_size: int = 0,
    checkpoint: str | Path | None = None,
    log: str | Path | None = None,
    hooks: Sequence[Callable[[Step], None]] = (),
    predict: Callable[[Any, Batch], Prediction] | None = None,
    progress: bool | None = None,
) -> History:
    """Train.

    Parameters
    ----------
    model : SequenceModel, or anything with parameters and a `predict`
    task : Task
        Where the sequences come from.
    steps : int
        At most so many updates.
    batch : int
        Sequences a step; 1 is the on-line learning of the papers.
    optimizer : Optimizer, optional
        Adam with its defaults when omitted.
    loss : {"mse", "cross_entropy", "binary", "half_sse"}, optional
        The task's own when omitted.
    clip : float, optional
        The norm that all gradients together may have (Pascanu et al. 2013).
    truncate : int, optional
        Truncated BPTT, as for :func:`tinygrad_rnn.unroll`.
    carry : bool
        Every batch begins in the state in which the one before ended, through which no gradient flows. For
        tasks whose batches follow each other, drawn with their ``stream``.
    seed : int
        Of the sequences.
    stop : Solved, optional
        Ends the training early. It is judged on training sequences, before the update they cause.
    every : int
        Steps between two rows of the history, and between two checkpoints.
    test_size : int
        Fresh sequences to test on for every row.
    checkpoint : path, optional
        A safetensors file. If it is there, training goes on from it, bit for bit as if it had never stopped.
    log : path, optional
        The history as CSV or JSON lines, written with every row.
    hooks : sequence of functions of a Step
        Called at every step before its update, such as :class:`inspector.DecayRecorder`.
    predict : function (model, batch) -> Prediction, optional
        ``model(batch.inputs, batch.lengths)`` when omitted.
    progress : bool, optional
        Whether to show a bar with loss and gradient norm; when omitted only in a terminal.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If a number is out of its range, the loss is unknown, or the checkpoint is of another training run.
    FloatingPointError
        If the loss is no longer finite; the last checkpoint stays as it was.
    """
    training = _Training(model, task, batch, optimizer, loss, clip, truncate, carry, seed, stop, test_size, predict)
    for name, number, least in (("steps", steps, 1), ("batch", batch, 1), ("every", every, 1), ("test_size", test_size, 0)):
        if not isinstance(number, (int, np.integer)) or number < least:
            raise ValueError(f"fit: {name} must be a whole number of at least {least}, got {number!r}")
    if checkpoint is not None and Path(checkpoint).is_file():
        training.restore(Checkpoint.read(checkpoint), checkpoint)
    with _bar(steps, training.step, progress) as bar:
        while training.step < steps and not training.history.solved:
            training.advance(hooks)
            bar.update()
            if training.step % every == 0 or training.step == steps or training.history.solved:
                row = training.record()
                bar.set_postfix(loss=f"{row['loss']:.4g}", gradient=f"{row['gradient_norm']:.3g}", right=f"{row['accuracy']:.0%}")
                if log is not None:
                    training.history.write(log)
                if checkpoint is not None:
                    training.checkpoint().write(checkpoint)
    return training.history


def _bar(steps: int, done: int, progress: bool | None) -> Any:
    from tqdm import tqdm  # here, so that the engine is importable with NumPy alone

    return tqdm(total=steps, initial=done, disable=None if progress is None else not progress, unit="step")


def evaluate(
    model: Any, task: Task, size: int, *, seed: int = 1, loss: str | None = None,
    predict: Callable[[Any, Batch], Prediction] | None = None,
) -> tuple[float, float]:  # fmt: skip
    """Loss and share of sequences answered rightly, on fresh sequences.

    Parameters
    ----------
    model, task, loss, predict : see :func:`fit`
    size : int
        How many sequences.
    seed : int
        Of the sequences.

    Returns
    -------
    (float, float)
    """
    drawn = task.batch(size, np.random.default_rng(seed))
    kind = _loss_of(task, loss)
    with no_grad():
        outputs = (predict or _predict)(model, drawn).outputs
        value = objective(kind, outputs, drawn).item()
    return value, float(np.mean(task.correct(answers(kind, outputs), drawn)))


def _predict(model: Any, batch: Batch, **options: Any) -> Prediction:
    whole = bool((batch.lengths == len(batch.inputs)).all())
    found: Prediction = model(batch.inputs, None if whole else batch.lengths, **options)
    return found


def _loss_of(task: Task, loss: str | None) -> str:
    kind = task.loss if loss is None else loss
    if kind not in LOSSES:
        raise ValueError(f"fit: loss must be one of {', '.join(LOSSES)}, got {kind!r}")
    return kind


class _Training:
    """A training run at one moment: what a checkpoint holds."""

    def __init__(
        self, model: Any, task: Task, batch: int, optimizer: Optimizer | None, loss: str | None, clip: float | None,
        truncate: int | None, carry: bool, seed: int, stop: Solved | None, test_size: int, predict: Any,
    ) -> None:  # fmt: skip
        self.model, self.task, self.batch, self.clip, self.carry = model, task, batch, clip, carry
        self.optimizer = Adam(model.parameters()) if optimizer is None else optimizer
        self.loss = _loss_of(task, loss)
        squashed = getattr(model, "output", "identity")
        if self.loss in ("cross_entropy", "binary") and squashed != "identity":
            raise ValueError(
                f"fit: the loss {self.loss} takes logits, but the model puts {squashed} on its outputs; leave that out, "
                "or take loss='mse' or 'half_sse'"
            )
        self.options = {} if truncate is None else {"truncate": truncate}
        self.seed, self.stop, self.test_size, self.predict = seed, stop, test_size, predict
        if carry and not hasattr(task, "stream"):
            raise ValueError(f"fit: carry needs a task whose batches follow each other; {type(task).__name__} has no stream")
        self.rng = np.random.default_rng(seed)
        self.step = 0
        self.sequences = 0
        self.history = History()
        self.since: list[tuple[float, float, float]] = []
        self.state: Any = None
        self._stream: Iterator[Batch] | None = None

    def settings(self) -> dict[str, str]:
        """What has to be the same for training to go on."""
        sizes = {name: parameter.shape for name, parameter in self.model.named_parameters()}
        return {
            "model": repr(sizes), "task": repr(self.task), "batch": repr(self.batch), "seed": repr(self.seed),
            "optimizer": repr(self.optimizer), "loss": self.loss, "clip": repr(self.clip), "carry": repr(self.carry),
            "options": repr(self.options), "stop": repr(self.stop), "test size": repr(self.test_size),
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------ steps

    def advance(self, hooks: Sequence[Callable[[Step], None]]) -> None:
        """One step: a batch, its gradient, an update."""
        batch = self._draw()
        options = dict(self.options) | ({"state": self.state} if self.carry else {})
        prediction = self.predict(self.model, batch) if self.predict else _predict(self.model, batch, **options)
        loss = objective(self.loss, prediction.outputs, batch)
        value = loss.item()
        if not np.isfinite(value):
            raise FloatingPointError(
                f"fit: the loss is {value} at step {self.step + 1}; a smaller learning rate or clip= may help"
            )
        for hook in hooks:
            hook(Step(self.step + 1, self.model, batch, prediction, loss))
        self.optimizer.zero_grad()
        loss.backward()
        norm = clip_grad_norm(self.optimizer.parameters, self.clip or np.inf)
        self.optimizer.step()
        self._judge(prediction, batch, value, norm)
        if self.carry:
            state = prediction.run.final_state
            self.state = rebuilt(state, (Tensor(leaf.data) for leaf in leaves_of(state)))
        self.step += 1
        self.sequences += self.batch

    def _draw(self) -> Batch:
        if not self.carry:
            return self.task.batch(self.batch, self.rng)
        if self._stream is None:
            self._stream = self.task.stream(self.batch, np.random.default_rng(self.seed))  # type: ignore[attr-defined]
            for _ in range(self.step):
                next(self._stream)
        return next(self._stream)

    def _judge(self, prediction: Prediction, batch: Batch, loss: float, norm: float) -> None:
        found = answers(self.loss, prediction.outputs)
        right = self.task.correct(found, batch)
        self.since.append((loss, norm, float(right.mean())))
        if self.stop is not None:
            self.history.solved = self.stop.update(right, absolute_error(found, batch))

    def record(self) -> dict[str, float]:
        """A row of the history, over the steps since the last one."""
        loss, norm, accuracy = np.mean(self.since, axis=0).tolist()
        row = {"step": self.step, "sequences": self.sequences, "loss": loss, "gradient_norm": norm, "accuracy": accuracy}
        if self.test_size:
            seed = [self.seed, self.step]
            row["test_loss"], row["test_accuracy"] = evaluate(
                self.model, self.task, self.test_size, seed=seed, loss=self.loss, predict=self.predict  # type: ignore[arg-type]
            )  # fmt: skip
        self.history.rows.append(row)
        self.since = []
        return row

    # ------------------------------------------------------------------------------------ checkpoints

    def checkpoint(self) -> Checkpoint:
        """Everything, as it is now; right after :meth:`record`."""
        parts: dict[str, dict[str, Array]] = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        if self.stop is not None:
            parts["stop"] = self.stop.state_dict()
        if self.state is not None:
            parts["state"] = {str(k): leaf.data for k, leaf in enumerate(leaves_of(self.state))}
        arrays = {f"{part}.{name}": array for part, inside in parts.items() for name, array in inside.items()}
        facts = {
            "step": self.step, "sequences": self.sequences, "rows": self.history.rows, "solved": self.history.solved,
            "rng": self.rng.bit_generator.state, "settings": self.settings(),
        }  # fmt: skip
        return Checkpoint(arrays, facts)

    def restore(self, saved: Checkpoint, path: str | Path) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        ValueError
            If it was made with other settings, naming the first that differs.
        """
        for name, now in self.settings().items():
            then = saved.facts["settings"].get(name)
            if then != now:
                raise ValueError(f"fit: {path} was made with another {name}: {then}, now {now}; remove it or choose another file")
        self.model.load_state_dict(saved.part("model"))
        self.optimizer.load_state_dict(saved.part("optimizer"))
        if self.stop is not None:
            self.stop.load_state_dict(saved.part("stop"))
        leaves = saved.part("state")
        if leaves:
            like = self.model.cell.initial_state(self.batch)
            self.state = rebuilt(like, (Tensor(leaves[str(k)]) for k in range(len(leaves))))
        facts = saved.facts
        self.step, self.sequences = facts["step"], facts["sequences"]
        self.history = History(facts["rows"], facts["solved"])
        self.rng.bit_generator.state = facts["rng"]
