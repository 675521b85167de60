"""The `inspector` command: draw, measure, report on and check a recurrent cell from the shell."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import tinygrad_rnn as tg
from tinygrad_rnn import files
from tinygrad_rnn.unroll import Run

from . import tour
from .compare import compare_graphs
from .drawing.engines import GraphvizMissingError
from .equations import equations
from .export import EXPORTS, export
from .load import LoadError, make_cell, said
from .plot import FORMATS, decay_rate, plot_decay
from .render import LEVELS, render
from .report import report
from .trace import GradientTrace, trace

__all__ = ["main"]

OK, CHECK_FAILED, BAD_INPUT = 0, 1, 2

_INTRO = """\
See how gradients move through a recurrent network.

A cell is one of the built-in ones (`inspector cells` lists them) or a class of your own:
--cell path/to/file.py:MyCell. It is unrolled over random inputs; the loss is the squared error of the last
output against a random target, or of all outputs with --loss all."""

_EXAMPLES: dict[str, str] = {
    "": """\
start here:
  inspector demo                                  pictures of RNN, LSTM and GRU, with an explanation each
  inspector graph --cell lstm -T 3                the graph of an LSTM, coloured by its gradient
  inspector decay --cell rnn --cell lstm -T 200   where the gradient dies
  inspector check --cell my_cells.py:MyCell       is my cell's gradient right?
  inspector compare lstm my_cells.py:MyCell       what does my cell do differently?""",
    "graph": """\
examples:
  inspector graph --cell lstm -T 3 -o lstm.svg                  every operation, lines coloured by gradient
  inspector graph --cell gru --level cell -o gru.png            the notation of the textbooks
  inspector graph --cell gru --level cell -o gru.tex            the same for a paper, in TikZ
  inspector graph --cell cells.py:MyCell --plain -o cell.pdf    without the gradient
  inspector graph --cell lstm -T 100 --show 48:52               four steps out of a hundred
  inspector graph --cell lstm --backward                        with the reverse sweep below""",
    "equations": """\
examples:
  inspector equations --cell lstm                                an align* environment for a paper
  inspector equations --cell cells.py:MyCell --plain             plain text""",
    "decay": """\
examples:
  inspector decay --cell rnn --cell lstm --cell gru -T 200 -o decay.svg --csv decay.csv
  inspector decay --cell lstm --init chrono --names h,c,f       a chosen initialisation, chosen values""",
    "report": """\
example:
  inspector report --cell lstm -T 50 -o lstm.html               everything about one run in one file""",
    "check": """\
examples:
  inspector check --cell gru
  inspector check --cell my_cells.py:MyCell -T 4                compares every derivative with differences""",
    "compare": """\
examples:
  inspector compare lstm peephole                               in words, and every operation in one picture
  inspector compare gru my_cells.py:MyCell --level cell -o mine.png   the notation of the textbooks""",
    "demo": "example:\n  inspector demo --out pictures",
    "cells": "",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 fine, 1 a check failed, 2 bad input."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return command(arguments)
    except (LoadError, ValueError, TypeError, KeyError, OSError, GraphvizMissingError, ArithmeticError) as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OK
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"inspector: error: {' '.join(str(message).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("inspector: interrupted", file=sys.stderr)
        return 130


# -------------------------------------------------------------------------------------- commands


def _demo(a: argparse.Namespace) -> int:
    made = list(tqdm(tour.pictures(a.out), total=tour.COUNT, desc="drawing", disable=None, leave=False))
    print(f"{len(made)} pictures in {a.out}:")
    for path, says in made:
        print(f"  {path.name:24}{says}")
    return OK


def _graph(a: argparse.Namespace) -> int:
    (cell,) = _cells(a)
    run, found = _traced(cell, a)
    out = a.out or Path(f"{_file_name(a.cell[0])}-{a.level}.svg")
    coloured = None if a.plain else found
    draw = export if _suffix(out) in EXPORTS else render
    draw(run, out, level=a.level, trace=coloured, steps=_slice(a.show), fold=a.fold, values=a.values, equations=a.equations,
         backward=a.backward)  # fmt: skip
    print(f"{out}: {cell!r} over {a.steps} steps, {a.level} level")
    return OK


def _equations(a: argparse.Namespace) -> int:
    (cell,) = _cells(a)
    found = equations(_unrolled(cell, a))
    print(found.unicode if a.plain else found)
    return OK


def _decay(a: argparse.Namespace) -> int:
    labels = [_label(name, a.cell) for name in a.cell]
    traces = {}
    for label, cell in tqdm(list(zip(labels, _cells(a), strict=True)), desc="unrolling", disable=None, leave=False):
        traces[label] = _traced(cell, a)[1]
    names = a.names.split(",") if a.names else None
    out = a.out or Path("decay.svg")
    plot_decay(traces if len(traces) > 1 else next(iter(traces.values())), out, names=names)
    if a.csv:
        files.write(a.csv, _csv(traces))
    _table(traces, names)
    print(f"\n{out}" + (f", {a.csv}" if a.csv else ""))
    return OK


def _report(a: argparse.Namespace) -> int:
    (cell,) = _cells(a)
    run = _unrolled(cell, a)
    out = a.out or Path(f"{_file_name(a.cell[0])}.html")
    report(run, _loss(run, a), out)
    print(f"{out}: {cell!r} over {a.steps} steps")
    return OK


def _list(a: argparse.Namespace) -> int:
    table = tg.cells.table(input_size=a.input_size, hidden_size=a.hidden_size)
    print(f"{table}\n\nof {a.input_size} inputs and {a.hidden_size} units, counted in the graph of one step")
    for name in tg.cells.names():
        first = (tg.cells.get(name).__doc__ or "").strip().splitlines()[0].partition(":")[0].rstrip(".")
        print(f"{name:14}{tg.cells.get(name).__name__:20}{first}")
    return OK


def _check(a: argparse.Namespace) -> int:
    (cell,) = _cells(a)
    run = _unrolled(cell, a)
    graph = tg.Graph([*run.outputs, *run.final_state])
    leaves = {**{f"{name} at the start": value for name, value in run.initial_state._asdict().items()}}
    leaves |= {f"x at t = {t}": x for t, x in enumerate(run.inputs)} | dict(cell.named_parameters())
    leaves = {name: leaf for name, leaf in leaves.items() if leaf in graph}
    failures = []
    for name, leaf in tqdm(leaves.items(), desc="checking", disable=None, leave=False):
        try:
            tg.gradcheck(lambda value, leaf=leaf: graph.run({leaf: value}), [tg.tensor(leaf.data, name=name)])
        except tg.GradcheckError as error:
            failures.append(str(error))
    for failure in failures:
        print(f"WRONG  {failure}")
    elements = sum(leaf.size for leaf in leaves.values())
    print(f"{cell!r}, {a.steps} steps: {elements} derivatives of {len(leaves)} inputs and parameters checked, "
          f"{len(failures) or 'none'} of them wrong" if failures else
          f"{cell!r}, {a.steps} steps: all {elements} derivatives by {len(leaves)} inputs and parameters are right")  # fmt: skip
    return CHECK_FAILED if failures else OK


def _compare(a: argparse.Namespace) -> int:
    first, second = (_unrolled(cell, a) for cell in _cells(a))
    out = a.out or Path(f"{'-'.join(_file_name(name) for name in a.cell)}-{a.level}.svg")
    print(f"{compare_graphs(first, second, out, level=a.level)}\n\n{out}")
    return OK


# --------------------------------------------------------------------------------------- helpers


def _cells(a: argparse.Namespace) -> Iterator[tg.Cell]:
    for name in a.cell:
        yield make_cell(name, a.input_size, a.hidden_size, seed=a.seed, init=a.init)


def _unrolled(cell: tg.Cell, a: argparse.Namespace) -> Run:
    try:
        return _over_random_inputs(cell, a)
    except Exception as error:  # whatever a user's step may raise
        raise LoadError(f"{cell!r} cannot be unrolled: {said(error)}") from error


def _over_random_inputs(cell: tg.Cell, a: argparse.Namespace) -> Run:
    rng = np.random.default_rng(a.seed)
    start = cell.initial_state(a.batch)
    state = start._replace(**{k: rng.normal(size=v.shape) for k, v in start._asdict().items()}) if a.random_start else start
    return tg.unroll(cell, rng.normal(size=(a.steps, a.batch, a.input_size)), state)


def _loss(run: Run, a: argparse.Namespace) -> tg.Tensor:
    rng = np.random.default_rng(a.seed + 1)
    chosen = run.stacked if a.loss == "all" else run.outputs[-1]
    loss: tg.Tensor = tg.losses.mse_loss(chosen, rng.normal(size=chosen.shape))
    return loss


def _traced(cell: tg.Cell, a: argparse.Namespace) -> tuple[Run, GradientTrace]:
    run = _unrolled(cell, a)
    return run, trace(run, _loss(run, a))


def _table(traces: dict[str, GradientTrace], names: list[str] | None) -> None:
    print(f"{'':16}{'factor a step back':>20}{'half-life':>12}{'first norm':>13}{'last norm':>13}")
    for label, found in traces.items():
        for name in names or found.states:
            norms = found.norm(name)
            decay = decay_rate(norms)
            print(f"{f'{label} {name}':16}{decay.factor:20.4g}{decay.half_life:12.4g}{norms[0]:13.3g}{norms[-1]:13.3g}")


def _csv(traces: dict[str, GradientTrace]) -> str:
    lines = ["cell,name,timestep,norm"]
    for label, found in traces.items():
        quoted = '"' + label.replace('"', '""') + '"' if set(label) & set(',"\n') else label
        lines += [f"{quoted},{name},{t},{float(v)!r}" for name in found.names for t, v in enumerate(found.norm(name))]
    return "\n".join(lines) + "\n"


def _label(name: str, names: list[str]) -> str:
    """What a legend calls a cell; two of the same name are told apart by their full names."""
    short = _short(name) if ".py" in name else name.upper()
    return short if [_short(other).upper() for other in names].count(short.upper()) == 1 else name


def _file_name(name: str) -> str:
    return _short(name).removesuffix(".py") or "cell"


def _short(name: str) -> str:
    """``MyCell`` for ``path/to/file.py:MyCell``."""
    return name.rpartition(":")[2].rpartition("/")[2]


def _slice(text: str | None) -> slice | None:
    if text is None:
        return None
    try:
        parts = [int(part) if part.strip() else None for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 2:
        raise ValueError(f"--show takes FIRST:LAST, such as 48:52, got {text!r}")
    if len(parts) == 1 and parts[0] is not None:
        return slice(parts[0], parts[0] + 1 or None)
    return slice(*parts)


# ---------------------------------------------------------------------------------------- parser


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="inspector", description=_INTRO, epilog=_EXAMPLES[""], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], says: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=says, description=says[0].upper() + says[1:] + ".", epilog=_EXAMPLES[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        added.set_defaults(run=run)
        return added

    demo = command("demo", _demo, "draw and measure the built-in cells, and say what each picture shows")
    demo.add_argument("-o", "--out", type=Path, default=Path("pictures"), help="folder for the pictures (default: pictures)")

    graph = command("graph", _graph, "draw a cell's graph over time")
    _run_options(graph, steps=3, several=False)
    graph.add_argument("--level", choices=LEVELS, default="operation", help="how much detail (default: operation)")
    graph.add_argument("--plain", action="store_true", help="do not colour the lines by their gradient")
    graph.add_argument("--equations", action="store_true", help="write the equations below the drawing")
    graph.add_argument("--values", action="store_true", help="fill shapes by the mean of their values instead of by their kind")
    graph.add_argument("--fold", action=argparse.BooleanOptionalAction, help="show the first three and last two steps alone (default: beyond 20)")
    graph.add_argument("--backward", action="store_true", help="draw what the reverse sweep did in each step, too")
    graph.add_argument("--show", metavar="FIRST:LAST", help="draw these timesteps only, LAST not included")
    graph.add_argument("-o", "--out", type=_drawing,
                       help="picture to write: .svg, .png or .pdf; or for other programs: .tex (LaTeX), .dot (Graphviz), .mmd (Mermaid), "
                            ".graphml or .json (NetworkX)")  # fmt: skip

    formulas = command("equations", _equations, "print what a cell computes as LaTeX, and the derivative along its highways")
    _run_options(formulas, steps=2, several=False)
    formulas.add_argument("--plain", action="store_true", help="plain text instead of LaTeX")

    decay = command("decay", _decay, "plot how the gradient decays from the last step to the first")
    _run_options(decay, steps=200, several=True)
    decay.add_argument("--names", help="what to plot, separated by commas: states, gates, x, z_f (default: the states)")
    decay.add_argument("--csv", type=Path, help="write the norms of everything as a table, too")
    decay.add_argument("-o", "--out", type=_picture, help="picture to write: .svg, .png or .pdf (default: decay.svg)")

    page = command("report", _report, "write everything about one run into one HTML file")
    _run_options(page, steps=50, several=False)
    page.add_argument("-o", "--out", type=Path, help="HTML file to write")

    listed = command("cells", _list, "list the built-in cells")
    listed.add_argument("--input-size", type=_positive, default=8, help="features of an input (default: 8)")
    listed.add_argument("--hidden-size", type=_positive, default=16, help="units of a state (default: 16)")

    check = command("check", _check, "compare a cell's derivatives with finite differences, one by one")
    _run_options(check, steps=3, several=False, sizes=(3, 4), random_start=True)

    compare = command("compare", _compare, "say and draw what two cells share and what only one of them has")
    compare.add_argument("cell", nargs=2, metavar="CELL", help=f"{', '.join(tg.cells.names())}, or path/to/file.py:MyCell")
    compare.add_argument("--level", choices=LEVELS, default="operation", help="how much detail (default: operation)")
    compare.add_argument("--input-size", type=_positive, default=3, help="features of an input (default: 3)")
    compare.add_argument("--hidden-size", type=_positive, default=4, help="units of a state (default: 4)")
    compare.add_argument("-o", "--out", type=_picture, help="picture to write: .svg, .png or .pdf")
    compare.set_defaults(steps=3, batch=1, seed=0, init=None, random_start=False)
    return parser


def _run_options(
    parser: argparse.ArgumentParser, steps: int, several: bool, sizes: tuple[int, int] = (8, 16), random_start: bool = False
) -> None:
    often = "; give it several times to compare" if several else ""
    parser.add_argument("--cell", required=True, action="append" if several else _Once, metavar="CELL",
                        help=f"{', '.join(tg.cells.names())}, or path/to/file.py:MyCell{often}")  # fmt: skip
    parser.add_argument("-T", "--steps", type=_positive, default=steps, help=f"timesteps (default: {steps})")
    parser.add_argument("--input-size", type=_positive, default=sizes[0], help=f"features of an input (default: {sizes[0]})")
    parser.add_argument("--hidden-size", type=_positive, default=sizes[1], help=f"units of a state (default: {sizes[1]})")
    parser.add_argument("--batch", type=_positive, default=1, help="sequences side by side (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, inputs and target (default: 0)")
    presets = ", ".join(sorted(tg.init.PRESETS))
    parser.add_argument("--init", help=f"initialisation: {presets} (default: pytorch)")
    parser.add_argument("--loss", choices=("last", "all"), default="last", help="outputs that the loss reads (default: last)")
    parser.set_defaults(random_start=random_start)


class _Once(argparse.Action):
    """An option for one cell, kept as a list like those for several."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        if getattr(namespace, self.dest, None):
            parser.error("give --cell once; `inspector decay` compares several")
        setattr(namespace, self.dest, [values])


def _positive(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return value


def _picture(text: str) -> Path:
    path = Path(text)
    if _suffix(path) not in FORMATS:
        raise argparse.ArgumentTypeError(f"{text} must end in .svg, .png or .pdf")
    return path


def _drawing(text: str) -> Path:
    """A picture, or a drawing as another program reads it."""
    path = Path(text)
    if _suffix(path) not in (*FORMATS, *EXPORTS):
        raise argparse.ArgumentTypeError(f"{text} must end in .{', .'.join((*FORMATS, *EXPORTS))}")
    return path


def _suffix(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")
