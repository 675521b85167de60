"""fit: train a model on a task, in steps that can be interrupted at any moment and go on exactly as they would have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import files
from ..models import Prediction
from ..optim import Optimizer
from ..tasks import Batch, Task
from .history import History
from .objective import loss_of
from .resume import keep, restore
from .stopping import Solved
from .trainer import Settings, Step, Trainer, whole_numbers

__all__ = ["fit"]


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
    settings = Settings(loss_of(task, loss), batch, clip, truncate, carry, seed, test_size, predict)
    settings.check(model, task)
    whole_numbers(steps=(steps, 1), every=(every, 1))
    trainer = Trainer(model, task, settings, optimizer, stop, hooks)
    if log is not None:
        History.check(log)
    if checkpoint is not None:
        files.check(checkpoint)
        if Path(checkpoint).is_file():
            restore(trainer, checkpoint)
    with _bar(steps, trainer.step, progress) as bar:
        while trainer.step < steps and not trainer.history.solved:
            trainer.advance()
            bar.update()
            if trainer.step % every == 0 or trainer.step == steps or trainer.history.solved:
                row = trainer.record()
                bar.set_postfix(
                    loss=f"{row['loss']:.4g}", gradient=f"{row['gradient_norm']:.3g}", right=f"{row['accuracy']:.0%}"
                )
                if log is not None:
                    trainer.history.write(log)
                if checkpoint is not None:
                    keep(trainer, checkpoint)
    return trainer.history


def _bar(steps: int, done: int, progress: bool | None) -> Any:
    from tqdm import tqdm  # here, so that the engine is importable with NumPy alone

    return tqdm(total=steps, initial=done, disable=None if progress is None else not progress, unit="step")
