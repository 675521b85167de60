"""A loop over time, ready to run: compiled if it can be, interpreted if not."""

from __future__ import annotations

import functools
import threading
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
from .straight import Straight

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
        self._lock = threading.Lock()
        if backend == "numba":
            try:
                self._plan()
            except UnsupportedError as error:
                self.problem = f"{error} cannot be fused"

    def _plan(self) -> None:
        plan = fuse(self.program, self.inputs, self.outputs)
        self.source = write(plan, self.backwards, self.carried)
        self._scratch = plan.scratch
        self._sizes = np.array(self.source.sizes, np.uint64)
        self._kinds |= {name: dtype for name, (dtype, _) in plan.scratch.items()}
        self._planned = True

    def _compile(self) -> None:
        """Make machine code of the plan, at the first run."""
        self._planned = False
        try:
            kinds = [self._kinds[name] for name in self.source.buffers]
            self._compiled = kernels.load(self.source.text, kinds, self.who)
        except ImportError as error:
            self.problem = f"Numba does not load ({error})"
            warn_of(self.who, self.problem)

    def write(self, text: Straight, buffers: Mapping[str, str], steps: str, cut: str = "0", shift: str = "0") -> None:
        """Write a run over so many timesteps, in the loop's own direction.

        `shift` steps lie before the first of the buffers' rows; that counts for `cut`.
        """
        with self._lock:
            if self._planned:
                self._compile()
        if self._compiled is None:
            given = ", ".join([f"{text.bind(name)}: {array}" for name, array in buffers.items()])
            text.line(f"{text.bind(self._interpret)}({{{given}}}, {steps}, {cut}, {shift})")
            return
        scratch = {name: f"empty({max(1, size)}, {text.bind(kind)})" for name, (kind, size) in self._scratch.items()}
        whole, zero = text.bind(_whole), text.bind(np.uint64(0))
        arguments = [zero if number == "0" else f"{whole}({number})" for number in ("0", steps, cut, shift)]
        arguments += [text.bind(kernels.product_addresses()), text.bind(self._sizes)]
        arguments += [buffers[name] if name in buffers else scratch[name] for name in self.source.buffers]
        text.line(f"{text.bind(self._compiled)}({', '.join(arguments)})")

    def _interpret(self, buffers: Mapping[str, Array], steps: int, cut: int, shift: int) -> None:
        order = range(steps - 1, -1, -1) if self.backwards else range(steps)
        interpret(self.program, self.inputs, self.outputs, buffers, order, cut, shift, self.carried)
