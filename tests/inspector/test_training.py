"""What is recorded during training is the trace of that step, and the picture shows it."""

from __future__ import annotations

import csv
import sys
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
    inspector.plot_training(recorder, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with recorder.to_csv(tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 2 * 8
    assert float(rows[0]["norm"]) == recorder.curves["h"][0][0] and rows[-1]["name"] == "c"


def test_all_names_and_parameters_can_be_recorded() -> None:
    recorder = inspector.DecayRecorder(every=7, names="all")
    expected: list[np.ndarray] = []
    trained(
        recorder,
        lambda step: expected.append(inspector.trace(step.prediction.run, step.loss).parameter_norm("weight_hh")),
    )
    assert {"x", "h", "c", "f", "z_f", "weight_ih", "bias_hh"} <= set(recorder.curves)
    np.testing.assert_array_equal(recorder.curves["weight_hh"], [expected[0], expected[6]])


@pytest.mark.slow
def test_small_multiples_and_a_film(tmp_path: Path) -> None:
    recorder = inspector.DecayRecorder(every=2)
    trained(recorder)
    drawn = [axes for axes in inspector.plot_snapshots(recorder).axes if axes.get_visible()]
    assert [axes.get_title("left") for axes in drawn] == ["step 1", "step 2", "step 4", "step 6"]
    for axes, norms in zip(drawn, recorder.curves["c"], strict=True):
        np.testing.assert_array_equal(axes.get_lines()[1].get_ydata(), np.where(norms > 0, norms, np.nan))
    chosen = inspector.plot_snapshots(recorder, names=["c"], steps=[2, 6])
    assert len(chosen.axes) == 2 and len(chosen.axes[0].get_lines()) == 1
    inspector.plot_snapshots(recorder, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    image = pytest.importorskip("PIL.Image", reason="films need Pillow")
    with image.open(inspector.animate_training(recorder, tmp_path / "a.gif", names=["h"])) as film:
        assert film.n_frames == 4


def test_a_film_needs_pillow_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = inspector.DecayRecorder()
    trained(recorder)
    with pytest.raises(ValueError, match=r"'.*a\.svg' must end in \.gif"):
        inspector.animate_training(recorder, tmp_path / "a.svg")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ValueError, match="needs Pillow: pip install pillow"):
        inspector.animate_training(recorder, tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_bad_use_is_explained() -> None:
    with pytest.raises(ValueError, match="every must be a positive number of steps, got 0"):
        inspector.DecayRecorder(every=0)
    recorder = inspector.DecayRecorder()
    with pytest.raises(ValueError, match="nothing was recorded"):
        inspector.plot_training(recorder)
    trained(recorder)
    with pytest.raises(ValueError, match="names or 'all', got 'h'"):
        inspector.DecayRecorder(names="h")
    with pytest.raises(ValueError, match=r"recorded steps 1, got \[3\]"):
        inspector.plot_snapshots(recorder, steps=[3])
    with pytest.raises(KeyError, match="'x' was not recorded; there are h, c"):
        inspector.plot_training(recorder, name="x")
