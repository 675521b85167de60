"""The benchmark's results as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from plan import AXES, PEERS

COLOURS = dict(zip(PEERS, ("#D55E00", "#E69F00", "#0072B2", "#56B4E9", "#009E73", "#999999", "#000000"), strict=True))
MARKERS = dict(zip(PEERS, "osDd^vx", strict=True))


def draw(results: dict[str, Any], folder: Path) -> None:
    """Time against T, hidden size and batch size, on logarithmic axes."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), sharey=True, layout="constrained")
    for ax, (axis, rows) in zip(axes, results["sweeps"].items(), strict=True):
        for peer, colour in COLOURS.items():
            points = [(r["shape"][AXES.index(axis)], *r["times"][peer][:3]) for r in rows if peer in r["times"]]
            x, middle, low, high = zip(*points, strict=True)
            wide = 2.4 if peer.startswith("ours") else 1.3
            ax.plot(x, middle, color=colour, marker=MARKERS[peer], markersize=5, linewidth=wide, label=peer)
            ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        fixed = dict(zip(AXES, rows[0]["shape"], strict=True))
        fixed.pop(axis)
        ax.set(xscale="log", yscale="log", xlabel=axis, title=", ".join(f"{k} {v}" for k, v in fixed.items()))
        sizes = [row["shape"][AXES.index(axis)] for row in rows]
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
        ax.set_xticks([], minor=True)
        ax.yaxis.set_major_formatter("{x:,g}")
        ax.grid(True, which="major", alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("ms, forward and backward")
    figure.suptitle("LSTM in float32 on two threads: the time of one gradient, everybody in turn")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, frameon=False)
    figure.savefig(folder / "lstm-time.png", dpi=130)
    plt.close(figure)
