"""E12: chunker and noise. How deep is a sequence for a network that is told only of surprises?

Schmidhuber's chunker (1992) has two networks. The lower one predicts its next input; the upper one moves only when
that prediction fails. Texts say that it suffers from noise, and they are right. A bit, 1,198 symbols that repeat a
pattern, and the bit again hold two surprises, so what was 1,199 steps deep is one step deep, for a plain RNN with the
plainest of gradients. Noise cannot be predicted: every noise symbol is one surprise more, in each single sequence. The
upper network gets as many steps as there are surprises, and from about twenty on it fails as an RNN does. The LSTM
reads every symbol of the same sequences and does not mind, since its gates can ignore what comes; that is the
comparison of experiments 2a and 2b in 1997. The left picture marks the surprises, the right one counts who can still
name the bit.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from claim import Line, exact, main, published, trend
from matplotlib.figure import Figure

import tinygrad_rnn as tg
from inspector import plots

BITS, PATTERN, NOISE = 2, 5, 3
SYMBOLS = BITS + PATTERN + NOISE
LONG, SHORT, UNITS = 1200, 200, 16
SHARES, STEPS, BATCH, TESTED = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4), 200, 8, 200
COLOURS = {"chunker": "#D55E00", "LSTM": "#0072B2", "RNN": "#000000"}
READERS: dict[str, Any] = {
    "chunker": lambda size, seed: tg.cells.ChunkerCell(size, UNITS, seed=seed, dtype=np.float32, init="orthogonal"),
    "RNN": lambda size, seed: tg.cells.RNNCell(size, UNITS, seed=seed, dtype=np.float32, init="orthogonal"),
    "LSTM": lambda size, seed: tg.cells.LSTMCell(
        size, UNITS, seed=seed, dtype=np.float32, init=tg.init.preset("chrono", t_max=SHORT)
    ),
}


def sequences(steps: int, size: int, share: float, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """One-hot (steps, size, symbols): a bit, a pattern with a share of noise, the bit; the bits; where noise is."""
    bits = rng.integers(BITS, size=size)
    noisy = np.zeros((steps, size), bool)
    noisy[1:-1] = rng.random((steps - 2, size)) < share
    pattern = BITS + np.arange(steps)[:, None] % PATTERN
    symbols = np.where(noisy, BITS + PATTERN + rng.integers(NOISE, size=noisy.shape), pattern)
    symbols[0] = symbols[-1] = bits
    return np.eye(SYMBOLS)[symbols], bits, noisy


def surprises(run: tg.Run) -> Any:
    """Where the chunker moved, (T, batch) of bool."""
    predicted = np.stack([run.initial_state.p.data, *[state.p.data for state in run.states[:-1]]])
    seen = np.stack([x.data for x in run.inputs])
    return np.abs(seen - predicted).max(axis=2) > 0.5


def train(kind: str, draw: Any, size: int, seed: int) -> Any:
    """A reader that learned to name the bit from all but the last symbol; the chunker to predict its inputs too."""
    model = tg.models.SequenceModel(tg.compile(READERS[kind](size, seed)), BITS, seed=seed)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(STEPS):
        x, bits = draw(BATCH)[:2]
        said = model(x[:-1])
        loss = tg.losses.cross_entropy(said.outputs[-1], np.eye(BITS)[bits])
        if kind == "chunker":
            p = tg.stack([state.p for state in said.run.states])
            loss = loss - tg.mean(tg.sum(x[1:] * tg.log(p + 1e-6) + (1 - x[1:]) * tg.log(1 - p + 1e-6), axis=2))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(optimizer.parameters, 1.0)
        optimizer.step()
    return model


def accuracy(model: Any, x: Any, bits: Any) -> float:
    with tg.no_grad():
        return float(np.mean(model(x[:-1]).outputs[-1].data.argmax(axis=1) == bits))


def stream(steps: int, share: float, seed: int) -> Any:
    """From a size to that many fresh sequences."""
    rng = np.random.default_rng(seed)
    return lambda size: sequences(steps, size, share, rng)


def experiment(task: tg.tasks.Task, seed: int) -> float:
    """Accuracy of a chunker on experiment 2a or 2b of 1997: x or y, 99 symbols, and x or y again."""
    rng = np.random.default_rng(seed)

    def draw(size: int) -> tuple[Any, Any]:
        batch = task.batch(size, rng)
        last = batch.targets[-1:]
        return np.concatenate([batch.inputs, last]), last[0].argmax(axis=1) - (task.output_size - BITS)

    return accuracy(train("chunker", draw, task.input_size, seed), *draw(TESTED))


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    seeds = [int(seed) for seed in rng.integers(2**31, size=3 if quick else 5)]
    shares = SHARES[::4] if quick else SHARES
    right: dict[str, Any] = {kind: np.zeros((len(shares), len(seeds))) for kind in READERS}
    off, marks, counts, deep = [], [], np.zeros(len(shares)), []
    for k, j in np.ndindex(len(shares), len(seeds)):
        draw = stream(SHORT, shares[k], seeds[j])
        models = {kind: train(kind, draw, SYMBOLS, seeds[j]) for kind in READERS}
        x, bits, noisy = draw(TESTED)
        for kind, model in models.items():
            right[kind][k, j] = accuracy(model, x, bits)
        with tg.no_grad():
            moved = surprises(tg.unroll(models["chunker"].cell, x))
            if not shares[k]:  # what holds for short sequences without noise holds for long ones
                deep.extend(surprises(tg.unroll(models["chunker"].cell, stream(LONG, 0.0, 0)(4)[0])).sum(axis=0))
        off.append(float(np.mean(moved.sum(axis=0) == 2 + noisy.sum(axis=0))))
        counts[k] += moved.sum(axis=0).mean() / len(seeds)
        marks += [] if j else [(moved[:, 0], noisy[:, 0])]
    lines = [
        exact(f"surprises in {LONG:,} symbols without noise, most of {len(deep)} sequences", max(deep), 2),
        exact("steps between the bits for each surprise", (LONG - 1) / max(deep), 599.5),
        trend(
            "sequences with exactly 2 + (noise symbols) surprises",
            float(np.median(off)),
            "1",
            float(np.median(off)) == 1,
            f"median, {min(off):.3g} to 1 over {len(off)} nets",
        ),
    ]
    for kind, values in right.items():
        for name, row, holds in (("no", values[0], kind != "RNN"), (f"{shares[-1]:.0%}", values[-1], kind == "LSTM")):
            middle = float(np.median(row))
            says, agrees = ("at least 0.98", middle >= 0.98) if holds else ("0.5 ± 0.1", abs(middle - 0.5) <= 0.1)
            span = f"median, {row.min():.3g} to {row.max():.3g} over {len(seeds)} seeds"
            lines.append(trend(f"{kind}: accuracy after {SHORT} symbols, {name} noise", middle, says, agrees, span))
    for name, task, paper in (
        () if quick else (("2a", tg.tasks.NoiseFree(100), 0.33), ("2b", tg.tasks.NoisyLag(100), 0.0))
    ):
        solved = float(np.mean([experiment(task, seed) >= 0.98 for seed in seeds]))
        said = f"{len(seeds)} seeds with Adam, a readout of its own and no criterion on the symbols between"
        lines.append(
            published(f"chunkers that solve experiment {name}", solved, paper, said, abs(solved - paper) < 0.1)
        )
    return lines, (shares, right, counts, marks)


def draw(found: Any, path: Path) -> None:
    shares, right, counts, marks = found
    steps = SHORT
    figure = Figure(figsize=(13, 4.8), layout="constrained")
    raster, panel = figure.subplots(1, 2, width_ratios=(1.15, 1))
    for y, (moved, noisy) in enumerate(marks):
        raster.plot([0, steps - 1], [y, y], color="#D8DEE4", linewidth=0.8, zorder=0)
        raster.eventplot(
            np.flatnonzero(moved & noisy), lineoffsets=y, linelengths=0.62, colors="#56B4E9", linewidths=1.3
        )
        raster.eventplot(
            np.flatnonzero(moved & ~noisy), lineoffsets=y, linelengths=0.8, colors="#D55E00", linewidths=2.6
        )
        raster.text(1.02 * steps, y, f"{moved.sum()}", va="center", fontsize=11)
    raster.text(1.02 * steps, -0.95, "surprises", fontsize=10)
    raster.set_yticks(range(len(shares)), [f"{share:.0%}" for share in shares])
    raster.set(
        xlabel="step",
        ylabel="symbols replaced by noise",
        xlim=(-0.01 * steps, 1.01 * steps),
        ylim=(-0.55, len(marks) - 0.5),
    )
    raster.set_title("Each noise symbol is a surprise (blue), and so are both bits (orange)", loc="left", fontsize=11.5)
    places = np.arange(len(shares))
    for kind, values in right.items():
        shift = {"chunker": -0.07, "LSTM": 0.0, "RNN": 0.07}[kind]
        panel.plot(places + shift, np.median(values, axis=1), color=COLOURS[kind], linewidth=2.4)
        panel.plot(places + shift, values, "o", color=COLOURS[kind], markersize=5, alpha=0.55, markeredgewidth=0)
    panel.text(0, 1.02, "LSTM, told of everything", color=COLOURS["LSTM"], fontsize=11)
    panel.text(
        0.0, 0.93, "chunker's upper\nRNN, told only\nof surprises", color=COLOURS["chunker"], fontsize=11, va="top"
    )
    panel.text(0, 0.43, "RNN, told of everything", color=COLOURS["RNN"], fontsize=11, va="top")
    panel.axhline(0.5, color="#57606A", linewidth=0.8, linestyle=(0, (4, 3)))
    panel.set_xticks(places, [f"{share:.0%}\n{count:.0f}" for share, count in zip(shares, counts, strict=True)])
    panel.set(
        xlabel="symbols replaced by noise, and mean number of surprises", ylabel="right answers", ylim=(0.35, 1.08)
    )
    panel.set_title(f"Who names the first of {steps} symbols: every net, and medians", loc="left", fontsize=11.5)
    for each in (raster, panel):
        each.spines[["top", "right"]].set_visible(False)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))
