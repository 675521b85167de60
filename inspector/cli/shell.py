"""Commands about the shell: completion."""

from __future__ import annotations

import argparse

import shtab

from . import FAMILIES
from .family import OK, command, option
from .parser import parser_of

_SHELLS = ("bash", "zsh", "fish")


@command("completion", option("shell", metavar="SHELL", choices=_SHELLS, help="bash, zsh or fish"))
def _completion(a: argparse.Namespace) -> tuple[int, str]:
    """
    inspector completion bash > ~/.local/share/bash-completion/completions/inspector
    inspector completion zsh > ~/.zfunc/_inspector                      a folder in $fpath
    inspector completion fish > ~/.config/fish/completions/inspector.fish
    """
    everything = parser_of([name for family in FAMILIES for name in family.commands], "what to do")
    return OK, shtab.complete(everything, shell=a.shell)
