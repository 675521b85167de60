"""E10: weight census. Do the published numbers of weights come out?

A popular retelling of the first LSTM is "a modern one without the forget gate". It gives other numbers of weights
than the papers print. Theirs come out, all eighteen of them, once two things are right: the gates feed back into
gates and cells, as any other hidden unit, and the cells of a block share their gates. For B blocks of S cells that
makes H = B S + 2 B hidden units and H (I + H) + O B S weights, plus biases where an experiment has them. It also
settles what "O(W)" is about: the cost of a step is counted in weights W, not in units. The picture shows for every
net where its weights lead from; take the orange share away, and the count is no longer the published one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from claim import Line, exact, main, trend
from matplotlib.figure import Figure

import tinygrad_rnn as tg
from inspector import plots

Net = tg.models.SequenceModel

COLOURS = {
    "from inputs": "#56B4E9",
    "from cells and units": "#0072B2",
    "from gates": "#E69F00",
    "biases": "#B8BFC6",
    "to outputs": "#009E73",
}


def recurrent_net(symbols: int) -> Net:
    """One self-recurrent unit and logistic outputs that see the inputs too."""
    cell = tg.cells.RNNCell(symbols, 1, bias=False)
    return Net(cell, symbols, bias=False, see_inputs=True)


def blocks_net(
    inputs: int, cells: int, outputs: int, *, size: int = 1, bias: bool | str = False, readout_bias: bool = False
) -> Net:
    """Memory blocks of 1997 and outputs that see the memory cells."""
    return Net(tg.cells.LSTM1997Cell(inputs, cells, block_size=size, bias=bias), outputs, bias=readout_bias)


def one_cell_net(symbols: int) -> Net:
    """A memory cell with an input gate, neither of them fed back."""
    cell = tg.cells.LSTM1997Cell(
        symbols, 1, bias=False, output_gate=False, recurrent=False, cell_input="sigmoid", cell_output="identity"
    )
    return Net(cell, symbols, bias=False, see_inputs=True)


CENSUS: list[tuple[str, int, Callable[[], list[Any]]]] = [
    ("Long lags 2a, p = 4: one recurrent unit", 36, lambda: [recurrent_net(5)]),
    ("Long lags 2a, p = 10: one recurrent unit", 144, lambda: [recurrent_net(11)]),
    ("Long lags 2a, p = 100: one recurrent unit", 10404, lambda: [recurrent_net(101)]),
    ("Long lags 2a, p = 100: chunker", 10506, lambda: [recurrent_net(101), tg.cells.RNNCell(101, 1, bias=False)]),
    ("Long lags 2a, p = 100: LSTM, one cell", 10504, lambda: [one_cell_net(101)]),
    ("Reber grammar: 4 blocks of 1", 264, lambda: [blocks_net(7, 4, 7, bias="gates")]),
    ("Reber grammar: 3 blocks of 2", 276, lambda: [blocks_net(7, 6, 7, size=2, bias="gates")]),
    ("Long lags 2c, p = 50: 2 blocks of 1", 364, lambda: [blocks_net(54, 2, 2)]),
    ("Long lags 2c, p = 100: 2 blocks of 1", 664, lambda: [blocks_net(104, 2, 2)]),
    ("Long lags 2c, p = 200: 2 blocks of 1", 1264, lambda: [blocks_net(204, 2, 2)]),
    ("Long lags 2c, p = 500: 2 blocks of 1", 3064, lambda: [blocks_net(504, 2, 2)]),
    ("Long lags 2c, p = 1000: 2 blocks of 1", 6064, lambda: [blocks_net(1004, 2, 2)]),
    ("Two sequences: 3 blocks of 1", 102, lambda: [blocks_net(1, 3, 1, bias=True)]),
    ("Adding: 2 blocks of 2", 93, lambda: [blocks_net(2, 4, 1, size=2, bias=True, readout_bias=True)]),
    (
        "Temporal order, 4 classes: 2 blocks of 2",
        156,
        lambda: [blocks_net(8, 4, 4, size=2, bias=True, readout_bias=True)],
    ),
    (
        "Temporal order, 8 classes: 3 blocks of 2",
        308,
        lambda: [blocks_net(8, 6, 8, size=2, bias=True, readout_bias=True)],
    ),
    (
        "Forget gates (2000): 4 blocks of 2",
        424,
        lambda: [Net(tg.cells.LSTM2000Cell(7, 8, block_size=2, bias="gates"), 7, see_inputs=True)],
    ),
    ("Peepholes (2002): one cell", 17, lambda: [Net(tg.cells.PeepholeLSTMCell(1, 1), 1)]),
]
FORMULA = {  # inputs, blocks, cells a block, outputs, biases
    264: (7, 4, 1, 7, 8), 276: (7, 3, 2, 7, 6), 364: (54, 2, 1, 2, 0), 664: (104, 2, 1, 2, 0), 1264: (204, 2, 1, 2, 0),
    3064: (504, 2, 1, 2, 0), 6064: (1004, 2, 1, 2, 0), 102: (1, 3, 1, 1, 9), 93: (2, 2, 2, 1, 9), 156: (8, 2, 2, 4, 12),
    308: (8, 3, 2, 8, 20),
}  # fmt: skip
"""The nets of gated blocks by their counts, for the formula."""


def shares(net: Any) -> dict[str, int]:
    """How many of a net's weights come from where."""
    found = dict.fromkeys(COLOURS, 0)
    cell = net.cell if isinstance(net, Net) else net
    for name, parameter in net.named_parameters():
        kind = name.removeprefix("cell.")
        if kind == "readout.weight":
            found["to outputs"] += parameter.size
        elif kind.startswith(("W", "weight_ih")):
            found["from inputs"] += parameter.size
        elif kind.startswith(("R", "weight_hh")):
            from_cells = parameter.shape[0] * cell.hidden_size
            found["from cells and units"] += from_cells
            found["from gates"] += parameter.size - from_cells
        elif kind.startswith("p_"):
            found["from cells and units"] += parameter.size
        else:
            found["biases"] += parameter.size
    return found


def by_formula(inputs: int, blocks: int, size: int, outputs: int, biases: int) -> int:
    hidden = blocks * size + 2 * blocks
    return hidden * (inputs + hidden) + outputs * blocks * size + biases


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    lines, rows = [], []
    for label, count, build in CENSUS:
        parts = [shares(net) for net in build()]
        total = {name: sum(part[name] for part in parts) for name in COLOURS}
        lines.append(exact(label, sum(total.values()), count))
        if count in FORMULA:
            lines.append(exact(f"{label}; by formula", by_formula(*FORMULA[count]), count))
            without = sum(total.values()) - total["from gates"]
            lines.append(trend(f"{label}; gates not fed back", without, f"not {count:,}", without != count))
        rows.append((label, count, total))
    return lines, rows


def draw(found: Any, path: Path) -> None:
    figure = Figure(figsize=(12, 8.2), layout="constrained")
    axes = figure.add_subplot()
    at = np.arange(len(found)) + 0.5 * np.searchsorted([5, 16], np.arange(len(found)), side="right")
    for y, (_, count, parts) in zip(at, found, strict=True):
        start = 0.0
        for name, colour in COLOURS.items():
            width = parts[name] / count
            axes.barh(y, width, left=start, color=colour, height=0.78, edgecolor="white", linewidth=0.8)
            if width > 0.045:
                ink = "white" if name in ("from cells and units", "to outputs") else "black"
                axes.text(start + width / 2, y, f"{parts[name]:,}", ha="center", va="center", fontsize=10, color=ink)
            start += width
        axes.text(1.105, y, f"{sum(parts.values()):,}", ha="right", va="center", fontsize=12.5, weight="bold")
        axes.text(1.225, y, f"{count:,}", ha="right", va="center", fontsize=12.5)
    for x, text in ((1.105, "built"), (1.225, "published")):
        axes.text(x, -0.85, text, ha="right", va="center", fontsize=11.5)
    for x, (name, colour) in zip((0.0, 0.18, 0.46, 0.64, 0.77), COLOURS.items(), strict=True):
        axes.text(x, -0.85, f"■ {name}", color=colour if name != "biases" else "#6E7781", fontsize=12, va="center")
    axes.set_yticks(at, [label for label, _, _ in found], fontsize=11.5)
    axes.set_ylim(at[-1] + 0.6, -1.4)
    axes.set_xlim(0, 1.225)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle(
        "All 18 published numbers of weights come out, once gates feed back (orange)", x=0.01, ha="left", fontsize=15
    )
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))
