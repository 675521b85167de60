"""Commands that explain where a gradient goes: map, spectrum, paths, weights, gates, saliency, stops, whatif,
duality, diagnose.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.recurrent.unroll import Run

from ..analysis.saliency import METHODS
from ..loading.suggest import did_you_mean
from ..tracing.names import value_at
from ..tracing.values import recorded_values
from .family import OK, command, either, option
from .options import (
    SIZES,
    check_name,
    file_name,
    loss_of,
    number,
    one_cell,
    pair,
    picture,
    run_options,
    tables,
    unrolled,
)


def _found(a: argparse.Namespace, what: str, find: Callable[[Run], Any], **drawn: Any) -> tuple[int, str]:
    """Unroll, analyse, draw and write; say what was found, and the files."""
    run = unrolled(one_cell(a), a)
    a.progress(f"analysing: {what}")
    found = find(run)
    a.progress("writing what was found")
    written = []
    if "out" in a:
        out = a.out or Path(f"{file_name(a.cell[0])}-{what}.svg")
        written.append(found.save(out, width=a.width, dpi=a.dpi, **drawn))
    written += [found.to_json(a.json)] if a.json else []
    written += [found.to_csv(a.csv)] if "csv" in a and a.csv else []
    return OK, "\n\n".join([str(found), *([", ".join(map(str, written))] if written else [])])


def _outputs(what: str, others: str = "") -> Callable[[Any], None]:
    """The files that an analysis writes."""

    def add(parser: Any) -> None:
        for one in (picture(f"CELL-{what}.svg{others}"), *SIZES, tables("json", "csv")):
            one(parser)

    return add


@command(
    "map",
    run_options(100, loss="all"),
    option("--state", metavar="NAME", help="the state to draw, such as h (default: all of them as one)"),
    _outputs("map"),
)
def _map(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector map --cell lstm                                     loss step downwards, state step to the right
    inspector map --cell rnn -T 200 --init orthogonal --json map.json
    inspector map --cell my_cells.py:MyCell --state h -o map.png
    """

    def find(run: Run) -> Any:
        found = inspector.reach(run, loss_of(run, a))
        if a.state is not None:
            check_name("--state", a.state, found.states)
        return found

    return _found(a, "map", find, state=a.state)


@command(
    "spectrum",
    run_options(100, loss=None),
    option("--lyapunov", action="store_true", help="exponents of the long run instead; worth some thousand steps"),
    _outputs("spectrum", ", or CELL-lyapunov.svg"),
)
def _spectrum(a: argparse.Namespace) -> tuple[int, str]:
    """Singular values, spectral radius and effective rank of its Jacobian, and the norm of their product with its
    bound. There is no loss in it.

    inspector spectrum --cell lstm --init chrono                  of (h, c), not of h alone
    inspector spectrum --cell rnn --lyapunov -T 3000              Lyapunov exponents with error bars
    """
    return _found(
        a, "lyapunov" if a.lyapunov else "spectrum", inspector.lyapunov if a.lyapunov else inspector.jacobians
    )


@command(
    "paths",
    run_options(50),
    either(
        option(
            "--orders",
            dest="ways",
            action="store_const",
            const="orders",
            help="by how often paths cross from the output's state to the gates",
        ),
        option(
            "--waterfall",
            dest="ways",
            action="store_const",
            const="waterfall",
            help="which operation takes how much on the way one step back",
        ),
        option(
            "--strongest",
            dest="ways",
            action="store_const",
            const="strongest",
            help="the one path that carries most to the first step",
        ),
    ),
    _outputs("paths", ", or CELL-orders.svg and so on"),
)
def _paths(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector paths --cell lstm                                   shares through each gate and state, which sum to 1
    inspector paths --cell lstm --orders                          what comes along the cell state alone is order 0
    inspector paths --cell gru --waterfall --csv waterfall.csv    which operation kills the gradient
    inspector paths --cell my_cells.py:MyCell --strongest -T 20   and how many paths carry it
    """
    what = a.ways or "paths"
    find: dict[str, Callable[[Run, tg.Tensor], Any]] = {
        "paths": inspector.shares,
        "orders": inspector.path_orders,
        "waterfall": inspector.waterfall,
        "strongest": inspector.strongest_path,
    }
    return _found(a, what, lambda run: find[what](run, loss_of(run, a)))


@command("weights", run_options(50, loss="all"), _outputs("weights"))
def _weights(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector weights --cell rnn -T 100
    inspector weights --cell lstm --loss last -o weights.pdf --json weights.json
    """
    return _found(a, "weights", lambda run: inspector.weights(run, loss_of(run, a)))


@command("gates", run_options(50), _outputs("gates"))
def _gates(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector gates --cell lstm --batch 16
    inspector gates --cell gru --init keras --csv gates.csv
    """
    return _found(a, "gates", lambda run: inspector.gates(run, loss_of(run, a)))


@command(
    "saliency",
    run_options(50),
    option("--method", choices=METHODS, default=METHODS[0], help=f"how to attribute (default: {METHODS[0]})"),
    _outputs("saliency"),
)
def _saliency(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector saliency --cell lstm
    inspector saliency --cell gru --method integrated             complete: sums to the difference of two losses
    """
    return _found(a, "saliency", lambda run: inspector.saliency(run, loss_of(run, a), a.method))


@command(
    "stops",
    run_options(50),
    option("--value", metavar="NAME", help="a state, a gate or x (default: the first state)"),
    option("--at", type=int, default=0, metavar="T", help="its timestep, negative ones from the end (default: 0)"),
    tables("json"),
)
def _stops(a: argparse.Namespace) -> tuple[int, str]:
    """Detached, truncated, saturated, multiplied by zero, underflow: every dead end on the way, with its file and line.

    inspector stops --cell my_cells.py:MyCell                     does the loss reach the first step's state?
    inspector stops --cell lstm --value f --at 3
    """

    def find(run: Run) -> Any:
        name = run.initial_state._fields[0] if a.value is None else a.value
        check_name("--value", name, (known for known, _ in recorded_values(run)))
        if not -len(run) <= a.at < len(run):
            raise ValueError(f"--at: there is no timestep {a.at} among 0..{len(run) - 1}")
        return inspector.stops(loss_of(run, a), value_at(run, (name, a.at), "stops"), run)

    return _found(a, "stops", find)


def _nonlinearity(text: str) -> Callable[[tg.Tensor], tg.Tensor]:
    known = sorted(name for name, op in tg.PRIMITIVES.items() if op.activation and hasattr(tg, name))
    if text not in known:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(known)}{did_you_mean(text, known)}")
    found: Callable[[tg.Tensor], tg.Tensor] = getattr(tg, text)
    return found


def _changes(kind: Callable[[str], Any], flag: str, metavar: str, says: str) -> Callable[[Any], object]:
    return option(flag, action="append", default=[], type=kind, metavar=metavar, help=says)


def _changed(a: argparse.Namespace, run: Run) -> dict[str, Any]:
    """The changes as `what_if` takes them, each of something that is there and none of the same thing."""
    states, parameters = run.initial_state._fields, [name for name, _ in run.cell.named_parameters()]
    values = [name for name, _ in run.names]
    changes: dict[str, dict[str, Any]] = {}
    done: dict[str, str] = {}
    for kind in ("hold", "bias", "swap", "cut", "scale"):
        given = [(name, True) for name in a.cut] if kind == "cut" else getattr(a, kind)
        for name, _ in given:
            check_name(
                f"--{kind}", name, parameters if kind == "scale" else [*values, *states] if kind == "cut" else values
            )
            what = (
                f"{name} on its way"
                if kind == "cut" and name in states
                else f"parameter {name}"
                if kind == "scale"
                else name
            )
            if what in done:
                raise ValueError(
                    f"--{kind} {name}: {name} is changed by --{done[what]} already; give one of them, once"
                )
            done[what] = kind
        changes[kind] = dict(given)
    if not done:
        raise ValueError("nothing is changed: give --hold, --bias, --scale, --swap or --cut")
    return {**changes, "cut": list(changes["cut"])}


@command(
    "whatif",
    run_options(100),
    _changes(pair(number), "--hold", "GATE=VALUE", "hold a gate or another named value, as f=1"),
    _changes(pair(number), "--bias", "GATE=VALUE", "add in front of a gate's nonlinearity, as f=2"),
    _changes(pair(number), "--scale", "WEIGHT=FACTOR", "multiply a parameter, as weight_hh=1.5"),
    _changes(pair(_nonlinearity), "--swap", "GATE=FUNCTION", "another nonlinearity for a gate, as g=relu"),
    _changes(str, "--cut", "NAME", "let no gradient through a gate, or a state on its way into the next step"),
    _outputs("whatif"),
)
def _whatif(a: argparse.Namespace) -> tuple[int, str]:
    """Changes can be given several times, and together; `inspector equations` shows what things are called.

    inspector whatif --cell lstm --hold f=1                       the forget gate stands open
    inspector whatif --cell lstm --bias f=2 --cut h               more forget bias, and no gradient through h
    inspector whatif --cell rnn --scale weight_hh=1.5
    inspector whatif --cell my_cells.py:MyCell --swap n=relu
    """
    return _found(a, "whatif", lambda run: inspector.what_if(run, loss_of(run, a), **_changed(a, run)))


@command("duality", run_options(50), _outputs("duality"))
def _duality(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector duality --cell lstm
    inspector duality --cell my_cells.py:MyCell -o proof.png      a kink where a derivative is wrong
    """
    return _found(a, "duality", lambda run: inspector.duality(run, loss_of(run, a)))


@command("diagnose", run_options(100), _outputs("diagnose"))
def _diagnose(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector diagnose --cell lstm -T 200
    inspector diagnose --cell my_cells.py:MyCell --loss all --json diagnosis.json
    """
    return _found(a, "diagnose", lambda run: inspector.diagnose(run, loss_of(run, a)))
