"""Options that commands share, and the runs and losses that they describe."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.unroll import Run

from ..export import EXPORTS
from ..load import LoadError, make_cell, said
from ..plot import FORMATS
from ..render import LEVELS
from .family import Option, option

__all__ = [
    "cells_of", "check_outputs", "drawing", "file_name", "label", "level", "loss_of", "number", "one_cell", "pair", "picture", "positive", "run_options",
    "show", "size_options", "steps_of", "suffix", "tables", "unrolled",
]  # fmt: skip

CELLS = f"{', '.join(tg.cells.names())}, or path/to/file.py:MyCell"

# -------------------------------------------------------------------------------- kinds of values


def positive(text: str) -> int:
    """A whole number of at least 1."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return value


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


def _ending_in(*suffixes: str) -> Callable[[str], Path]:
    def parse(text: str) -> Path:
        path = Path(text)
        if suffix(path) not in suffixes:
            raise argparse.ArgumentTypeError(f"{text} must end in .{', .'.join(suffixes[:-1])} or .{suffixes[-1]}")
        return path

    return parse


def suffix(path: Path) -> str:
    """The kind of a file, in lower case and without the dot."""
    return path.suffix.lower().removeprefix(".")


class _Once(argparse.Action):
    """An option for one cell, kept as a list like those for several."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        if getattr(namespace, self.dest, None):
            parser.error("give --cell once; `inspector decay` compares several")
        setattr(namespace, self.dest, [values])


# ------------------------------------------------------------------------------------------ options


def size_options(input_size: int = 8, hidden_size: int = 16) -> Option:
    """The sizes of a cell."""

    def add(parser: Any) -> None:
        parser.add_argument("--input-size", type=positive, default=input_size, metavar="N", help=f"features of an input (default: {input_size})")
        parser.add_argument("--hidden-size", "--hidden", type=positive, default=hidden_size, metavar="N", help=f"units of a state (default: {hidden_size})")

    return add


def run_options(
    steps: int, *, several: bool = False, sizes: tuple[int, int] = (8, 16), loss: str | None = "last", random_start: bool = False
) -> Option:
    """The cell or cells, and over what they are unrolled; `loss` is the one by default, if the command has any."""

    def add(parser: Any) -> None:
        often = "; give it several times to compare" if several else ""
        parser.add_argument("--cell", required=True, action="append" if several else _Once, metavar="CELL", help=f"{CELLS}{often}")
        parser.add_argument("-T", "--steps", type=positive, default=steps, metavar="N", help=f"timesteps (default: {steps})")
        size_options(*sizes)(parser)
        parser.add_argument("--batch", type=positive, default=1, metavar="N", help="sequences side by side (default: 1)")
        parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, inputs and target (default: 0)")
        parser.add_argument("--init", metavar="NAME", help=f"initialisation: {', '.join(sorted(tg.init.PRESETS))} (default: pytorch)")
        if loss is not None:
            parser.add_argument("--loss", choices=("last", "all"), default=loss, help=f"outputs that the loss reads (default: {loss})")
        parser.set_defaults(random_start=random_start)

    return add


def level(default: str) -> Option:
    """How much detail a drawing has."""
    return option("--level", choices=LEVELS, default=default, help=f"how much detail (default: {default})")


show = option("--show", metavar="FIRST:LAST", help="draw these timesteps only, LAST not included")


def picture(default: str = "") -> Option:
    """Where to write a picture."""
    told = f" (default: {default})" if default else ""
    return option("-o", "--out", type=_ending_in(*FORMATS), metavar="FILE", help=f"picture to write: .svg, .png or .pdf{told}")


drawing = option("-o", "--out", type=_ending_in(*FORMATS, *EXPORTS), metavar="FILE",
                 help="picture to write: .svg, .png or .pdf; or for other programs: .tex (LaTeX), .dot (Graphviz), .mmd (Mermaid), "
                      ".graphml or .json (NetworkX)")  # fmt: skip


def tables(*kinds: str) -> Option:
    """Where to write the numbers: ``json`` and ``csv``."""

    def add(parser: Any) -> None:
        for kind in kinds:
            parser.add_argument(f"--{kind}", type=Path, metavar="FILE", help=f"write the numbers as {kind.upper()}, too")

    return add


# ------------------------------------------------------------------------------------ what they mean


def check_outputs(a: argparse.Namespace) -> None:
    """Before anything is computed, find out that a file could not be written.

    Raises
    ------
    ValueError, OSError
        If a folder does not exist, or two files are one.
    """
    paths = [path for path in (getattr(a, name, None) for name in ("out", "json", "csv")) if path is not None]
    for path in paths:
        if not path.parent.is_dir():
            raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
        if paths.count(path) > 1:
            raise ValueError(f"{path} is to be written twice; give each file its own name")


def one_cell(a: argparse.Namespace) -> tg.Cell:
    """The cell, where one is given."""
    (cell,) = cells_of(a)
    return cell


def cells_of(a: argparse.Namespace) -> Iterator[tg.Cell]:
    """The cells, one by one."""
    for name in a.cell:
        yield make_cell(name, a.input_size, a.hidden_size, seed=a.seed, init=a.init)


def unrolled(cell: tg.Cell, a: argparse.Namespace) -> Run:
    """A cell over random inputs.

    Raises
    ------
    LoadError
        If its step fails.
    """
    try:
        return _over_random_inputs(cell, a)
    except Exception as error:  # whatever a user's step may raise
        raise LoadError(f"{cell!r} cannot be unrolled: {said(error)}") from error


def _over_random_inputs(cell: tg.Cell, a: argparse.Namespace) -> Run:
    rng = np.random.default_rng(a.seed)
    start = cell.initial_state(a.batch)
    state = start._replace(**{k: rng.normal(size=v.shape) for k, v in start._asdict().items()}) if a.random_start else start
    return tg.unroll(cell, rng.normal(size=(a.steps, a.batch, a.input_size)), state)


def loss_of(run: Run, a: argparse.Namespace) -> tg.Tensor:
    """The squared error against a random target, of the last output or of all."""
    rng = np.random.default_rng(a.seed + 1)
    chosen = run.stacked if a.loss == "all" else run.outputs[-1]
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


def steps_of(text: str | None) -> slice | None:
    """The timesteps that ``--show`` chooses.

    Raises
    ------
    ValueError
        If the text is no such choice.
    """
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
