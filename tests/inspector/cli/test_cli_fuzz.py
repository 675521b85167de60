"""Whatever is given to whatever option: an answer or one line that says what was wrong, in the words of the
command line.
"""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from inspector.cli import FAMILIES
from inspector.cli.main import main
from inspector.cli.parser import parser_of

COMMANDS = [name for family in FAMILIES for name in family.commands]
NAMES = (
    ["h", "c", "f", "x", "z_f", "h,c", "weight_hh"],
    ["h,nope", "nope", "", " ", "-", "-1", "é", "\n", "a=b", "h\x00", "layer0/h", "%s"],
)
NUMBERS = ["1", "2", "3", "٣"], ["-1", "x", "", "1.5", " 2", "9" * 5000]
PAIRS = (
    [f"{name}={value}" for name in ("f", "h", "g", "n", "weight_hh") for value in ("1", "0", "-2.5", "1e308", "relu")],
    ["=1", "f", "f=", "f=nan", "f=inf", "f=x", "f=tahn", "nope=1", "nope=relu", "w\n=1", "z_f=1"],
)
CELLS = (
    ["rnn", "lstm", "gru", "own.py:Plain"],
    ["own.py:Raises", "own.py:None_", "own.py", "lsmt", "", "none.py:A", "notpy.txt:A", "folder"],
)
PATHS = (
    ["a.svg", "a.png", "a.pdf", "A.SVG"],
    [
        "a",
        "",
        ".svg",
        "none/a.svg",
        "folder.svg",
        "folder",
        "own.py/a.svg",
        "/proc/a.svg",
        "a\x00.svg",
        "n" * 300 + ".svg",
    ],
)
SUFFIXES = ["a.tex", "a.dot", "a.mmd", "a.json", "a.html", "a.csv", "a.jpg"]
FILES = ["a.json", "b.txt", "c"], ["", "none/a.json", "folder", "own.py/a", "a\x00", "n" * 300, "/proc/a.json"]
FOLDERS = ["folder", "new"], ["own.py", "none/new", "/proc/new", "", "a\x00"]
WEIGHTS = ["lstm.npz", "rnn.npz"], ["text.npz", "none.npz", "none.safetensors", "a.txt", "", "folder.npz"]
SCRIPTS = ["own.py"], ["none.py", "folder", "", "a\x00"]
SHOWN = ["0", "1:", ":1", ":", "-1", "-1:"], ["5:2", "9:12", "a:b", "1:2:3", "", "0:0", "-3", "9" * 30 + ":"]
TIMES = ["0", "1", "-1"], ["2", "-3", "x", "1.5", "", "9" * 30]
API = re.compile(
    r"slice\(|trace=|inspector\.[a-z]|loss=|steps=|level=|backward=|\btg\.|\bNone\b|object at"
    r" 0x|what_if|value_at|load_state_dict|Traceback"
)
OWN = ["0", "1:", ":1", "5:2", "9:12", "-1:", ":", "a:b", "1:2:3", "", "0:0", "-3", "999999999999999999999:"]
API = re.compile(
    r"slice\(|trace=|inspector\.|loss=|steps=|run, |tg\.|None\b|_[a-z]+\(|<[a-z]+"
    r" object|\bwhat_if\b|\bvalue_at\b|Traceback"
)
OWN = """
import tinygrad_rnn as tg
class Plain(tg.Cell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, seed=0)
        self.w = self.parameter("w", (input_size, hidden_size))
    def step(self, x, state):
        return (tg.tanh(x @ self.w + 0.5 * state.h),)
class Raises(Plain):
    def step(self, x, state):
        return (x @ self.v,)
"""


def options_of(command: str) -> list[argparse.Action]:
    (commands,) = (action for action in parser_of([command])._actions if isinstance(action, argparse._SubParsersAction))
    return [
        action
        for action in commands.choices[command]._actions
        if not isinstance(action, argparse._HelpAction) and action.nargs != argparse.REMAINDER
    ]


def values_of(action: argparse.Action) -> tuple[list[str], list[str]]:
    """What may be given to an option, right and wrong, by what it says that it takes."""
    metavar = str(action.metavar)
    if action.choices is not None:
        return list(map(str, action.choices)), ["nope", ""]
    for flags, values in ({"--weights", "--file"}, WEIGHTS), ({"--json", "--csv", "--resume"}, FILES):
        if flags & {*action.option_strings, f"--{action.dest}"}:
            return values
    right, wrong = PATHS
    told = [name for name in SUFFIXES if Path(name).suffix in str(action.help)]
    paths = (
        [*(right if ".svg" in str(action.help) else []), *told],
        [*wrong, *(name for name in SUFFIXES if name not in told)],
    )
    kinds = {
        "CELL": CELLS,
        "FIRST:LAST": SHOWN,
        "FILE": paths,
        "FOLDER": FOLDERS,
        "N": NUMBERS,
        "T": TIMES,
        "SCRIPT": SCRIPTS,
    }
    return kinds.get(metavar, PAIRS if "=" in metavar else NAMES)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with some of its options; one value in eight is wrong."""
    command = draw(st.sampled_from(COMMANDS))
    actions = options_of(command)

    def value(action: argparse.Action) -> str:
        right, wrong = values_of(action)
        return draw(st.sampled_from(wrong if draw(st.integers(0, 7)) == 7 else right))

    line = [command]
    for action in actions:
        flags = action.option_strings
        if not flags:
            line += [value(action) for _ in range(action.nargs if isinstance(action.nargs, int) else 1)]
        elif "--cell" in flags:
            line += ["--cell", value(action)]
        elif {"--steps", "--input-size", "--hidden-size", "--seeds", "--jobs"} & set(flags):
            small = "1" if {"--seeds", "--jobs"} & set(flags) else "2"
            line.append(f"{flags[-1]}={value(action) if draw(st.integers(0, 9)) == 9 else small}")
    for action in draw(st.lists(st.sampled_from(actions), max_size=3)) if actions else []:
        if action.option_strings:
            flag = draw(st.sampled_from(action.option_strings))
            line.append(flag if action.nargs == 0 else f"{flag}={value(action)}")
    return line


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("inspector.cli.progress._PATIENCE", 1000.0)
    monkeypatch.setattr(
        "inspector.cli.tour.pictures",
        lambda folder: folder.mkdir(exist_ok=True) or iter([(folder / "a.svg", "a picture")]),
    )
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "notpy.txt").touch()
    (tmp_path / "text.npz").write_text("text")
    for name in ("folder", "folder.svg"):
        (tmp_path / name).mkdir()
    for name in ("rnn", "lstm"):
        np.savez(tmp_path / f"{name}.npz", **tg.cells.get(name)(2, 2).state_dict())
    return tmp_path


def answer(line: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and what was said, which is an answer, or one line in the words of the command line."""
    capsys.readouterr()
    code = main(line)
    captured = capsys.readouterr()
    if code == 2:
        assert captured.out == ""
        assert re.fullmatch(r"inspector: error: [^\n]+\n", captured.err)
        assert not API.search(captured.err)
        return code, captured.err
    assert code in (0, 1) and captured.out and not captured.err
    return code, captured.out


@given(command_lines())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@pytest.mark.slow
def test_any_command_line(folder: Path, capsys: pytest.CaptureFixture[str], line: list[str]) -> None:
    answer(line, capsys)


def wrong_lines(command: str, each: slice) -> Iterator[list[str]]:
    """The command with one wrong value, for each of its options and each of the chosen wrong values."""
    actions = options_of(command)
    needed = [word for action in actions if "--cell" in action.option_strings for word in ("--cell", "lstm", "-T", "2")]
    needed += [word for action in actions if "--seeds" in action.option_strings for word in ("--seeds", "1", "-j", "1")]
    several = [
        ["rnn"] * action.nargs for action in actions if isinstance(action.nargs, int) and not action.option_strings
    ]
    for action in actions:
        if action.nargs == 0:
            continue
        for value in values_of(action)[1][each]:
            if not action.option_strings:
                line = [command, *["rnn"] * ((action.nargs or 1) - 1), value]
            else:
                line = [
                    command,
                    *(["-T", "2"] if "--cell" in action.option_strings else needed),
                    *itertools.chain(*several),
                    f"{action.option_strings[-1]}={value}",
                ]
            yield line


@pytest.mark.parametrize("each", [slice(1), pytest.param(slice(1, None), marks=pytest.mark.slow)])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_wrong_value_of_every_option_is_refused(
    command: str, each: slice, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in wrong_lines(command, each):
        before = {path.name for path in folder.iterdir()} | {"__pycache__"}
        code, said = answer(line, capsys)
        assert code == 2, (line, said)
        assert {path.name for path in folder.iterdir()} <= before or "/proc" in line[-1], line
