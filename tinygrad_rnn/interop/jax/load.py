"""From a function and examples to what is given back, compared with JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..imported import Imported
from .arguments import signature_of
from .check import check
from .program import JaxFunction, JaxProgram

__all__ = ["load"]


def load(function: Any, args: Sequence[Any], parameters: Sequence[str] | None) -> Imported:
    """See :func:`tinygrad_rnn.from_jax`."""
    signature = signature_of(function, args, parameters)
    program = JaxProgram(signature)
    model = JaxFunction(program, signature.name)
    check(model, program)
    return model
