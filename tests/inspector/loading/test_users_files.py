"""Cells in a user's file: found, executed with their neighbours, and blamed by file and line when they fail."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from inspector.cli.main import main
from inspector.loading.load import LoadError, cell_class

BEGIN = """\
import sys
import numpy as np
import tinygrad_rnn as tg

class Base(tg.Cell):
    def __init__(self, input_size, hidden_size, **options):
        super().__init__(input_size, hidden_size, **options)
        self.w = self.parameter("w", (input_size, hidden_size))

"""
LINE = BEGIN.count("\n") + 1

# What a class does, what is said, and the line of the file (1 is the line of the class) with the function that are
# blamed.
WRONG = {
    "raises": (
        """
        class C(Base):
            def step(self, x, state):
                raise RuntimeError("two\\nlines")
        """,
        "RuntimeError: two lines",
        "3, in step",
    ),
    "raises below": (
        """
        class C(Base):
            def step(self, x, state):
                return (deep(x, self.w),)
        def deep(x, w):
            return w @ x
        """,
        "ValueError: matmul",
        "5, in deep",
    ),
    "an attribute": (
        """
        class C(Base):
            def step(self, x, state):
                return (x @ self.weight,)
        """,
        "AttributeError: 'C' object has no attribute 'weight'",
        "3, in step",
    ),
    "asserts": (
        """
        class C(Base):
            def step(self, x, state):
                assert x.ndim == 3
        """,
        "AssertionError",
        "3, in step",
    ),
    "its own exception": (
        """
        class Sad(Exception):
            pass
        class C(Base):
            def step(self, x, state):
                raise Sad("no")
        """,
        "Sad: no",
        "5, in step",
    ),
    "endless": (
        """
        class C(Base):
            def step(self, x, state):
                return self.step(x, state)
        """,
        "RecursionError",
        "3, in step",
    ),
    "exits": (
        """
        class C(Base):
            def step(self, x, state):
                sys.exit(3)
        """,
        "SystemExit: 3",
        "3, in step",
    ),
    "exits quietly": (
        """
        class C(Base):
            def step(self, x, state):
                sys.exit()
        """,
        "SystemExit",
        "3, in step",
    ),
    "nothing": (
        """
        class C(Base):
            def step(self, x, state):
                h = tg.tanh(x @ self.w)
        """,
        "C.step returned nothing for state h",
        "2, in step",
    ),
    "an array": (
        """
        class C(Base):
            def step(self, x, state):
                return (np.asarray(tg.tanh(x @ self.w).data),)
        """,
        "C.step returned a plain ndarray for state h",
        "2, in step",
    ),
    "an array in the second place": (
        """
        class C(Base):
            state_names = ("h", "c")
            def step(self, x, state):
                return tg.tanh(x @ self.w), np.zeros(state.c.shape)
        """,
        "C.step returned a plain ndarray for state c",
        "3, in step",
    ),
    "a number": (
        """
        class C(Base):
            def step(self, x, state):
                return 3.0
        """,
        "C.step returned float for state h",
        "2, in step",
    ),
    "a state too many": (
        """
        class C(Base):
            def step(self, x, state):
                return state.h, state.h
        """,
        "C.step returned 2 states",
        "2, in step",
    ),
    "another shape": (
        """
        class C(Base):
            def step(self, x, state):
                return (tg.tanh(x),)
        """,
        "state h went from shape (1, 16) to (1, 8)",
        "2, in step",
    ),
    "a derivative": (
        """
        @tg.elementwise(lambda g, y, x: g * y.missing)
        def odd(x):
            return np.tanh(x)
        class C(Base):
            def step(self, x, state):
                return (odd(x @ self.w),)
        """,
        "AttributeError",
        "1, in <lambda>",
    ),
    "the constructor": (
        """
        class C(Base):
            def __init__(self, *sizes):
                sys.exit("not today")
        """,
        "C(8, 16) failed: SystemExit: not today",
        "3, in __init__",
    ),
    "the initial state": (
        """
        class C(Base):
            def initial_state(self, batch):
                return 1 / 0
            def step(self, x, state):
                return state
        """,
        "ZeroDivisionError",
        "3, in initial_state",
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", WRONG)
def test_what_a_file_does_wrong_is_told_with_its_place(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, says, place = WRONG[name]
    Path("sub").mkdir()
    Path("sub/own.py").write_text(BEGIN + dedent(text).lstrip("\n"))
    line, _, function = place.partition(",")
    assert main(["graph", "--cell", "sub/own.py:C", "-T", "2"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("inspector: error: ") and captured.err.count("\n") == 1
    assert says in captured.err
    assert captured.err.rstrip().endswith(f"({Path('sub/own.py')}:{LINE - 1 + int(line)},{function})")
    assert not list(folder.glob("*.svg"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import sys\nsys.exit(3)\n", "own.py failed: SystemExit: 3 (own.py:2)"),
        ("x = 1 +\n", "own.py failed: SyntaxError: invalid syntax (own.py, line 1)"),
        ("def f():\n    return 1 / 0\n\nf()\n", "own.py failed: ZeroDivisionError: division by zero (own.py:2, in f)"),
        ("import no_such_module\n", "own.py failed: ModuleNotFoundError: No module named 'no_such_module' (own.py:1)"),
        ("\x00", "own.py failed: "),
        ("# -*- coding: ascii -*-\n'é'\n", "own.py failed: SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_executed(text: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.py").write_bytes(text.encode())
    assert main(["check", "--cell", "own.py:C"]) == 2
    assert capsys.readouterr().err.startswith(f"inspector: error: {says}")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("notpy.txt:A", "notpy.txt is no Python file: its name must end in .py"),
        ("notpy.txt", "notpy.txt is no Python file"),
        ("none.txt:A", "there is no file none.txt"),
        ("none.py", "there is no file none.py"),
        ("folder.py:A", "there is no file folder.py"),
        ("two.py:Frist", "two.py has no Frist; did you mean First?; it has First, Second"),
        (":A", "no cell called ':A'"),
        ("", "no cell called ''"),
    ],
)
def test_a_cell_that_cannot_be_found(name: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("notpy.txt").touch()
    Path("folder.py").mkdir()
    Path("two.py").write_text("import tinygrad_rnn as tg\nclass First(tg.Cell): pass\nclass Second(tg.Cell): pass\n")
    assert main(["graph", "--cell", name]) == 2
    assert says in capsys.readouterr().err


def test_a_file_may_import_its_neighbours_and_nothing_else_changes(folder: Path) -> None:
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(name, "cells.py").write_text(
            "import tinygrad_rnn as tg\nimport layers\nimport graphlib\nclass C(tg.cells.RNNCell):\n    layer ="
            " layers.NAME\n    where = graphlib.__file__\n"
        )
        Path(name, "layers.py").write_text(f"NAME = {name!r}\n")
        Path(name, "graphlib.py").write_text("raise RuntimeError('stands in for a module of Python')\n")
    path, modules = list(sys.path), {name for name in sys.modules if name in ("layers", "graphlib")}
    first, second = cell_class("a/cells.py:C"), cell_class("b/cells.py:C")
    assert (first.layer, second.layer) == ("a", "b")  # type: ignore[attr-defined]
    assert sys.path == path and {name for name in sys.modules if name in ("layers", "graphlib")} - modules <= {
        "graphlib"
    }
    Path("a/broken.py").write_text("import layers\nraise ValueError\n")
    with pytest.raises(LoadError):
        cell_class("a/broken.py")
    assert sys.path == path
