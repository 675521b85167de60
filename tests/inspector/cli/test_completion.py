"""Shell completion: what bash offers at some places, and that the others get a script of all commands and options."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from pathlib import Path

import pytest

import tinygrad_rnn as tg
from inspector.cli import FAMILIES
from inspector.cli.main import main

COMMANDS = [name for family in FAMILIES for name in family.commands]


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    found = {}
    for shell in ("bash", "zsh", "fish"):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert main(["completion", shell]) == 0
        found[shell] = out.getvalue()
    return found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_knows_all_commands_options_and_cells(shell: str, scripts: dict[str, str]) -> None:
    for word in (*COMMANDS, *tg.cells.names(), "weights", "hidden-size", "operation", "gradient_x_input", "chrono"):
        assert word in scripts[shell], word


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "offered", "not_offered"),
    [
        ("inspector dia", {"diagnose"}, {"decay"}),
        ("inspector graph --cell ls", {"lstm", "lstm1997", "lstm2000"}, {"rnn", "peephole"}),
        ("inspector graph --cell my", {"my_cells.py"}, {"my_notes.txt", "lstm"}),
        ("inspector graph --level ", {"operation", "gate", "cell"}, {"lstm"}),
        ("inspector whatif --sca", {"--scale"}, {"--swap"}),
        ("inspector decay --weights w", {"w.npz"}, set()),
        ("inspector completion z", {"zsh"}, {"bash"}),
    ],
)
def test_what_bash_offers(
    line: str, offered: set[str], not_offered: set[str], scripts: dict[str, str], tmp_path: Path
) -> None:
    for name in ("my_cells.py", "my_notes.txt", "w.npz"):
        (tmp_path / name).touch()
    (tmp_path / "completion").write_text(scripts["bash"])
    words = line.split(" ")
    ask = """
        source ./completion
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        function=$(complete -p inspector | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        $function inspector "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", ask, "bash", *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stderr == ""
    got = set(done.stdout.split())
    assert offered <= got and not got & not_offered
