"""Commands that measure cells: decay, sweep, check, cells."""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn import files
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.states import leaves_of

from .. import plots
from ..loading.load import make_cell
from ..loading.processes import processes
from ..results import as_json
from ..tracing.finite import in_words
from ..tracing.sparkline import sparkline
from ..tracing.values import recorded_values
from .family import CHECK_FAILED, OK, command, option
from .options import (
    SIZES,
    cell_names,
    cells_of,
    check_name,
    initialisation,
    label,
    loss_of,
    one_cell,
    path,
    picture,
    positive,
    run_options,
    size_options,
    tables,
    unrolled,
)

# -------------------------------------------------------------------------------------------- decay


@command(
    "decay",
    run_options(200, several=True),
    option("--names", help="what to plot, separated by commas: states, gates, x, z_f (default: the states)"),
    picture("decay.svg"),
    *SIZES,
    tables("json", "csv"),
)
def _decay(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector decay --cell rnn --cell lstm --cell gru -T 200 -o decay.svg --csv decay.csv
    inspector decay --cell lstm --init chrono --names h,c,f       a chosen initialisation, chosen values
    """
    names = a.names.split(",") if a.names is not None else None
    cells = list(cells_of(a))  # all of them before the first is run
    labels = [label(name, a.cell) for name in a.cell]
    traces = {}
    for own, cell in zip(labels, cells, strict=True):
        run = unrolled(cell, a)
        for name in names or []:
            check_name("--names", name, (known for known, _ in recorded_values(run)))
        traces[own] = inspector.trace(run, loss_of(run, a))
    out = a.out or Path("decay.svg")
    a.progress(f"drawing {out}")
    compared = traces if len(traces) > 1 else next(iter(traces.values()))
    plots.save(inspector.plot_decay(compared, names=names, width=a.width), out, a.dpi)
    if a.json:
        files.write(a.json, as_json({own: _facts(found) for own, found in traces.items()}))
    if a.csv:
        rows = (
            (own, name, t, float(v))
            for own, found in traces.items()
            for name in found.names
            for t, v in enumerate(found.norm(name))
        )
        files.write_csv(a.csv, ("cell", "name", "timestep", "norm"), rows)
    return OK, f"{_table(traces, names)}\n\n{', '.join(str(file) for file in (out, a.json, a.csv) if file)}"


def _table(traces: Mapping[str, inspector.GradientTrace], names: list[str] | None) -> str:
    lines = [
        f"{'':16}{'factor a step back':>20}{'half-life':>12}{'first norm':>13}{'last norm':>13}  from the first step to"
        " the last"
    ]
    for own, found in traces.items():
        for name in names or found.states:
            norms = found.norm(name)
            decay = inspector.decay_rate(norms)
            rate = f"{decay!s:>32}" if math.isnan(decay.factor) else f"{decay.factor:20.4g}{decay.half_life:12.4g}"
            ends = [
                in_words(norms[t], ".3g", "not finite" if found.has(name, t % found.steps) else "none") for t in (0, -1)
            ]
            lines.append(f"{f'{own} {name}':16}{rate}{ends[0]:>13}{ends[1]:>13}  {sparkline(norms, 40)}")
    ill = [f"{own}: {found.not_finite}" for own, found in traces.items() if found.not_finite]
    return "\n".join([*ill, *lines])


def _facts(found: inspector.GradientTrace) -> dict[str, Any]:
    """How a cell was initialised, its loss, and of everything the norms and their decay."""
    norms = {name: found.norm(name) for name in found.names}
    return {
        "cell": found.label,
        "initialisation": found.initialisation,
        "loss": found.loss.item(),
        "decay": {name: inspector.decay_rate(along) for name, along in norms.items()},
        "norms": {name: along.tolist() for name, along in norms.items()},
        "not_finite": found.not_finite and found.not_finite.to_dict(),
    }


# -------------------------------------------------------------------------------------------- sweep


def _no_weights(text: str) -> None:
    raise argparse.ArgumentTypeError(
        "a sweep draws new weights for every seed; `inspector decay --weights` measures trained ones"
    )


@command(
    "sweep",
    cell_names("--cell", required=True, action="append", several="; several times for several"),
    option(
        "-T",
        "--length",
        "--steps",
        action="append",
        type=positive,
        metavar="N",
        help="timesteps; several times for several (default: 100)",
    ),
    initialisation("; several times for several (default: the cell's own)", action="append"),
    option(
        "--seeds",
        type=positive,
        default=10,
        metavar="N",
        help="how many seeds, of weights, inputs and targets (default: 10)",
    ),
    size_options(),
    option("--batch", type=positive, default=1, metavar="N", help="sequences side by side (default: 1)"),
    option("--loss", choices=("last", "all"), default="last", help="outputs that the loss reads (default: last)"),
    option("-j", "--jobs", type=positive, metavar="N", help="runs at a time (default: one a processor)"),
    option(
        "--resume",
        type=path,
        metavar="FILE",
        help="keep finished runs in this file, and do not repeat those that it holds",
    ),
    option("--weights", type=_no_weights, help=argparse.SUPPRESS),
    picture("sweep.svg"),
    *SIZES,
    tables("json", "csv"),
    lambda parser: parser.set_defaults(steps=1, seed=0, random_start=False),
)
def _sweep(a: argparse.Namespace) -> tuple[int, str]:
    """Weights are drawn anew for every seed: for trained ones there is `inspector decay --weights`. Runs are made in
    parallel. With --resume a sweep that was interrupted goes on where it stopped.

    inspector sweep --cell rnn --cell lstm --length 50 --length 200 --seeds 20 --csv sweep.csv
    inspector sweep --cell lstm --init pytorch --init chrono --init keras -o inits.png
    inspector sweep --cell my_cells.py:MyCell --cell gru -j 2 --resume sweep.jsonl
    """
    inits = a.init or [None]
    for cell, init in itertools.product(a.cell, inits):  # bad input is found before any process is started
        unrolled(make_cell(cell, a.input_size, a.hidden_size, init=init), a)
    a.progress("" if sys.stderr.isatty() else "sweeping")  # on a terminal the sweep has a bar of its own
    with _executor(a.jobs) as executor:
        found = inspector.sweep(
            a.cell,
            a.length or [100],
            inits,
            range(a.seeds),
            input_size=a.input_size,
            hidden_size=a.hidden_size,
            batch=a.batch,
            loss=a.loss,
            executor=executor,
            path=a.resume,
        )
    out = a.out or Path("sweep.svg")
    found.save(out, width=a.width, dpi=a.dpi)
    if a.json:
        found.to_json(a.json)
    if a.csv:
        found.to_csv(a.csv)
    return OK, f"{found}\n\n{', '.join(str(file) for file in (out, a.json, a.csv, a.resume) if file)}"


def _executor(jobs: int | None) -> Any:
    """So many processes; for one this process, and for no number `sweep`'s own, which are replaced when they die."""
    if jobs is None:
        return nullcontext()
    return ThreadPoolExecutor(1) if jobs == 1 else processes(jobs)


# ------------------------------------------------------------------------------------ check and list


@command("check", run_options(3, sizes=(3, 4), random_start=True))
def _check(a: argparse.Namespace) -> tuple[int, str]:
    """The exit code is 1 if one of them is wrong, or the run is not finite.

    inspector check --cell gru
    inspector check --cell my_cells.py:MyCell -T 4
    """
    cell = one_cell(a)
    run = unrolled(cell, a)
    run_of = f"{cell!r}, {counted(a.steps, 'step')}"
    if ill := inspector.first_not_finite(run):
        return CHECK_FAILED, f"{ill}\n{run_of}: nothing is checked, as only finite values have derivatives"
    graph = tg.Graph([*run.outputs, *leaves_of((run.final_state,))])
    starts = [(child, *pair) for child in run.cells for pair in child.initial_state._asdict().items()]
    leaves = {
        f"{name} at the start{f' of {child.cell!r}' if child is not run else ''}": value
        for child, name, value in starts
    }
    leaves |= {f"x at t = {t}": x for t, x in enumerate(run.inputs)} | dict(cell.named_parameters())
    leaves = {name: leaf for name, leaf in leaves.items() if leaf in graph}
    failures = []
    for number, (name, leaf) in enumerate(leaves.items()):
        a.progress(f"checking {name}, {number} of {len(leaves)} done")
        try:
            with np.errstate(all="ignore"):
                tg.gradcheck(lambda value, leaf=leaf: graph.run({leaf: value}), [tg.tensor(leaf.data, name=name)])
        except tg.GradcheckError as error:
            failures.append(str(error))
    elements = sum(leaf.size for leaf in leaves.values())
    if not failures:
        return (
            OK,
            (
                f"{run_of}: all {counted(elements, 'derivative')} by {counted(len(leaves), 'input')} and parameters are"
                " right"
            ),
        )
    told = (
        f"{run_of}: {counted(elements, 'derivative')} of {counted(len(leaves), 'input')} and parameters checked,"
        f" {len(failures)} of them wrong"
    )
    return CHECK_FAILED, "\n".join([*(f"WRONG  {failure}" for failure in failures), told])


@command("cells", size_options())
def _cells(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector cells
    inspector cells --input-size 128 --hidden-size 512
    """
    table = tg.cells.table(input_size=a.input_size, hidden_size=a.hidden_size)
    lines = [
        f"{table}",
        "",
        f"of {counted(a.input_size, 'input')} and {counted(a.hidden_size, 'unit')}, counted in the graph of one step",
    ]
    for name in tg.cells.names():
        first = (tg.cells.get(name).__doc__ or "").strip().splitlines()[0].partition(":")[0].rstrip(".")
        lines.append(f"{name:14}{tg.cells.get(name).__name__:20}{first}")
    return OK, "\n".join(lines)
