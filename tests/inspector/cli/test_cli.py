"""The command: what it makes, what it says, and how it takes bad input."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.cli import FAMILIES, tour
from inspector.cli.family import COMMANDS
from inspector.cli.main import main

OWN = """
import numpy as np
import tinygrad_rnn as tg

@tg.elementwise(lambda g, y, x: g * 1.001 * (1.0 - y * y))
def crooked(x):
    return np.tanh(x)

class Plain(tg.Cell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, seed=0)
        self.w = self.parameter("w", (hidden_size, input_size))
    def step(self, x, state):
        return (tg.tanh(x @ self.w.T + 0.5 * state.h),)

class Wrong(Plain):
    def step(self, x, state):
        return (crooked(x @ self.w.T + state.h),)

class Raises(Plain):
    def step(self, x, state):
        return (x @ self.w,)

class TwoStates(Plain):
    def step(self, x, state):
        return state.h, state.h

class Fails(Plain):
    def __init__(self, input_size, hidden_size):
        raise RuntimeError("two\\nlines")

class Bare(tg.Cell):
    pass

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "single.py").write_text("import tinygrad_rnn as tg\nclass One(tg.cells.GRUCell):\n    pass\n")
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)\n")
    return tmp_path


def files_in(folder: Path) -> set[str]:
    sources = {"own.py", "single.py", "broken.py", "leaving.py"}
    return {path.name for path in folder.iterdir() if path.name not in sources and path.name != "__pycache__"}


def test_graph_draws_at_every_level(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for level in ("operation", "gate", "cell"):
        assert main(["graph", "--cell", "lstm", "-T", "2", "--level", level]) == 0
        ET.parse(folder / f"lstm-{level}.svg")
    assert main(["graph", "--cell", "own.py:Plain", "--plain", "-o", "own.png"]) == 0
    assert main(["graph", "--cell", "single.py", "-T", "30", "--show", "28:", "-o", "one.pdf"]) == 0
    assert "one.pdf" in capsys.readouterr().out
    assert (folder / "own.png").read_bytes().startswith(b"\x89PNG")
    assert files_in(folder) == {"lstm-operation.svg", "lstm-gate.svg", "lstm-cell.svg", "own.png", "one.pdf"}


@pytest.mark.parametrize("command", ["graph", "figure"])
def test_a_drawing_has_the_width_that_is_asked_for(command: str, folder: Path) -> None:
    arguments = [command, "--cell", "rnn", "-T", "3", "--level", "cell", "--width"]
    assert main([*arguments, "page", "-o", "a.svg"]) == 0
    assert '<svg width="468.00pt"' in (folder / "a.svg").read_text()
    assert main([*arguments, "column", "--dpi", "72", "-o", "a.png"]) == 0
    assert abs(int.from_bytes((folder / "a.png").read_bytes()[16:20], "big") - 241) <= 1
    assert ("chart." in (folder / "a.svg").read_text()) == (command == "figure")


@pytest.mark.parametrize("command", ["duality", "decay"])
def test_a_plot_has_the_width_that_is_asked_for(command: str, folder: Path) -> None:
    arguments = [command, "--cell", "rnn", "-T", "3", "--width"]
    assert main([*arguments, "column", "-o", "a.svg"]) == 0
    assert 'width="241pt"' in (folder / "a.svg").read_text()
    assert main([*arguments, "120.5", "--dpi", "144", "-o", "a.png"]) == 0
    assert int.from_bytes((folder / "a.png").read_bytes()[16:20], "big") == 241


@pytest.mark.parametrize("given", [("--width", "wide"), ("--width", "-3"), ("--width", "nan"), ("--dpi", "0")])
def test_a_size_that_is_none_is_refused_before_anything_runs(
    given: tuple[str, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("graph", "decay", "gates"):
        assert main([command, "--cell", "rnn", *given]) == 2
        assert f"error: {given[0]}: " in capsys.readouterr().err
    assert files_in(folder) == set()


def test_graph_writes_what_other_programs_read(folder: Path) -> None:
    starts = {"tex": "% RNNCell", "dot": "digraph", "mmd": "flowchart", "json": "{", "graphml": "<graphml"}
    for kind, start in starts.items():
        assert (
            main(
                ["graph", "--cell", "rnn", "-T", "30", "--show", "2:4", "--level", "cell", "--plain", "-o", f"a.{kind}"]
            )
            == 0
        )
        text = (folder / f"a.{kind}").read_text()
        assert text.startswith(start) and {"tex": "t3-h-tanh", "mmd": "step t = 3"}.get(kind, "t3.h.tanh") in text
        assert "t5" not in text, "--show chooses"
    assert files_in(folder) == {f"a.{kind}" for kind in starts}


def test_decay_prints_a_table_and_writes_plot_and_norms(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--cell", "rnn", "--cell", "own.py:Plain", "-T", "12", "--csv", "norms.csv", "-o", "decay.svg"]
    assert main(["decay", *arguments]) == 0
    said = capsys.readouterr().out
    assert "half-life" in said and "RNN h" in said and "Plain h" in said
    ET.parse(folder / "decay.svg")
    with (folder / "norms.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["cell"] for row in rows} == {"RNN", "Plain"}
    norms = np.array([float(row["norm"]) for row in rows if row["cell"] == "RNN" and row["name"] == "h"])
    assert f"{inspector.decay_rate(norms).factor:.4g}" in said


def test_the_initialisation_can_be_chosen(folder: Path) -> None:
    assert main(["decay", "--cell", "lstm", "-T", "5", "--init", "chrono", "--names", "h,c,f"]) == 0
    assert "chrono" in (folder / "decay.svg").read_text()


def test_cells_lists_the_registry_with_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells", "--input-size", "10", "--hidden-size", "20"]) == 0
    said = capsys.readouterr().out
    assert "LSTMCell" in said and f"{4 * 20 * (10 + 20 + 2):,}" in said


def test_check_passes_right_cells_and_finds_wrong_ones(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("rnn", "lstm", "gru", "own.py:Plain"):
        assert main(["check", "--cell", name]) == 0, name
    assert "all" in capsys.readouterr().out
    assert main(["check", "--cell", "own.py:Wrong"]) == 1
    said = capsys.readouterr().out
    assert "WRONG  gradient by w" in said and "crooked" in said


@pytest.mark.slow
def test_report_and_demo(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--cell", "gru", "--cell", "rnn", "-T", "6", "-o", "a.html", "--json", "a.json"]) == 0
    data = json.loads((folder / "a.json").read_text())
    assert [run["label"] for run in data["runs"]] == ["GRU", "RNN"] and "GRUCell(8, 16)" in (
        folder / "a.html"
    ).read_text()
    assert main(["lecture", "--cell", "gru", "-T", "6"]) == 0
    assert '"opens":"lecture"' in (folder / "gru-lecture.html").read_text()
    assert main(["demo", "-o", "pictures"]) == 0
    made = sorted((folder / "pictures").iterdir())
    said = capsys.readouterr().out
    assert len(made) == tour.COUNT and all(path.name in said for path in made)
    for path in made:
        if path.suffix == ".svg":
            ET.parse(path)


BAD = {
    "unknown cell": (["graph", "--cell", "xyzzy"], "no cell called 'xyzzy'; choose from rnn, irnn, jordan"),
    "missing file": (["graph", "--cell", "none.py:C"], "there is no file none.py"),
    "missing class": (["graph", "--cell", "own.py:None_"], "own.py has no None_; it has Plain, Wrong"),
    "no subclass": (["graph", "--cell", "own.py:number"], "no subclass of tinygrad_rnn.Cell"),
    "several": (["graph", "--cell", "own.py"], "choose one with own.py:NAME"),
    "syntax": (["graph", "--cell", "broken.py:C"], "broken.py failed: SyntaxError"),
    "leaves": (["graph", "--cell", "leaving.py:C"], "leaving.py failed: SystemExit: 3"),
    "constructor": (["graph", "--cell", "own.py:Fails"], "RuntimeError: two lines"),
    "no step": (["graph", "--cell", "own.py:Bare"], "Bare must define step"),
    "step fails": (["graph", "--cell", "own.py:Raises"], "matmul(shapes (1, 8), (16, 8))"),
    "states": (["check", "--cell", "own.py:TwoStates"], "returned 2 states"),
    "no init": (["graph", "--cell", "own.py:Plain", "--init", "keras"], "takes no init"),
    "names": (["decay", "--cell", "rnn", "-T", "3", "--names", "q"], "nothing is called 'q'"),
    "show beyond": (["graph", "--cell", "rnn", "--show", "9:12"], "timesteps 0..2"),
    "folder": (["graph", "--cell", "rnn", "-o", "none/rnn.svg"], "no folder none"),
    "csv folder": (["decay", "--cell", "rnn", "-T", "3", "--csv", "none/a.csv"], "no folder none"),
}


BAD_OPTIONS = {
    "no command": (["dance"], "COMMAND: 'dance' is none of demo, graph"),
    "near command": (["grpah"], "did you mean graph"),
    "no cell": (["graph"], "--cell"),
    "no steps": (["graph", "--cell", "rnn", "-T", "0"], "--steps: must be a whole number of at least 1, got '0'"),
    "steps below 0": (
        ["graph", "--cell", "rnn", "-T", "-3"],
        "--steps: must be a whole number of at least 1, got '-3'",
    ),
    "batch": (["graph", "--cell", "rnn", "--batch", "x"], "--batch: must be a whole number"),
    "seed": (["graph", "--cell", "rnn", "--seed", "-1"], "--seed: must be a whole number of at least 0, got '-1'"),
    "picture": (["graph", "--cell", "rnn", "-o", "a.jpg"], "--out: 'a.jpg' must end in .svg, .png, .pdf"),
    "suffix of a plot": (["decay", "--cell", "rnn", "-o", "a.tex"], "'a.tex' must end in .svg, .png or .pdf"),
    "suffix of a page": (["report", "--cell", "rnn", "-o", "rnn.txt"], "'rnn.txt' must end in .html"),
    "level": (
        ["graph", "--cell", "rnn", "--level", "gates"],
        "--level: 'gates' is none of operation, gate, cell; did you mean gate?",
    ),
    "two cells": (["graph", "--cell", "rnn", "--cell", "gru"], "give --cell once; `inspector decay` compares several"),
    "init": (
        ["graph", "--cell", "lstm", "--init", "chorno"],
        "--init: 'chorno' is none of chrono, identity, keras, orthogonal, pytorch; did you mean chrono?",
    ),
    "show": (["graph", "--cell", "rnn", "--show", "a:b"], "--show: takes FIRST:LAST, such as 48:52, got 'a:b'"),
    "unknown option": (["graph", "--cell", "rnn", "--levl=cell"], "there is no option --levl; did you mean --level"),
    "stray word": (["graph", "rnn"], "--cell"),
    "stray words": (["graph", "--cell", "rnn", "gru"], "what is 'gru' for?"),
    "weights and init": (["map", "--cell", "rnn", "--init", "keras", "--weights", "a.npz"], "not allowed with"),
    "weights of a sweep": (
        ["sweep", "--cell", "rnn", "--weights", "a.npz"],
        "draws new weights for every seed; `inspector decay --weights`",
    ),
    "number": (["whatif", "--cell", "lstm", "--hold", "f=much"], "--hold: must be a number, got 'much'"),
    "pair": (["whatif", "--cell", "lstm", "--hold", "f"], "--hold: must be NAME=VALUE, got 'f'"),
    "function": (["whatif", "--cell", "lstm", "--swap", "f=tahn"], "did you mean tanh"),
}


@pytest.mark.parametrize("case", [*BAD, *BAD_OPTIONS])
def test_bad_input_is_one_line_and_exit_2(case: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, says = {**BAD, **BAD_OPTIONS}[case]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("inspector: error: ") and captured.err.count("\n") == 1
    assert says in captured.err
    assert files_in(folder) <= {"decay.svg"}


@pytest.mark.parametrize("command", ["", *(name for family in FAMILIES for name in family.commands)])
def test_help_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"] if command else ["--help"]) == 0
    said = capsys.readouterr().out
    assert f"inspector {command}".strip() in said and said.isascii()
    for family in FAMILIES:
        if command in family.commands:
            assert family.commands[command] in " ".join(said.split())
            assert f"\n  inspector {command}" in said, "an example"
    assert ("--cell" in said) == (command not in ("demo", "compare", "cells", "completion", "watch", "open"))


def test_without_a_command_it_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    bare = capsys.readouterr()
    assert main(["--help"]) == 0
    assert capsys.readouterr() == bare and bare.err == ""


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"inspector {tg.__version__}\n"


def test_every_command_is_listed_and_declared() -> None:
    for family in FAMILIES:
        import_module(f"inspector.cli.{family.module}")
    assert sorted(COMMANDS) == sorted(name for family in FAMILIES for name in family.commands)


def test_as_a_process_it_is_silent_where_it_should_be(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(inspector.__file__).parents[1])}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "inspector", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    done = run("cells")
    assert (done.returncode, done.stderr) == (0, "")
    done = run("graph", "--cell", "nope")
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stdout == ""
    pipe = f"{sys.executable} -m inspector cells | true"
    done = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, check=False, env=environment)
    assert "Traceback" not in done.stderr
