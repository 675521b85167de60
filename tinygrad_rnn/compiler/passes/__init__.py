"""Passes over a program: each takes one and returns one that computes the same outputs."""

from __future__ import annotations

from ..program import Program
from .assembly import assemble
from .common import share_common
from .dead import remove_dead
from .decomposition import decompose
from .distribution import distribute
from .gather import gather_sums
from .merge import merge_products
from .push import push_slices
from .recomputation import recompute
from .simplification import simplify

__all__ = [
    "BACKWARD",
    "FORWARD",
    "INTERPRETED",
    "assemble",
    "decompose",
    "distribute",
    "gather_sums",
    "merge_products",
    "optimise",
    "push_slices",
    "recompute",
    "remove_dead",
    "share_common",
    "simplify",
]

FORWARD = (
    remove_dead,
    decompose,
    simplify,
    share_common,
    distribute,
    merge_products,
    simplify,
    push_slices,
    simplify,
    remove_dead,
)
"""The passes over a step as it was traced."""

INTERPRETED = tuple(apply for apply in FORWARD if apply is not decompose)
"""The same for NumPy, which multiplies stacks and follows indices by itself."""

BACKWARD = (
    remove_dead,
    simplify,
    share_common,
    assemble,
    simplify,
    share_common,
    gather_sums,
    share_common,
    remove_dead,
)
"""The passes over its adjoint."""


def optimise(program: Program, passes: tuple[object, ...]) -> Program:
    """Apply passes in order."""
    for apply in passes:
        program = apply(program)  # type: ignore[operator]
    return program
