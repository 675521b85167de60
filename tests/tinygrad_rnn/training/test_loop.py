"""Training: it learns, it stops when solved, and killed at any moment it goes on bit for bit."""

from __future__ import annotations

import csv
import itertools
import json
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
from tinygrad_rnn.training import Checkpoint, Solved, Step, evaluate

TASK = tg.tasks.ModernAdding(T=6)
TEXT = "the quick brown fox jumps over the lazy dog. " * 5


def model_for(task: tg.tasks.Task, cell: str = "lstm", seed: int = 0, **options: Any) -> tg.models.SequenceModel:
    made = tg.cells.get(cell)(task.input_size, 8, seed=seed, init="keras")
    return tg.models.SequenceModel(made, task.output_size, seed=seed, **options)


def adam(model: Any, lr: float = 0.01) -> tg.optim.Adam:
    return tg.optim.Adam(model.parameters(), lr=lr)


def same(left: Any, right: Any) -> None:
    for name, array in left.state_dict().items():
        np.testing.assert_array_equal(array, right.state_dict()[name], err_msg=name)


# ------------------------------------------------------------------------------------------ learning


def test_a_short_adding_problem_is_learned() -> None:
    model = model_for(TASK)
    history = tg.fit(model, TASK, steps=400, optimizer=adam(model), clip=1.0, every=100, test_size=200)
    assert len(history) == 4 and history.steps == 400 and history.sequences == 400 * 32
    assert history.column("test_loss")[-1] < 0.02 < TASK.baselines()["one value known"] < history.column("loss")[0]
    loss, accuracy = evaluate(model, TASK, 500, seed=3)
    assert loss < 0.02 and accuracy > history.column("accuracy")[0]


@pytest.mark.parametrize("name", ["embedded_reber", "temporal_order", "parity"])
def test_each_kind_of_loss_goes_down(name: str) -> None:
    """Cross-entropy over classes, and independent outputs; sequences of different lengths."""
    task = tg.tasks.get(name)(T=10) if name == "temporal_order" else tg.tasks.get(name)()
    if name == "parity":
        task = tg.tasks.Parity(shortest=5, longest=8)
    model = model_for(task)
    history = tg.fit(model, task, steps=60, optimizer=adam(model), every=20)
    assert history.column("loss")[-1] < history.column("loss")[0]


def test_one_step_is_what_it_says() -> None:
    """Against the same step by hand."""
    model, other = model_for(TASK), model_for(TASK)
    tg.fit(model, TASK, steps=1, batch=5, optimizer=tg.optim.SGD(model.parameters(), lr=0.1), loss="half_sse", seed=4)
    batch = TASK.batch(5, np.random.default_rng(4))
    outputs = other(batch.inputs, batch.lengths).outputs
    loss = 0.5 * tg.sum((outputs[-1] - batch.targets[-1]) ** 2)
    optimizer = tg.optim.SGD(other.parameters(), lr=0.1)
    loss.backward()
    optimizer.step()
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(array, other.state_dict()[name], rtol=1e-12, atol=1e-14)


def test_gradients_are_clipped_and_their_norm_is_told() -> None:
    seen: list[float] = []

    def look(step: Step) -> None:
        found = tg.grad(step.loss, step.model.parameters())
        seen.append(float(np.sqrt(sum((g.data**2).sum() for g in found))))

    model = model_for(TASK)
    before = model.state_dict()
    sgd = tg.optim.SGD(model.parameters(), lr=1.0)
    history = tg.fit(model, TASK, steps=1, optimizer=sgd, clip=1e-3, every=1, hooks=[look])
    moved = np.sqrt(sum(((array - before[name]) ** 2).sum() for name, array in model.state_dict().items()))
    np.testing.assert_allclose(moved, 1e-3, rtol=1e-9)
    np.testing.assert_allclose(history.column("gradient_norm"), seen, rtol=1e-9)


def test_truncation_reaches_the_cell() -> None:
    lost = []
    for truncate in (None, 2):
        model = model_for(TASK)
        cuts: list[int] = []
        tg.fit(
            model,
            TASK,
            steps=1,
            truncate=truncate,
            hooks=[
                lambda step, cuts=cuts: cuts.append(sum(n.op == "stop_gradient" for n in tg.Graph(step.loss).nodes))
            ],
        )
        lost.append(cuts[0])
    assert lost[0] == 0 < lost[1]


def test_carried_states_begin_where_the_batch_before_ended() -> None:
    task = tg.tasks.Characters(TEXT, window=7)
    model = model_for(task)
    runs: list[Any] = []
    tg.fit(model, task, steps=3, batch=2, carry=True, truncate=4, hooks=[lambda step: runs.append(step.prediction.run)])
    for before, after in itertools.pairwise(runs):
        for old, new in zip(before.final_state, after.initial_state, strict=True):
            np.testing.assert_array_equal(old.data, new.data)
            assert new.op is None
    assert (runs[1].initial_state.h.data != 0).any()


def test_a_generator_trains_through_predict() -> None:
    """One to sequence: the inputs of a batch become the context and, shifted, what teacher forcing feeds."""
    task = tg.tasks.Characters("abcabc" * 10, window=5)
    model = tg.models.Generator(tg.cells.GRUCell(task.input_size, 8, seed=0), task.input_size, seed=0)
    history = tg.fit(
        model, task, steps=150, optimizer=adam(model, 0.03), every=50, predict=lambda m, b: m(b.inputs[0], b.inputs)
    )
    assert history.column("loss")[-1] < 0.1 < history.column("loss")[0]


# ------------------------------------------------------------------------------------------ stopping


def test_training_ends_when_solved() -> None:
    task = tg.tasks.Characters("ab" * 20, window=3)
    model = model_for(task)
    stop = Solved(last=40)
    history = tg.fit(model, task, steps=5000, batch=8, optimizer=adam(model, 0.05), stop=stop, every=7)
    assert history.solved and history.steps < 5000 and stop.met and stop.right.all()


def test_solved_counts_the_last_sequences() -> None:
    stop = Solved(last=3, mean_error=0.1)
    yes, no = np.array([True]), np.array([False])
    assert [stop.update(*one) for one in [(yes, [0.0]), (no, [0.0]), (yes, [0.0]), (yes, [0.2])]] == [False] * 4
    assert stop.update(yes, [0.2]) is False, "the mean error is 0.13"
    assert stop.update(yes, [0.0]) is False
    assert stop.update(yes, [0.0]) is True
    share = Solved(last=4, share=0.75)
    assert share.update(np.array([True, True, False, True]), np.zeros(4)) is True
    again = Solved(last=3, mean_error=0.1)
    again.load_state_dict(stop.state_dict())
    assert again.met and again.seen == stop.seen


# --------------------------------------------------------------------------------------- checkpoints


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


def test_safetensors_go_both_ways(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    cell = tg.cells.LSTMCell(2, 3, dtype=np.float32, seed=0)
    path = tg.save_safetensors(cell.state_dict(), tmp_path / "cell.safetensors", {"from": "a test"})
    theirs = safetensors.load_file(str(path))
    arrays, metadata = tg.load_safetensors(path)
    assert metadata == {"from": "a test"} and set(theirs) == set(arrays)
    for name, array in cell.state_dict().items():
        np.testing.assert_array_equal(array, theirs[name])
        assert arrays[name].dtype == np.float32
    transposed = np.arange(6.0).reshape(2, 3).T
    tg.save_safetensors({"t": transposed, "zero": np.array(3)}, path)
    np.testing.assert_array_equal(tg.load_safetensors(path)[0]["t"], transposed)
    assert tg.load_safetensors(path)[0]["zero"].shape == ()
    with pytest.raises(FileNotFoundError, match="there is no file"):
        tg.load_safetensors(tmp_path / "none")


# -------------------------------------------------------------------------------- history and errors


def test_logs_are_open_formats(tmp_path: Path) -> None:
    model = model_for(TASK)
    paths = [tmp_path / "log.csv", tmp_path / "log.jsonl"]
    history = tg.fit(model, TASK, steps=4, optimizer=adam(model), every=2, log=paths[0])
    history.write(paths[1])
    rows = [json.loads(line) for line in paths[1].read_text().splitlines()]
    assert rows == history.rows
    with paths[0].open() as file:
        assert [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)] == history.rows
    with pytest.raises(ValueError, match=r"must end in .csv or .jsonl"):
        history.write(tmp_path / "log.pickle")
    with pytest.raises(KeyError, match="no column 'speed'; it has step, sequences, loss"):
        history.column("speed")


def test_progress_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    checkpoint = tmp_path / "kept.safetensors"
    tg.fit(model_for(TASK), TASK, steps=2, every=1, progress=True, checkpoint=checkpoint)
    shown = capsys.readouterr().err
    assert "loss=" in shown and "gradient=" in shown and " 0/2 " in shown and " 2/2 " in shown
    tg.fit(model_for(TASK), TASK, steps=5, every=5, progress=True, checkpoint=checkpoint)
    resumed = capsys.readouterr().err
    assert " 2/5 " in resumed and " 5/5 " in resumed and " 0/5 " not in resumed
    for silent in (None, False):  # None: only where there is a terminal
        tg.fit(model_for(TASK), TASK, steps=2, every=1, progress=silent)
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"steps": True}, "steps must be a whole number of at least 1, got True"),
        ({"steps": 5, "batch": 1.5}, "batch must be a whole number"),
        ({"steps": 5, "test_size": -1}, "test_size must be a whole number of at least 0, got -1"),
        ({"steps": 5, "every": 0}, "every must be"),
        ({"steps": 5, "loss": "huber"}, "loss must be one of mse, cross_entropy, binary, half_sse, got 'huber'"),
        ({"steps": 5, "carry": True}, "ModernAdding has no stream"),
    ],
)
def test_bad_settings_are_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tg.fit(model_for(TASK), TASK, **options)


def test_logits_are_not_squashed_twice() -> None:
    task = tg.tasks.EmbeddedReber()
    model = model_for(task, output="sigmoid")
    with pytest.raises(
        ValueError, match="the loss cross_entropy takes logits, but the model puts sigmoid on its outputs"
    ):
        tg.fit(model, task, steps=1)
    tg.fit(model, task, steps=1, loss="half_sse")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Solved(last=0), "last must be a positive number of sequences"),
        (lambda: Solved(mean_error=0.0), "mean_error must be positive"),
        (lambda: Solved(share=0.0), r"share must lie in \(0, 1\]"),
    ],
)
def test_bad_criteria_are_explained(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
