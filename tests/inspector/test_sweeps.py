"""Grids of runs: complete, the same everywhere, resumable, and safe from workers that die."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector import sweeps
from inspector.loading.load import LoadError

GRID: tuple[Any, ...] = (["rnn", "lstm"], [4, 9], [None, "orthogonal"], range(3))


def small(**options: Any) -> sweeps.Sweep:
    return inspector.sweep(*GRID, input_size=2, hidden_size=3, **options)


@pytest.fixture(scope="module")
def reference() -> sweeps.Sweep:
    with ThreadPoolExecutor(2) as pool:
        return small(executor=pool)


def test_every_combination_is_there_once_and_is_the_run_it_says(reference: sweeps.Sweep, tmp_path: Path) -> None:
    rows = list(csv.DictReader(reference.to_csv(tmp_path / "sweep.csv").read_text().splitlines()))
    assert len(rows) == 2 * 2 * 3 * (1 + 2)
    keys = {(r["cell"], r["length"], r["init"], r["seed"], r["state"]) for r in rows}
    assert len(keys) == len(rows) and ("lstm", "9", "orthogonal", "2", "c") in keys
    rng = np.random.default_rng([2, 9])
    run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=2, init="orthogonal"), rng.normal(size=(9, 1, 2)))
    trace = inspector.trace(run, tg.losses.mse_loss(run.outputs[-1], rng.normal(size=(1, 3))))
    (row,) = [
        r
        for r in rows
        if (r["cell"], r["length"], r["init"], r["seed"], r["state"]) == ("lstm", "9", "orthogonal", "2", "c")
    ]
    assert (
        float(row["first_norm"]) == trace.norm("c")[0]
        and float(row["factor"]) == inspector.decay_rate(trace.norm("c")).factor
    )
    written = json.loads(reference.to_json(tmp_path / "s.json").read_text())
    assert len(reference.to_pandas()) == len(rows) == len(written["runs"]) and written["not_finite"] is None
    for row in written["runs"]:
        place = {name: row[name] for name in ("cell", "length", "init", "seed", "state")}
        assert float(reference.tables()["factor"].sel(**place)) == row["factor"]
    grid = reference.tables()["factor"]
    assert np.isnan(grid.sel(cell="rnn", state="c").values).all() and grid.shape == (2, 2, 2, 3, 2)
    assert str(reference).count("\n") == 2 * 2 * 3 and isinstance(reference.save(tmp_path / "s.svg"), Path)


@pytest.mark.slow
def test_processes_of_its_own_give_the_same(reference: sweeps.Sweep) -> None:
    assert inspector.sweep(["rnn"], [4], [None], range(3), input_size=2, hidden_size=3).results == reference.results[:3]


class Stopping(ThreadPoolExecutor):
    """An executor that is interrupted after some jobs."""

    def __init__(self, jobs: int) -> None:
        super().__init__(1)
        self.jobs = jobs

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        def run() -> Any:
            self.jobs -= 1
            if self.jobs < 0:
                raise KeyboardInterrupt
            return fn(*args, **kwargs)

        return super().submit(run)


def test_what_was_interrupted_goes_on_where_it_stopped(reference: sweeps.Sweep, tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    with Stopping(5) as pool, pytest.raises(KeyboardInterrupt):
        small(executor=pool, path=path)
    assert len(path.read_text().splitlines()) == 5
    with path.open("a") as file:
        file.write('{"job": ["rnn", 4, nul')  # a line that was being written when the power went
    counted = Stopping(24 - 5)
    with counted as pool:
        assert small(executor=pool, path=path).results == reference.results
    assert counted.jobs == 0
    with Stopping(0) as pool:
        assert small(executor=pool, path=path).results == reference.results


def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\n")
    with pytest.raises(ValueError, match=r"notes\.txt is no record of a sweep"):
        small(path=path)
    assert path.read_text() == "dear diary\n"


@pytest.mark.slow
def test_processes_that_die_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "fatal.py"
    source.write_text(
        "import os, pathlib\nimport tinygrad_rnn as tg\nHERE = pathlib.Path(__file__).parent\n\n\nclass"
        " Fatal(tg.cells.RNNCell):\n    def step(self, x, state):\n        if not (HERE / 'died').exists() and"
        " os.getppid() == int((HERE / 'parent').read_text()):\n            (HERE / 'died').touch()\n           "
        " os._exit(9)\n        return super().step(x, state)\n"
    )
    (tmp_path / "parent").write_text(str(os.getpid()))
    found = inspector.sweep([f"{source}:Fatal"], [3], [None], range(3), input_size=2, hidden_size=2)
    assert (tmp_path / "died").exists() and len(found.results) == 3


def test_a_cell_that_fails_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="nope"):
        inspector.sweep(["rnn", "nope"], [3])
    with pytest.raises(ValueError, match="at least one"):
        inspector.sweep([], [3])
    with pytest.raises(ValueError, match="last or all"):
        inspector.sweep(["rnn"], [3], loss="some")


@pytest.mark.slow
def test_a_dask_cluster_loses_a_worker_and_no_result(reference: sweeps.Sweep, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    local = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with local as cluster, distributed.Client(cluster) as client:
        first = next(iter(client.run(os.getpid).values()))
        executor = client.get_executor()

        def strike() -> None:
            while not (tmp_path / "sweep.jsonl").exists():
                time.sleep(0.01)
            os.kill(first, signal.SIGKILL)

        killer = threading.Thread(target=strike)
        killer.start()
        found = small(executor=executor, path=tmp_path / "sweep.jsonl")
        killer.join()
        executor.shutdown()
    assert found.results == reference.results
    assert len((tmp_path / "sweep.jsonl").read_text().splitlines()) == 24
