"""Commands declared where they are written: a function, its options, and a docstring that is its help."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = [
    "BAD_INPUT",
    "BROKEN_PIPE",
    "CHECK_FAILED",
    "COMMANDS",
    "INTERRUPTED",
    "OK",
    "Command",
    "Option",
    "Run",
    "command",
    "either",
    "option",
]

OK, CHECK_FAILED, BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

Option: TypeAlias = Callable[[Any], object]
"""Adds something to a parser, or to a group of one."""

Run: TypeAlias = Callable[[argparse.Namespace], tuple[int, str]]
"""A command: of the parsed arguments, to the exit code and what it has to say."""


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes
    ----------
    run : function
        In its docstring may come explanations, and last examples, a line each.
    options : tuple of Option
    """

    run: Run
    options: tuple[Option, ...]

    def fill(self, parser: argparse.ArgumentParser) -> None:
        """Give the parser of the command its options, explanations and examples."""
        paragraphs = (inspect.getdoc(self.run) or "").split("\n\n")
        if paragraphs[-1].startswith("inspector "):
            *paragraphs, last = paragraphs
            parser.epilog = "\n  ".join(["examples:" if "\n" in last else "example:", *last.splitlines()])
        parser.description = "\n\n".join([str(parser.description), *paragraphs])
        for add in self.options:
            add(parser)
        parser.set_defaults(run=self.run)


COMMANDS: dict[str, Command] = {}
"""Those whose files have been imported."""


def command(name: str, *options: Option) -> Callable[[Run], Run]:
    """Declare the function below as the command `name`."""

    def declare(run: Run) -> Run:
        COMMANDS[name] = Command(run, options)
        return run

    return declare


def option(*flags: str, complete: Any = None, **settings: Any) -> Option:
    """An option as `ArgumentParser.add_argument` takes it, and what the shell completes it with, as shtab takes it."""

    def add(parser: Any) -> None:
        added = parser.add_argument(*flags, **settings)
        if complete is not None:
            added.complete = complete

    return add


def either(*options: Option) -> Option:
    """Options of which only one may be given."""

    def add(parser: Any) -> None:
        group = parser.add_mutually_exclusive_group()
        for one in options:
            one(group)

    return add
