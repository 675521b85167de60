"""Training: by gradient, resumable, and by the older methods that gradients are compared with."""

from __future__ import annotations

from .candidates import Candidates, FromModel, FullyConnected, LatchUnit, SparselyConnected
from .checkpoint import Checkpoint, load_safetensors, save_safetensors
from .fit import Step, evaluate, fit
from .guessing import Guess, guess, solves
from .higher_order import TransitionHierarchy
from .history import History
from .kalman import ExtendedKalmanFilter
from .multigrid import multigrid
from .online1997 import OnlineLSTM1997, stream
from .pseudo_newton import pseudo_newton_step
from .rtrl import RTRL, rtrl
from .stopping import Solved
from .truncated_rtrl import truncated_rtrl_gradients

__all__ = [
    "RTRL", "Candidates", "Checkpoint", "ExtendedKalmanFilter", "FromModel", "FullyConnected", "Guess", "History", "LatchUnit",
    "OnlineLSTM1997", "Solved", "SparselyConnected", "Step", "TransitionHierarchy", "evaluate", "fit", "guess", "load_safetensors",
    "multigrid", "pseudo_newton_step", "rtrl", "save_safetensors", "solves", "stream", "truncated_rtrl_gradients",
]  # fmt: skip
