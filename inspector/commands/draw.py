"""Commands that draw a cell or write it down: demo, graph, figure, equations, compare, report."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from .. import tour
from ..compare import compare_graphs
from ..equations import equations
from ..export import EXPORTS, export
from ..figure import figure
from ..render import render
from ..report import report
from ..trace import trace
from .family import OK, Family, option
from .options import (
    CELLS,
    cells_of,
    drawing,
    file_name,
    level,
    loss_of,
    one_cell,
    picture,
    run_options,
    show,
    size_options,
    steps_of,
    suffix,
    unrolled,
)

__all__ = ["draw"]

draw = Family("draw a cell, or write it down")

_fold = option("--fold", action=argparse.BooleanOptionalAction, help="show the first three and last two steps alone (default: beyond 20)")


@draw("demo", option("-o", "--out", dest="folder", type=Path, default=Path("pictures"), metavar="FOLDER",
                     help="folder for the pictures (default: pictures)"))  # fmt: skip
def _demo(a: argparse.Namespace) -> int:
    """Draw and measure the built-in cells, and say what each picture shows.

    inspector demo --out pictures
    """
    made = list(tqdm(tour.pictures(a.folder), total=tour.COUNT, desc="drawing", disable=None, leave=False))
    print(f"{len(made)} pictures in {a.folder}:")
    for path, says in made:
        print(f"  {path.name:24}{says}")
    return OK


@draw(
    "graph", run_options(3), level("operation"),
    option("--plain", action="store_true", help="do not colour the lines by their gradient"),
    option("--equations", action="store_true", help="write the equations below the drawing"),
    option("--values", action="store_true", help="fill shapes by the mean of their values instead of by their kind"),
    _fold, option("--backward", action="store_true", help="draw what the reverse sweep did in each step, too"), show, drawing,
)  # fmt: skip
def _graph(a: argparse.Namespace) -> int:
    """Draw a cell's graph over time.

    inspector graph --cell lstm -T 3 -o lstm.svg                  every operation, lines coloured by gradient
    inspector graph --cell gru --level cell -o gru.png            the notation of the textbooks
    inspector graph --cell gru --level cell -o gru.tex            the same for a paper, in TikZ
    inspector graph --cell cells.py:MyCell --plain -o cell.pdf    without the gradient
    inspector graph --cell lstm -T 100 --show 48:52               four steps out of a hundred
    inspector graph --cell lstm --backward                        with the reverse sweep below
    """
    cell = one_cell(a)
    run = unrolled(cell, a)
    found = trace(run, loss_of(run, a))
    out = a.out or Path(f"{file_name(a.cell[0])}-{a.level}.svg")
    write = export if suffix(out) in EXPORTS else render
    write(run, out, level=a.level, trace=None if a.plain else found, steps=steps_of(a.show), fold=a.fold, values=a.values,
          equations=a.equations, backward=a.backward)  # fmt: skip
    print(f"{out}: {cell!r} over {a.steps} steps, {a.level} level")
    return OK


@draw("figure", run_options(50), level("cell"), _fold, show, picture("CELL-figure.svg"))
def _figure(a: argparse.Namespace) -> int:
    """Draw a run, and below it how its gradient decays, on one time axis.

    inspector figure --cell lstm -T 40 -o lstm.pdf                steps in the middle folded away, their gradient not
    inspector figure --cell cells.py:MyCell -T 8 --level gate
    inspector figure --cell rnn -T 100 --show 94:                 the last steps, where the gradient comes from
    """
    cell = one_cell(a)
    run = unrolled(cell, a)
    out = a.out or Path(f"{file_name(a.cell[0])}-figure.svg")
    figure(run, loss_of(run, a), out, level=a.level, steps=steps_of(a.show), fold=a.fold)
    print(f"{out}: {cell!r} over {a.steps} steps, and the decay of its gradient")
    return OK


@draw("equations", run_options(2), option("--plain", action="store_true", help="plain text instead of LaTeX"))
def _equations(a: argparse.Namespace) -> int:
    """Print what a cell computes as LaTeX, and the derivative along its highways.

    inspector equations --cell lstm                                an align* environment for a paper
    inspector equations --cell cells.py:MyCell --plain             plain text
    """
    found = equations(unrolled(one_cell(a), a))
    print(found.unicode if a.plain else found)
    return OK


def _sides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", nargs=2, metavar="CELL", help=CELLS)
    parser.set_defaults(steps=3, batch=1, seed=0, init=None, random_start=False)


@draw("compare", _sides, level("operation"), size_options(3, 4), picture("CELL-CELL-LEVEL.svg"))
def _compare(a: argparse.Namespace) -> int:
    """Say and draw what two cells share and what only one of them has.

    inspector compare lstm peephole                               in words, and every operation in one picture
    inspector compare gru my_cells.py:MyCell --level cell -o mine.png   the notation of the textbooks
    """
    first, second = (unrolled(cell, a) for cell in cells_of(a))
    out = a.out or Path(f"{'-'.join(file_name(name) for name in a.cell)}-{a.level}.svg")
    print(f"{compare_graphs(first, second, out, level=a.level)}\n\n{out}")
    return OK


@draw("report", run_options(50), option("-o", "--out", type=Path, metavar="FILE", help="HTML file to write (default: CELL.html)"))
def _report(a: argparse.Namespace) -> int:
    """Write everything about one run into one HTML file.

    inspector report --cell lstm -T 50 -o lstm.html
    """
    cell = one_cell(a)
    run = unrolled(cell, a)
    out = a.out or Path(f"{file_name(a.cell[0])}.html")
    report(run, loss_of(run, a), out)
    print(f"{out}: {cell!r} over {a.steps} steps")
    return OK
