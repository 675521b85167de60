"""E18: price tags. What do gates cost, and what does learning cost?

Texts say that a GRU costs half of an LSTM. It costs three quarters: a cell pays for each learned layer, and a GRU
has three, an LSTM four, a plain net one. Half is right only for the state that is carried from step to step, h
against h and c. Cells that do cost half are MGU and JANET, with two layers. What a step must keep for
the backward pass has a ratio of its own, counted here in the graph: 1 value a unit for the plain net, 7 for the
LSTM. Texts also say that LSTM learns in O(w); they mean O(W), W the number of weights, and so does backpropagation
through time for any cell. What costs O(W^2) a step is real-time recurrent learning, which carries the derivative of
every unit by every weight. Operations are counted in graphs, the picture shows them; time is measured and only told.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main, trend
from matplotlib.figure import Figure

import tinygrad_rnn as tg
from inspector import plots
from tinygrad_rnn.training.real_time import rtrl

Array = npt.NDArray[np.float64]

NAMES = ("rnn", "mgu", "janet", "gru", "cifg", "lstm")
LAYERS = {"rnn": 1, "mgu": 2, "janet": 2, "gru": 3, "cifg": 3, "lstm": 4}
READS_OUTPUT = ("sigmoid", "tanh")
READS_OPERANDS = ("multiply", "matmul")


def difference(count: Callable[[Any], int], cell: tg.Cell) -> int:
    """What a step adds, counted in the graphs of three steps and of two."""
    three, two = (tg.unroll(cell, np.zeros((steps, 1, cell.input_size))) for steps in (3, 2))
    return count(three) - count(two)


def saved(run: tg.Run) -> int:
    """Numbers that the backward pass reads again: outputs of nonlinearities, operands of products, but no weights."""
    graph, kept = tg.Graph([*run.final_state, *run.outputs]), set()
    for node in graph.nodes:
        if node.op in READS_OUTPUT:
            kept.add(node.index)
        elif node.op in READS_OPERANDS:
            kept.update(k for k in node.inputs if graph.nodes[k].timestep is not None)
    known = {id(graph.nodes[k].tensor): graph.nodes[k] for k in kept}
    return sum(node.value.size for node in known.values() if node.op not in ("transpose", "constant", "parameter"))


def operations(outputs: Any) -> int:
    """The multiplications of matrix products and one operation for every number of all other results."""
    graph, total = tg.Graph(outputs), 0
    for node in graph.nodes:
        if node.op == "matmul":
            total += int(np.prod(node.shape)) * graph.nodes[node.inputs[0]].shape[-1]
        elif node.inputs and node.op not in ("transpose", "reshape", "getitem", "identity"):
            total += int(np.prod(node.shape))
    return total


def through_time(run: tg.Run) -> int:
    """Operations of a run and of its gradient by all weights."""
    return operations(tg.grad(tg.sum(tg.stack(run.outputs)), run.cell.parameters(), create_graph=True))


def forwards(cell: tg.cells.RNNCell, x: Array, h: Array, by_weights: Array) -> tuple[Array, tg.Tensor]:
    """A step of RTRL by hand: the new state and its derivative by all weights, W_ih before W_hh, (units, weights)."""
    W, R, n = cell.weight_ih.data, cell.weight_hh.data, cell.hidden_size
    new = np.tanh(W @ x + R @ h)
    direct = np.concatenate([np.kron(np.eye(n), x), np.kron(np.eye(n), h)], axis=1)
    return new, tg.tensor(1 - new**2)[:, None] * (tg.tensor(R) @ tg.tensor(by_weights) + direct)


def rtrl_error(rng: np.random.Generator) -> float:
    """How far those derivatives are from the framework's own after 4 steps."""
    cell, inputs, v = tg.cells.RNNCell(3, 5, bias=False, seed=0), rng.normal(size=(4, 1, 3)), rng.normal(size=5)
    h, by_weights = np.zeros(5), np.zeros((5, 40))
    for x in inputs:
        h, by = forwards(cell, x[0], h, by_weights)
        by_weights = by.data
    found = rtrl(cell, inputs, lambda t, state: tg.sum(state.h * v) if t == 3 else None)
    expected = np.concatenate([found.gradients[name].ravel() for name in ("weight_ih", "weight_hh")])
    return float(np.abs(v @ by_weights - expected).max())


def seconds(units: int, repeats: int) -> dict[str, float]:
    """For each cell the fastest of some training passes, 50 steps forth and back, compiled; cells take turns."""
    cells = {name: tg.compile(tg.cells.get(name)(units, units, dtype=np.float32, seed=0)) for name in NAMES}
    inputs, fastest = np.zeros((50, 32, units), np.float32), dict.fromkeys(NAMES, np.inf)
    for turn in range(repeats + 1):
        for name, cell in cells.items():
            begin = time.perf_counter()
            tg.grad(tg.sum(tg.unroll(cell, inputs).stacked), cell.parameters())
            if turn:  # the first one compiles
                fastest[name] = min(fastest[name], time.perf_counter() - begin)
    return fastest


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    m, n = (int(k) for k in rng.integers(5, 40, 2))
    rows = tg.cells.table(NAMES, m, n)
    cells = {name: tg.cells.get(name)(m, n, seed=0) for name in NAMES}
    bars: dict[str, dict[str, float]] = {"weights": {}, "state": {}, "kept": {}, "time": {}}
    lines = []
    for name, cell in cells.items():
        matrices = sum(p.size for p in cell.parameters() if p.ndim == 2)
        bars["weights"][name] = matrices / (n * (m + n))
        bars["state"][name] = sum(part.size for part in cell.initial_state(1)) / n
        bars["kept"][name] = (difference(saved, cell) - m) / n  # every cell keeps its input
        lines.append(
            exact(f"{name}: weights of {m} inputs and {n} units over n(m + n)", bars["weights"][name], LAYERS[name])
        )
        lines.append(
            exact(
                f"{name}: multiply-adds of a step over n(m + n)", rows[name].multiply_adds / (n * (m + n)), LAYERS[name]
            )
        )
    lines += [
        exact("gru over lstm: all parameters, biases too", rows["gru"].parameters / rows["lstm"].parameters, 0.75),
        exact("gru over lstm: carried state", bars["state"]["gru"] / bars["state"]["lstm"], 0.5),
        exact("rnn: values kept a unit and step", bars["kept"]["rnn"], 1),
        exact("lstm: values kept a unit and step (i f g o c tanh(c) h)", bars["kept"]["lstm"], 7),
        trend("gru: values kept a unit and step", bars["kept"]["gru"], "fewer than lstm", bars["kept"]["gru"] < 7),
        exact("RTRL by hand against the framework's", rtrl_error(rng), 0.0, 1e-12),
    ]
    sizes, slopes = ((32, 64, 96) if quick else (32, 48, 64, 96, 128)), {}
    for kind in ("RTRL, plain net", "BPTT, LSTM", "truncated rule of 1997", "BPTT, plain net"):
        counted = []
        for k in sizes:
            cell = {"BPTT, LSTM": tg.cells.LSTMCell, "truncated rule of 1997": tg.cells.LSTM1997Cell}.get(
                kind, tg.cells.RNNCell
            )(k, k, bias=False, seed=0, **({"truncated": True} if "1997" in kind else {}))
            weights = sum(p.size for p in cell.parameters())
            if "RTRL" in kind:
                counted.append((weights, operations(forwards(cell, np.ones(k), np.ones(k), np.ones((k, weights)))[1])))
            else:
                counted.append((weights, difference(through_time, cell)))
        slopes[kind] = np.array(counted, float)
        slope = np.polyfit(*np.log(slopes[kind]).T, 1)[0]
        lines.append(exact(f"{kind}: slope of operations against weights", slope, 2 if "RTRL" in kind else 1, 0.05))
    taken = seconds(64 if quick else 128, 12 if quick else 40)
    bars["time"] = {name: taken[name] / taken["rnn"] for name in NAMES}
    ratio = bars["time"]["gru"] / bars["time"]["lstm"]
    lines.append(
        trend(
            "gru over lstm: time of a training pass, compiled",
            ratio,
            "between 0.5 and 1",
            bool(0.5 < ratio < 1),
            "told only",
        )
    )
    return lines, (bars, slopes)


def draw(found: Any, path: Path) -> None:
    bars, slopes = found
    figure = Figure(figsize=(13, 5), layout="constrained")
    *panels, curves = figure.subplots(1, 5, width_ratios=[1, 0.7, 1.1, 1, 2.6])
    titles = {
        "weights": "weights,\n× n(m + n)",
        "state": "carried\nstate, × n",
        "kept": "kept for the way\nback, × n a step",
        "time": "measured time,\n× plain net",
    }
    shown = {"rnn": "plain", "mgu": "MGU", "janet": "JANET", "gru": "GRU", "cifg": "CIFG", "lstm": "LSTM"}
    colours = {"gru": "#009E73", "lstm": "#0072B2", "rnn": "#D55E00"}
    for axes, (kind, title) in zip(panels, titles.items(), strict=True):
        for row, name in enumerate(NAMES[::-1]):
            value = bars[kind][name]
            axes.barh(row, value, color=colours.get(name, "#8C959F"), height=0.68)
            axes.text(value, row, f" {value:.2g}", va="center", fontsize=11.5)
        axes.set_yticks(range(6), [shown[name] for name in NAMES[::-1]] if axes is panels[0] else [""] * 6, fontsize=12)
        axes.set_title(title, loc="left", fontsize=11.5)
        axes.set_xlim(0, max(bars[kind].values()) * 1.28)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    looks = {
        "RTRL, plain net": ("#CC79A7", "RTRL: slope 2", 1, 0.45, "left"),
        "BPTT, LSTM": ("#0072B2", "BPTT, LSTM: slope 1", -1, 2.6, "right"),
        "truncated rule of 1997": ("#E69F00", "rule of 1997: slope 1", -1, 0.11, "right"),
        "BPTT, plain net": ("#D55E00", "BPTT, plain net: slope 1", 0, 0.45, "left"),
    }
    for kind, counted in slopes.items():
        colour, text, k, lift, side = looks[kind]
        weights, counts = counted.T
        curves.plot(weights, counts, "o-", color=colour, linewidth=2, markersize=6)
        curves.text(
            weights[k] * (1.15 if "RTRL" in kind else 1),
            counts[k] * lift,
            text,
            color=colour,
            fontsize=12,
            ha=side,
            va="center",
        )
    curves.set_ylim(1500, 3 * slopes["RTRL, plain net"].max())
    curves.set_xscale("log")
    curves.set_yscale("log")
    curves.set_xlabel("number of weights W", fontsize=11)
    curves.set_title("Operations a step of learning", loc="left", fontsize=12.5)
    curves.grid(True, color="#D8DEE4", linewidth=0.6)
    curves.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        "A GRU costs three quarters of an LSTM, and half only in carried state", x=0.01, ha="left", fontsize=14
    )
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))
