"""Compiled loops on disk: kept, used again, and never a reason to fail."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compile import CompileWarning, cache_directory, kernels

pytest.importorskip("numba", reason="compiled loops need pip install tinygrad-rnn[compile]")

TEXT = """def loop(start, stop, cut, shift, blas, d, b0):
    for k in range(stop - start):
        b0[k] = b0[k] * {number}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: Any) -> Path:
    """A cache of the test's own, and a process that has loaded nothing."""
    monkeypatch.setenv("TINYGRAD_RNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kernels, "_loaded", {})
    return tmp_path / "cache"


def run(number: float) -> Any:
    loop = kernels.load(TEXT.format(number=number), [np.dtype(np.float64)])
    values = np.ones(3)
    loop(*map(np.uint64, (0, 3, 0, 0)), np.zeros(2, np.int64), np.zeros(1, np.uint64), values)
    return values


def test_a_loop_is_kept_and_loaded_again(folder: Path, monkeypatch: Any) -> None:
    np.testing.assert_array_equal(run(2.0), 2)
    assert len(list(folder.glob("*.py"))) == 1 and len(list(folder.glob("__pycache__/*.nbc"))) == 1
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(kernels, "_loaded", {})
    np.testing.assert_array_equal(run(2.0), 2)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_a_damaged_cache_is_survived_with_a_warning(folder: Path, monkeypatch: Any, suffix: str) -> None:
    run(3.0)
    for path in folder.glob(f"__pycache__/*.{suffix}"):
        path.write_bytes(b"nonsense")
    monkeypatch.setattr(kernels, "_loaded", {})
    with pytest.warns(CompileWarning, match="cannot be used"):
        np.testing.assert_array_equal(run(3.0), 3)


def test_what_lies_in_the_cache_is_never_run(folder: Path, monkeypatch: Any) -> None:
    """A source file that somebody changed is written anew; its text is not executed."""
    run(4.0)
    (path,) = folder.glob("*.py")
    path.write_text("raise SystemExit('executed')")
    monkeypatch.setattr(kernels, "_loaded", {})
    np.testing.assert_array_equal(run(4.0), 4)
    assert "4.0" in path.read_text()


def test_a_directory_that_cannot_be_written_is_survived_with_a_warning(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TINYGRAD_RNN_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(kernels, "_loaded", {})
    with pytest.warns(CompileWarning, match=r"cannot be written.*TINYGRAD_RNN_CACHE"):
        np.testing.assert_array_equal(run(5.0), 5)


def test_a_read_only_directory_is_survived_with_a_warning(folder: Path, monkeypatch: Any) -> None:
    folder.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write whatever the mode says
    with pytest.warns(CompileWarning, match="read-only"):
        np.testing.assert_array_equal(run(6.0), 6)


def test_the_cache_has_a_place_of_its_own(monkeypatch: Any) -> None:
    monkeypatch.delenv("TINYGRAD_RNN_CACHE")
    assert cache_directory().name == "tinygrad_rnn"


def test_another_process_uses_what_this_one_compiled(folder: Path) -> None:
    script = "import numpy as np, tinygrad_rnn as tg; print(tg.unroll(tg.compile(tg.cells.GRUCell(2, 3, seed=0)), np.ones((3, 2, 2))).stacked.data.sum())"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    expected = tg.unroll(tg.cells.GRUCell(2, 3, seed=0), np.ones((3, 2, 2))).stacked.data.sum()
    assert float(done.stdout) == pytest.approx(expected, rel=1e-12)
    assert len(list(folder.glob("__pycache__/*.nbc"))) == 1


def test_other_sizes_need_no_other_loop(folder: Path) -> None:
    for batch, hidden in ((3, 4), (2, 5), (7, 3)):
        tg.unroll(tg.compile(tg.cells.LSTMCell(2, hidden, seed=0), backend="numba"), np.ones((3, batch, 2)))
    assert len(list(folder.glob("*.py"))) == 1


def test_loops_are_spared_subnormal_numbers_and_nobody_else_is(folder: Path) -> None:
    """A gradient that halves at every step: no subnormal remains, and NumPy computes with them as before."""

    class Halving(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (state.h * 0.5 + x,)

    cell = Halving(1, 1, dtype=np.float32)
    x = tg.tensor(np.ones((200, 1, 1), np.float32), requires_grad=True)
    (eager,) = tg.grad(tg.unroll(cell, x).outputs[-1].sum(), [x])
    (found,) = tg.grad(tg.unroll(tg.compile(cell, backend="numba"), x).outputs[-1].sum(), [x])
    smallest = np.finfo(np.float32).tiny
    normal = eager.data >= smallest
    np.testing.assert_allclose(found.data[normal], eager.data[normal], rtol=1e-6)
    if platform.machine().lower() in ("x86_64", "amd64"):
        assert (eager.data[~normal] > 0).any() and not found.data[~normal].any()
    assert np.float32(smallest) * np.float32(0.5) > 0


def test_names_that_users_give_never_reach_the_text(folder: Path) -> None:
    class Hostile(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            value = tg.named(**{"f\n    raise SystemExit()": tg.sigmoid(state.h)})
            return (value * 0.5,)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_ = tg.unroll(tg.compile(Hostile(2, 3, seed=0), backend="numba"), np.ones((3, 1, 2)))
    assert run_.tape is not None
    assert all("SystemExit" not in path.read_text() for path in folder.glob("*.py"))
