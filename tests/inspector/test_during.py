"""What is recorded during training is the trace of that step, and the picture shows it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.training import Step

TASK = tg.tasks.ModernAdding(T=8)


def trained(recorder: inspector.DecayRecorder, *others: object) -> tg.models.SequenceModel:
    cell = tg.cells.LSTMCell(TASK.input_size, 4, seed=0)
    model = tg.models.SequenceModel(tg.compile(cell, backend="numpy"), 1, seed=0)
    tg.fit(model, TASK, steps=7, batch=3, hooks=[recorder, *others])  # type: ignore[list-item]
    return model


def test_a_record_is_the_trace_of_its_step() -> None:
    recorder = inspector.DecayRecorder(every=3, names=["h", "f"])
    expected: list[np.ndarray] = []

    def look(step: Step) -> None:
        if step.number in (1, 3, 6):
            expected.append(inspector.trace(step.prediction.run, step.loss).norm("f"))

    trained(recorder, look)
    assert recorder.steps == [1, 3, 6] and list(recorder.curves) == ["h", "f"]
    np.testing.assert_array_equal(recorder.curves["f"], expected)
    assert (recorder.curves["f"][0] != recorder.curves["f"][2]).any(), "the net has learned in between"


def test_a_recorder_does_not_change_the_training() -> None:
    with_it, without = trained(inspector.DecayRecorder(every=1)), trained(inspector.DecayRecorder(every=1000))
    for name, array in with_it.state_dict().items():
        np.testing.assert_array_equal(array, without.state_dict()[name])


def test_picture_and_file(tmp_path: Path) -> None:
    recorder = inspector.DecayRecorder(every=2)
    trained(recorder)
    axes = inspector.plot_training(recorder, name="c")
    assert len(axes.get_lines()) == len(recorder.steps) == 4
    assert inspector.plot_training(recorder, tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with recorder.to_csv(tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 2 * 8
    assert float(rows[0]["norm"]) == recorder.curves["h"][0][0] and rows[-1]["name"] == "c"


def test_bad_use_is_explained() -> None:
    with pytest.raises(ValueError, match="every must be a positive number of steps, got 0"):
        inspector.DecayRecorder(every=0)
    recorder = inspector.DecayRecorder()
    with pytest.raises(ValueError, match="nothing was recorded"):
        inspector.plot_training(recorder)
    trained(recorder)
    with pytest.raises(KeyError, match="'x' was not recorded; there are h, c"):
        inspector.plot_training(recorder, name="x")
