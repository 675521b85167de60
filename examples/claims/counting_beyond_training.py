"""R4: counting beyond training. Does a net that predicts a^n b^n for n up to 10 know how to count?

Texts say that an LSTM can count and that a GRU cannot. Can it? An LSTM with its gates open adds 1 to its memory cell
for every a and takes 1 away for every b: two units wired by hand are right for every n we try, since nothing bounds a
memory cell. A GRU, like a plain net, keeps its state between -1 and 1, so that a counter must squeeze ever more numbers
into it. But being able to count is not learning it. Trained on n up to 10, an LSTM goes on counting only for some more,
since its steps up and down are not quite equal and the error adds up; a GRU stops almost where its training stopped.
Published figures go much further, with longer training. The picture shows a counter wired by hand, the states of
trained nets for n = 40, and the largest n that every net can do.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main, trend
from matplotlib.figure import Figure

import tinygrad_rnn as tg
from inspector import plots

Array = npt.NDArray[np.float64]

CELLS: dict[str, Any] = {"LSTM": tg.cells.LSTMCell, "GRU": tg.cells.GRUCell, "RNN": tg.cells.RNNCell}
COLOURS = {"RNN": "#D55E00", "LSTM": "#0072B2", "GRU": "#009E73"}
TRAINED, TOP, SHOWN = 10, 300, 40


def by_hand() -> tg.models.SequenceModel:
    """Unit 0 counts with open gates, unit 1 says whether the last symbol was a b; inputs S a b, outputs a b T."""
    cell = tg.cells.LSTMCell(3, 2, seed=0)
    open_, shut, large = 40.0, -40.0, 40.0  # sigmoid(40) and tanh(40) are 1 to the last bit
    biases, weights = np.array([open_, open_, open_, shut, 0.0, 0.0, open_, open_]), np.zeros((8, 3))  # i f g o
    weights[4:6] = [0.0, large, -large], [-large, -large, large]
    cell.load_state_dict(
        {"weight_ih": weights, "weight_hh": np.zeros((8, 2)), "bias_ih": biases, "bias_hh": np.zeros(8)}
    )
    model = tg.models.SequenceModel(cell, 3, seed=0)
    one = np.tanh(1.0)
    weight = np.array([[0.0, -1.0], [1.0, 0.0], [-1.0, 1.0]])
    model.readout.weight.data, model.readout.bias.data = 20 * weight, 20 * np.array([0.0, -one / 2, -one / 2])
    return model


def told(model: tg.models.SequenceModel, n: int) -> tuple[bool, Any]:
    """Whether all predictions for a^n b^n are right, and the run."""
    task = tg.tasks.Counting(n, n)
    batch = task.batch(1, np.random.default_rng(0))
    with tg.no_grad():
        outputs, run = model(batch.inputs)
    return bool(task.correct(tg.sigmoid(outputs.data), batch).all()), run


def largest(model: tg.models.SequenceModel) -> int:
    """The n up to which all strings are told."""
    return next((n - 1 for n in range(1, TOP + 1) if not told(model, n)[0]), TOP)


def trained(name: str, steps: int, seed: int) -> tuple[tg.models.SequenceModel, float]:
    """A net after training, and the share of training strings that it told in the end."""
    cell = CELLS[name](3, 8, seed=seed)
    model = tg.models.SequenceModel(tg.compile(cell), 3, seed=seed)
    for part, rate in ((steps * 2 // 3, 0.02), (steps // 3, 0.005)):
        adam = tg.optim.Adam(model.parameters(), lr=rate)
        tg.fit(
            model,
            tg.tasks.Counting(1, TRAINED),
            steps=part,
            batch=16,
            optimizer=adam,
            clip=1.0,
            seed=seed,
            progress=False,
        )
    return model, tg.training.evaluate(model, tg.tasks.Counting(1, TRAINED), 200, seed=seed)[1]


def counter(run: Any, name: str) -> Array:
    """The unit of the state that moves most over the string."""
    states = np.stack([(state.c if name == "LSTM" else state.h).data[0] for state in run.states])
    return states[:, np.argmax(np.ptp(states, axis=0))]


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    seeds, steps = (3, 450) if quick else (7, 3000)
    names = ["LSTM", "GRU"] if quick else list(CELLS)
    model, most = by_hand(), 200 if quick else 1000
    tried = [*range(1, 21), 50, 100, most]
    right = sum(told(model, n)[0] for n in tried)
    run = told(model, most)[1]
    c = np.array([state.c.data[0, 0] for state in run.states])
    lines = [
        exact(f"LSTM by hand: right for n = 1 to 20, 50, 100 and {most}", right, len(tried)),
        exact(f"LSTM by hand: memory cell after {most} a", c[most], most),
        exact(f"LSTM by hand: memory cell after {most} a and as many b", c[-1], 0),
    ]
    reach: dict[str, list[int]] = {}
    traces, bounds = {"LSTM by hand": counter(told(model, SHOWN)[1], "LSTM")}, []
    for name in names:
        made = [trained(name, steps, int(one.integers(1 << 30))) for one in rng.spawn(seeds)]
        reach[name] = found = [largest(model) for model, _ in made]
        best = int(np.argmax(found))
        traces[name] = counter(told(made[best][0], SHOWN)[1], name)
        learned = np.mean([share for _, share in made])
        expected = {"LSTM": f"beyond {TRAINED}", "GRU": "less than the LSTM", "RNN": "told only"}[name]
        holds = {"LSTM": np.median(found) > TRAINED, "GRU": np.median(found) < np.median(reach["LSTM"]), "RNN": True}[
            name
        ]
        lines.append(
            trend(
                f"{name} trained up to n = {TRAINED}: right up to n (median)",
                int(np.median(found)),
                expected,
                bool(holds),
                f"{seeds} nets; {min(found)} to {max(found)}; {learned:.0%} of training strings right",
            )
        )
        if name != "LSTM":
            bounds.append(
                max(np.abs(state.h.data).max() for model, _ in made for state in told(model, SHOWN)[1].states)
            )
    lines.append(exact("GRU: all states within 1", bool(max(bounds) <= 1), True))
    return lines, (reach, traces)


def draw(found: Any, path: Path) -> None:
    reach, traces = found
    figure = Figure(figsize=(12.5, 5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 1.1])
    t = np.arange(2 * SHOWN + 1)
    left.plot(t, traces["LSTM by hand"], color="black", linewidth=2.2)
    left.text(SHOWN * 1.25, SHOWN * 0.8, "wired\nby hand", fontsize=12)
    sign = np.sign(traces["LSTM"][np.argmax(np.abs(traces["LSTM"]))])
    left.plot(t, sign * traces["LSTM"], color=COLOURS["LSTM"], linewidth=2.2)
    left.text(SHOWN * 0.1, SHOWN * 0.75, "trained", color=COLOURS["LSTM"], fontsize=12)
    left.set_title(f"LSTM cell over a$^{{{SHOWN}}}$b$^{{{SHOWN}}}$", loc="left", fontsize=12.5)
    middle.plot(t, traces["GRU"], color=COLOURS["GRU"], linewidth=2.2)
    middle.set_ylim(-1.1, 1.1)
    middle.set_title("Trained GRU: the unit that moves most", loc="left", fontsize=12.5)
    for axes in (left, middle):
        axes.axvline(SHOWN, color="#8C959F", linewidth=1, linestyle=(0, (4, 2)))
        axes.set_xticks([0, SHOWN // 2, SHOWN, 3 * SHOWN // 2, 2 * SHOWN], ["S", "a", "", "b", ""])
        axes.set_xlim(-2, 2 * SHOWN + 2)
    rows = ["LSTM by hand", *reach]
    for row, name in enumerate(rows[::-1]):
        if name in reach:
            values = np.sort(reach[name])
            right.plot(
                np.maximum(values, 1),
                row + np.linspace(-0.2, 0.2, len(values)),
                "o",
                color=COLOURS[name],
                markersize=8,
                alpha=0.8,
            )
            right.plot([max(np.median(values), 1)] * 2, [row - 0.33, row + 0.33], color=COLOURS[name], linewidth=3)
        else:
            right.annotate(
                "", (300, row), (10, row), arrowprops={"arrowstyle": "->", "color": "black", "linewidth": 2.5}
            )
    right.axvline(TRAINED, color="#8C959F", linewidth=1.2, linestyle=(0, (4, 2)))
    right.text(
        TRAINED * 0.9, len(rows) - 0.62, "longest in\ntraining", fontsize=11, ha="right", va="top", color="#57606A"
    )
    right.set_xscale("log")
    right.set_xlim(0.85, 340)
    right.set_xticks([1, 2, 5, 10, 20, 50, 100, 300], ["≤ 1", "2", "5", "10", "20", "50", "100", "300"])
    right.minorticks_off()
    right.set_yticks(range(len(rows)), rows[::-1], fontsize=12)
    right.set_ylim(-0.6, len(rows) - 0.4)
    right.set_xlabel("right up to n (a dot a net, bar their median)", fontsize=11)
    right.set_title("How far each net counts", loc="left", fontsize=12.5)
    for axes in (left, middle, right):
        axes.grid(True, axis="y" if axes is not right else "x", color="#D8DEE4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))
