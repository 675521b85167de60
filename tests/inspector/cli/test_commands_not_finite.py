"""NaN or infinity anywhere, a gradient of zero, a single step: every command answers in words, says where it
begins, and draws the rest.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from inspector.cli import FAMILIES, options
from inspector.cli.main import main

CELLS = """
import numpy as np
import tinygrad_rnn as tg

class Broken(tg.cells.RNNCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, seed=0)
        weights = np.array(self.weight_hh.data)
        weights[0, 0] = np.nan
        self.weight_hh.data = weights

class Growing(tg.cells.RNNCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, nonlinearity="identity", init="orthogonal", seed=0)
        self.weight_hh.data = 10 ** (308 / 19.5) * np.array(self.weight_hh.data)

class Dead(tg.cells.RNNCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, nonlinearity="relu", seed=0)
        self.bias_hh.data = self.bias_hh.data - 1e3
"""
SIZES = ["--input-size", "2", "--hidden-size", "3"]
KINDS: dict[str, tuple[list[str], str | None]] = {
    "NaN weight": (
        ["--cell", "rnn", "--weights", "nan.npz", "-T", "4"],
        "not finite since t = 0: NaN in the parameter weight_hh (1 of 9 numbers), first read by matmul for z_h",
    ),
    "infinite input": (
        ["--cell", "rnn", "-T", "4"],
        "not finite since t = 2: infinity in the input x (1 of 2 numbers), first read by matmul for z_h",
    ),
    "overflow at t = 20": (
        ["--cell", "own.py:Growing", "-T", "22"],
        "not finite since t = 20: infinity first appears in matmul for h",
    ),
    "zero gradient": (["--cell", "lstm", "-T", "4"], None),
    "dead units": (["--cell", "own.py:Dead", "-T", "4"], None),
    "one step": (["--cell", "lstm", "-T", "1"], None),
}
"""How each is asked for on the command line, and the sentence in every answer."""

DRAWN = [
    "decay --csv a.csv --json a.json",
    "graph --level cell",
    "figure",
    "report",
    "lecture",
    "map",
    "spectrum",
    "spectrum --lyapunov",
    "paths",
    "paths --orders",
    "paths --waterfall",
    "paths --strongest",
    "weights",
    "gates",
    "saliency --method integrated",
    "whatif --scale weight_hh=1.5",
    "duality",
    "diagnose --json a.json",
]
OF_DEAD_UNITS = {"decay --csv a.csv --json a.json", "map", "spectrum", "spectrum --lyapunov", "gates"}
"""What would meet a logarithm of zero."""
ALIKE_DRAWN = ("NaN weight", "infinite input")
"""Begin in a leaf, and are drawn by the same means: each command draws one of the two, and in turn another."""
SAID = ["check", "stops", "equations --plain", "graph --plain -o a.json"]
NO_RUN = {"demo", "cells", "completion", "watch", "open"}
ALIKE = {"equations", "compare"}
"""Whose answers no number plays a part in."""

REFUSED = {
    ("paths --strongest", "NaN weight"): "no path to t=0/h is finite: not finite since t = 0",
    ("paths --strongest", "infinite input"): "no path to t=0/h is finite: not finite since t = 2",
    ("paths --strongest", "overflow at t = 20"): "no path to t=0/h is finite: not finite since t = 20",
    ("paths --strongest", "zero gradient"): "no gradient reaches t=0/h",
    ("paths --strongest", "dead units"): "no gradient reaches t=0/h",
    ("paths --waterfall", "one step"): "a run of one step has no step before; give it at least two",
}
"""What cannot be drawn: these say why, and end with 2."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("inspector.cli.progress._PATIENCE", 1000.0)
    Path("own.py").write_text(CELLS, encoding="utf-8")
    weights = tg.cells.RNNCell(2, 3, seed=0).state_dict()
    weights["weight_hh"][0, 0] = np.nan
    np.savez("nan.npz", **weights)
    return tmp_path


def arranged(kind: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that ask for a kind of run, with what no option gives put in place."""
    if kind == "infinite input":
        usual: Callable[..., tg.unroll.Run] = options._over_random_inputs

        def unroll(cell: tg.Cell, a: Any) -> Any:
            x = np.stack([x.data for x in usual(cell, a).inputs])
            x[2:3, 0, 1] = np.inf
            return tg.unroll(cell, x)

        monkeypatch.setattr(options, "_over_random_inputs", unroll)
    if kind == "zero gradient":
        loss = tg.losses.mse_loss
        monkeypatch.setattr(tg.losses, "mse_loss", lambda *of: loss(*of) * 0.0)
    return [*KINDS[kind][0], *SIZES]


def answered(line: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and what was said, all in words."""
    code = main(line)
    captured = capsys.readouterr()
    assert bool(captured.out) != bool(captured.err)
    assert not re.search(r"\b(nan|inf)\b", captured.out + captured.err), captured.out
    return code, captured.out or captured.err


def check(command: str, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    name, *more = command.split()
    code, said = answered([name, *arranged(kind, monkeypatch), *more], capsys)
    if (command, kind) in REFUSED:
        assert code == 2 and said.startswith("inspector: error: ") and REFUSED[command, kind] in said
        return
    sentence = KINDS[kind][1]
    if name == "check" and sentence:
        sentence = sentence.replace("t = 20", "t = 19")  # its start is no zero
    assert code == (1 if name == "check" and sentence else 0)
    first = said.splitlines()[0]
    if sentence is None or name in ALIKE:
        assert "not finite" not in said
    else:
        assert sentence in first


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", SAID)
def test_what_draws_nothing(
    command: str, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check(command, kind, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (command, kind)
        for number, command in enumerate(DRAWN)
        for kind in KINDS
        if (kind != "dead units" or command in OF_DEAD_UNITS) and kind != ALIKE_DRAWN[number % 2]
    ],
)
def test_what_draws(
    command: str, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check(command, kind, monkeypatch, capsys)
    sentence = KINDS[kind][1]
    drawn = [path for path in folder.iterdir() if path.suffix in (".svg", ".html")]
    assert len(drawn) == ((command, kind) not in REFUSED)
    for path in drawn:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".svg":
            text = " ".join("".join(ET.fromstring(text).itertext()).split())
        assert ("not finite since" in text) == (sentence is not None)
    for path in folder.glob("a.json"):
        json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["own.py:Broken", "own.py:Growing", "own.py:Dead"])
def test_what_takes_cells_alone(cell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = answered(
        ["sweep", "--cell", cell, "-T", "22", "--seeds", "2", "-j", "1", *SIZES, "--json", "a.json"], capsys
    )
    assert (
        code == 0 and ("not finite in 2 of 2 runs" in said) == (cell != "own.py:Dead") and "no decay to measure" in said
    )
    assert Path("sweep.svg").stat().st_size
    json.loads(Path("a.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    code, said = answered(["compare", cell, "rnn", *SIZES], capsys)
    assert code == 0 and Path(said.split()[-1]).stat().st_size


def test_every_command_is_asked() -> None:
    asked = {command.split()[0] for command in [*DRAWN, *SAID]} | {"sweep", "compare"} | NO_RUN
    assert asked == {name for family in FAMILIES for name in family.commands}
