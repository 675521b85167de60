"""The published long-time-lag problems as data generators, and the registry that finds them by name."""

from __future__ import annotations

from ..arguments import look_up
from .adding import Adding, ModernAdding, Multiplication
from .automaton import Automaton
from .characters import Characters
from .copy_memory import CopyMemory
from .counting import Counting
from .countries import Countries
from .digits import Digits
from .latch import Latch
from .long_lags import LongLag, NoiseFree, NoisyLag
from .parity import Parity
from .reber import ContinualReber, EmbeddedReber, Grammar, Reber
from .task import Batch, Task
from .temporal_order import TemporalOrder
from .two_sequence import TwoSequence
from .warped import Warped

__all__ = [
    "Adding",
    "Automaton",
    "Batch",
    "Characters",
    "ContinualReber",
    "CopyMemory",
    "Counting",
    "Countries",
    "Digits",
    "EmbeddedReber",
    "Grammar",
    "Latch",
    "LongLag",
    "ModernAdding",
    "Multiplication",
    "NoiseFree",
    "NoisyLag",
    "Parity",
    "Reber",
    "Task",
    "TemporalOrder",
    "TwoSequence",
    "Warped",
    "get",
    "names",
]

_REGISTRY: dict[str, type[Task]] = {
    "reber": Reber,
    "embedded_reber": EmbeddedReber,
    "continual_reber": ContinualReber,
    "noise_free": NoiseFree,
    "noisy_lag": NoisyLag,
    "long_lag": LongLag,
    "two_sequence": TwoSequence,
    "adding": Adding,
    "multiplication": Multiplication,
    "modern_adding": ModernAdding,
    "temporal_order": TemporalOrder,
    "copy_memory": CopyMemory,
    "latch": Latch,
    "parity": Parity,
    "counting": Counting,
    "warped": Warped,
    "countries": Countries,
    "characters": Characters,
    "digits": Digits,
}


def names() -> list[str]:
    """The names of all tasks."""
    return list(_REGISTRY)


def get(name: str) -> type[Task]:
    """The task class of that name.

    Raises
    ------
    KeyError
        If there is none; the message suggests near matches and lists the names there are.
    """
    return look_up("task", name, _REGISTRY)
