"""E14: learning to forget. What happens to a memory that can only add, when its input never ends?

The cell of 1997 adds to its state and takes nothing away. That is its strength, since the error flows back through a
sum unchanged, and texts rightly say it is also its weakness: without a reset the sum can grow for ever. In 1997
somebody outside set the state to zero after each string. Here embedded Reber strings follow each other with nothing
between them. The state of the 1997 cell grows with every symbol, to hundreds of times that of the cell with a forget
gate (Gers, Schmidhuber & Cummins 2000), and its output is squashed to a constant. Still it predicts most symbols as
well; what it loses is the one symbol that needs a long memory, the T or P near the end of each string, where it mostly
guesses. Not always: some nets of 1997 find a way, with new sums towering over the old ones. Nobody tells the other
cell when to forget. The block that keeps most within a string learns to empty itself by shutting its forget gate: less
at the E that ends a string than at the B that begins the next one.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from claim import Line, exact, main, trend
from matplotlib.figure import Figure

import tinygrad_rnn as tg
from inspector import plots

CELLS = {"1997": tg.cells.LSTM1997Cell, "2000": tg.cells.LSTM2000Cell}
COLOURS = {"1997": "#D55E00", "2000": "#0072B2"}
SYMBOLS = "BTPSXVE"
PLACES = ("B", "T or P", "B inside", "the rest\ninside", "E inside", "T or P\nagain", "E")
UNITS, BLOCK, LENGTH, TESTED = 8, 2, 100, 2400  # 2400 symbols are 200 strings of 12 on average
STEPS, QUICK_STEPS = 1500, 700


def train(kind: str, steps: int, seed: int) -> Any:
    """Four blocks of two cells, as in 2000; outputs see the input too. The whole gradient, with Adam."""
    cell = CELLS[kind](len(SYMBOLS), UNITS, block_size=BLOCK, seed=seed)
    model = tg.models.SequenceModel(tg.compile(cell), len(SYMBOLS), see_inputs=True, seed=seed)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)
    task = tg.tasks.ContinualReber(LENGTH)
    tg.fit(model, task, steps=steps, batch=8, optimizer=optimizer, clip=1.0, seed=seed, progress=False)
    return model


def series(run: tg.Run, name: str) -> Any:
    """A named value of all timesteps, (T, batch, units)."""
    return np.stack([run.names[name, t].data for t in range(len(run))])


def keeping(gates: Any, asked: Any) -> tuple[Any, Any]:
    """Mean forget gates (blocks, places), and what each block keeps from the beginning of a string to the recall."""
    places, kept = [], []
    for k in range(gates.shape[1]):
        (recalls,) = np.nonzero(asked[:, k])
        for this, following in pairwise(recalls):  # both read the E of an inner string
            again, end, begin, choice, inner = gates[this + 1 : this + 6, k]
            rest = gates[this + 6 : following, k]
            places.append([begin, choice, inner, rest.mean(axis=0), gates[following, k], again, end])
            kept.append(inner * rest.prod(axis=0) * gates[following, k])
    return np.mean(places, axis=0).T, np.median(kept, axis=0)


def read(model: Any, seed: int) -> dict[str, Any]:
    """What a trained net makes of streams that are longer than any it has seen."""
    task = tg.tasks.ContinualReber(TESTED)
    batch = task.batch(8, np.random.default_rng([seed, 1]))
    with tg.no_grad():
        outputs, run = model(batch.inputs)
    chosen, asked = outputs.data.argmax(axis=2), task.outer(batch)
    legal = np.take_along_axis(task.legal(batch), chosen[..., None], axis=2)[..., 0]
    found = {"outer": legal[asked].mean(), "all": legal[batch.mask].mean()}
    states = series(run, "s")
    found["norm"] = np.linalg.norm(states, axis=2).mean(axis=1)
    blocks = [np.repeat(series(run, gate), BLOCK, axis=2) for gate in ("f", "i") if (gate, 0) in run.names]
    written = blocks[-1] * series(run, "g")
    if len(blocks) == 1:  # 1997: the state is a sum, in which nothing is ever multiplied
        found["sum"] = np.abs(states - np.cumsum(written, axis=0)).max() / np.abs(states).max()
        found["slope"] = np.polyfit(np.log(np.arange(100, TESTED)), np.log(found["norm"][100:]), 1)[0]
    else:
        gates = series(run, "f")
        found["places"], kept = keeping(gates, asked)
        found["memory"] = int(kept.argmax())
        found["text"] = "".join(SYMBOLS[k] for k in batch.inputs[:, 0].argmax(axis=1))
        found["gates"] = gates[:, 0]
    found["over"] = np.count_nonzero(np.abs(states).max(axis=(1, 2)) > 2.0 * np.arange(1, TESTED + 1))
    return found


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    seeds = [int(seed) for seed in rng.integers(2**31, size=3 if quick else 5)]
    steps = QUICK_STEPS if quick else STEPS
    nets = {kind: [read(train(kind, steps, seed), seed) for seed in seeds] for kind in CELLS}
    old, new = nets["1997"], nets["2000"]
    lines = [
        exact(
            "1997: state minus the sum of all that was written, relative", max(net["sum"] for net in old), 0.0, 1e-10
        ),
        exact("states beyond 2 a symbol, the most that can be added", sum(net["over"] for net in [*old, *new]), 0),
    ]

    def told(name: str, values: Any, says: str, holds: Any) -> None:
        middle = float(np.median(values))
        lines.append(
            trend(
                name,
                middle,
                says,
                bool(holds(middle)),
                f"median, {min(values):.3g} to {max(values):.3g} over {len(seeds)} seeds",
            )
        )

    ratios = [a["norm"][-1] / b["norm"][-1] for a, b in zip(old, new, strict=True)]
    told("norm of the state after 200 strings, 1997 over 2000", ratios, "at least 5", lambda m: m >= 5)
    told(
        "1997: exponent of the norm's growth with time",
        [net["slope"] for net in old],
        "0.5 to 1",
        lambda m: 0.45 <= m <= 1.05,
    )
    told(
        "1997: legal answers where T or P is to be recalled",
        [net["outer"] for net in old],
        "0.5 to 0.7",
        lambda m: 0.4 <= m <= 0.7,
    )
    told(
        "2000: legal answers where T or P is to be recalled",
        [net["outer"] for net in new],
        "at least 0.97",
        lambda m: m >= 0.97,
    )
    told("1997: legal answers anywhere", [net["all"] for net in old], "at least 0.9", lambda m: m >= 0.9)
    told("2000: legal answers anywhere", [net["all"] for net in new], "at least 0.98", lambda m: m >= 0.98)
    gates = np.array([net["places"][net["memory"]] for net in new])
    for place, says, holds in (
        ("B", "below 0.2", lambda m: m < 0.2),
        ("the rest\ninside", "above 0.6", lambda m: m > 0.6),
        ("E", "below 0.2", lambda m: m < 0.2),
    ):
        name = (
            "2000: forget gate of the memory block at"
            f" {'the outer ' + place if len(place) == 1 else 'most inner symbols'}"
        )
        told(name, gates[:, PLACES.index(place)], says, holds)
    return lines, nets


def draw(found: Any, path: Path) -> None:
    figure = Figure(figsize=(11, 8.6), layout="constrained")
    top, panel, below = figure.subplots(3, 1, height_ratios=(1.6, 0.85, 0.75))
    steps = np.arange(1, TESTED + 1)
    for kind, nets in found.items():
        for net in nets:
            top.plot(steps, net["norm"], color=COLOURS[kind], linewidth=1.6, alpha=0.75)
    bound = 2 * np.sqrt(UNITS) * steps
    top.plot(steps, bound, color="#57606A", linewidth=1, linestyle=(0, (4, 3)))
    top.text(8, 100, "the most that can be added", color="#57606A", fontsize=10.5, ha="right")
    old, new = (np.median([net["outer"] for net in found[kind]]) for kind in CELLS)
    top.text(
        TESTED / 1.1,
        200,
        f"1997: can only add;\nrecalls T or P {old:.0%} of the time",
        color=COLOURS["1997"],
        fontsize=12,
        ha="right",
    )
    top.text(
        TESTED / 1.1,
        18,
        f"2000: with a forget gate; recalls T or P {new:.0%} of the time",
        color=COLOURS["2000"],
        fontsize=12,
        ha="right",
    )
    top.set(
        yscale="log", xscale="log", xlim=(1, TESTED), ylabel="norm of the state", xlabel="symbols read without a reset"
    )
    top.set_title("A memory that only adds grows with all it reads", loc="left", fontsize=12.5)
    best = max(found["2000"], key=lambda net: net["outer"])
    shown = slice(TESTED - 60, TESTED)
    panel.imshow(best["gates"][shown].T, cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    panel.set_xticks(range(60), list(best["text"][shown]), fontsize=10, family="monospace")
    panel.set_yticks(range(UNITS // BLOCK), [f"block {k + 1}" for k in range(UNITS // BLOCK)])
    panel.get_yticklabels()[best["memory"]].set(weight="bold", color=COLOURS["2000"])
    panel.tick_params(length=0)
    panel.set_title(
        f"Forget gates of one net: yellow keeps, dark forgets; block {best['memory'] + 1} keeps most",
        loc="left",
        fontsize=12.5,
    )
    values = np.array([net["places"][net["memory"]] for net in found["2000"] if net["outer"] > 0.97])
    if len(values):
        below.bar(range(len(PLACES)), np.median(values, axis=0), color="#56B4E9", width=0.6)
        for value in values:
            below.plot(range(len(PLACES)), value, "o", color=COLOURS["2000"], markersize=5, alpha=0.8)
    below.set_xticks(range(len(PLACES)), PLACES, fontsize=10.5)
    below.set(ylim=(0, 1.08), ylabel="forget gate", xlabel="place in the string that is being read")
    title = "The block that keeps most within a string shuts its gate at B (bars: median, dots: nets)"
    below.set_title(title, loc="left", fontsize=12.5)
    for each in (top, below):
        each.spines[["top", "right"]].set_visible(False)
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))
