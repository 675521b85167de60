"""Compiled loops on disk: kept, used again, and never a reason to fail."""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import stat
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler import CompileWarning, cache_directory, kernels

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
    assert len(list(folder.glob("*.py"))) == 1 and len(list(folder.glob("*.nbc"))) == 1
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.nbc")] == [0o600]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(kernels, "_loaded", {})
    np.testing.assert_array_equal(run(2.0), 2)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


DAMAGE: dict[str, Any] = {
    "other": lambda data: b"nonsense",
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "longer": lambda data: data + b"x",
    "flipped": lambda data: data[:-200] + bytes([data[-200] ^ 1]) + data[-199:],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_cache_is_survived_with_a_warning(folder: Path, monkeypatch: Any, kind: str) -> None:
    run(3.0)
    (path,) = folder.glob("*.nbc")
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[kind](whole))
    monkeypatch.setattr(kernels, "_loaded", {})
    with pytest.warns(CompileWarning, match=r"\.nbc cannot be used, since it is damaged; compiling anew"):
        np.testing.assert_array_equal(run(3.0), 3)
    monkeypatch.setattr(kernels, "_loaded", {})
    np.testing.assert_array_equal(run(3.0), 3)
    (path,) = folder.glob("*.nbc")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in path.name, "what was compiled anew is kept"


MUTATE = """
import hashlib, sys, warnings, numpy as np
from pathlib import Path
from tinygrad_rnn.compiler import kernels
folder, text, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rng = np.random.default_rng(0)
for k in range(count):
    kernels._loaded.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop = kernels.load(text, [np.dtype(np.float64)])
    values = np.ones(3)
    loop(*map(np.uint64, (0, 3, 0, 0)), np.zeros(2, np.int64), np.zeros(1, np.uint64), values)
    assert (values == 7).all() and len(caught) == (k > 0), (values, caught)
    (path,) = folder.glob("*.nbc")
    data = bytearray(path.read_bytes())
    assert hashlib.sha256(data).hexdigest() in path.name, "it was compiled anew, and kept"
    for _ in range(1 + k % 3):
        data[rng.integers(len(data))] ^= int(rng.integers(1, 256))
    path.write_bytes(data)
print("alive")
"""


@pytest.mark.slow
def test_no_mutated_file_ends_the_process(folder: Path) -> None:
    """In a process of its own, which a jump into damaged machine code would end."""
    command = [sys.executable, "-c", MUTATE, str(folder), TEXT.format(number=7.0), "15"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0 and done.stdout == "alive\n", done.stderr


class Evil:
    """What a stranger's file does when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.fixture
def planted(folder: Path, tmp_path: Path, monkeypatch: Any) -> Path:
    """A cache in which somebody has put a program in the place of ours, under the digest that it has."""
    run(8.0)
    (path,) = folder.glob("*.nbc")
    content = pickle.dumps(Evil(tmp_path / "executed"))
    path.unlink()
    path = path.with_name(f"{'.'.join(path.name.split('.')[:-2])}.{hashlib.sha256(content).hexdigest()}.nbc")
    path.write_bytes(content)
    path.chmod(0o600)
    monkeypatch.setattr(kernels, "_loaded", {})
    return path


def test_the_planted_program_would_run_if_it_were_ours(planted: Path, tmp_path: Path) -> None:
    """So that the tests below can fail: whoever may write as this user may do everything anyhow."""
    with pytest.warns(CompileWarning, match="cannot be used"):
        np.testing.assert_array_equal(run(8.0), 8)
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722, 0o1777])
def test_a_folder_that_others_may_write_to_is_not_used(planted: Path, folder: Path, tmp_path: Path, mode: int) -> None:
    folder.chmod(mode)
    before = sorted(folder.iterdir())
    with pytest.warns(
        CompileWarning, match=rf"the cache directory {folder} may be written to by others \(mode {mode:o}\)"
    ):
        np.testing.assert_array_equal(run(8.0), 8)
    assert not (tmp_path / "executed").exists() and sorted(folder.iterdir()) == before


def test_a_folder_that_somebody_else_made_is_not_used(planted: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.warns(CompileWarning, match=rf"belongs to another user \({os.getuid()}\)"):
        np.testing.assert_array_equal(run(8.0), 8)
    assert not (tmp_path / "executed").exists()


def loose(path: Path) -> None:
    path.chmod(0o666)


def linked(path: Path) -> None:
    path.symlink_to(path.rename(path.parent.parent / "elsewhere"))


def renamed(path: Path) -> None:
    path.rename(path.with_name(path.name.replace(path.name.split(".")[-2], "0" * 64)))


@pytest.mark.parametrize(
    ("change", "problem"),
    [(loose, r"may be written to by others \(mode 666\)"), (linked, "is no plain file"), (renamed, "is damaged")],
)
def test_a_file_that_may_be_anothers_is_not_used(planted: Path, tmp_path: Path, change: Any, problem: str) -> None:
    change(planted)
    with pytest.warns(CompileWarning, match=rf"\.nbc cannot be used, since it {problem}; compiling anew"):
        np.testing.assert_array_equal(run(8.0), 8)
    assert not (tmp_path / "executed").exists()


def test_a_file_of_another_user_is_not_used(planted: Path, tmp_path: Path, monkeypatch: Any) -> None:
    look = Path.lstat

    def others(self: Path) -> os.stat_result:
        about = list(look(self))
        about[stat.ST_UID] += 1
        return os.stat_result(about)

    monkeypatch.setattr(Path, "lstat", others)
    with pytest.warns(CompileWarning, match="belongs to another user"):
        np.testing.assert_array_equal(run(8.0), 8)
    assert not (tmp_path / "executed").exists()


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


@pytest.mark.slow
def test_another_process_uses_what_this_one_compiled(folder: Path) -> None:
    script = (
        "import numpy as np, tinygrad_rnn as tg; print(tg.unroll(tg.compile(tg.cells.GRUCell(2, 3, seed=0)),"
        " np.ones((3, 2, 2))).stacked.data.sum())"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    expected = tg.unroll(tg.cells.GRUCell(2, 3, seed=0), np.ones((3, 2, 2))).stacked.data.sum()
    assert float(done.stdout) == pytest.approx(expected, rel=1e-12)
    assert len(list(folder.glob("*.nbc"))) == 1


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


def test_who_waits_is_told_what_for(folder: Path, monkeypatch: Any, caplog: Any) -> None:
    """While it compiles, not after; and nothing where it is soon done."""
    compile_ = kernels._compile

    def slowly(*arguments: Any) -> Any:
        until = time.monotonic() + 30
        while not caplog.messages and time.monotonic() < until:
            time.sleep(0.001)
        return compile_(*arguments)

    monkeypatch.setattr(kernels, "_PATIENCE", 100)
    run(9.0)
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert not caplog.messages and all(timer.finished.is_set() for timer in timers)
    monkeypatch.setattr(kernels, "_compile", slowly)
    monkeypatch.setattr(kernels, "_PATIENCE", 0.01)
    cell = tg.cells.RNNCell(2, 3, seed=0)
    tg.unroll(tg.compile(cell, backend="numba"), np.ones((3, 2, 2)))
    (message,) = caplog.messages
    assert (
        message.startswith("tinygrad_rnn is compiling RNNCell(2, 3), which takes some seconds")
        and str(folder) in message
    )


SLOW = """
import logging, sys, time
from tinygrad_rnn.compiler import kernels
kernels._PATIENCE = 0.0
kernels._compile = lambda *arguments: time.sleep(0.5)
if len(sys.argv) > 1:
    logging.getLogger("tinygrad_rnn").setLevel(logging.ERROR)
kernels.load("", [], "a cell")
"""


@pytest.mark.parametrize("silent", [False, True])
def test_the_word_goes_to_stderr_and_can_be_silenced(silent: bool) -> None:
    command = [sys.executable, "-c", SLOW, *["silent"] * silent]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stdout
    assert done.stderr.count("\n") == (0 if silent else 1) and ("compiling a cell" in done.stderr) is not silent


@pytest.mark.parametrize("name", ["max", "min"])
def test_reductions_keep_what_is_no_number(name: str) -> None:
    class Extreme(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (state.h * 0.5 + getattr(tg, name)(x, axis=-1, keepdims=True),)

    cell = Extreme(3, 3)
    x = np.random.default_rng(0).normal(size=(2, 3, 3))
    x[0, [0, 1, 2], [0, 1, 2]] = np.nan, np.inf, -np.inf
    expected = tg.unroll(cell, x).stacked.data
    assert np.isnan(expected).any() and not np.isnan(expected).all()
    np.testing.assert_array_equal(tg.unroll(tg.compile(cell, backend="numba"), x).stacked.data, expected)
