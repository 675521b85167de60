"""A loop over time, ready to run: compiled if it can be, interpreted if not."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import kernels
from .errors import CompileWarning, UnsupportedError
from .fuse import fuse
from .numpy_loop import interpret
from .places import Place
from .program import Array, Program
from .source import write
from .stages import Output

__all__ = ["BACKENDS", "Loop", "warn_of"]

BACKENDS = ("numba", "numpy")


_whole = functools.lru_cache(maxsize=4096)(np.uint64)
"""A number of steps as the loops take it."""


def warn_of(who: str, problem: str) -> None:
    """Say that a loop runs in NumPy, and why."""
    warnings.warn(f"compile: {who} runs in NumPy, since {problem}", CompileWarning, stacklevel=9)


class Loop:
    """One program for every timestep, with the places of what goes in and what comes out.

    Parameters
    ----------
    program : Program
    inputs : mapping of value to Place
    outputs : sequence of Output
    kinds : mapping of str to dtype
        Of the buffers.
    backwards : bool
        From the last timestep to the first.
    carried : sequence of Place
        What truncated backpropagation drops.
    backend : {"numba", "numpy"}
    who : str
        Whose step it is, for warnings.

    Attributes
    ----------
    problem : str
        Why it is interpreted although Numba was asked for; empty if it is not.
    """

    def __init__(
        self,
        program: Program,
        inputs: Mapping[int, Place],
        outputs: Sequence[Output],
        kinds: Mapping[str, np.dtype[Any]],
        *,
        backwards: bool,
        carried: Sequence[Place] = (),
        backend: str,
        who: str,
    ) -> None:
        self.program = program
        self.inputs = inputs
        self.outputs = outputs
        self.backwards = backwards
        self.carried = tuple(carried)
        self.who = who
        self.problem = ""
        self._kinds = dict(kinds)
        self._planned = False
        self._compiled: Any = None
        if backend == "numba":
            try:
                self._plan()
            except UnsupportedError as error:
                self.problem = f"{error} cannot be fused"

    def _plan(self) -> None:
        plan = fuse(self.program, self.inputs, self.outputs)
        self.source = write(plan, self.backwards, self.carried)
        self._scratch = [(name, max(1, size), dtype) for name, (dtype, size) in plan.scratch.items()]
        self._sizes = np.array(self.source.sizes, np.uint64)
        self._kinds |= {name: dtype for name, (dtype, _) in plan.scratch.items()}
        self._planned = True

    def _compile(self) -> None:
        """Make machine code of the plan, at the first run."""
        self._planned = False
        try:
            kinds = [self._kinds[name] for name in self.source.buffers]
            self._compiled = kernels.load(self.source.text, kinds, self.who)
            self._addresses = kernels.product_addresses()
        except ImportError as error:
            self.problem = f"Numba does not load ({error})"
            warn_of(self.who, self.problem)

    def run(self, buffers: dict[str, Array], start: int, stop: int, cut: int = 0, shift: int = 0) -> None:
        """Go through the timesteps from `start` to before `stop`, in the loop's own direction.

        What the loop needs besides the `buffers` is entered among them.
        `shift` steps lie before the first of the buffers' rows; that counts for `cut`.
        """
        if self._planned:
            self._compile()
        if self._compiled is None:
            order = range(stop - 1, start - 1, -1) if self.backwards else range(start, stop)
            interpret(self.program, self.inputs, self.outputs, buffers, order, cut, shift, self.carried)
            return
        for name, size, dtype in self._scratch:
            buffers[name] = np.empty(size, dtype)
        arrays = map(buffers.__getitem__, self.source.buffers)
        self._compiled(*map(_whole, (start, stop, cut, shift)), self._addresses, self._sizes, *arrays)
