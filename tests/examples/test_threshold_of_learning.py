"""What is left of the gradient at the first step decides whether anything is learned there."""

from __future__ import annotations

import pytest
import threshold_of_learning as example

from tests.examples.checks import assert_pictures


@pytest.mark.slow
def test_it_counts_and_draws(tmp_path, capsys):
    assert example.main(["--out", str(tmp_path), "--updates", "2", "--seeds", "1"]) == 0
    printed = capsys.readouterr().out
    assert_pictures(tmp_path, ["threshold-of-learning.png"], printed)
    counted = [line.split(": ")[1].split() for line in printed.splitlines()[:3]]
    assert sum(int(words[2]) for words in counted) == 2 * (6 + 5)


@pytest.mark.slow
@pytest.mark.parametrize(("bias", "learns"), [(-1.0, False), (5.0, True)])
def test_an_lstm_learns_where_its_gradient_lasts(bias, learns):
    found = example.trial("lstm", bias, 30, 0, updates=120)
    assert (found.kept > example.VANISHES) == learns == (found.learned is not None)
