"""E19: France ... French. How far may a word lie back for a net to remember it?

"I grew up in France ... I speak fluent French": many introductions tell that a plain RNN can bridge small gaps between
the two, but not large ones, and that LSTMs do not have this problem. Here is the corpus, in which only the gap varies.
Without a memory the last word costs exactly ln 8 among eight languages, and is right one time in eight. The RNN is
sure up to a gap of five words, a gamble at ten and twenty, and lost at forty, as is told. But an LSTM is no remedy by
itself: filled with small random weights, as PyTorch does, it mostly fails from twenty words on, since its forget gates
begin half closed and halve the memory at every word. With gate biases for the length of the gap it is right at every
gap, and so is the GRU as it comes. All nets finish "the clouds are in the sky" whatever comes before. The bars ask one
net about one sentence. Replace the country, and the loss of the last word rises most. The gradient of the loss does
not show that: once the net has learned, it is largest at the last words.
"""

from __future__ import annotations

import sys
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from claim import Line, exact, main, trend
from matplotlib.figure import Figure

import inspector
import tinygrad_rnn as tg
from inspector import plots

GAPS, QUICK_GAPS, SHOWN = (2, 5, 10, 20, 40), (2, 10), 10
STEPS, QUICK_STEPS, UNITS, COUNTRIES = 1000, 300, 32, 8
KINDS = ("RNN", "LSTM, as PyTorch fills it", "LSTM, biases for the gap", "GRU")
COLOURS = dict(zip(KINDS, ("#D55E00", "#56B4E9", "#0072B2", "#009E73"), strict=True))


def fresh(kind: str, gap: int, seed: int) -> Any:
    """A net that has learned nothing yet."""
    words = tg.tasks.Countries().input_size
    if kind in ("RNN", "GRU"):
        cell = tg.cells.get(kind.lower())(words, UNITS, seed=seed)
    else:
        chrono = tg.init.preset("chrono", t_max=2 * (gap + 8))
        cell = tg.cells.LSTMCell(words, UNITS, seed=seed, init=chrono if "gap" in kind else "pytorch")
    return tg.models.SequenceModel(tg.compile(cell), words, seed=seed)


def train(kind: str, gap: int, steps: int, seed: int) -> Any:
    model, task = fresh(kind, gap, seed), tg.tasks.Countries(d=gap, K=COUNTRIES, clouds=0.25)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)
    tg.fit(model, task, steps=steps, batch=16, optimizer=optimizer, clip=1.0, seed=seed, progress=False)
    return model


def right(model: Any, gap: int, clouds: float, seed: int) -> float:
    """Accuracy on the last word of new sentences."""
    return float(tg.training.evaluate(model, tg.tasks.Countries(d=gap, K=COUNTRIES, clouds=clouds), 400, seed=seed)[1])


def looks(model: Any, gap: int) -> tuple[list[str], Any, Any]:
    """The words of a sentence, the gradient of its last word's loss at each, and how the loss rises without that
    word.
    """
    task = tg.tasks.Countries(d=gap, K=COUNTRIES)
    batch = task.batch(1, np.random.default_rng(0))
    outputs, run = model(batch.inputs)
    loss = tg.losses.cross_entropy(outputs[-1], batch.targets[-1])
    rises = []
    for t in range(len(run)):  # every other word in its place, side by side
        others = np.repeat(batch.inputs, task.input_size, axis=1)
        others[t] = np.eye(task.input_size)
        answer = np.repeat(batch.targets[-1], task.input_size, axis=0)
        with tg.no_grad():
            rises.append(tg.losses.cross_entropy(model(others).outputs[-1], answer).item() - loss.item())
    return task.sentences(batch)[0].split(), inspector.trace(run, loss).norm("x"), np.array(rises)


def theory() -> list[Line]:
    """What a net costs whose state does not reach the next step."""
    task = tg.tasks.Countries(d=SHOWN, K=COUNTRIES)
    batch = task.batch(400, np.random.default_rng(0))
    model = tg.models.SequenceModel(tg.cells.RNNCell(task.input_size, UNITS, seed=0), task.output_size, seed=0)
    forgetful = model.state_dict() | {"cell.weight_hh": np.zeros((UNITS, UNITS))}
    model.load_state_dict(forgetful)
    reached = np.count_nonzero(looks(model, SHOWN)[1])
    knows = np.full(task.output_size, -1e3)
    knows[COUNTRIES : 2 * COUNTRIES] = 0.0  # only languages follow "fluent"
    model.load_state_dict(forgetful | {"readout.weight": np.zeros(model.readout.weight.shape), "readout.bias": knows})
    cost = tg.losses.cross_entropy(model(batch.inputs).outputs[-1], batch.targets[-1]).item()
    answers = batch.targets[-1].argmax(axis=1)
    one_of_each = np.array([np.flatnonzero(answers == COUNTRIES + k)[0] for k in range(COUNTRIES)])
    balanced = tg.tasks.Batch(
        *(a[:, one_of_each] for a in (batch.inputs, batch.targets, batch.mask)), batch.lengths[one_of_each]
    )
    knows[COUNTRIES] = 1.0  # always French
    model.load_state_dict(model.state_dict() | {"readout.bias": knows})
    guessed = task.correct(model(balanced.inputs).outputs.data, balanced).mean()
    return [
        exact("without a memory: nats for the last word", cost, log(COUNTRIES), 1e-12),
        exact("without a memory: right answers, each country once", guessed, 1 / COUNTRIES),
        exact("without a memory: words that the loss looks at", reached, 1),
    ]


def half_way(gaps: Any, accuracies: Any) -> float:
    """The gap at which accuracy falls half way from 1 to chance, between measured ones on a log scale; infinite if
    never.
    """
    half = (1 + 1 / COUNTRIES) / 2
    for (near, above), (far, below) in zip(
        *[list(zip(gaps, accuracies, strict=True))[k:] for k in (0, 1)], strict=False
    ):
        if above >= half > below:
            return float(near * (far / near) ** ((above - half) / (above - below)))
    return float("inf") if accuracies[0] >= half else float(gaps[0])


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    seeds = [int(seed) for seed in rng.integers(2**31, size=3 if quick else 5)]
    gaps, steps = (QUICK_GAPS, QUICK_STEPS) if quick else (GAPS, STEPS)
    found, clouds, bars = {kind: np.zeros((len(gaps), len(seeds))) for kind in KINDS}, [], []
    for kind in KINDS:
        for k, j in np.ndindex(len(gaps), len(seeds)):
            model = train(kind, gaps[k], steps, seeds[j])
            found[kind][k, j] = right(model, gaps[k], 0.0, seeds[j])
            clouds.append(right(model, gaps[k], 1.0, seeds[j]))
            if gaps[k] == SHOWN and "gap" in kind:
                bars.append(looks(model, SHOWN))
    lines = theory()
    for kind, values in found.items():
        middles, last = np.median(values, axis=1), values[-1]
        holds = middles[-1] >= 0.95
        span = f"median, {last.min():.3g} to {last.max():.3g} over {len(seeds)} seeds, {steps} steps"
        told = kind != "RNN" or gaps[-1] <= 10
        says = "at least 0.95" if told else "below 0.5"
        lines.append(
            trend(
                f"{kind}: right after a gap of {gaps[-1]} words",
                middles[-1],
                says,
                holds if told else middles[-1] < 0.5,
                span,
            )
        )
        gap = half_way(gaps, values.mean(axis=1))
        finite = "finite" if told is False else "beyond all measured"
        lines.append(
            trend(
                f"{kind}: gap at which it is half lost", gap, finite, np.isfinite(gap) != told, "of the mean over nets"
            )
        )
    lines.append(
        trend(
            "all nets: the sky, least accuracy",
            min(clouds),
            "at least 0.99",
            min(clouds) >= 0.99,
            f"of {len(clouds)} nets",
        )
    )
    for name, which, place, word in (
        ("replaced costs most", 2, 4, "the country"),
        ("has the largest gradient", 1, -1, "the last"),
    ):
        hits = sum(int(each[which].argmax()) == place % len(each[which]) for each in bars)
        lines.append(
            trend(
                f"LSTM, biases for the gap: the word that {name} is {word}",
                f"{hits} of {len(bars)}",
                "most",
                2 * hits > len(bars),
            )
        )
    return lines, (gaps, found, bars[0])


def draw(found: Any, path: Path) -> None:
    gaps, accuracies, bars = found
    figure = Figure(figsize=(13, 5), layout="constrained")
    panel, below = figure.subplots(1, 2, width_ratios=(1.1, 1))
    places = np.arange(len(gaps))
    for k, (kind, values) in enumerate(accuracies.items()):
        panel.plot(places, values.mean(axis=1), color=COLOURS[kind], linewidth=2.4, label=kind)
        panel.plot(
            places + 0.04 * (k - 1.5), values, "o", color=COLOURS[kind], markersize=5, alpha=0.55, markeredgewidth=0
        )
    panel.axhline(1 / COUNTRIES, color="#57606A", linewidth=1, linestyle=(0, (4, 3)))
    panel.text(-0.1, 1 / COUNTRIES - 0.015, "without a memory: 1/8", color="#57606A", fontsize=10, va="top")
    panel.set_xticks(places, [str(gap) for gap in gaps])
    panel.set(
        xlabel="words of filler between the two sentences",
        ylabel="right last words; lines: means, dots: nets",
        ylim=(0, 1.04),
    )
    panel.legend(frameon=False, fontsize=11, loc="lower left", bbox_to_anchor=(0, 0.2), labelcolor="linecolor")
    panel.set_title("The gap decides, and so do the gates' first biases", loc="left", fontsize=12)
    words, *measures = bars
    for k, (text, values) in enumerate(
        zip(("gradient of the loss\nat this word", "rise of the loss with\nanother word here"), measures, strict=True)
    ):
        below.barh(
            np.arange(len(values)) - 0.2 + 0.4 * k,
            values / values.sum(),
            0.4,
            color=("#BBBBBB", "#0072B2")[k],
            label=text,
        )
    below.set_yticks(range(len(words)), [*words[:-1], f"({words[-1]})"], fontsize=10.5)
    below.get_yticklabels()[4].set(weight="bold", color="#0072B2")
    below.invert_yaxis()
    below.tick_params(axis="y", length=0)
    below.legend(frameon=False, fontsize=11, loc="center right")
    below.set(xlabel="share of the whole sentence")
    below.set_title("What the last word depends on: LSTM, biases for the gap", loc="left", fontsize=12)
    for each in (panel, below):
        each.spines[["top", "right"]].set_visible(False)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))
