"""The same network as single numbers: every multiplication and addition a node of its own.

A cell is written in matrices; lowered to scalars it computes the same loss and the same gradient, one
scalar operation a node, small enough to follow with a pencil.

Run it with ``python examples/scalars.py --out pictures``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import graphviz
import numpy as np

import tinygrad_rnn as tg
from inspector.formats import graphviz as engines
from tinygrad_rnn import files

SYMBOLS = {"multiply": "×", "add": "+", "tanh": "tanh"}
FILLS = {"parameter": "#EEF1F4", "input": "#DDF1FC", "tanh": "#E7E0F7", "multiply": "#F9E4F0"}


def network(hidden: int = 2, steps: int = 2) -> tuple[tg.Run, tg.Tensor]:
    """A tiny RNN over a few steps, and a loss on its last state."""
    rng = np.random.default_rng(0)
    cell = tg.cells.RNNCell(1, hidden, bias=False, seed=0)
    run = tg.unroll(cell, rng.normal(size=(steps, 1, 1)), state=cell.State(rng.normal(size=(1, hidden))))
    return run, tg.named(loss=run.outputs[-1].sum())


def compare(run: tg.Run, loss: tg.Tensor, scalars: tg.Graph) -> list[tuple[str, float, float]]:
    """For the loss and its derivative by every weight: name, number from matrices, number from scalars."""
    (scalar_loss,) = scalars.outputs
    leaves = {node.name: node.tensor for node in scalars.nodes if node.tensor is not None}
    rows = [("loss", loss.item(), scalar_loss.item())]
    weights = run.cell.parameters()
    for weight, gradient in zip(weights, tg.grad(loss, weights), strict=True):
        for index in np.ndindex(*weight.shape):
            name = f"{weight.name}[{', '.join(map(str, index))}]"
            (number,) = tg.grad(scalar_loss, leaves[name])
            rows.append((f"dloss/d{name}", gradient.data[index].item(), number.item()))
    return rows


def dot(scalars: tg.Graph) -> graphviz.Digraph:
    """The scalar graph for Graphviz: a box a number, with what it is, its value and dloss/dvalue."""
    (loss,) = scalars.outputs
    gradients = tg.grad(loss, [node.tensor for node in scalars.nodes if node.tensor is not None])
    font = {"fontname": "Helvetica,Arial,sans-serif"}
    picture = graphviz.Digraph(
        "scalars",
        graph_attr={
            **font,
            "rankdir": "LR",
            "nodesep": "0.15",
            "ranksep": "0.4",
            "bgcolor": "white",
            "labeljust": "l",
            "label": "Each box: what it is, its value, ∂ loss / ∂ value",
        },
        node_attr={**font, "shape": "box", "style": "rounded,filled", "color": "#57606A", "fontsize": "10"},
        edge_attr={"color": "#8C959F", "arrowsize": "0.6"},
    )
    for node, gradient in zip(scalars.nodes, gradients, strict=True):
        symbol = SYMBOLS.get(node.op, "")
        what = " = ".join(filter(None, [node.name, symbol]))
        when = f" at t = {node.timestep}" if node.name and node.timestep is not None else ""
        label = graphviz.escape(f"{what}{when}") + f"\\n{node.value.item():.3f}\\n∂ {gradient.item():.3f}"
        picture.node(str(node.index), label=label, fillcolor=FILLS.get(node.op, "white"))
    for edge in scalars.edges:
        picture.edge(str(edge.source), str(edge.target))
    return picture


def draw(out: Path) -> Iterator[tuple[Path, str]]:
    """The picture, with a sentence on what it shows."""
    _, loss = network()
    path = out / "scalars.svg"
    files.write(path, engines.draw(dot(tg.Graph(loss).to_scalars()), "svg", layout="dot"))
    yield path, "two steps of a two-unit RNN with every scalar operation, its value and its gradient"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the pictures")
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    run, loss = network()
    scalars = tg.Graph(loss).to_scalars()
    print(f"{len(tg.Graph(loss))} nodes on matrices, {len(scalars)} on scalars")
    print(f"{'':27}{'matrices':>12}{'scalars':>12}")
    for name, matrices, numbers in compare(run, loss, scalars):
        print(f"  {name:25}{matrices:12.8f}{numbers:12.8f}")
    for path, sentence in draw(out):
        print(f"{path}: {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
