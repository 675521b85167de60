"""Options that commands share, and the runs and losses that they describe."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import shtab

import tinygrad_rnn as tg
from tinygrad_rnn import files
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.states import leaves_of, rebuild
from tinygrad_rnn.recurrent.unroll import Run

from ..formats.graphviz import FORMATS
from ..loading.blame import said_of
from ..loading.load import LoadError, load_weights, make_cell, network_in
from ..loading.suggest import did_you_mean
from ..picture.paper import DPI, check_dpi, page_of
from .family import Option, either, option

__all__ = [
    "SIZES",
    "cell_names",
    "cells_of",
    "check_name",
    "ending_in",
    "file_name",
    "initialisation",
    "label",
    "loss_of",
    "natural",
    "number",
    "one_cell",
    "output",
    "pair",
    "path",
    "picture",
    "positive",
    "run_options",
    "size_options",
    "tables",
    "unrolled",
]

_NAMES = " ".join(tg.cells.names())
_CELL = {
    "bash": "_inspector_cells",
    "zsh": "_inspector_cells",
    "fish": f"{_NAMES} (__fish_complete_suffix .py)",
    "preamble": {
        "bash": (
            f"_inspector_cells() {{ compgen -W '{_NAMES}' -- $1; compgen -f -X '!*.py' -- $1; compgen -d -S / -- $1; }}"
        ),
        "zsh": f"_inspector_cells() {{ _alternative 'cells:cell:({_NAMES})' 'files:file:_files -g \"*.py\"' }}",
    },
}
"""What the shell completes a cell with: a name, or a file."""

# -------------------------------------------------------------------------------- kinds of values


def _whole(text: str, least: int, most: int) -> int:
    value = int(text) if text.isdecimal() and len(text) < 30 else None
    if value is None or value < least:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text[:40]!r}")
    if value > most:
        raise argparse.ArgumentTypeError(f"must be at most {most:,}, got {text}")
    return value


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return _whole(text, 1, 10**9)


def natural(text: str) -> int:
    """A whole number of at least 0."""
    return _whole(text, 0, 2**63)


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}")
    return value


def pair(value: Callable[[str], Any]) -> Callable[[str], tuple[str, Any]]:
    """``NAME=VALUE``, the value of some kind."""

    def parse(text: str) -> tuple[str, Any]:
        name, equals, given = text.partition("=")
        if not (name and equals):
            raise argparse.ArgumentTypeError(f"must be NAME=VALUE, got {text!r}")
        return name, value(given)

    return parse


def path(text: str) -> Path:
    """A path that a file could have."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a file")
    return Path(text)


def ending_in(*suffixes: str) -> Callable[[str], Path]:
    """A path with one of these suffixes."""

    def parse(text: str) -> Path:
        try:
            files.suffix_of(text, suffixes)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return path(text)

    return parse


class _Once(argparse.Action):
    """An option for one cell or its weights, kept as a list like those for several."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        if getattr(namespace, self.dest, None):
            parser.error(f"give {option} once; `inspector decay` compares several")
        setattr(namespace, self.dest, [values])


def check_name(flag: str, name: str, known: Iterable[str]) -> None:
    """Raise ValueError, with the names there are, if `name` is none of them."""
    known = list(dict.fromkeys(known))
    if name not in known:
        raise ValueError(f"{flag}: nothing is called {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")


# ------------------------------------------------------------------------------------------ options


def size_options(input_size: int = 8, hidden_size: int = 16) -> Option:
    """The sizes of a cell."""

    def add(parser: Any) -> None:
        parser.add_argument(
            "--input-size",
            type=positive,
            default=input_size,
            metavar="N",
            help=f"features of an input (default: {input_size})",
        )
        parser.add_argument(
            "--hidden-size",
            "--hidden",
            type=positive,
            default=hidden_size,
            metavar="N",
            help=f"units of a state (default: {hidden_size})",
        )

    return add


def cell_names(*flags: str, several: str = "", **settings: Any) -> Option:
    """The name of a cell, or of several."""
    return option(
        *flags,
        complete=_CELL,
        metavar="CELL",
        help=f"{', '.join(tg.cells.names())}, or path/to/file.py:MyCell{several}",
        **settings,
    )


def initialisation(told: str, **settings: Any) -> Option:
    """A preset of initial weights."""
    presets = sorted(tg.init.PRESETS)
    return option(
        "--init", choices=presets, metavar="NAME", help=f"initialisation: {', '.join(presets)}{told}", **settings
    )


def run_options(
    steps: int,
    *,
    several: bool = False,
    sizes: tuple[int, int] = (8, 16),
    loss: str | None = "last",
    random_start: bool = False,
) -> Option:
    """The cell or cells, and over what they are unrolled; `loss` is the one by default, if the command has any."""
    options: list[Option] = [
        cell_names(
            "--cell",
            action="append" if several else _Once,
            several="; give it several times to compare" if several else "",
        ),
        option("-T", "--steps", type=positive, default=steps, metavar="N", help=f"timesteps (default: {steps})"),
        size_options(*sizes),
        option("--batch", type=positive, default=1, metavar="N", help="sequences side by side (default: 1)"),
        option("--seed", type=natural, default=0, metavar="N", help="of weights, inputs and target (default: 0)"),
        either(
            initialisation(" (default: pytorch)"),
            option(
                "--weights",
                action="append" if several else _Once,
                type=path,
                metavar="FILE",
                complete=shtab.FILE,
                help=(
                    "trained weights instead, a .pt, .safetensors or .npz file, by the cell's names;"
                    " without --cell the recurrent network that is in the file"
                    f"{'; give it as often as --cell, in the same order' if several else ''}"
                ),
            ),
        ),
        option("--prefix", metavar="NAME", help="which of several in the file, such as encoder.rnn"),
    ]
    if loss is not None:
        options.append(
            option(
                "--loss", choices=("last", "all"), default=loss, help=f"outputs that the loss reads (default: {loss})"
            )
        )

    def add(parser: Any) -> None:
        for one in options:
            one(parser)
        parser.set_defaults(random_start=random_start)

    return add


def _width(text: str) -> float | str:
    width: float | str = text
    with suppress(ValueError):
        width = float(text)
    try:
        page_of(width)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return width


def _dpi(text: str) -> float:
    try:
        return check_dpi(number(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


SIZES = (
    option(
        "--width",
        type=_width,
        metavar="WIDTH",
        help="column (241 pt), page (468 pt), slide (960 px) or points: laid out for that, in type that can be read",
    ),
    option("--dpi", type=_dpi, metavar="N", default=DPI, help=f"pixels an inch of a .png (default: {DPI})"),
)
"""How large a picture is."""


def output(kinds: Sequence[str], says: str) -> Option:
    """Where to write a file that ends in one of `kinds`."""
    return option("-o", "--out", type=ending_in(*kinds), metavar="FILE", complete=shtab.FILE, help=says)


def picture(default: str = "") -> Option:
    """Where to write a picture."""
    return output(FORMATS, f"picture to write: .svg, .png or .pdf{f' (default: {default})' if default else ''}")


def tables(*kinds: str) -> Option:
    """Where to write the numbers: ``json`` and ``csv``."""

    def add(parser: Any) -> None:
        for kind in kinds:
            option(
                f"--{kind}",
                type=path,
                metavar="FILE",
                complete=shtab.FILE,
                help=f"write the numbers as {kind.upper()}, too",
            )(parser)

    return add


# ------------------------------------------------------------------------------------ what they mean


def one_cell(a: argparse.Namespace) -> Any:
    """The cell, where one is given."""
    (cell,) = cells_of(a)
    return cell


def cells_of(a: argparse.Namespace) -> Iterator[Any]:
    """The cells, one by one, with their weights; without --cell those that files of weights hold, which are then named
    after the files.

    Raises
    ------
    LoadError
        If a cell or its weights cannot be loaded.
    ValueError
        If there are neither, or not as many files of weights as cells.
    """
    files = a.weights or [None] * len(a.cell or ())
    if a.prefix is not None and not a.weights:
        raise ValueError("--prefix says which network of a file is meant: give --weights FILE")
    if not a.cell:
        if not files:
            raise ValueError("give --cell NAME, or --weights FILE with a recurrent network in it")
        stems = [weights.stem for weights in files]
        a.cell = stems if len(set(stems)) == len(stems) else [str(weights) for weights in files]
        yield from [network_in(weights, a.prefix or "") for weights in files]
        return
    if len(files) != len(a.cell):
        raise ValueError(
            f"give --weights as often as --cell, in the same order: {counted(len(a.cell), 'cell')},"
            f" {counted(len(files), 'file')}"
        )
    for name, weights in zip(a.cell, files, strict=True):
        cell = make_cell(name, a.input_size, a.hidden_size, seed=a.seed, init=a.init)
        if weights is not None:
            load_weights(cell, weights, a.prefix or "")
        yield cell


def unrolled(cell: Any, a: argparse.Namespace) -> Run:
    """A cell over random inputs.

    Raises
    ------
    LoadError
        If its step fails, or returns what has no gradient.
    """
    a.progress(f"unrolling {cell!r} over {counted(a.steps, 'step', ',')}")
    try:
        with np.errstate(all="ignore"):  # what is not finite is told in the answer
            run = _over_random_inputs(cell, a)
        for one in run.cells:
            given = {leaf.id for leaf in (*one.inputs, *one.initial_state, *run.cell.parameters())}
            for name, value in one.states[0]._asdict().items():
                if value.op is None and value.id not in given:
                    raise TypeError(
                        f"{type(cell).__name__}.step returned a plain ndarray for state {name}, through which no"
                        " gradient goes; compute it from x and the state with the operations of tinygrad_rnn"
                    )
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's step may raise
        raise LoadError(f"{cell!r} cannot be unrolled: {said_of(error, getattr(cell, 'step', cell))}") from error
    return run


def _over_random_inputs(cell: Any, a: argparse.Namespace) -> Run:
    rng = np.random.default_rng(a.seed)
    state = (cell.initial_state(a.batch),)
    if a.random_start:
        state = rebuild(state, iter([rng.normal(size=leaf.shape) for leaf in leaves_of(state)]))
    return tg.unroll(cell, rng.normal(size=(a.steps, a.batch, cell.input_size)), state[0])


def loss_of(run: Run, a: argparse.Namespace) -> tg.Tensor:
    """The squared error against a random target, of the last output or of all."""
    a.progress(f"computing the loss of {counted(a.steps, 'step', ',')}")
    rng = np.random.default_rng(a.seed + 1)
    chosen = run.stacked if a.loss == "all" else run.outputs[-1]
    with np.errstate(all="ignore"):
        loss: tg.Tensor = tg.losses.mse_loss(chosen, rng.normal(size=chosen.shape))
    return loss


def label(name: str, names: list[str]) -> str:
    """What a legend calls a cell; two of the same name are told apart by their full names."""
    short = _short(name) if ".py" in name else name.upper()
    return short if [_short(other).upper() for other in names].count(short.upper()) == 1 else name


def file_name(name: str) -> str:
    """What a file about a cell is called."""
    return _short(name).removesuffix(".py") or "cell"


def _short(name: str) -> str:
    """``MyCell`` for ``path/to/file.py:MyCell``."""
    return name.rpartition(":")[2].rpartition("/")[2]
