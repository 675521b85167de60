"""R11: the hand-wired automaton. Can a recurrent net compute with discrete states, and for how long?

Texts say that recurrent nets can do it in theory, with parameters picked by hand. Here they are picked by hand. A
second-order net has one weight matrix for every input symbol; with +H where the symbol leads from one state to
another and biases of -H/2, it is a finite automaton whose states are units near 1. It answers parity and Tomita's
seven languages without an error, on all short strings and on strings of 1,000 symbols. How large must H be? Where
every symbol permutes the states, as in parity, each unit obeys h = sigmoid(H (h - 1/2)), which keeps two values
apart if H > 4 and only one if H < 4: above 4 a state lives forever, below 4 it fades. The same slope carries the
gradient, H h (1 - h) a step, so what keeps a state safe is what makes its gradient vanish. The picture shows states
that live and that fade, and what is left of them against H.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main
from matplotlib.figure import Figure

import tinygrad_rnn as tg
from inspector import plots

Array = npt.NDArray[Any]
Moves = list[tuple[int, int]]

AUTOMATA: dict[str, tuple[Moves, set[int], Callable[[str], bool]]] = {
    "parity": ([(0, 1), (1, 0)], {1}, lambda s: s.count("1") % 2 == 1),
    "Tomita 1": ([(1, 0), (1, 1)], {0}, lambda s: "0" not in s),
    "Tomita 2": ([(2, 1), (0, 2), (2, 2)], {0}, lambda s: re.fullmatch("(10)*", s) is not None),
    "Tomita 3": (
        [(0, 1), (2, 0), (3, 4), (2, 1), (4, 4)],
        {0, 1, 3},
        lambda s: re.search("(?<!1)1(11)*0(00)*(?!0)", s) is None,
    ),
    "Tomita 4": ([(1, 0), (2, 0), (3, 0), (3, 3)], {0, 1, 2}, lambda s: "000" not in s),
    "Tomita 5": ([(1, 2), (0, 3), (3, 0), (2, 1)], {0}, lambda s: s.count("0") % 2 == 0 == s.count("1") % 2),
    "Tomita 6": ([(1, 2), (2, 0), (0, 1)], {0}, lambda s: (s.count("0") - s.count("1")) % 3 == 0),
    "Tomita 7": (
        [(0, 1), (2, 1), (2, 3), (4, 3), (4, 4)],
        {0, 1, 2, 3},
        lambda s: re.fullmatch("0*1*0*1*", s) is not None,
    ),
}
"""For every state where 0 and 1 lead, which states accept, and the language told without an automaton."""


def wired(moves: Moves, gain: float) -> tg.cells.SecondOrderCell:
    """The net of an automaton."""
    n = len(moves)
    W = np.zeros((n, n, 2))
    for state, ways in enumerate(moves):
        for symbol, goal in enumerate(ways):
            W[goal, state, symbol] = gain
    cell = tg.cells.SecondOrderCell(2, n, seed=0)
    cell.load_state_dict({"W": W.reshape(n, 2 * n), "b": np.full(n, -gain / 2)})
    return cell


def run(cell: tg.Cell, strings: list[str]) -> tg.Run:
    """Read strings of one length, from state 0."""
    inputs = np.eye(2)[[[int(s[t]) for s in strings] for t in range(len(strings[0]))]]
    return tg.unroll(cell, inputs, (np.tile(np.eye(cell.hidden_size)[0], (len(strings), 1)),))


def errors(name: str, strings: list[str], gain: float) -> int:
    """How many strings get the wrong answer, or one by less than .9 against .1."""
    moves, accepting, language = AUTOMATA[name]
    with tg.no_grad():
        h = run(wired(moves, gain), strings).outputs[-1].data
    yes = h[:, sorted(accepting)].max(axis=1)
    wanted = np.array([language(s) for s in strings])
    return int((np.abs(yes - wanted) > 0.1).sum())


def random_strings(name: str, count: int, length: int, rng: np.random.Generator) -> list[str]:
    """Random ones that avoid, as long as they can, to end in a trap."""
    moves = AUTOMATA[name][0]
    traps = {s for s, ways in enumerate(moves) if ways == (s, s)}
    found = []
    for _ in range(count):
        state, symbols = 0, ""
        for _ in range(length):
            symbol = int(rng.integers(2))
            if moves[state][symbol] in traps and rng.random() > 0.5 / length:
                symbol = 1 - symbol
            state, symbols = moves[state][symbol], symbols + str(symbol)
        found.append(symbols)
    return found


def upper(gain: float) -> float:
    """The upper solution of h = sigmoid(gain (h - 1/2)), by bisection; 1/2 if there is only one."""
    low, high = 0.5 + 1e-9, 1.0
    if gain <= 4:
        return 0.5
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / (1 + np.exp(-gain * (middle - 0.5))) > middle else (low, middle)
    return low


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    longest, many, length = (7, 10, 300) if quick else (11, 50, 1000)
    lines = []
    for name in AUTOMATA:
        short = sum(errors(name, ["".join(s) for s in product("01", repeat=k)], 12.0) for k in range(1, longest + 1))
        lines.append(
            exact(f"{name}: errors on all {2 ** (longest + 1) - 2:,} strings up to length {longest}", short, 0)
        )
        lines.append(
            exact(
                f"{name}: errors on {many} random strings of length {length:,}",
                errors(name, random_strings(name, many, length, rng), 12.0),
                0,
            )
        )
    moves, string = AUTOMATA["Tomita 5"][0], random_strings("Tomita 5", 1, length, rng)
    margins, slopes = [], []
    gains = [2.0, 3.0, 3.6, 4.4, 5.0, 6.0, 8.0, 10.0, 12.0]
    for gain in gains:
        whole = run(wired(moves, gain), string)
        h = np.sort(whole.outputs[-1].data[0])
        margins.append(h[-1] - h[-2])
        last = list(whole.outputs)[-11:]
        by = tg.grad(tg.sum(last[-1] * rng.normal(size=h.size)), [last[0], last[-1]])
        slopes.append((np.linalg.norm(by[0].data) / np.linalg.norm(by[1].data)) ** 0.1)
        stable = upper(gain)
        if gain not in (3.6, 4.4, 8.0):
            continue
        lines.append(
            exact(f"permuting states, H = {gain:g}: margin after {length:,} steps", margins[-1], 2 * stable - 1, 1e-9)
        )
        lines.append(
            exact(f"permuting states, H = {gain:g}: gradient a step", slopes[-1], gain * stable * (1 - stable), 1e-6)
        )
    shown = {
        gain: np.stack([h.data[0] for h in run(wired(moves, gain), [string[0][:40]]).outputs], axis=1)
        for gain in (10.0, 3.6)
    }
    return lines, (gains, margins, slopes, shown, string[0][:40])


def draw(found: Any, path: Path) -> None:
    gains, margins, slopes, shown, string = found
    figure = Figure(figsize=(12.5, 5.4), layout="constrained")
    strips, curves = figure.subfigures(1, 2, width_ratios=[1.25, 1])
    panels = strips.subplots(2, 1)
    names = ["even 0s, even 1s", "odd 0s, even 1s", "even 0s, odd 1s", "odd 0s, odd 1s"]
    for axes, (gain, states) in zip(panels, shown.items(), strict=True):
        axes.imshow(states, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        axes.set_yticks(range(4), names, fontsize=11)
        axes.set_xticks(range(len(string)), string, fontsize=9.5)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        what = "the state lives as long as the string" if gain > 4 else "the state fades, all units end at 1/2"
        axes.set_xlabel(f"H = {gain:g}: {what}", fontsize=12.5)
    strips.suptitle("Four units count two symbols (yellow 1, blue 0)", x=0.02, ha="left", fontsize=13)
    axes = curves.subplots()
    line = np.linspace(2, 12, 401)
    stable = np.array([upper(g) for g in line])
    axes.plot(line, 2 * stable - 1, color="#0072B2", linewidth=2.2)
    axes.plot(line, line * stable * (1 - stable), color="#D55E00", linewidth=2.2)
    axes.plot(gains, margins, "o", color="#0072B2", markersize=7)
    axes.plot(gains, slopes, "o", color="#D55E00", markersize=7)
    axes.axvline(4, color="black", linewidth=1, linestyle=(0, (4, 2)))
    axes.text(4.1, 0.02, "H = 4", fontsize=12)
    axes.text(6.9, 0.84, "what is left of the state", color="#0072B2", fontsize=12.5)
    axes.text(7.3, 0.25, "what a gradient keeps a step", color="#D55E00", fontsize=12.5)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("H, the size of the weights", fontsize=11)
    axes.set_title("Safe states, vanishing gradients", loc="left", fontsize=13)
    axes.grid(True, axis="y", color="#D8DEE4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))
