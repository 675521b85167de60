"""E7: the conveyor belt, 1000 steps. Does the cell state really carry a gradient that far?

Texts say that the cell state is a conveyor belt, that cells only add and so lose nothing on the way back, and that
1000 steps are no problem. For the cell of 1997 with its truncated gradient that is exact: ds_1000/ds_0 = 1, and
what a cell learns about a step 1000 back has the same factor as about the last one (equation 41). Truncation is
part of it: the full gradient also runs through gates and cell inputs, and is not 1. With a forget gate the belt
loses sigma(b) a step: b = 1, the usual start, leaves 9e-137 after 1000 steps, b = 5 leaves 0.001, and only biases
drawn for the task ("chrono") keep a good part. And the belt can carry too much: without a negative gate bias the
state of 1997 drifts into the hundreds, where h' is 0, so that the gradient on the belt never reaches the output.
The picture shows five belts, coloured by what is left of the gradient of the last step.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main, trend
from matplotlib.figure import Figure

import inspector
import tinygrad_rnn as tg
from inspector import plots

Array = npt.NDArray[np.float64]

STEPS, INPUTS, UNITS = 1000, 4, 8


def cell_of_1997(seed: int, gate_bias: float, truncated: bool) -> tg.cells.LSTM1997Cell:
    """Weights from U(-0.2, 0.2), as in the paper's first experiments, and one bias for all input gates."""
    cell = tg.cells.LSTM1997Cell(INPUTS, UNITS, bias="gates", truncated=truncated)
    rng = np.random.default_rng(seed)
    weights = {name: rng.uniform(-0.2, 0.2, p.shape) for name, p in cell.named_parameters()}
    cell.load_state_dict(weights | {"b_i": np.full(UNITS, gate_bias)})
    return cell


def with_forget_gate(forget_bias: float | None, units: int, seed: int) -> tuple[tg.cells.LSTMCell, Array]:
    """A modern LSTM whose gates are their biases (``None``: drawn by chrono for 1000 steps), and its forget biases."""
    init = "keras" if forget_bias is not None else tg.init.preset("chrono", t_max=STEPS)
    cell = tg.cells.LSTMCell(INPUTS, units, seed=seed, init=init)
    weights = cell.state_dict()
    forget = slice(units, 2 * units)
    if forget_bias is not None:
        weights["bias_ih"][forget] = forget_bias
    weights["weight_hh"][:] = 0
    for gate in (0, 1, 3):
        weights["weight_ih"][gate * units : (gate + 1) * units] = 0
    cell.load_state_dict(weights)
    return cell, weights["bias_ih"][forget]


def belt(cell: Any, inputs: Array, name: str) -> tuple[Array, Array]:
    """The Jacobian of the last state by the first, and the gradient norm at all states for a loss in all units
    alike.
    """
    run = tg.unroll(cell, inputs)
    last, first = (getattr(state, name) for state in (run.final_state, run.initial_state))
    n = cell.hidden_size
    trace = inspector.trace(run, tg.sum(last) / np.sqrt(n))
    jacobian = tg.jacobian(last, first).reshape(n, n)
    return jacobian, np.concatenate([[np.linalg.norm(jacobian.sum(axis=0)) / np.sqrt(n)], trace.norm(name)])


def factor_41(seed: int, inputs: Array) -> tuple[Array, Array]:
    """The gradient of h_T by each net input's part, over what equation 41 says it is made of; (T, 2, units)."""
    run = tg.unroll(cell_of_1997(seed, -6.0, truncated=True), inputs)
    i, g = ([run.names[name, t] for t in range(len(run))] for name in ("i", "g"))
    by = tg.grad(tg.sum(run.outputs[-1]), [*g, *i])
    factors = [
        [by_g.data[0] / i_t.data[0], by_i.data[0] / g_t.data[0]]
        for by_g, by_i, i_t, g_t in zip(by[: len(run)], by[len(run) :], i, g, strict=True)
    ]
    s, o = run.final_state.s.data[0], run.final_state.o.data[0]
    return np.array(factors), o * 0.5 / np.cosh(s / 2) ** 2


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    seeds = [int(seed) for seed in rng.integers(2**31, size=3 if quick else 5)]
    inputs = rng.normal(size=(STEPS, 1, INPUTS))
    belts, full = {}, []
    jacobian, belts["cell of 1997, truncated gradient"] = belt(cell_of_1997(seeds[0], -4.0, True), inputs, "s")
    for seed in seeds:
        found, curve = belt(cell_of_1997(seed, -4.0, False), inputs, "s")
        full.append(np.linalg.svd(found, compute_uv=False))
        belts.setdefault("cell of 1997, full gradient", curve)
    largest, least = (np.array([values[k] for values in full]) for k in (0, -1))
    lines = [
        exact("1997, truncated: ds_1000/ds_0 off the identity", np.abs(jacobian - np.eye(UNITS)).max(), 0.0, 1e-12),
        trend(
            "1997, full: largest singular value of ds_1000/ds_0",
            np.median(largest),
            "not 1",
            bool((np.abs(largest - 1) > 0.01).all()),
            f"{len(seeds)} nets; {largest.min():.3g} to {largest.max():.3g}",
        ),
        trend(
            "1997, full: least singular value of ds_1000/ds_0",
            np.median(least),
            "not 1",
            bool((np.abs(least - 1) > 0.01).all()),
            f"{len(seeds)} nets; {least.min():.3g} to {least.max():.3g}",
        ),
    ]
    for bias in (1.0, 5.0):
        found, belts[f"forget gate, bias {bias:g}"] = belt(with_forget_gate(bias, UNITS, seeds[0])[0], inputs, "c")
        left = 1 / (1 + np.exp(-bias))
        lines.append(
            exact(f"forget gate, b = {bias:g}: dc_1000/dc_0", np.diag(found).mean(), left**STEPS, 1e-9, relative=True)
        )
        lines.append(
            exact(f"forget gate, b = {bias:g}: largest other entry", np.abs(found - np.diag(np.diag(found))).max(), 0.0)
        )
    chrono, biases = with_forget_gate(None, 32, seeds[0])
    found, belts["forget gate, biases drawn for 1000 steps"] = belt(chrono, inputs, "c")
    u, kept = np.exp(biases), np.diag(found)
    lines += [
        exact(
            "chrono: dc_1000/dc_0 against (u/(1+u))^1000, 32 units",
            np.abs(kept / (u / (1 + u)) ** STEPS - 1).max(),
            0.0,
            1e-9,
        ),
        exact("chrono: no unit keeps more than (999/1000)^1000", bool(kept.max() <= 0.999**STEPS * (1 + 1e-9)), True),
        trend(
            "chrono: median unit",
            np.median(kept),
            "about exp(-2) = 0.135",
            bool(0.05 < np.median(kept) < 0.25),
            f"32 units; {kept.min():.2g} to {kept.max():.2g}",
        ),
    ]
    factors, closed = factor_41(seeds[0], inputs)
    lines += [
        exact(
            "equation 41: factor at q = 1000 over that at q = 1; off 1",
            np.abs(factors[-STEPS] / factors[-2] - 1).max(),
            0.0,
            1e-12,
        ),
        exact("equation 41: factor against y_out h'(s), every q", np.abs(factors / closed - 1).max(), 0.0, 1e-10),
    ]
    with tg.no_grad():
        last = [tg.unroll(cell_of_1997(seed, 0.0, True), inputs).final_state.s for seed in seeds]
    drifted = np.array([np.abs(s.data).max() for s in last])
    lines.append(
        trend(
            "1997 without gate bias: largest |s_1000|",
            np.median(drifted),
            "above 50 (there h' < 1e-21)",
            bool((drifted > 50).all()),
            f"{len(seeds)} nets; {drifted.min():.3g} to {drifted.max():.3g}",
        )
    )
    return lines, belts


def draw(found: Any, path: Path) -> None:
    figure = Figure(figsize=(12, 5.4), layout="constrained")
    axes = figure.add_subplot()
    for row, (label, curve) in enumerate(found.items()):
        with np.errstate(divide="ignore"):
            logs = np.log10(curve)[None]
        image = axes.imshow(
            np.ma.masked_less(logs, -6),
            extent=(0, STEPS, -row - 0.22, -row + 0.22),
            aspect="auto",
            cmap="cividis",
            vmin=-6,
            vmax=1,
        )
        axes.plot(
            [0, STEPS, STEPS, 0, 0], np.array([-0.22, -0.22, 0.22, 0.22, -0.22]) - row, color="#57606A", linewidth=1
        )
        axes.text(0, -row + 0.27, label, fontsize=12.5, va="bottom")
        axes.text(-12, -row, _left(curve[0]), fontsize=12.5, ha="right", va="center")
    axes.set_xlim(-120, STEPS)
    axes.set_ylim(-len(found) + 0.7, 0.6)
    axes.set_xticks(range(0, STEPS + 1, 200), [str(t) for t in range(0, STEPS + 1, 200)], fontsize=10.5)
    axes.set_yticks([])
    axes.set_xlabel("step t; the gradient of the last state flows from right to left", fontsize=11)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, ticks=range(-6, 2), extend="both", pad=0.01, shrink=0.9)
    bar.ax.set_yticklabels([f"$10^{{{k}}}$" if k else "1" for k in range(-6, 2)])
    bar.set_label("what is left of the gradient (white: less than 10⁻⁶)", fontsize=11)
    axes.set_title(
        "Conveyor belts: only the truncated cell of 1997 carries exactly 1, and a forget bias is a clock",
        loc="left",
        fontsize=13.5,
    )
    plots.save(figure, path)


def _left(value: float) -> str:
    if 0.001 < value < 1000:
        return f"×{value:.3g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"×{mantissa} · $10^{{{int(exponent)}}}$"


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))
