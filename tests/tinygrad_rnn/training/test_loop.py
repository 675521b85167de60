"""Training: it learns, each setting does what it says, and what cannot work is explained."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.training.models import TASK, TEXT, adam, model_for
from tinygrad_rnn.training import Step, evaluate


@pytest.mark.slow
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
