"""lecture: the reverse sweep of a run to show to others, line by line, as a page or as a drawing that moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinygrad_rnn import Tensor, files
from tinygrad_rnn.recurrent.unroll import Run

from .formats.svg import animated
from .page.html import html
from .page.tile import turns_of_sweep
from .picture.compose import picture
from .picture.picture import Picture
from .reports import document_of
from .tracing.trace import GradientTrace, trace

__all__ = ["lecture"]

_SHOWN, _LEAST, _WIDEST = 4, 2, 1200.0
"""Timesteps of a moving drawing at most and at least, and how many points wide more than that are: it has to be read
from afar, on a slide.
"""


def lecture(run: Run, loss: Tensor, path: str | Path) -> Path:
    """Write the reverse sweep of a run for a lecture.

    Parameters
    ----------
    run : Run
        What :func:`tinygrad_rnn.unroll` returned.
    loss : Tensor
        A single number computed from the run.
    path : path
        ``.html`` for the page of :func:`~inspector.report` that opens on its drawing in large type, where the arrow
        keys go through the sweep step by step with a sentence to each; ``.svg`` for a drawing of the last steps
        that moves by itself, for slides and web pages, and stands still where reduced motion is asked for.

    Returns
    -------
    Path

    Raises
    ------
    TypeError, ValueError
        As from :func:`~inspector.report`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.GRUCell(2, 3, seed=0), np.ones((20, 1, 2)))
    >>> path = inspector.lecture(run, run.outputs[-1].sum(), Path(tempfile.mkdtemp()) / "gru.svg")
    >>> "@keyframes" in path.read_text()
    True
    """
    suffix = files.suffix_of(path, ["html", "htm", "svg"])
    if suffix != "svg":
        return files.write(path, html(document_of(run, loss, "lecture", opens="lecture")))
    return files.write(path, _moving(run, trace(run, loss)))


def _moving(run: Run, found: GradientTrace) -> str:
    """The last steps that the loss depends on, each line lit when the sweep comes along it."""
    whole = np.max([np.nan_to_num(found.norm(state)) for state in found.states], axis=0)
    reached = np.flatnonzero(whole)
    last = int(reached[-1]) if len(reached) else len(run) - 1
    for count in range(_SHOWN, _LEAST - 1, -1):
        steps = range(max(0, last - count + 1), last + 1)
        shown = picture(run, level="cell", trace=found, steps=steps)
        left, _, right, _ = shown.sheet()
        if right - left <= _WIDEST:
            break
    return animated(shown, _turns(shown))


def _turns(shown: Picture) -> dict[str, int]:
    """When the sweep comes to each line and shape that it reaches, by their ids: the longest way from the loss.

    A circle that shows a state and leads nowhere is reached with that state, and what is folded away at the very end.
    """
    flows = [line for line in shown.lines if line.norm and not line.use]
    read = {line.source for line in flows}
    states = {shape.id for shape in shown.shapes if shape.at is not None and shape.id not in read}
    turns = turns_of_sweep((line.source, line.target) for line in flows if line.target not in states)
    turns |= {line.target: turns[line.source] for line in flows if line.target in states and line.source in turns}
    end = 1 + max(turns.values(), default=0)
    lines = {line.id: turns[line.target] for line in flows if line.target in turns}
    shapes = {shape.id: turns[shape.id] for shape in shown.shapes if shape.id in turns and shape.look.grade is not None}
    return {**shapes, **lines, **{line.id: end for line in shown.lines if line.use == "ribbon"}}
