"""What the `inspector` command can do, as its help lists it: one file a family of commands, imported when one of
them is used.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FAMILIES", "Family"]


class Family(NamedTuple):
    """Commands of a kind, declared in one file.

    Attributes
    ----------
    module : str
        The file, as a module of this package.
    title : str
    commands : dict
        What each command does, on one line.
    """

    module: str
    title: str
    commands: dict[str, str]


FAMILIES = (
    Family(
        "draw",
        "draw a cell, or write it down",
        {
            "demo": "Draw and measure the built-in cells, and say what each picture shows.",
            "graph": "Draw a cell's graph over time.",
            "figure": "Draw a run, and below it how its gradient decays, on one time axis.",
            "equations": "Print what a cell computes as LaTeX, and the derivative along its highways.",
            "compare": "Say and draw what two cells share and what only one of them has.",
            "report": "Write one HTML page about a run, or several side by side, to look at and to step through.",
            "lecture": "Write the reverse sweep step by step, as a page or as a drawing that moves.",
        },
    ),
    Family(
        "measure",
        "measure cells, and check them",
        {
            "decay": "Plot how the gradient decays from the last step to the first.",
            "sweep": "Measure decay over a grid of cells, lengths, initialisations and seeds.",
            "check": "Compare a cell's derivatives with finite differences, one by one.",
            "cells": "List the built-in cells.",
        },
    ),
    Family(
        "analyse",
        "explain where the gradient of a run goes",
        {
            "map": "Map how far back in time the loss of each step sends its gradient.",
            "spectrum": "Analyse how each step stretches and flattens small changes of the full state.",
            "paths": "Split the gradient by the ways on which it arrives at every state.",
            "weights": "Show which timesteps train each weight, and what truncated BPTT would lose.",
            "gates": (
                "Show how gates are distributed and saturated over time, and which nonlinearity kills the gradient."
            ),
            "saliency": "Show what the loss owes to the input of each timestep.",
            "stops": "Say whether a gradient reaches a value, and where and why it stops.",
            "whatif": "Run a cell again with something changed, and compare how its gradient decays.",
            "duality": "Prove a gradient right: one inner product, the same at every cut between steps.",
            "diagnose": "Say in words what is wrong with the gradient, why, and what would help.",
        },
    ),
    Family(
        "models",
        "look at a model of yours",
        {
            "watch": "Run a PyTorch training script, and tell how the gradient moves through its recurrent parts.",
            "open": "Say what is in a file of ONNX, Keras or weights; draw and diagnose its recurrent parts.",
        },
    ),
    Family(
        "shell", "set up the shell", {"completion": "Print what makes the shell complete commands, options and cells."}
    ),
)
