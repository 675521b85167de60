"""R7: the Omega regulariser. Can a gradient be asked not to vanish?

Texts say that a vanished gradient cannot be repaired by scaling it up, and that one must change the architecture
instead. Pascanu, Mikolov and Bengio (2013) add a term to the loss that asks the error signal to keep its length at
every step: Omega = sum over k of (|d E/d x_(k+1) J| / |d E/d x_(k+1)| - 1)^2. Their gradient of it takes states and
errors as constants, so it costs no second backward pass. Against vanishing it works: from small random weights,
descending Omega alone makes the norm of the gradient flat over 60 steps. Against exploding it does little, since it
does not see that smaller weights leave units less saturated and slopes steeper; the paper clips there. Nor does it make
the net an isometry: only the direction that the error takes is kept, nearly all others are still lost. We use the norms
of their equation 9; their code has squares. The picture shows gradients on the way, and singular values at the end.
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


class Pascanu(tg.Cell):
    """The net of the paper, by its net inputs: x_t = R f(x_{t-1}) + u_t."""

    state_names = ("x",)

    def __init__(self, R: Array, nonlinearity: str = "tanh") -> None:
        super().__init__(len(R), len(R))
        self.f: Any = {"tanh": tg.tanh, "identity": lambda a: a}[nonlinearity]
        self.R = self.parameter("R", R.shape, R)

    def step(self, u: Any, state: Any) -> Any:
        return (self.f(state.x) @ self.R.T + u,)


def errors(cell: Pascanu, inputs: Array, target: Array) -> tuple[list[tg.Tensor], tuple[tg.Tensor, ...]]:
    """States x_0..x_T and d E / d x_t, for a squared error at the end."""
    run = tg.unroll(cell, inputs)
    states = [run.initial_state.x, *[state.x for state in run.states]]
    return states, tg.grad(tg.losses.mse_loss(run.outputs[-1], target, reduction="sum"), states)


def omega(cell: Pascanu, states: list[tg.Tensor], by: tuple[tg.Tensor, ...]) -> tuple[tg.Tensor, Array]:
    """Omega of sequences side by side, as a function of R alone, all else held constant; and the ratios."""
    x = np.concatenate([state.data for state in states[:-1]])
    delta = np.concatenate([g.data for g in by[1:]])
    alive = np.linalg.norm(delta, axis=1) > 1e-20
    before = tg.tensor(x)
    slope = tg.grad(tg.sum(cell.f(before)), before)[0].data
    passed = (tg.tensor(delta[alive]) @ cell.R) * slope[alive]
    ratio = tg.sqrt(tg.sum(tg.square(passed), axis=1)) / np.linalg.norm(delta[alive], axis=1)
    return tg.sum(tg.square(ratio - 1.0)), ratio.data


def by_hand(cell: Pascanu, states: list[tg.Tensor], by: tuple[tg.Tensor, ...]) -> Array:
    """The derivative of that by R, written out for tanh."""
    total = np.zeros_like(cell.R.data)
    for state, g in zip(states[:-1], by[1:], strict=True):
        s, delta = 1 - np.tanh(state.data[0]) ** 2, g.data[0]
        u = (delta @ cell.R.data) * s
        length, after = np.linalg.norm(delta), np.linalg.norm(u)
        total += 2 * (after / length - 1) * np.outer(delta, u * s) / (length * after)
    return total


def descend(R: Array, inputs: Array, target: Array, updates: int, lr: float = 0.3) -> dict[str, Any]:
    """Gradient descent on the mean of Omega alone."""
    cell = Pascanu(R)
    norms, values = [], []
    for _ in range(updates + 1):
        states, by = errors(cell, inputs, target)
        norms.append(np.array([np.linalg.norm(g.data, axis=1).mean() for g in by]))
        value, ratios = omega(cell, states, by)
        values.append(value.item() / ratios.size)
        step = tg.grad(value, cell.R)[0].data / ratios.size
        last = cell.R.data
        cell.R.data = last - lr * step * min(1.0, 1.0 / np.linalg.norm(step))
    run = tg.unroll(Pascanu(last), inputs[:, :1])
    J = tg.jacobian(run.outputs[-1][0], run.initial_state.x)[:, 0]
    return {"norms": norms, "omega": values, "stretch": np.linalg.svd(J, compute_uv=False)}


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    n, steps, updates = (20, 60, 60) if quick else (40, 60, 200)
    inputs, target = 0.3 * rng.normal(size=(steps, 8, n)), rng.normal(size=(8, n))
    Q, lines = tg.init.orthogonal((n, n), rng), []
    for rho in (1.0, 0.9, 1.1):
        linear = Pascanu(rho * Q, "identity")
        value = omega(linear, *errors(linear, inputs[:, :1], target[:1]))[0].item()
        lines.append(
            exact(
                f"linear, R = {rho:g} x orthogonal: Omega", value, steps * (rho - 1) ** 2, 1e-24 if rho == 1 else 1e-10
            )
        )
    cell = Pascanu(0.9 * Q)
    states, by = errors(cell, inputs[:, :1], target[:1])
    given, hand = tg.grad(omega(cell, states, by)[0], cell.R)[0].data, by_hand(cell, states, by)
    lines.append(
        exact(
            "derivative of Omega against the formula: largest relative difference",
            np.abs(given - hand).max() / np.abs(hand).max(),
            0.0,
            1e-12,
        )
    )
    found: dict[str, Any] = {}
    for name, gain in (("vanishing", 0.7), ("exploding", 2.5)):
        runs = [
            descend(one.normal(0, gain / np.sqrt(n), (n, n)), inputs, target, updates)
            for one in rng.spawn(3 if quick else 5)
        ]
        factors = np.array(
            [[(r["norms"][k][10] / r["norms"][k][-1]) ** (1 / (steps - 10)) for k in (0, -1)] for r in runs]
        )
        lost = np.array([np.mean(r["stretch"] < 0.1) for r in runs])
        found[name] = runs[0]
        lines += [
            trend(
                f"{name} at first: factor of the gradient a step",
                np.median(factors[:, 0]),
                "away from 1",
                bool(abs(np.median(factors[:, 0]) - 1) > 0.05),
                f"{len(runs)} nets; {factors[:, 0].min():.3f} to {factors[:, 0].max():.3f}",
            ),
            trend(
                f"{name} at first: the same after {updates} updates",
                np.median(factors[:, 1]),
                "above 0.9" if gain < 1 else "still above 1.05",
                bool(np.median(factors[:, 1]) > (0.9 if gain < 1 else 1.05)),
                f"{factors[:, 1].min():.3f} to {factors[:, 1].max():.3f}",
            ),
            trend(
                f"{name} at first: share of directions still lost (below 0.1)",
                np.median(lost),
                "most",
                bool(np.median(lost) > 0.5),
                f"{lost.min():.2f} to {lost.max():.2f}",
            ),
        ]
    return lines, found


def draw(found: Any, path: Path) -> None:
    figure = Figure(figsize=(12.5, 5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.3, 1.3, 1])
    for axes, (name, run), colour in zip((left, middle), found.items(), ("#0072B2", "#D55E00"), strict=True):
        norms = run["norms"]
        shown = [0, 5, 15, len(norms) - 1] if name == "vanishing" else [0, len(norms) - 1]
        for k in shown:
            back = np.arange(len(norms[k]))[::-1]
            axes.plot(
                back,
                norms[k] / norms[k][-1],
                color=colour,
                linewidth=2.6 if k in (0, shown[-1]) else 1.2,
                alpha=0.25 + 0.75 * (k > 0) * min(1, k / 30),
            )
            y = norms[k][0] / norms[k][-1]
            axes.text(
                back[0] + 1,
                y,
                "before" if not k else f"{k} updates" if k == shown[-1] else str(k),
                color=colour,
                fontsize=11.5,
                va="center",
            )
        axes.set_yscale("log")
        axes.set_xlim(0, len(back) + 16)
        axes.set_xticks(range(0, 61, 20))
        axes.set_xlabel("steps back", fontsize=11)
        axes.set_title(f"Gradient {name} at first", loc="left", fontsize=12.5)
        right.plot(np.linspace(0, 1, len(run["stretch"])), run["stretch"], color=colour, linewidth=2.4)
    right.text(0.5, 3e-9, "vanishing\nat first", color="#0072B2", fontsize=11.5)
    right.text(0.5, 1e-4, "exploding\nat first", color="#D55E00", fontsize=11.5)
    right.set_ylim(1e-12, None)
    left.set_ylabel("size of the gradient", fontsize=11)
    right.axhline(1, color="black", linewidth=1)
    right.set_yscale("log")
    right.set_xlabel("share of directions", fontsize=11)
    right.set_title("After: singular values of 60 steps", loc="left", fontsize=12.5)
    for axes in (left, middle, right):
        axes.grid(True, axis="y", color="#D8DEE4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        "Descending Ω cures a vanishing gradient, hardly an exploding one, and keeps few directions",
        x=0.01,
        ha="left",
        fontsize=14,
    )
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw))
