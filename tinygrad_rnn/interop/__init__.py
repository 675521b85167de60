"""Other people's models and formats: their weights as cells, their steps as primitives, and the way out again."""

from __future__ import annotations

from .refusal import UnsupportedError
from .tensor_files import load_safetensors, save_safetensors
from .weights import load_torch

__all__ = ["UnsupportedError", "load_safetensors", "load_torch", "save_safetensors"]
