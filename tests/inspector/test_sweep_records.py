"""The record of a sweep: nothing damaged is taken, nothing is lost, and results of a cell that has changed are
noticed.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector import sweeps
from inspector.loading import load
from tests.failures import failing


def small(path: Path | None, cells: Any = ("rnn", "lstm"), seeds: int = 2) -> list[Any]:
    with ThreadPoolExecutor(1) as pool:
        return list(
            inspector.sweep(
                cells, [3], seeds=range(seeds), input_size=1, hidden_size=2, executor=pool, path=path
            ).results
        )


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("record") / "sweep.jsonl"
    small(path)
    return path


def cell_file(path: Path, factor: float | str, more: str = "") -> str:
    tg.files.write(
        path,
        f"import tinygrad_rnn as tg\n{more}\n\nclass Mine(tg.cells.RNNCell):\n"
        f"    def step(self, x, state):\n        return (super().step(x, state)[0] * {factor},)\n",
    )
    return f"{path}:Mine"


# -------------------------------------------------------------------------------------------- damage


def test_no_damage_is_taken(record: Path, tmp_path: Path) -> None:
    """Whatever happens to the bytes, the sweep is refused, or ends with the results it would have had."""
    rng = np.random.default_rng(0)
    data, right, path = record.read_bytes(), small(record), tmp_path / "damaged.jsonl"
    refusals = 0
    for k in range(120):
        found = bytearray(data)
        place = int(rng.integers(len(data)))
        if k % 4 < 2:
            found[place] ^= 1 << int(rng.integers(8))
        elif k % 4 == 2:
            found[place] = int(rng.choice(np.frombuffer(b"0123456789.e-\n", np.uint8)))
        else:
            del found[place : place + int(rng.integers(1, 5))]
        path.write_bytes(bytes(found) if k % 9 else data[:place])
        try:
            again = small(path)
        except ValueError as error:
            assert "damaged.jsonl" in str(error) and "line " in str(error)
            refusals += 1
            continue
        assert again == right
    assert refusals > 80


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norms": 0}, r"Expected `object`, got `int` - at `\$.norms`"),
        ({"norms": {"h": [1.0]}}, "one number for each of 3 steps"),
        ({"norms": {"h": [1.0, "a", 2.0]}}, r"at `\$.norms"),
        ({"norms": None}, "got `null`"),
        ({"loss": "0.5"}, r"at `\$.loss`"),
        ({"loss": True}, r"at `\$.loss`"),
        ({"job": []}, "job"),
        ({"job": {"cell": "rnn"}}, r"at `\$.job`"),
        ({"job": ["rnn", 3.5, None, 0, 1, 2, 1, "last"]}, r"at `\$.job\[1\]`"),
        ({"version": 1}, r"at `\$.version`"),
        ({"source": None}, r"at `\$.source`"),
    ],
)
def test_a_line_of_another_shape_is_refused_by_its_field(
    record: Path, tmp_path: Path, change: Any, message: str
) -> None:
    """With a checksum that fits."""
    lines = record.read_text().splitlines()
    altered = json.loads(lines[1]) | change
    del altered["sha256"]
    path = tmp_path / "altered.jsonl"
    sweeps._append(path, altered)
    path.write_bytes(lines[0].encode() + b"\n" + path.read_bytes())
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"altered\.jsonl is no record of a sweep, or damaged: line 2: .*{message}"):
        small(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"dear diary", b"\x00\xff binary", b"[" * 100_000 + b"\n", b'{"a": 1}\n', b'{"job"', b"\xff\n", b"\n"]
)
def test_a_file_that_is_something_else_is_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(content)
    if content == b'{"job"':  # as far as it goes, a line that was being written
        small(path)
        return
    with pytest.raises(ValueError, match="mine is no record of a sweep"):
        small(path)
    assert path.read_bytes() == content


def test_a_record_without_a_place_is_refused_before_the_first_run(tmp_path: Path) -> None:
    more = f"with open({str(tmp_path / 'executed')!r}, 'a') as file:\n    file.write('x')"
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        small(tmp_path / "none" / "sweep.jsonl", [cell_file(tmp_path / "own.py", 1.0, more)])
    assert not (tmp_path / "executed").exists()


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_norms_that_are_not_finite_are_kept_as_they_are(tmp_path: Path) -> None:
    path, cell = tmp_path / "sweep.jsonl", cell_file(tmp_path / "wild.py", "float('inf')")
    first = small(path, [cell], 1)
    assert not np.isfinite(first[0]["norms"]["h"]).all()
    assert json.dumps(first) == json.dumps(small(path, [cell], 1)) and len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize("for_ever", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_whichever_call_fails_no_run_is_lost_or_doubled(tmp_path: Path, for_ever: bool) -> None:
    right = small(None, ["rnn"])
    for k in itertools.count(1):
        path = tmp_path / f"{k}.jsonl"
        with failing(k, errno.ENOSPC, for_ever) as calls:
            try:
                small(path, ["rnn"])
            except OSError as error:
                assert error.filename == str(path)
        there = path.read_bytes() if path.exists() else b""
        assert small(path, ["rnn"]) == right
        lines = path.read_bytes().splitlines(keepends=True)
        assert lines[: there.count(b"\n")] == there.splitlines(keepends=True)[: there.count(b"\n")], (
            "what was written stays"
        )
        assert len(lines) == len({json.dumps(json.loads(line)["job"]) for line in lines}) == 2
        if not calls.struck:
            break
    assert k > 6


# ------------------------------------------------------------------------------------- changed cells


def test_results_of_a_cell_that_has_changed_are_made_again(tmp_path: Path) -> None:
    path, file = tmp_path / "sweep.jsonl", tmp_path / "own.py"
    cell = cell_file(file, 1.0)
    old = small(path, [cell, "rnn"])
    assert small(path, [cell, "rnn"]) == old
    cell_file(file, 0.25)  # of another length: Python takes a file of the same second and length for unchanged
    with pytest.warns(
        UserWarning,
        match=rf"2 runs in {path} were made with another version of {cell}, or of the library; they are made again",
    ):
        new = small(path, [cell, "rnn"])
    assert new == small(None, [cell, "rnn"]) and new[0]["loss"] != old[0]["loss"] and new[2:] == old[2:]
    assert small(path, [cell, "rnn"]) == new, "and are there the next time"
    cell_file(file, 1.0)
    assert small(path, [cell, "rnn"]) == old, "those of the first version too"


def test_what_a_cell_imports_from_beside_it_counts(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    (tmp_path / "its_factor.py").write_text("FACTOR = 1.0\n")
    cell = cell_file(tmp_path / "own.py", "FACTOR", "from its_factor import FACTOR")
    old = small(path, [cell], 1)
    (tmp_path / "its_factor.py").write_text("FACTOR = 0.25\n")
    with pytest.warns(UserWarning, match="made again"):
        assert small(path, [cell], 1)[0]["loss"] != old[0]["loss"]


def test_another_version_of_the_library_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sweep.jsonl"
    small(path, ["rnn"])
    monkeypatch.setattr(tg, "__version__", "99")
    with pytest.warns(UserWarning, match="2 runs .* of the library"):
        assert {result["version"] for result in small(path, ["rnn"])} == {"99"}


def test_a_cell_that_changes_while_it_is_swept_ends_the_sweep(tmp_path: Path) -> None:
    cell = cell_file(tmp_path / "own.py", 1.0)

    class Editing(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            cell_file(tmp_path / "own.py", 0.5)
            return super().submit(fn, *args, **kwargs)

    with Editing(1) as pool, pytest.raises(RuntimeError, match=r"own\.py:Mine has changed while the sweep was running"):
        inspector.sweep([cell], [3], seeds=range(2), executor=pool, path=tmp_path / "sweep.jsonl")
    assert not (tmp_path / "sweep.jsonl").exists()


def test_a_cell_file_is_executed_once(tmp_path: Path) -> None:
    more = f"with open({str(tmp_path / 'executed')!r}, 'a') as file:\n    file.write('x')"
    cell = cell_file(tmp_path / "own.py", 1.0, more)
    small(None, [cell], 4)
    assert (tmp_path / "executed").read_text() == "x"
    cell_file(tmp_path / "own.py", 0.5, more)
    small(None, [cell], 4)
    assert (tmp_path / "executed").read_text() == "xx"


def test_files_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    for name, factor in (("a", 1.0), ("b", 0.5)):
        (tmp_path / name).mkdir()
        cell_file(tmp_path / name / "own.py", factor)
    one, other = (load.cell_class(f"{tmp_path / name / 'own.py'}:Mine") for name in "ab")
    assert one is load.cell_class(f"{tmp_path / 'a' / 'own.py'}:Mine") and one.__module__ != other.__module__


# ---------------------------------------------------------------------------------------- strangers

PLANTED = (
    "multiprocessing",
    "pickle",
    "tempfile",
    "struct",
    "socket",
    "csv",
    "json",
    "hashlib",
    "random",
    "secrets",
    "numba",
    "msgspec",
    "platformdirs",
    "tqdm",
    "safetensors",
    "matplotlib",
    "graphviz",
    "threading",
    "selectors",
    "sitecustomize",
    "usercustomize",
)
SCRIPT = """
import sys
import inspector
import tinygrad_rnn as tg
if __name__ == "__main__":
    task = tg.tasks.ModernAdding(T=3)
    model = tg.models.SequenceModel(tg.compile(tg.cells.RNNCell(2, 2, seed=0)), 1, seed=0)
    for steps in (1, 2):
        hooks = [inspector.DecayRecorder(every=1)]
        tg.fit(model, task, steps=steps, every=1, checkpoint="c.safetensors", log="log.csv", hooks=hooks)
    found = inspector.sweep(["rnn"], [3], seeds=range(2), path="sweep.jsonl")
    found.to_csv("sweep.csv")
    print(len(found.results), "runs")
"""


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[Path]:
    """A directory that somebody else has filled with modules of names that Python looks for."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    for name in PLANTED:
        (folder / f"{name}.py").write_text(
            f"open({str(tmp_path / 'executed')!r}, 'a').write('{name} ')\nraise SystemExit\n"
        )
    yield folder
    assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 11), reason="before Python 3.11 it cannot be told so")
def test_nothing_in_the_current_directory_is_executed(planted: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        cwd=planted,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0 and done.stdout == "2 runs\n", done.stderr
