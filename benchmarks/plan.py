"""Which cell at which size is run by whom."""

from __future__ import annotations

from typing import NamedTuple

import cells

SMALL, MIDDLE, LARGE = (100, 1, 8, 16), (100, 16, 32, 64), (100, 32, 128, 256)
"""(T, batch, inputs, hidden)"""
LONG = (1000, 1, 8, 16)
MATRICES = (256, 4, 16, 16)
"""Where the hidden units are the keys and the values of a matrix."""

SWEEPS = {
    "T": [(n, 16, 32, 64) for n in (10, 30, 100, 300, 1000)],
    "hidden": [(100, 16, 32, n) for n in (8, 16, 32, 64, 128, 256, 512)],
    "batch": [(100, n, 32, 64) for n in (1, 4, 16, 64, 256)],
}
AXES = ("T", "batch", "inputs", "hidden")

GENERAL = ("ours compiled", "ours eager", "PyTorch eager", "JAX scan")
"""Who runs any cell."""
PEERS = ("ours compiled", "ours eager", "torch.nn", "PyTorch eager", "JAX scan", "HIPS autograd", "NumPy by hand")
TRACED = "ours compiled, traced"
"""The run and `inspector.trace`, as in the replay of a watched model."""


class Race(NamedTuple):
    """A cell at a size, and who runs it."""

    cell: str
    shape: tuple[int, int, int, int]
    peers: tuple[str, ...]


def races(quick: bool) -> list[Race]:
    """All that is run in turn and alone."""
    if quick:
        return [Race("LSTM", SMALL, (*PEERS, TRACED)), Race("outer products", (16, 4, 16, 16), GENERAL)]
    found = []
    for shape in (SMALL, MIDDLE, LARGE):
        found += [Race(cell, shape, _peers(cell, shape)) for cell in (*cells.STANDARD, *cells.CUSTOM)]
    found.append(Race("LSTM", LONG, GENERAL))
    return found + [Race(cell, MATRICES, GENERAL) for cell in cells.MATRIX]


def sweeps(quick: bool) -> dict[str, list[tuple[int, int, int, int]]]:
    """The sizes of an LSTM, one of them growing."""
    return {axis: shapes[:2] for axis, shapes in SWEEPS.items()} if quick else SWEEPS


def _peers(cell: str, shape: tuple[int, int, int, int]) -> tuple[str, ...]:
    if cell not in cells.STANDARD:
        return GENERAL
    traced = (TRACED,) if shape == SMALL else ()
    return (*(peer for peer in PEERS if peer != "NumPy by hand" or cell == "LSTM"), *traced)
