"""What `make demo` runs: pictures of trained networks, of three cells' memory, and of how an LSTM works.

Run it with ``python examples/demo.py --out pictures``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import decay_of_three_cells
import letters_to_phonemes
import numpy as np
import own_cell
import scalars
import trained_pair
from tqdm import tqdm

import inspector
import tinygrad_rnn as tg

WORD = "understanding"
Pictures = Iterator[tuple[Path, str]]


def trained_network(out: Path) -> Pictures:
    """A real network, if its weights are installed."""
    yield from letters_to_phonemes.draw(letters_to_phonemes.load_model(), WORD, out)


def lstm(out: Path) -> Pictures:
    """One LSTM over three steps at three levels of detail, coloured by the gradient of a last-step loss."""
    rng = np.random.default_rng(0)
    run = tg.unroll(tg.cells.LSTMCell(4, 8, seed=0), rng.normal(size=(3, 1, 4)))
    loss = tg.losses.mse_loss(run.outputs[-1], rng.normal(size=(1, 8)))
    trace = inspector.trace(run, loss)
    sentences = {
        "operation": "every operation of an LSTM over three steps; the wider and darker, the more gradient flows",
        "gate": "the same LSTM with one box for each gate",
        "cell": "the same LSTM in the well-known notation of cells",
    }
    for level, sentence in sentences.items():
        path = out / f"lstm-{level}.svg"
        inspector.render(run, path, level=level, trace=trace)
        yield path, sentence


STAGES: dict[str, Callable[[Path], Any]] = {
    "a trained network": trained_network,
    "RNN, LSTM, GRU over 200 steps": decay_of_three_cells.draw,
    "untrained and trained": trained_pair.draw,
    "an LSTM in detail": lstm,
    "a cell of your own": own_cell.draw,
    "a network as single numbers": scalars.draw,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the pictures")
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    pictures: list[tuple[Path, str]] = []
    problems: list[str] = []
    stages = tqdm(STAGES.items(), unit="part", delay=2, disable=None)
    for title, draw in stages:
        stages.set_description(title)
        try:
            pictures += draw(out)
        except letters_to_phonemes.WeightsMissing as error:
            problems.append(f"left out {title}: {error}")
    print(f"{len(pictures)} pictures and pages in {out}:")
    for path, sentence in pictures:
        print(f"  {path.name:32} {sentence}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
