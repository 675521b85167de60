"""Training: by gradient, resumable, and by the older methods that gradients are compared with."""

from __future__ import annotations

from .checkpoint import Checkpoint, load_safetensors, save_safetensors
from .fit import Step, evaluate, fit
from .history import History
from .stopping import Solved

__all__ = ["Checkpoint", "History", "Solved", "Step", "evaluate", "fit", "load_safetensors", "save_safetensors"]
