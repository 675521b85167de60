"""A PyTorch model is watched, diagnosed and cured."""

from __future__ import annotations

import pytest

from tests.examples.checks import assert_pictures

pytest.importorskip("torch", reason="it is about a PyTorch model: pip install torch")
import watch_pytorch as example


def test_it_diagnoses_and_draws(tmp_path, capsys):
    assert example.main(["--out", str(tmp_path), "--updates", "3"]) == 0
    printed = capsys.readouterr().out
    assert_pictures(tmp_path, ["watch-pytorch.png"], printed)
    assert printed.count("agrees to") == 2
    assert "+4 of bias in f" in printed


@pytest.mark.slow
def test_the_cure_lets_it_learn():
    import torch

    torch.manual_seed(0)
    model = example.Recall()
    losses, _ = example.train(model, 150)
    assert min(losses) > 0.6
    torch.manual_seed(0)
    example.cure(model := example.Recall(), "+4 of bias in f")
    losses, watching = example.train(model, 150)
    assert losses[-1] < 0.2
    assert watching["rnn"].outcome.half_life > 10
