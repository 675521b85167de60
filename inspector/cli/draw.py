"""Commands that draw a cell or write it down: demo, graph, figure, equations, compare, report, lecture."""

from __future__ import annotations

import argparse
from pathlib import Path

import shtab

import inspector
from tinygrad_rnn import files
from tinygrad_rnn.plurals import counted

from ..formats import WRITERS
from ..page.html import as_json, html
from ..picture.scene import LEVELS
from ..reports import document_of
from . import tour
from .family import OK, Option, command, option
from .options import (
    SIZES,
    cell_names,
    cells_of,
    file_name,
    label,
    loss_of,
    one_cell,
    output,
    path,
    picture,
    run_options,
    size_options,
    tables,
    unrolled,
)

_drawing = output(
    tuple(WRITERS),
    "picture to write: .svg, .png or .pdf; or for other programs: .tex (LaTeX), .dot (Graphviz), "
    ".mmd (Mermaid), .graphml or .json (NetworkX)",
)
_fold = option(
    "--fold",
    action=argparse.BooleanOptionalAction,
    help="show the first three and last two steps alone (default: beyond 20)",
)


def _steps(text: str) -> slice:
    parts = text.split(":")
    try:
        first, last = (
            int(part) if part.strip() or len(parts) == 1 else None for part in (parts * 2 if len(parts) == 1 else parts)
        )
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes FIRST:LAST, such as 48:52, got {text!r}") from None
    if len(parts) == 1 and last is not None:
        last = last + 1 or None
    return slice(first, last)


def _level(default: str) -> Option:
    """How much detail a drawing has."""
    return option("--level", choices=LEVELS, default=default, help=f"how much detail (default: {default})")


_show = option("--show", type=_steps, metavar="FIRST:LAST", help="draw these timesteps only, LAST not included")


def _steps_of(a: argparse.Namespace) -> slice | None:
    """The timesteps that ``--show`` chooses.

    Raises
    ------
    ValueError
        If there are none.
    """
    if a.show is not None and not range(a.steps)[a.show]:
        first, last = (("" if end is None else end) for end in (a.show.start, a.show.stop))
        raise ValueError(f"--show {first}:{last} chooses none of the timesteps 0..{a.steps - 1}")
    chosen: slice | None = a.show
    return chosen


@command(
    "demo",
    option(
        "-o",
        "--out",
        dest="folder",
        type=path,
        default=Path("pictures"),
        metavar="FOLDER",
        complete=shtab.DIRECTORY,
        help="folder for the pictures (default: pictures)",
    ),
)
def _demo(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector demo --out pictures
    """
    made = []
    a.progress(f"drawing {tour.COUNT} pictures")
    for file, says in tour.pictures(a.folder):
        made.append(f"  {file.name:24}{says}")
        a.progress(f"drawing, {len(made)} of {tour.COUNT} pictures done")
    return OK, "\n".join([f"{counted(len(made), 'picture')} in {a.folder}:", *made])


@command(
    "graph",
    run_options(3),
    _level("operation"),
    option("--plain", action="store_true", help="do not colour the lines by their gradient"),
    option("--equations", action="store_true", help="write the equations below the drawing"),
    option("--values", action="store_true", help="fill shapes by the mean of their values instead of by their kind"),
    _fold,
    option("--backward", action="store_true", help="draw what the reverse sweep did in each step, too"),
    _show,
    *SIZES,
    _drawing,
)
def _graph(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector graph --cell lstm -T 3 -o lstm.svg                  every operation, lines coloured by gradient
    inspector graph --cell gru --level cell -o gru.png            the notation of the textbooks
    inspector graph --cell gru --level cell -o gru.tex            the same for a paper, in TikZ
    inspector graph --cell cells.py:MyCell --plain -o cell.pdf    without the gradient
    inspector graph --cell lstm -T 100 --show 48:52               four steps out of a hundred
    inspector graph --cell lstm --level cell --width column -o lstm.pdf   as wide as a column of a journal
    inspector graph --cell lstm --backward                        with the reverse sweep below
    """
    if a.backward and (a.plain or a.level != "operation"):
        raise ValueError(
            "--backward draws the gradient of every operation: leave out"
            f" {'--plain' if a.plain else f'--level {a.level}'}"
        )
    steps = _steps_of(a)
    cell = one_cell(a)
    run = unrolled(cell, a)
    found = None if a.plain else inspector.trace(run, loss_of(run, a))
    out = a.out or Path(f"{file_name(a.cell[0])}-{a.level}.svg")
    a.progress(f"drawing {out}")
    inspector.draw(
        run,
        a.level,
        trace=found,
        steps=steps,
        fold=a.fold,
        values=a.values,
        equations=a.equations,
        backward=a.backward,
        width=a.width,
    ).save(out, a.dpi)
    return OK, _warned(
        found.not_finite if found else inspector.first_not_finite(run),
        f"{out}: {cell!r} over {counted(a.steps, 'step')}, {a.level} level",
    )


@command("figure", run_options(50), _level("cell"), _fold, _show, *SIZES, picture("CELL-figure.svg"))
def _figure(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector figure --cell lstm -T 40 -o lstm.pdf                steps in the middle folded away, their gradient not
    inspector figure --cell cells.py:MyCell -T 8 --level gate
    inspector figure --cell rnn -T 100 --show 94:                 the last steps, where the gradient comes from
    inspector figure --cell lstm -T 12 --width page -o lstm.pdf   as wide as a page, in type that can be read
    """
    steps = _steps_of(a)
    cell = one_cell(a)
    run = unrolled(cell, a)
    loss = loss_of(run, a)
    out = a.out or Path(f"{file_name(a.cell[0])}-figure.svg")
    a.progress(f"drawing {out}")
    trace = inspector.trace(run, loss)
    drawing = inspector.draw(run, a.level, trace=trace, decay=True, steps=steps, fold=a.fold, width=a.width)
    drawing.save(out, a.dpi)
    return OK, _warned(
        trace.not_finite, f"{out}: {cell!r} over {counted(a.steps, 'step')}, and the decay of its gradient"
    )


@command("equations", run_options(2), option("--plain", action="store_true", help="plain text instead of LaTeX"))
def _equations(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector equations --cell lstm                                an align* environment for a paper
    inspector equations --cell cells.py:MyCell --plain             plain text
    """
    run = unrolled(one_cell(a), a)
    a.progress("reading its equations")
    found = inspector.equations(run)
    return OK, found.unicode if a.plain else str(found)


def _defaults(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(steps=3, batch=1, seed=0, init=None, weights=None, prefix=None, random_start=False)


@command(
    "compare",
    cell_names("cell", nargs=2),
    _defaults,
    _level("operation"),
    size_options(3, 4),
    picture("CELL-CELL-LEVEL.svg"),
)
def _compare(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector compare lstm peephole                               in words, and every operation in one picture
    inspector compare gru my_cells.py:MyCell --level cell -o mine.png   the notation of the textbooks
    """
    first, second = (unrolled(cell, a) for cell in cells_of(a))
    out = a.out or Path(f"{'-'.join(file_name(name) for name in a.cell)}-{a.level}.svg")
    a.progress("comparing")
    return OK, f"{inspector.compare_graphs(first, second, out, level=a.level)}\n\n{out}"


@command(
    "report",
    run_options(50, several=True),
    output(("html",), "HTML file to write (default: CELL.html)"),
    option("--play", action="store_true", help="open it as a lecture: the reverse sweep step by step"),
    option(
        "--sliders",
        action=argparse.BooleanOptionalAction,
        help="compute what sliders show: all of it, or nothing (default: as far as it takes some seconds a run)",
    ),
    tables("json"),
)
def _report(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector report --cell lstm -T 50 -o lstm.html
    inspector report --cell rnn --cell lstm --cell gru -T 60      side by side
    """
    cells = list(cells_of(a))  # all of them before the first is run
    runs = {label(name, a.cell): unrolled(cell, a) for name, cell in zip(a.cell, cells, strict=True)}
    pairs = {own: (run, loss_of(run, a)) for own, run in runs.items()}
    out = a.out or Path(f"{'-'.join(file_name(name) for name in a.cell)}.html")
    a.progress(f"writing {out}")
    found = document_of(pairs, None, "report", a.sliders, "lecture" if a.play else "")
    files.write(out, html(found))
    if a.json:
        files.write(a.json, as_json(found))
    ill = [f"{run['label']}: {run['notFinite']}" for run in found["runs"] if "notFinite" in run]
    what = ", ".join(map(repr, cells))
    written = ", ".join(str(file) for file in (out, a.json) if file)
    return OK, "\n".join([*ill, f"{written}: {what} over {counted(a.steps, 'step')}"])


@command("lecture", run_options(20), output(("html", "svg"), "page or moving drawing (default: CELL-lecture.html)"))
def _lecture(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector lecture --cell lstm                       a page in large type; arrow keys go through the sweep
    inspector lecture --cell gru -o gru.svg             a drawing that moves by itself, for slides
    """
    cell = one_cell(a)
    run = unrolled(cell, a)
    loss = loss_of(run, a)
    out = a.out or Path(f"{file_name(a.cell[0])}-lecture.html")
    a.progress(f"writing {out}")
    inspector.lecture(run, loss, out)
    return OK, _warned(inspector.trace(run, loss).not_finite, f"{out}: {cell!r} over {counted(a.steps, 'step')}")


def _warned(ill: object, text: str) -> str:
    """A text under the sentence that says where the run, or its gradient, is first not finite, if it is."""
    return text if ill is None else f"{ill}\n{text}"
