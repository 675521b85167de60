"""Reach while learning: what the table says is the trace, and the picture is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import reach_while_learning as example

from tests.examples.checks import assert_pictures


@pytest.mark.slow
def test_it_prints_a_table_and_draws(tmp_path, capsys):
    assert example.main(["--out", str(tmp_path), "--steps", "40"]) == 0
    printed = capsys.readouterr().out
    assert_pictures(tmp_path, ["reach-of-the-gradient.png"], printed)
    rows = [line.split() for line in printed.splitlines()[1:-1]]
    assert [int(row[0]) for row in rows] == list(range(4, 41, 4))


@pytest.mark.slow
def test_the_gradient_reaches_the_first_step_once_the_task_is_learned():
    """A short form of the story: before, the first step gets next to nothing; after, as much as the last."""
    history, recorder = example.train(steps=1000, length=30)
    ratios = np.array([norms[0] / norms[-1] for norms in recorder.curves["c"]])
    assert history.column("loss")[-1] < 0.02 < 0.12 < history.column("loss")[0]
    assert ratios[1:4].max() < 0.02 < 0.2 < ratios[-1]
