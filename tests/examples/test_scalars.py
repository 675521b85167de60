"""Matrices and scalars: the same numbers, and a picture with one box a scalar."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import scalars as example

import tinygrad_rnn as tg
from tests.examples.checks import SVG, assert_pictures


@pytest.mark.parametrize(("hidden", "steps"), [(1, 1), (2, 2), (3, 4)])
def test_same_numbers(hidden, steps):
    run, loss = example.network(hidden, steps)
    rows = example.compare(run, loss, tg.Graph(loss).to_scalars())
    assert len(rows) == 1 + hidden + hidden * hidden
    for name, matrices, scalars in rows:
        assert scalars == pytest.approx(matrices, rel=1e-12), name


def test_every_node_is_one_number():
    _, loss = example.network()
    assert all(node.shape == () for node in tg.Graph(loss).to_scalars())


def test_picture(tmp_path, capsys):
    assert example.main(["--out", str(tmp_path)]) == 0
    assert_pictures(tmp_path, ["scalars.svg"], capsys.readouterr().out)
    groups = ElementTree.parse(tmp_path / "scalars.svg").iter(f"{SVG}g")
    _, loss = example.network()
    assert sum(group.get("class") == "node" for group in groups) == len(tg.Graph(loss).to_scalars())
