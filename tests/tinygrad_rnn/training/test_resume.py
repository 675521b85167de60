"""Killed at any moment, a training run goes on bit for bit; a checkpoint of another is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.training.models import TASK, TEXT, adam, model_for, same
from tinygrad_rnn.training import Checkpoint, Solved


@pytest.mark.parametrize("kind", ["SGD", "RMSprop", "Adam"])
def test_resuming_is_bit_for_bit(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"

    def run(steps: int, checkpoint: Path | None) -> tuple[Any, Any, Any]:
        model = model_for(TASK)
        settings = {"momentum": 0.9} if kind == "SGD" else {}
        optimizer = getattr(tg.optim, kind)(model.parameters(), lr=0.01, **settings)
        stop = Solved(last=500)
        history = tg.fit(
            model,
            TASK,
            steps=steps,
            batch=4,
            optimizer=optimizer,
            clip=1.0,
            stop=stop,
            every=5,
            test_size=20,
            checkpoint=checkpoint,
        )
        return model, history, stop

    straight, history, stop = run(20, None)
    run(10, path)
    run(15, path)
    resumed, again, its_stop = run(20, path)
    same(straight, resumed)
    assert again.rows == history.rows and len(history) == 4
    np.testing.assert_array_equal(stop.errors, its_stop.errors)
    assert run(20, path)[1].rows == history.rows, "nothing is left to do"


def test_carried_states_are_resumed_too(tmp_path: Path) -> None:
    task = tg.tasks.Characters(TEXT, window=7)
    stacked = tg.Stacked(tg.cells.LSTMCell(task.input_size, 8, seed=0), tg.cells.GRUCell(8, 8, seed=1))

    def run(steps: int, checkpoint: Path | None) -> Any:
        model = tg.models.SequenceModel(stacked, task.output_size, seed=0)
        model.load_state_dict(fresh)
        tg.fit(model, task, steps=steps, batch=2, optimizer=adam(model), carry=True, every=2, checkpoint=checkpoint)
        return model.state_dict()

    fresh = tg.models.SequenceModel(stacked, task.output_size, seed=0).state_dict()
    straight = run(8, None)
    run(4, tmp_path / "c")
    resumed = run(8, tmp_path / "c")
    for name, array in straight.items():
        np.testing.assert_array_equal(array, resumed[name])


SCRIPT = """
import os, sys
import tinygrad_rnn as tg
os.fsync = lambda handle: None  # the system keeps what a killed process wrote
task = tg.tasks.ModernAdding(T=6)
cell = tg.cells.LSTMCell(2, 8, seed=0, init="keras")
model = tg.models.SequenceModel(cell, 1, seed=0)
history = tg.fit(model, task, steps=int(sys.argv[1]), batch=4, optimizer=tg.optim.Adam(model.parameters()), every=1,
                 checkpoint=sys.argv[2], log=sys.argv[3])
tg.save_safetensors(model.state_dict(), sys.argv[4])
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Kill the process several times at random moments; the end is that of a run nobody touched."""

    def arguments(name: str) -> list[str]:
        files = [str(tmp_path / f"{name}.{suffix}") for suffix in ("checkpoint", "csv", "model")]
        return [sys.executable, "-c", SCRIPT, "400", *files]

    environment = {**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1])}
    subprocess.run(arguments("straight"), check=True, env=environment)
    rng = np.random.default_rng(0)
    kills = 0
    while not (tmp_path / "killed.model").exists():
        process = subprocess.Popen(arguments("killed"), env=environment)
        before = (tmp_path / "killed.checkpoint").exists()
        while process.poll() is None and not (tmp_path / "killed.checkpoint").exists():
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.3) + (0.4 if before else 0.0))
        if kills < 4 and process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
            Checkpoint.read(tmp_path / "killed.checkpoint")  # whole, whenever it was
        process.wait()
    assert kills >= 2
    left, right = (tg.load_safetensors(tmp_path / f"{name}.model")[0] for name in ("straight", "killed"))
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])
    assert (tmp_path / "straight.csv").read_text() == (tmp_path / "killed.csv").read_text()


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    model = model_for(TASK)
    tg.fit(model, TASK, steps=2, optimizer=adam(model), checkpoint=path)
    for options, named in (
        ({"batch": 7}, "batch: 32, now 7"),
        ({"seed": 1}, "seed: 0, now 1"),
        ({"clip": 1.0}, "clip"),
        ({"optimizer": adam(model, 0.5)}, "lr=0.5"),
        ({"stop": Solved()}, "stop"),
    ):
        with pytest.raises(ValueError, match=named):
            tg.fit(model, TASK, steps=4, **{"optimizer": adam(model), **options}, checkpoint=path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is damaged"):
        tg.fit(model, TASK, steps=4, optimizer=adam(model), checkpoint=path)
    tg.save_safetensors({"a": np.zeros(2)}, path)
    with pytest.raises(ValueError, match="no checkpoint of a training run"):
        tg.fit(model, TASK, steps=4, optimizer=adam(model), checkpoint=path)


def test_a_diverging_run_stops_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    task = tg.tasks.ModernAdding(T=6)
    model = model_for(task, "irnn")
    with np.errstate(all="ignore"), pytest.raises((FloatingPointError, ValueError), match=r"nan|inf|NaN"):
        tg.fit(model, task, steps=50, optimizer=tg.optim.SGD(model.parameters(), lr=1e6), every=1, checkpoint=path)
    assert Checkpoint.read(path).facts["step"] >= 1
