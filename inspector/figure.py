"""figure: a run's drawing, and below it the decay of its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinygrad_rnn import Tensor
from tinygrad_rnn.recurrent.unroll import Run

from .picture.compose import picture
from .render import finished, suffix_of
from .tracing.trace import trace

__all__ = ["figure"]


@np.errstate(all="ignore")
def figure(
    run: Run,
    loss: Tensor,
    path: str | Path | None = None,
    *,
    level: str = "cell",
    steps: slice | Sequence[int] | None = None,
    fold: bool | None = None,
) -> str | Path:
    """Draw a run coloured by the gradient of `loss`, and below it plot how that gradient decays along time.

    Timestep t of the plot stands exactly under step t of the drawing. Where steps are folded away, the plot goes on
    through all of them on an even axis of its own, to which a line leads from each step that is drawn.

    Parameters
    ----------
    run : Run
    loss : Tensor
        A single number computed from the run.
    path, level, steps, fold
        As for :func:`~inspector.render`.

    Returns
    -------
    str or Path
        As from :func:`~inspector.render`.

    Raises
    ------
    ValueError, TypeError
        As from :func:`~inspector.trace` and :func:`~inspector.render`.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((40, 1, 2)))
    >>> svg = inspector.figure(run, run.outputs[-1].sum())
    >>> 'id="chart.h.t39"' in svg
    True
    """
    suffix_of(path, "figure")
    drawing = picture(run, level=level, trace=trace(run, loss), steps=steps, fold=fold, decay=True)
    return finished(drawing, path, "figure")
