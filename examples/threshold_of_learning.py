"""How much of the gradient has to be left at the first step for a network to learn what it saw there?

The first input says yes or no, noise follows, and the answer is asked for at the end. LSTMs with different forget
biases and plain RNNs with different recurrent weights, over 30 and over 60 steps, differ in what is left of the state's
gradient at the first step before training begins. Of those with less than a hundredth only plain RNNs with orthogonal
weights learn; with more, up to some hundred times, nearly all do; beyond, every other one. This is where the thresholds
of ``inspector.diagnose`` come from.

Run it with ``python examples/threshold_of_learning.py --out pictures``; it takes four minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

import inspector
import tinygrad_rnn as tg
from inspector import plots
from inspector.analysis.diagnose import EXPLODES, VANISHES

HIDDEN, UPDATES, BATCH, ROW = 12, 600, 32, 20
FORGET_BIASES, GAINS, LENGTHS, SEEDS = (-1.0, 0.0, 1.0, 2.0, 3.0, 5.0), (0.8, 1.0, 1.5, 2.0, 2.5), (30, 60), (0, 1, 2)


class Trial(NamedTuple):
    """A network, what was left of its gradient at the first step, and after how many updates it had learned, if at
    all.
    """

    kind: str
    setting: float
    length: int
    seed: int
    kept: float
    learned: int | None


def lstm(bias: float, seed: int) -> Any:
    """An LSTM with `bias` more in its forget gate."""
    cell = tg.cells.LSTMCell(2, HIDDEN, seed=seed)
    more = np.repeat([0.0, bias, 0.0, 0.0], HIDDEN)
    cell.load_state_dict({k: np.asarray(v) + more if k == "bias_ih" else v for k, v in cell.state_dict().items()})
    return cell


def rnn(gain: float, seed: int) -> Any:
    """A plain RNN whose recurrent weights are `gain` times an orthogonal matrix."""
    cell = tg.cells.RNNCell(2, HIDDEN, seed=seed)
    weights = gain * tg.init.orthogonal((HIDDEN, HIDDEN), np.random.default_rng(seed))
    cell.load_state_dict({k: weights if k == "weight_hh" else v for k, v in cell.state_dict().items()})
    return cell


def trial(kind: str, setting: float, length: int, seed: int, updates: int = UPDATES) -> Trial:
    """Measure the gradient, then train; learned is what answers 95 % right for 20 updates in a row."""
    cell = {"lstm": lstm, "rnn": rnn}[kind](setting, seed)
    fast, readout, rng = tg.compile(cell), tg.models.Linear(HIDDEN, 1, seed=seed), np.random.default_rng(seed)
    parameters = [*cell.parameters(), *readout.parameters()]
    optimizer = tg.optim.Adam(parameters, lr=0.01)
    kept, in_a_row = 0.0, 0
    for update in range(updates):
        answers = rng.integers(0, 2, size=(BATCH, 1)).astype(float)
        x = 0.3 * rng.normal(size=(length, BATCH, 2))
        x[0, :, 0] = 2 * answers[:, 0] - 1
        run = tg.unroll(cell if update == 0 else fast, x)
        logits = readout(run.outputs[-1])
        loss = tg.losses.binary_cross_entropy_with_logits(logits, answers)
        if update == 0:
            trace = inspector.trace(run, loss)
            whole = np.sqrt(sum(trace.norm(state) ** 2 for state in trace.states))
            kept = float(whole[0] / whole[-1])
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(parameters, 1.0)
        optimizer.step()
        right = float(((logits.data > 0) == (answers > 0.5)).mean())
        in_a_row = in_a_row + 1 if right > 0.95 else 0
        if in_a_row == ROW:
            return Trial(kind, setting, length, seed, kept, update)
    return Trial(kind, setting, length, seed, kept, None)


def trials(lengths: Sequence[int] = LENGTHS, seeds: Sequence[int] = SEEDS, updates: int = UPDATES) -> list[Trial]:
    """All networks, those with the least gradient first."""
    settings = [("lstm", bias) for bias in FORGET_BIASES] + [("rnn", gain) for gain in GAINS]
    grid = [(kind, setting, length, seed) for length in lengths for kind, setting in settings for seed in seeds]
    return sorted((trial(*one, updates) for one in tqdm(grid, desc="training", disable=None)), key=lambda one: one.kept)


@plots.in_style
def picture(found: Sequence[Trial], path: Path, updates: int = UPDATES) -> tuple[Path, str]:
    """Updates until learned against what was left of the gradient; what never learned stands on top."""
    axes = plots.Canvas(8.4, 4.4).add_subplot()
    for kind, colour, marker in (("lstm", "#0072B2", "o"), ("rnn", "#D55E00", "s")):
        for learned in (True, False):
            own = [one for one in found if one.kind == kind and (one.learned is not None) == learned]
            height = [one.learned if one.learned is not None else updates * 1.06 for one in own]
            axes.scatter(
                [one.kept for one in own],
                height,
                s=36,
                marker=marker,
                facecolor=colour if learned else "none",
                edgecolor=colour,
                label=f"{kind.upper()}, {'learned' if learned else f'not within {updates} updates'}",
            )
    axes.axvspan(VANISHES, EXPLODES, color="#009E73", alpha=0.1, linewidth=0)
    axes.text((VANISHES * EXPLODES) ** 0.5, updates * 0.95, "well", ha="center", va="top", color="#00664B", fontsize=10)
    axes.set_xscale("log")
    axes.set_xlabel("‖∂L/∂state‖ at the first step / at the last, before training")
    axes.set_ylabel("updates until learned")
    plots.title(axes, "What is left of the gradient, and what is learned")
    plots.plain_axes(axes)
    axes.legend(loc="center left")
    return plots.save(
        axes, path
    ), "updates until a network has learned, against what was left of its gradient at the first step before training"


def table(found: Sequence[Trial]) -> Iterator[str]:
    """How many learn below, between and above the thresholds of a diagnosis."""
    for says, low, high in (
        ("vanishes", 0.0, VANISHES),
        ("well", VANISHES, EXPLODES),
        ("explodes", EXPLODES, float("inf")),
    ):
        own = [one for one in found if low <= one.kept < high]
        yield f"{says:10} ({low:g} to {high:g}): {sum(one.learned is not None for one in own)} of {len(own)} learned"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the picture")
    parser.add_argument("--updates", type=int, default=UPDATES, help="updates of each network")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="networks of each kind")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    found = trials(seeds=range(options.seeds), updates=options.updates)
    print("\n".join(table(found)))
    path, sentence = picture(found, options.out / "threshold-of-learning.png", options.updates)
    print(f"{path}: {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
