"""The user's cell: its gradient is right, it equals its paper's equations, its pictures are drawn."""

from __future__ import annotations

import numpy as np
import own_cell as example
import pytest

import tinygrad_rnn as tg
from tests.examples.checks import assert_pictures


def test_equations():
    cell = example.MinimalGatedUnit(2, 3, seed=1)
    p = cell.state_dict()
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(4, 2)), rng.normal(size=(4, 3))
    f = 1 / (1 + np.exp(-(x @ p["w"][:3].T + p["b"][:3] + h @ p["u_f"].T)))
    n = np.tanh(x @ p["w"][3:].T + p["b"][3:] + (f * h) @ p["u_n"].T)
    np.testing.assert_allclose(cell(x, cell.State(h)).h.data, h + f * (n - h), rtol=1e-12)


def test_checks_every_derivative():
    cell = example.MinimalGatedUnit(2, 3)
    assert example.check() == sum(p.size for p in cell.parameters()) + 3 * 2 + 3


def test_check_notices_a_wrong_rule(monkeypatch):
    wrong = lambda g, y, x: g * (1 - y * y) * 1.001  # noqa: E731
    monkeypatch.setattr(tg.PRIMITIVES["tanh"], "rules", (wrong,))
    with pytest.raises(tg.GradcheckError):
        example.check()


def test_pictures(tmp_path, capsys):
    assert example.main(["--out", str(tmp_path)]) == 0
    assert_pictures(tmp_path, ["own-cell-decay.png", "own-cell.svg"], capsys.readouterr().out)
