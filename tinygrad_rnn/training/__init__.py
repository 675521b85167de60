"""Training by gradient, resumable, offline or in real time."""

from __future__ import annotations

from .checkpoint import Checkpoint
from .history import History
from .loop import fit
from .objective import evaluate
from .real_time import RTRL, rtrl
from .stopping import Solved
from .trainer import Step

__all__ = ["RTRL", "Checkpoint", "History", "Solved", "Step", "evaluate", "fit", "rtrl"]
