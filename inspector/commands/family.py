"""Commands declared where they are written: a function, its options, and a docstring that is its help."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["BAD_INPUT", "CHECK_FAILED", "INTERRUPTED", "OK", "Command", "Family", "Option", "Run", "either", "option"]

OK, CHECK_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

Option: TypeAlias = Callable[[Any], object]
"""Adds something to a parser, or to a group of one."""

Run: TypeAlias = Callable[[argparse.Namespace], int]


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes
    ----------
    name : str
    run : function
        Of the parsed arguments; gives the exit code. Its docstring says in its first line what the command does; then may
        come explanations, and last examples, a line each.
    options : tuple of Option
    """

    name: str
    run: Run
    options: tuple[Option, ...]

    @property
    def says(self) -> str:
        """What it does, on one line."""
        return self._paragraphs()[0]

    def add_to(self, commands: Any) -> None:
        """Add a parser to what `ArgumentParser.add_subparsers` gave."""
        *explained, last = self._paragraphs()
        several = last.count("\n") > 0
        epilog = f"example{'s' * several}:\n" + "\n".join(f"  {line}" for line in last.splitlines())
        shown = last.startswith("inspector ")
        parser = commands.add_parser(
            self.name, description="\n\n".join(explained if shown else [*explained, last]), epilog=epilog if shown else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        for add in self.options:
            add(parser)
        parser.set_defaults(run=self.run)

    def _paragraphs(self) -> list[str]:
        return (inspect.getdoc(self.run) or self.name).split("\n\n")


@dataclass(frozen=True)
class Family:
    """Commands of a kind; calling it declares one more.

    Attributes
    ----------
    title : str
    commands : list of Command
    """

    title: str
    commands: list[Command] = field(default_factory=list)

    def __call__(self, name: str, *options: Option) -> Callable[[Run], Run]:
        """Declare the function below as the command `name`."""

        def declare(run: Run) -> Run:
            self.commands.append(Command(name, run, options))
            return run

        return declare

    def __str__(self) -> str:
        return "\n".join([f"{self.title}:", *(f"  {c.name:11}{c.says[0].lower()}{c.says[1:].rstrip('.')}" for c in self.commands)])


def option(*flags: str, **settings: Any) -> Option:
    """An option as `ArgumentParser.add_argument` takes it."""
    return lambda parser: parser.add_argument(*flags, **settings)


def either(*options: Option) -> Option:
    """Options of which only one may be given."""

    def add(parser: Any) -> None:
        group = parser.add_mutually_exclusive_group()
        for one in options:
            one(group)

    return add
