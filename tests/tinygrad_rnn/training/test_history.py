"""What was measured, as open formats."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.training.models import TASK, adam, model_for


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
