"""The tour that `inspector demo` gives: a handful of pictures, each with what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg

from ..drawing import draw
from ..plots.curves import plot_decay
from ..reports import report
from ..tracing.trace import GradientTrace, trace

__all__ = ["COUNT", "pictures"]

COUNT = 7
_CELLS = ("rnn", "lstm", "gru")


def pictures(folder: Path) -> Iterator[tuple[Path, str]]:
    """Make the pictures one by one, and say of each what it shows.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    short, long = _traces(3, 4, 4), _traces(200, 8, 16)
    path = folder / "lstm-operations.svg"
    draw(short["LSTM"].run, trace=short["LSTM"]).save(path)
    yield path, "every operation of an LSTM over 3 steps; the darker a line, the more gradient flows back along it"
    path = folder / "lstm-gates.svg"
    draw(short["LSTM"].run, "gate", trace=short["LSTM"]).save(path)
    yield path, "the same with one box a gate"
    for cell in ("RNN", "LSTM", "GRU"):
        path = folder / f"{cell.lower()}-cell.svg"
        draw(short[cell].run, "cell").save(path)
        yield path, f"the {cell} in the textbooks' notation, drawn from its graph"
    path = folder / "decay.svg"
    plot_decay(long, path)
    yield path, "how fast the gradient of the last of 200 outputs dies on its way back, cell by cell"
    path = folder / "lstm-report.html"
    report(long["LSTM"].run, long["LSTM"].loss, path)
    yield path, "one page about the LSTM's run: drawing, decay, gates, and the norm of everything"


def _traces(steps: int, inputs: int, hidden: int) -> dict[str, GradientTrace]:
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(steps, 1, inputs)), rng.normal(size=(1, hidden))
    found = {}
    for name in _CELLS:
        run = tg.unroll(tg.cells.get(name)(inputs, hidden, seed=0), x)
        found[name.upper()] = trace(run, tg.losses.mse_loss(run.outputs[-1], target))
    return found
