"""E13: explosion clock. Why not use ReLU, and when does the state overflow?

Texts say that ReLU explodes in a recurrent net because it is not bounded. It may, but by the weights, not by
itself: with random weights from N(0, g^2/n) the state of a net without input grows by ln(g / sqrt 2) a step,
since ReLU lets half of the energy through. Above g = 1.41 it explodes, below it dies just as fast. So the
overflow has a date: 709.8, the logarithm of the largest float64, divided by the growth; about step 2,000 for
g = 2. Such a net is its own linearisation, J h = h, so its gradient grows at least as fast as its state. With the
identity as weights (Le, Jaitly and Hinton 2015) nothing grows and nothing is lost, in either direction. And tanh
is no cure: its state cannot exceed 1, but its gradient explodes for g = 4, where nothing warns of it. The picture
shows both: states of ReLU nets on the left, gradients of nets with bounded and unbounded states on the right.
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

UNITS, NETS, CEILING = 200, 8, np.log(np.finfo(np.float64).max)
GAINS = (1.0, np.sqrt(2), 2.0, 2.5, 8.0)
COLOURS = {1.0: "#0072B2", np.sqrt(2): "#009E73", 2.0: "#E69F00", 2.5: "#D55E00", 8.0: "#CC79A7"}


def net(gain: float, rng: np.random.Generator, nonlinearity: str = "relu") -> tg.cells.RNNCell:
    """A net of random weights that reads nothing."""
    cell = tg.cells.RNNCell(1, UNITS, bias=False, nonlinearity=nonlinearity, seed=0)
    cell.weight_hh.data = rng.normal(0, gain / np.sqrt(UNITS), (UNITS, UNITS))
    return cell


def log_norms(cell: tg.Cell, start: Array, steps: int) -> Array:
    """Give log |h_t| for t = 0..steps; infinite from the step at which a unit overflows, and where nothing is left."""
    found, state = [np.log(np.linalg.norm(start))], cell.State(start)
    nothing = np.zeros((1, 1))
    with tg.no_grad(), np.errstate(all="ignore"):
        while len(found) <= steps and np.isfinite(found[-1]):
            state = cell(nothing, state)
            h, largest = state.h.data, np.abs(state.h.data).max()
            alive = -np.inf if largest == 0 else np.inf  # a sum of overflown terms is not a number
            found.append(np.log(largest) + np.log(np.linalg.norm(h / largest)) if 0 < largest < np.inf else alive)
    return np.array(found)


def gradient(cell: tg.Cell, start: Array, steps: int, rng: np.random.Generator) -> tuple[Array, Array, float]:
    """|d (v h_T) / d h_t| for t = 0..T, the largest unit, and the error of J h_0 = h_T along v, over |J^T v| |h_0|."""
    h0, v = tg.tensor(start), np.abs(rng.normal(size=start.shape))
    run = tg.unroll(cell, np.zeros((steps, 1, 1)), (h0,))
    states = [run.initial_state.h, *[state.h for state in run.states]]
    by = tg.grad(tg.sum(states[-1] * v), states)
    norms, through = np.array([np.linalg.norm(g.data) for g in by]), np.sum(by[0].data * start)
    error = abs(through - np.sum(states[-1].data * v)) / (norms[0] * np.linalg.norm(start))
    return norms, np.array([np.abs(h.data).max() for h in states]), float(error)


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    lines, curves, overflow = [], {}, {}
    for gain in GAINS:
        steps = 2600 if gain < 1.5 else 10_000  # more than the overflow takes
        starts = np.abs(rng.normal(size=(NETS, 1, UNITS))) / np.sqrt(UNITS)
        curves[gain] = [log_norms(net(gain, rng), start, steps) for start in starts]
        rates = [(c[200] - c[20]) / 180 for c in curves[gain]]
        predicted = np.log(gain / np.sqrt(2))
        lines.append(
            exact(f"ReLU, g = {gain:.4g}: growth a step (median of {NETS} nets)", np.median(rates), predicted, 0.15)
        )
        ended = [(c, rate) for c, rate in zip(curves[gain], rates, strict=True) if c[-1] == np.inf]
        if predicted > 0.1:
            overflow[gain] = np.median([len(c) - 1 for c, _ in ended])
            lines.append(
                exact(
                    f"ReLU, g = {gain:.4g}: overflow step (median)",
                    overflow[gain],
                    CEILING / predicted,
                    0.25,
                    relative=True,
                )
            )
            own = [(len(c) - 1) * rate / CEILING for c, rate in ended]
            lines.append(
                trend(
                    f"ReLU, g = {gain:.4g}: overflow step over its date by a net's own growth",
                    np.median(own),
                    "1",
                    max(abs(o - 1) for o in own) < 0.05,
                    f"{min(own):.3f} to {max(own):.3f}",
                )
            )
    reach = 100 if quick else 300
    start = np.abs(rng.normal(size=(1, UNITS))) / np.sqrt(UNITS)
    faster = []
    for one in rng.spawn(3 if quick else 8):
        relu, state, error = gradient(net(2.0, one), start, reach, one)
        faster.append((np.log(relu[0] / relu[-1]) - np.log(state[-1] / state[0])) / reach)
    lines += [
        exact(f"ReLU, g = 2: relative error of J h = h over {reach} steps", error, 0.0, 1e-12),
        trend(
            "ReLU, g = 2: growth of the gradient above that of the state (median)",
            np.median(faster),
            "0 or more",
            min(faster) > -0.05,
            f"{len(faster)} nets; {min(faster):.3f} to {max(faster):.3f}",
        ),
    ]
    keep = tg.cells.IRNNCell(1, UNITS, seed=0)
    kept, held, _ = gradient(keep, start, 1000, rng)
    lines += [
        exact("IRNN: state after 1,000 steps over state", held[-1] / held[0], 1.0),
        exact("IRNN: gradient over 1,000 steps", kept[0] / kept[-1], 1.0),
    ]
    grows = []
    for one in rng.spawn(3 if quick else 8):
        tanh, bounded, _ = gradient(net(4.0, one, "tanh"), one.normal(size=(1, UNITS)), reach, one)
        grows.append(np.log(tanh[0] / tanh[-1]) / reach)
    lines += [
        exact("tanh, g = 4: largest state is at most 1", bool(bounded[1:].max() <= 1), True),
        trend(
            "tanh, g = 4: growth of the gradient a step (median)",
            np.median(grows),
            "above 0",
            bool(np.median(grows) > 0),
            f"{len(grows)} nets; {min(grows):.3f} to {max(grows):.3f}",
        ),
    ]
    return lines, (
        curves,
        overflow,
        {
            "ReLU, g = 2": (relu, state),
            "tanh, g = 4": (tanh, bounded),
            "IRNN": (kept[-reach - 1 :], held[-reach - 1 :]),
        },
    )


def draw(found: Any, path: Path) -> None:
    curves, overflow, nets = found
    figure = Figure(figsize=(12.5, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.35, 1])
    longest = max(len(c) for many in curves.values() for c in many)
    for gain, many in curves.items():
        rate = np.log(gain / np.sqrt(2))
        for curve in many:
            shown = np.where(np.isfinite(curve), curve, np.nan) / np.log(10)
            left.plot(shown, color=COLOURS[gain], linewidth=0.9, alpha=0.7)
        t = np.array([0, min(longest, abs(CEILING / rate)) if abs(rate) > 1e-9 else longest])
        left.plot(t, rate * t / np.log(10), color="black", linewidth=1.1, linestyle=(0, (4, 2)))
        name = "√2" if abs(rate) < 1e-9 else f"{gain:g}"
        if gain in overflow:
            left.text(
                t[1],
                CEILING / np.log(10) + 10,
                f"g = {gain:g}:\nover at {overflow[gain]:,.0f}",
                color=COLOURS[gain],
                fontsize=11.5,
                ha="center",
                va="bottom",
            )
        else:
            at, drop = (2650, 8) if abs(rate) < 1e-9 else (2680, 100)
            left.text(
                at,
                rate * at / np.log(10) + drop,
                "g = √2" if abs(rate) < 1e-9 else "g = 1",
                color=COLOURS[gain],
                fontsize=11.5,
                va="bottom",
            )
    left.axhline(CEILING / np.log(10), color="black", linewidth=1.5)
    left.text(
        longest + 250, CEILING / np.log(10) + 8, "largest float64, 1.8·10³⁰⁸", fontsize=11, ha="right", va="bottom"
    )
    left.set_ylim(-345, 410)
    left.set_xlim(-60, longest + 300)
    left.set_yticks(
        [-300, -200, -100, 0, 100, 200, 300], ["10⁻³⁰⁰", "10⁻²⁰⁰", "10⁻¹⁰⁰", "1", "10¹⁰⁰", "10²⁰⁰", "10³⁰⁰"]
    )
    left.set_xlabel("step t", fontsize=11)
    left.set_ylabel("size of the state ‖h‖", fontsize=11)
    left.set_title("ReLU nets explode or die by ln(g/√2) a step (dashed)", loc="left", fontsize=12.5)
    decades = max((by / by[-1]).max() for by, _ in nets.values())
    for (name, (by, states)), colour in zip(nets.items(), ("#E69F00", "#D55E00", "#0072B2"), strict=True):
        back = np.arange(len(by))[::-1]
        right.plot(back, by / by[-1], color=colour, linewidth=2.4)
        right.plot(np.arange(len(by)), states / states[1], color=colour, linewidth=1.8, linestyle=(0, (1.5, 1.5)))
        at = len(by) * (0.45 if "tanh" in name else 0.62)
        y = by[len(by) - 1 - int(at)] / by[-1]
        right.text(
            at,
            y * decades ** (0.1 if "tanh" in name else -0.03 if "IRNN" in name else -0.1),
            f"{name}: gradient" + (" = state" if "IRNN" in name else ""),
            color=colour,
            fontsize=11.5,
            ha="right" if "tanh" in name else "left",
            va="bottom" if "tanh" in name else "top",
        )
    right.set_yscale("log")
    right.set_ylim(decades**-0.2, decades**1.05)
    right.text(0, decades**-0.12, "tanh, g = 4: its state never passes 1", color="#D55E00", fontsize=11.5, va="top")
    right.set_ylabel("factor of growth", fontsize=11)
    right.set_xlabel("steps back (solid, gradient) or forth (dotted, state)", fontsize=11)
    right.set_title("tanh bounds the state, not the gradient", loc="left", fontsize=12.5)
    for axes in (left, right):
        axes.grid(True, axis="y", color="#D8DEE4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))
