"""A training run into a checkpoint and back, so that it goes on exactly as it would have."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..autodiff.tensor import Tensor
from ..recurrent.states import leaves_of, rebuild
from .checkpoint import Checkpoint, Facts
from .history import History
from .trainer import Trainer

Array = npt.NDArray[Any]

__all__ = ["keep", "restore"]


def keep(trainer: Trainer, path: str | Path) -> None:
    """Write everything, as it is now, to `path`; right after :meth:`Trainer.record`."""
    parts = {name: owner.state_dict() for name, owner in _owners(trainer, _recorders(trainer)).items()}
    if trainer.state is not None:
        parts["state"] = {str(k): leaf.data for k, leaf in enumerate(leaves_of(trainer.state))}
    arrays = {f"{part}.{name}": np.asarray(array) for part, inside in parts.items() for name, array in inside.items()}
    facts: Facts = {
        "step": trainer.step,
        "sequences": trainer.sequences,
        "rows": trainer.history.rows,
        "solved": trainer.history.solved,
        "rng": dict(trainer.rng.bit_generator.state),
        "settings": _settings(trainer),
        "hooks": _kinds(_recorders(trainer)),
    }
    Checkpoint(arrays, facts).write(path)
    trainer.kept = f"the last good checkpoint, of step {trainer.step}, is {path}"


def restore(trainer: Trainer, path: str | Path) -> None:
    """Go on from a checkpoint; if it is refused, nothing has changed.

    Raises
    ------
    ValueError
        If it is damaged, or was made with other settings, naming the first that differs.
    """
    saved = Checkpoint.read(path)
    facts = saved.facts
    for name, now in _settings(trainer).items():
        then = facts["settings"].get(name)
        if then != now:
            raise ValueError(
                f"fit: {path} was made with another {name}: {then}, now {now}; remove it or choose another file"
            )
    recorders = _match(facts["hooks"], _recorders(trainer), path)
    rng, state = _generator(trainer, facts["rng"], path), _carried_state(trainer, saved, path)
    loaded: list[tuple[Any, dict[str, Array]]] = []
    try:
        for name, owner in _owners(trainer, recorders).items():
            before = owner.state_dict()
            part = saved.part(name)
            if name == "model" and not all(np.isfinite(array).all() for array in part.values()):
                raise ValueError("it holds a NaN or an infinity")
            owner.load_state_dict(part)
            loaded.append((owner, before))
    except (KeyError, ValueError, TypeError) as error:
        for owner, before in loaded:
            owner.load_state_dict(before)
        raise _refusal(path, f"{name}: {error.args[0]}") from None
    trainer.rng, trainer.state = rng, state
    trainer.step, trainer.sequences = facts["step"], facts["sequences"]
    trainer.history = History(facts["rows"], facts["solved"])
    trainer.kept = f"the last good checkpoint, of step {trainer.step}, is {path}"


def _settings(trainer: Trainer) -> dict[str, str]:
    """What has to be the same for training to go on."""
    settings = trainer.settings
    sizes = {name: f"{parameter.dtype}{parameter.shape}" for name, parameter in trainer.model.named_parameters()}
    return {
        "model": repr(sizes),
        "task": repr(trainer.task),
        "batch": repr(settings.batch),
        "seed": repr(settings.seed),
        "optimizer": repr(trainer.optimizer),
        "loss": settings.loss,
        "clip": repr(settings.clip),
        "carry": repr(settings.carry),
        "options": repr({} if settings.truncate is None else {"truncate": settings.truncate}),
        "stop": repr(trainer.stop),
        "test size": repr(settings.test_size),
    }


def _refusal(path: str | Path, why: str) -> ValueError:
    return ValueError(f"fit: {path} cannot be gone on from: {why}")


def _owners(trainer: Trainer, recorders: Sequence[Any]) -> dict[str, Any]:
    """What remembers something, by its name in a checkpoint; the model last."""
    owners: dict[str, Any] = {f"hook{k}": hook for k, hook in enumerate(recorders)}
    if trainer.stop is not None:
        owners["stop"] = trainer.stop
    return {**owners, "optimizer": trainer.optimizer, "model": trainer.model}


def _generator(trainer: Trainer, state: dict[str, Any], path: str | Path) -> np.random.Generator:
    rng = np.random.default_rng(trainer.settings.seed)
    with contextlib.suppress(Exception):  # NumPy raises of every kind
        rng.bit_generator.state = state
    if json.dumps(rng.bit_generator.state) != json.dumps(state):  # where true is not 1
        raise _refusal(path, f"rng: {state} is no state of {type(rng.bit_generator).__name__}")
    return rng


def _carried_state(trainer: Trainer, saved: Checkpoint, path: str | Path) -> Any:
    leaves = saved.part("state")
    if not leaves:
        return None
    like = trainer.model.cell.initial_state(trainer.settings.batch)
    shapes = {str(k): np.shape(leaf) for k, leaf in enumerate(leaves_of(like))}
    finite = all(np.isfinite(leaf).all() for leaf in leaves.values())
    if {name: leaf.shape for name, leaf in leaves.items()} != shapes or not finite:
        raise _refusal(path, f"state: it must hold finite numbers in the shapes {shapes}")
    return rebuild(like, (Tensor(leaves[str(k)]) for k in range(len(leaves))))


def _recorders(trainer: Trainer) -> list[Any]:
    """The hooks whose record belongs into a checkpoint."""
    return [hook for hook in trainer.hooks if hasattr(hook, "state_dict") and hasattr(hook, "load_state_dict")]


def _kinds(hooks: Sequence[Any]) -> list[str]:
    return [type(hook).__qualname__ for hook in hooks]


def _match(kinds: Sequence[str], hooks: Sequence[Any], path: str | Path) -> list[Any]:
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
