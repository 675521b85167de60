"""The benchmark's results as a table and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

COLOURS = {
    "ours compiled": "#D55E00",
    "ours eager": "#E69F00",
    "torch.nn": "#0072B2",
    "PyTorch eager": "#56B4E9",
    "JAX scan": "#009E73",
    "HIPS autograd": "#999999",
    "NumPy by hand": "#000000",
}
MARKERS = dict(zip(COLOURS, "osDd^vx", strict=True))
GOALS = {"torch.nn": (0.15, 0.9, 1.1), "JAX scan": (1.0, 1.0, 1.0), "PyTorch eager": (0.1, 0.3, 0.7)}


def as_text(results: dict[str, Any]) -> str:
    """A page of Markdown."""
    lines = [
        "# Benchmark",
        "",
        "Forward and backward over a whole sequence, float32, last-step loss, gradients of all parameters;",
    ]
    lines += [
        "ours and PyTorch eager also keep the gradient of every h_t and c_t. Everybody takes turns in one process."
    ]
    lines += [
        "Milliseconds are medians; a ratio is that of neighbouring runs, ours compiled to theirs, with quartiles.",
        "",
    ]
    lines += [", ".join(f"{key} {value}" for key, value in results["machine"].items()) + ".", ""]
    for shape in dict.fromkeys(tuple(row["shape"]) for row in results["cells"].values()):
        lines += _table(shape, [row for row in results["cells"].values() if tuple(row["shape"]) == shape])
    compiled = results["compile"]
    lines += [
        "## Compilation",
        "",
        f"LSTM, forward and adjoint: {compiled['cold']:.2f} s cold, {compiled['from cache']:.2f} s from the cache.",
        "",
    ]
    lines += ["## Memory", "", "| (T, batch, inputs, hidden) | | seconds | peak MB |", "|---|---|---:|---:|"]
    lines += [
        f"| {tuple(r['shape'])} | {r['mode']} | {r['seconds']:.3f} | {r['peak MB']:.1f} |" for r in results["memory"]
    ]
    e = results["ensemble"]
    lines += [
        "",
        "## Ensemble",
        "",
        (
            f"Trace of {e['members']} LSTMs (100, 1, 8, 16): {e['seconds']:.2f} s in one call, {e['eager seconds']:.1f}"
            " s one by one, eagerly."
        ),
        "",
    ]
    lines += ["## Drawing", "", *drawing_table(results["drawing"]), ""]
    return "\n".join(lines)


def drawing_table(rows: list[dict[str, Any]]) -> list[str]:
    """Time, size and memory of drawings in Markdown."""
    lines = [
        "LSTM to SVG, every timestep drawn. Seconds by the clock, and of processors, which other work on the machine"
        " does not"
    ]
    lines += ["lengthen; peak MB is what drawing adds to the process's peak memory.", ""]
    lines += [
        "| level | T | seconds | processor seconds | ms of those a step | MB of SVG | peak MB |",
        f"|---|{'---:|' * 6}",
    ]
    for row in rows:
        each = 1e3 * row["processor seconds"] / row["steps"]
        times = f"{row['seconds']:.2f} | {row['processor seconds']:.2f} | {each:.1f}"
        lines.append(f"| {row['level']} | {row['steps']:,} | {times} | {row['SVG MB']:.1f} | {row['peak MB']:.0f} |")
    return lines


def _table(shape: tuple[int, ...], rows: list[dict[str, Any]]) -> list[str]:
    peers = list(COLOURS)
    lines = [
        f"## (T, batch, inputs, hidden) = {shape}",
        "",
        f"| ms | {' | '.join(peers)} |",
        f"|---|{'---:|' * len(peers)}",
    ]
    for row in rows:
        times = [f"{row['times'][peer][0]:.2f}" if peer in row["times"] else "" for peer in peers]
        lines.append(f"| {row['cell']} | {' | '.join(times)} |")
    rivals = peers[1:]
    lines += ["", f"| ours compiled to | {' | '.join(rivals)} |", f"|---|{'---:|' * len(rivals)}"]
    for row in rows:
        lines.append(f"| {row['cell']} | {' | '.join(_ratio(row, peer) for peer in rivals)} |")
    return [*lines, ""]


def _ratio(row: dict[str, Any], peer: str) -> str:
    if peer not in row["ratios"]:
        return ""
    middle, low, high = row["ratios"][peer]
    return f"**{middle:.2f}** ({low:.2f}-{high:.2f})"


def draw(results: dict[str, Any], folder: Path) -> None:
    """Time against T, hidden size and batch size, on logarithmic axes."""
    position = {"T": 0, "hidden": 3, "batch": 1}
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), sharey=True, layout="constrained")
    for ax, (axis, rows) in zip(axes, results["sweeps"].items(), strict=True):
        for peer, colour in COLOURS.items():
            points = [(r["shape"][position[axis]], *r["times"][peer]) for r in rows if peer in r["times"]]
            x, middle, low, high = zip(*points, strict=True)
            wide = 2.4 if peer.startswith("ours") else 1.3
            ax.plot(x, middle, color=colour, marker=MARKERS[peer], markersize=5, linewidth=wide, label=peer)
            ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        fixed = dict(zip(("T", "batch", "inputs", "hidden"), rows[0]["shape"], strict=True))
        fixed.pop(axis)
        ax.set(xscale="log", yscale="log", xlabel=axis, title=", ".join(f"{k} {v}" for k, v in fixed.items()))
        ax.grid(True, which="major", alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("ms, forward and backward")
    figure.suptitle("LSTM in float32 on two threads: the time of one gradient")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, frameon=False)
    figure.savefig(folder / "lstm-time.png", dpi=130)
    plt.close(figure)
