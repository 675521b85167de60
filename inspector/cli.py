"""The `inspector` command: draw, measure, explain and check a recurrent cell from the shell."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from .commands.analyse import analyse
from .commands.draw import draw
from .commands.family import BAD_INPUT, INTERRUPTED, OK, Run
from .commands.measure import measure
from .commands.options import check_outputs
from .drawing.engines import GraphvizMissingError
from .load import LoadError

__all__ = ["main"]

FAMILIES = (draw, measure, analyse)

_INTRO = """\
See how gradients move through a recurrent network.

A cell is one of the built-in ones (`inspector cells` lists them) or a class of your own:
--cell path/to/file.py:MyCell. It is unrolled over random inputs; the loss is the squared error of the last
output against a random target, or of all outputs with --loss all. What a command finds is printed, drawn
(--out), and written as numbers (--json, --csv)."""

_START = """\
start here:
  inspector demo                                  pictures of RNN, LSTM and GRU, with an explanation each
  inspector graph --cell lstm -T 3                the graph of an LSTM, coloured by its gradient
  inspector decay --cell rnn --cell lstm -T 200   where the gradient dies
  inspector diagnose --cell rnn -T 200            why, and what would help
  inspector whatif --cell lstm --hold f=1         what an open forget gate would change
  inspector check --cell my_cells.py:MyCell       is my cell's gradient right?
  inspector compare lstm my_cells.py:MyCell       what does my cell do differently?

`inspector COMMAND --help` has the options of a command, and examples."""

_EXPECTED = (LoadError, ValueError, TypeError, LookupError, OSError, GraphvizMissingError, ArithmeticError, RuntimeError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 fine, 1 a check failed, 2 bad input."""
    arguments = _parser().parse_args(argv)
    command: Run = arguments.run
    try:
        check_outputs(arguments)
        return command(arguments)
    except _EXPECTED as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OK
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"inspector: error: {' '.join(str(message).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("inspector: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    listed = "\n\n".join(map(str, FAMILIES))
    parser = argparse.ArgumentParser(
        prog="inspector", description=f"{_INTRO}\n\n{listed}", epilog=_START, usage="inspector COMMAND ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(metavar="COMMAND", required=True, help=argparse.SUPPRESS, prog="inspector")
    for family in FAMILIES:
        for command in family.commands:
            command.add_to(commands)
    return parser
