"""The parser of the command line: what it says about itself, and about mistakes."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Any, NoReturn

from ..loading.suggest import did_you_mean
from . import FAMILIES
from .family import BAD_INPUT, COMMANDS

__all__ = ["parser_of"]

_INTRO = """\
See how gradients move through a recurrent network.

A cell is one of the built-in ones (`inspector cells` lists them) or a class of your own:
--cell path/to/file.py:MyCell. It is unrolled over random inputs, with random weights or those of --weights; the
loss is the squared error of the last output against a random target, or of all outputs with --loss all. What a
command finds is printed, drawn (--out), and written as numbers (--json, --csv)."""

_START = """\
start here:
  inspector demo                                  pictures of RNN, LSTM and GRU, with an explanation each
  inspector graph --cell lstm -T 3                the graph of an LSTM, coloured by its gradient
  inspector decay --cell rnn --cell lstm -T 200   where the gradient dies
  inspector diagnose --cell rnn -T 200            why, and what would help
  inspector whatif --cell lstm --hold f=1         what an open forget gate would change
  inspector check --cell my_cells.py:MyCell       is my cell's gradient right?
  inspector watch train.py                        how does the gradient move through my PyTorch model?
  inspector compare lstm my_cells.py:MyCell       what does my cell do differently?

`inspector COMMAND --help` has the options of a command, and examples. The exit code is 0 when all went well, 1 when a
check found something wrong, 2 when something given was wrong, and 130 after Ctrl-C."""


def parser_of(arguments: Collection[str], commands_help: str = argparse.SUPPRESS) -> argparse.ArgumentParser:
    """The parser of the command line; the commands among its arguments know their options, for which their files
    are imported.
    """
    listed = "\n\n".join(
        "\n".join(
            [
                f"{family.title}:",
                *(f"  {name:11}{says[0].lower()}{says[1:].rstrip('.')}" for name, says in family.commands.items()),
            ]
        )
        for family in FAMILIES
    )
    parser = _Parser(
        prog="inspector", description=f"{_INTRO}\n\n{listed}", epilog=_START, usage="inspector COMMAND ..."
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(metavar="COMMAND", help=commands_help, prog="inspector")
    for family in FAMILIES:
        for name, says in family.commands.items():
            own = commands.add_parser(name, description=says, help=says)
            if name in arguments:
                import_module(f".{family.module}", __package__)
                COMMANDS[name].fill(own)
    return parser


class _Version(argparse.Action):
    """Shows the version: as an action of our own, because the engine is imported only for it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "dest": argparse.SUPPRESS, "nargs": 0, "help": "show the version and exit"})

    def __call__(self, parser: argparse.ArgumentParser, *parsed: Any) -> None:
        print(f"inspector {import_module('tinygrad_rnn').__version__}")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """A parser whose errors take one line, name the option, and suggest what was meant."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def print_help(self, file: Any = None) -> None:
        print(self.format_help(), end="", file=file)  # argparse hides when nobody reads

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            first = unknown[0].partition("=")[0]
            near = did_you_mean(first, self._option_string_actions) if len(first) > 2 else ""
            self.error(
                f"there is no option {first}{near}"
                if first.startswith("-")
                else f"what is {first!r} for? It belongs to no option"
                + (f"; a cell is given as --cell {first}" if "--cell" in self._option_string_actions else "")
            )
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(
                action,
                f"{value!r} is none of {', '.join(map(str, action.choices))}{did_you_mean(value, action.choices)}",
            )

    def error(self, message: str) -> NoReturn:
        self.exit(
            BAD_INPUT,
            f"inspector: error: {' '.join(message.removeprefix('argument ').split())} (`{self.prog} --help` has"
            " more)\n",
        )
