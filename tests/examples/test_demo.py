"""What `make demo` runs, as a user runs it, with and without the trained network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import demo
import letters_to_phonemes
import pytest

from tests.examples.checks import assert_pictures, needs_trained_network

ROOT = Path(__file__).resolve().parents[2]
TRAINED = ["understanding-decay.png", "understanding-encoder.svg", "understanding-sensitivity.png"]
OTHERS = [
    "decay-of-three-cells.png",
    "lstm-cell.svg",
    "lstm-gate.svg",
    "lstm-operation.svg",
    "own-cell-decay.png",
    "own-cell.svg",
    "scalars.svg",
    "trained-pair.html",
]


@pytest.mark.slow
@needs_trained_network
def test_as_a_user_runs_it(tmp_path):
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), "--out", str(tmp_path / "new" / "pictures")],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert_pictures(tmp_path / "new" / "pictures", TRAINED + OTHERS, done.stdout)
    assert f"{len(TRAINED + OTHERS)} pictures" in done.stdout


def test_goes_on_without_the_trained_network(tmp_path, monkeypatch, capsys):
    def missing():
        raise letters_to_phonemes.WeightsMissing("no trained weights here")

    monkeypatch.setattr(letters_to_phonemes, "load_model", missing)
    stages = {title: demo.STAGES[title] for title in ("a trained network", "a network as single numbers")}
    monkeypatch.setattr(demo, "STAGES", stages)
    assert demo.main(["--out", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert_pictures(tmp_path, ["scalars.svg"], captured.out)
    assert "left out a trained network: no trained weights here" in captured.err
