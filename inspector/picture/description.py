"""What a drawing shows, in words: for those who hear it instead of seeing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..layout.columns import Row
from ..steps.items import Step, highways
from ..text import number

__all__ = ["description"]


def description(
    runs: Sequence[Run], level: str, rows: Sequence[Row], norms: Mapping[str, npt.NDArray[np.float64]]
) -> str:
    """The cell, the timesteps shown, the states of each layer, and where the gradient stands at both ends of time.

    Parameters
    ----------
    runs : sequence of Run
        Those that follow each other.
    level : str
    rows : sequence of Row
    norms : mapping
        From each state's name to the norms of its gradient, one a timestep; empty without a trace.
    """
    count = sum(len(run) for run in runs)
    cells = _listed([repr(run.cell) for run in runs])
    return " ".join(
        [
            f"{cells} unrolled over {counted(count, 'timestep')}, drawn at {level} level.",
            _steps(rows[0], count),
            *(_states(row) for row in rows),
            *_gradient(norms),
        ]
    )


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _steps(row: Row, count: int) -> str:
    shown = [str(step.timestep) for step in row.steps if isinstance(step, Step)]
    if len(shown) == count:
        return "All are shown."
    return f"Shown: t = {_listed(shown)}; {counted(count - len(shown), 'step')} folded away."


def _states(row: Row) -> str:
    steps = [step for step in row.steps if isinstance(step, Step)]
    names = [name for name, _ in steps[0].states]
    kinds = {id(step.kind): step for step in steps}.values()
    straight = [name for name in names if all(name in highways(kind) for kind in kinds)]
    where = f"In {steps[0].layer}, " if steps[0].layer else ""
    direction = "from later to earlier steps" if row.reverse else "from step to step"
    carried = (
        f"{where}{'states' if len(names) > 1 else 'state'} {_listed(names)} {'are' if len(names) > 1 else 'is'} carried"
        f" {direction}"
    )
    carried = carried[0].upper() + carried[1:]
    return (
        f"{carried}; {_listed(straight)} on a highway, a straight line of elementwise operations."
        if straight
        else f"{carried}, without a highway."
    )


def _gradient(norms: Mapping[str, npt.NDArray[np.float64]]) -> Iterator[str]:
    for name, values in norms.items():
        known = np.flatnonzero(~np.isnan(values))
        if len(known):
            first, last = (f"{number(float(values[t]))} at t = {t}" for t in (known[0], known[-1]))
            yield f"Norm of the loss's gradient by {name}: {first}, {last}."
