"""An ensemble on the page: three of its members, step by step, each before the band of all."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn import Tensor
from tinygrad_rnn.recurrent.unroll import Run

from ..analysis.band import Band, band
from ..tracing.replay import member_of
from ..tracing.trace import norms
from .document import Subject

__all__ = ["members_of"]


def members_of(label: str, run: Run, loss: Tensor) -> list[Subject]:
    """The member of an ensemble that keeps the median part of its gradient, and those that keep least and most.

    Parameters
    ----------
    label : str
        What stands before their names; may be empty.
    run : Run
        Of what :func:`tinygrad_rnn.compile` makes of a list of cells.
    loss : Tensor

    Returns
    -------
    list of Subject
        At most three. Each has the loss of all, in which the other members are constant.
    """
    spread = band(run, loss)
    order, count = _by_what_is_kept(spread, run.reverse), len(spread.norms.axes[spread.over])
    found: dict[int, str] = {}
    for words, k in (
        (f"median of {count}", order[(count - 1) // 2]),
        ("keeps least", order[0]),
        ("keeps most", order[-1]),
    ):
        found.setdefault(k, words)
    return [
        Subject(
            f"{label}, {words}" if label else words.capitalize(),
            *member_of(run, loss, k),
            note=f"member {k} of {count}",
            spread=spread,
        )
        for k, words in found.items()
    ]


@np.errstate(all="ignore")
def _by_what_is_kept(spread: Band, reverse: bool) -> list[int]:
    """The members from the one whose gradient fades most to the one whose gradient fades least or grows most."""
    rows = spread.norms.values  # (state, T, members)
    whole = norms(rows.transpose(1, 2, 0).reshape(-1, len(rows))).reshape(rows.shape[1:])
    reached = np.flatnonzero(whole.any(axis=1))
    first, last = (reached[0], -1) if reverse else (reached[-1], 0)
    return [int(k) for k in np.argsort(whole[last] / whole[first], kind="stable")]
