"""What gradients through time are compared with: search without a gradient, and the training methods of the papers."""

from __future__ import annotations

from .candidates import Candidates, FromModel, FullyConnected, LatchUnit, SparselyConnected
from .guessing import Guess, guess, solves
from .higher_order import TransitionHierarchy
from .kalman import ExtendedKalmanFilter
from .multigrid_search import multigrid
from .online1997 import OnlineLSTM1997, stream
from .pseudo_newton import pseudo_newton_step
from .truncated_rtrl import truncated_rtrl_gradients

__all__ = [
    "Candidates",
    "ExtendedKalmanFilter",
    "FromModel",
    "FullyConnected",
    "Guess",
    "LatchUnit",
    "OnlineLSTM1997",
    "SparselyConnected",
    "TransitionHierarchy",
    "guess",
    "multigrid",
    "pseudo_newton_step",
    "solves",
    "stream",
    "truncated_rtrl_gradients",
]
