"""fit: train a model on a task, in steps that can be interrupted at any moment and go on exactly as they would have."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from .. import files
from ..autodiff.scope import no_grad
from ..autodiff.tensor import Tensor
from ..models import Prediction
from ..optim import Adam, Optimizer, clip_grad_norm
from ..recurrent.states import leaves_of, rebuilt
from ..tasks import Batch, Task
from .checkpoint import Checkpoint, Facts
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
        A safetensors file. If it is there, training goes on from it, bit for bit as if it had never stopped. A file
        that is damaged, or of another training run, is refused and changes nothing.
    log : path, optional
        The history as CSV or JSON lines, written with every row.
    hooks : sequence of functions of a Step
        Called at every step before its update, such as :class:`inspector.DecayRecorder`. What a hook with
        ``state_dict()`` and ``load_state_dict(mapping)`` has recorded (arrays by name) is kept in the checkpoint, and
        it is given back.
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
        If a number is out of its range, the loss is unknown, or the checkpoint is damaged or of another training run.
    OSError
        If there is no place for the checkpoint or the log.
    FloatingPointError
        If a loss, gradient, parameter or anything else that is kept is no longer finite, saying at which step and
        which. Parameters are then as before that step, and the last checkpoint stays as it was; the message says where.
    """
    training = _Training(model, task, batch, optimizer, loss, clip, truncate, carry, seed, stop, test_size, predict)
    for name, number, least in (
        ("steps", steps, 1),
        ("batch", batch, 1),
        ("every", every, 1),
        ("test_size", test_size, 0),
    ):
        if not isinstance(number, (int, np.integer)) or number < least:
            raise ValueError(f"fit: {name} must be a whole number of at least {least}, got {number!r}")
    if clip is not None and not 0 < clip < np.inf:
        raise ValueError(f"fit: clip must be positive and finite, got {clip!r}")
    if log is not None:
        History.check(log)
    if checkpoint is not None:
        files.check(checkpoint)
        if Path(checkpoint).is_file():
            training.restore(checkpoint, hooks)
    with _bar(steps, training.step, progress) as bar:
        while training.step < steps and not training.history.solved:
            training.advance(hooks)
            bar.update()
            if training.step % every == 0 or training.step == steps or training.history.solved:
                row = training.record()
                bar.set_postfix(
                    loss=f"{row['loss']:.4g}", gradient=f"{row['gradient_norm']:.3g}", right=f"{row['accuracy']:.0%}"
                )
                if log is not None:
                    training.history.write(log)
                if checkpoint is not None:
                    training.keep(checkpoint, hooks)
    return training.history


def _bar(steps: int, done: int, progress: bool | None) -> Any:
    from tqdm import tqdm  # here, so that the engine is importable with NumPy alone

    return tqdm(total=steps, initial=done, disable=None if progress is None else not progress, unit="step")


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
        self,
        model: Any,
        task: Task,
        batch: int,
        optimizer: Optimizer | None,
        loss: str | None,
        clip: float | None,
        truncate: int | None,
        carry: bool,
        seed: int,
        stop: Solved | None,
        test_size: int,
        predict: Any,
    ) -> None:
        self.model, self.task, self.batch, self.clip, self.carry = model, task, batch, clip, carry
        self.optimizer = Adam(model.parameters()) if optimizer is None else optimizer
        self.loss = _loss_of(task, loss)
        squashed = getattr(model, "output", "identity")
        if self.loss in ("cross_entropy", "binary") and squashed != "identity":
            raise ValueError(
                f"fit: the loss {self.loss} takes logits, but the model puts {squashed} on its outputs; leave that out,"
                " or take loss='mse' or 'half_sse'"
            )
        self.options = {} if truncate is None else {"truncate": truncate}
        self.seed, self.stop, self.test_size, self.predict = seed, stop, test_size, predict
        if carry and not hasattr(task, "stream"):
            raise ValueError(
                f"fit: carry needs a task whose batches follow each other; {type(task).__name__} has no stream"
            )
        self.rng = np.random.default_rng(seed)
        self.step = 0
        self.sequences = 0
        self.history = History()
        self.since: list[tuple[float, float, float]] = []
        self.kept = "no checkpoint was written"
        self.state: Any = None
        self._stream: Iterator[Batch] | None = None

    def settings(self) -> dict[str, str]:
        """What has to be the same for training to go on."""
        sizes = {name: f"{parameter.dtype}{parameter.shape}" for name, parameter in self.model.named_parameters()}
        return {
            "model": repr(sizes),
            "task": repr(self.task),
            "batch": repr(self.batch),
            "seed": repr(self.seed),
            "optimizer": repr(self.optimizer),
            "loss": self.loss,
            "clip": repr(self.clip),
            "carry": repr(self.carry),
            "options": repr(self.options),
            "stop": repr(self.stop),
            "test size": repr(self.test_size),
        }

    # ------------------------------------------------------------------------------------------ steps

    def advance(self, hooks: Sequence[Callable[[Step], None]]) -> None:
        """One step: a batch, its gradient, an update."""
        batch = self._draw()
        options = dict(self.options) | ({"state": self.state} if self.carry else {})
        prediction = self.predict(self.model, batch) if self.predict else _predict(self.model, batch, **options)
        loss = objective(self.loss, prediction.outputs, batch)
        value = loss.item()
        if not np.isfinite(value):
            self._fail(self.step + 1, f"the loss is {value}", self._not_finite())
        for hook in hooks:
            hook(Step(self.step + 1, self.model, batch, prediction, loss))
        self.optimizer.zero_grad()
        loss.backward()
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None and not np.isfinite(parameter.grad).all():
                self._fail(self.step + 1, f"the gradient of {name} is not finite")
        norm = clip_grad_norm(self.optimizer.parameters, np.inf if self.clip is None else self.clip)
        before = [(parameter, parameter.data) for parameter in self.optimizer.parameters]
        self.optimizer.step()
        if self.carry:
            state = prediction.run.final_state
            self.state = rebuilt(state, (Tensor(leaf.data) for leaf in leaves_of(state)))
        found = self._not_finite()
        if found:
            for parameter, data in before:
                parameter.data = data
            self._fail(self.step + 1, "after the update", found)
        self._judge(prediction, batch, value, norm)
        self.step += 1
        self.sequences += self.batch

    def _not_finite(self) -> str:
        """The first of what a checkpoint would hold that has a NaN or an infinity; empty if there is none."""
        optimizer = self.optimizer
        everything = itertools.chain(
            ((f"parameter {name}", parameter.data) for name, parameter in self.model.named_parameters()),
            (
                (f"the optimizer's {name}.{k}", v)
                for name in optimizer.memory
                for k, v in enumerate(getattr(optimizer, name))
            ),
            (
                (f"the carried state {k}", leaf.data)
                for k, leaf in enumerate(leaves_of(self.state) if self.carry and self.state else ())
            ),
        )
        return next((f"{name} is not finite" for name, values in everything if not np.isfinite(values).all()), "")

    def _fail(self, step: int, *what: str) -> NoReturn:
        said = ", ".join(filter(None, what))
        raise FloatingPointError(f"fit: {said} at step {step}; a smaller learning rate or clip= may help; {self.kept}")

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
        row = {
            "step": self.step,
            "sequences": self.sequences,
            "loss": loss,
            "gradient_norm": norm,
            "accuracy": accuracy,
        }
        if self.test_size:
            seed = [self.seed, self.step]
            row["test_loss"], row["test_accuracy"] = evaluate(
                self.model, self.task, self.test_size, seed=seed, loss=self.loss, predict=self.predict
            )
        for name, number in row.items():
            if not np.isfinite(number):
                self._fail(self.step, f"the {name.replace('_', ' ')} is {number}")
        self.history.rows.append(row)
        self.since = []
        return row

    # ------------------------------------------------------------------------------------ checkpoints

    def keep(self, path: str | Path, hooks: Sequence[Any]) -> None:
        """Write everything, as it is now, to `path`; right after :meth:`record`."""
        parts = {name: owner.state_dict() for name, owner in self._owners(hooks).items()}
        if self.state is not None:
            parts["state"] = {str(k): leaf.data for k, leaf in enumerate(leaves_of(self.state))}
        arrays = {
            f"{part}.{name}": np.asarray(array) for part, inside in parts.items() for name, array in inside.items()
        }
        facts: Facts = {
            "step": self.step,
            "sequences": self.sequences,
            "rows": self.history.rows,
            "solved": self.history.solved,
            "rng": dict(self.rng.bit_generator.state),
            "settings": self.settings(),
            "hooks": _kinds(_recording(hooks)),
        }
        Checkpoint(arrays, facts).write(path)
        self.kept = f"the last good checkpoint, of step {self.step}, is {path}"

    def _owners(self, hooks: Sequence[Any]) -> dict[str, Any]:
        """What remembers something, by its name in a checkpoint; the model last."""
        owners: dict[str, Any] = {f"hook{k}": hook for k, hook in enumerate(_recording(hooks))}
        if self.stop is not None:
            owners["stop"] = self.stop
        return {**owners, "optimizer": self.optimizer, "model": self.model}

    def restore(self, path: str | Path, hooks: Sequence[Any]) -> None:
        """Go on from a checkpoint; if it is refused, nothing has changed.

        Raises
        ------
        ValueError
            If it is damaged, or was made with other settings, naming the first that differs.
        """
        saved = Checkpoint.read(path)
        facts = saved.facts
        for name, now in self.settings().items():
            then = facts["settings"].get(name)
            if then != now:
                raise ValueError(
                    f"fit: {path} was made with another {name}: {then}, now {now}; remove it or choose another file"
                )
        recording = _matched(facts["hooks"], _recording(hooks), path)
        rng, state = self._generator(facts["rng"], path), self._carried(saved, path)
        loaded: list[tuple[Any, dict[str, Array]]] = []
        try:
            for name, owner in self._owners(recording).items():
                before = owner.state_dict()
                part = saved.part(name)
                if name == "model" and not all(np.isfinite(array).all() for array in part.values()):
                    raise ValueError("it holds a NaN or an infinity")
                owner.load_state_dict(part)
                loaded.append((owner, before))
        except (KeyError, ValueError, TypeError) as error:
            for owner, before in loaded:
                owner.load_state_dict(before)
            raise ValueError(f"fit: {path} cannot be gone on from: {name}: {error.args[0]}") from None
        self.rng, self.state = rng, state
        self.step, self.sequences = facts["step"], facts["sequences"]
        self.history = History(facts["rows"], facts["solved"])
        self.kept = f"the last good checkpoint, of step {self.step}, is {path}"

    def _generator(self, state: dict[str, Any], path: str | Path) -> np.random.Generator:
        rng = np.random.default_rng(self.seed)
        with contextlib.suppress(Exception):  # NumPy raises of every kind
            rng.bit_generator.state = state
        if json.dumps(rng.bit_generator.state) != json.dumps(state):  # where true is not 1
            raise ValueError(
                f"fit: {path} cannot be gone on from: rng: {state} is no state of {type(rng.bit_generator).__name__}"
            )
        return rng

    def _carried(self, saved: Checkpoint, path: str | Path) -> Any:
        leaves = saved.part("state")
        if not leaves:
            return None
        like = self.model.cell.initial_state(self.batch)
        shapes = {str(k): np.shape(leaf) for k, leaf in enumerate(leaves_of(like))}
        if {name: leaf.shape for name, leaf in leaves.items()} != shapes or not all(
            np.isfinite(leaf).all() for leaf in leaves.values()
        ):
            raise ValueError(
                f"fit: {path} cannot be gone on from: state: it must hold finite numbers in the shapes {shapes}"
            )
        return rebuilt(like, (Tensor(leaves[str(k)]) for k in range(len(leaves))))


def _recording(hooks: Sequence[Any]) -> list[Any]:
    return [hook for hook in hooks if hasattr(hook, "state_dict") and hasattr(hook, "load_state_dict")]


def _kinds(hooks: Sequence[Any]) -> list[str]:
    return [type(hook).__qualname__ for hook in hooks]


def _matched(kinds: Sequence[str], hooks: Sequence[Any], path: str | Path) -> list[Any]:
    """The hooks whose record a checkpoint holds, in its order; others begin with this call.

    Raises
    ------
    ValueError
        If one is missing: its record would be lost with the next checkpoint.
    """
    left = iter(hooks)
    matched = [
        hook
        for kind in kinds
        if (hook := next((one for one in left if type(one).__qualname__ == kind), None)) is not None
    ]
    if len(matched) < len(kinds):
        raise ValueError(
            f"fit: {path} holds what the hooks {', '.join(kinds)} have recorded, now there are"
            f" {', '.join(_kinds(hooks)) or 'none'}; give them again, remove the file or choose another"
        )
    return matched
