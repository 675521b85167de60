"""Exports hold what the drawing shows, and other programs can read them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest
from hypothesis import given

import inspector
import tinygrad_rnn as tg
from inspector.picture.compose import picture
from inspector.picture.scene import LEVELS
from tests.inspector.formats.test_dot import NASTY
from tests.marks import slow_unless
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run


def run_of(name: str, **options: object) -> Run:
    cell = tg.cells.get(name)(3, 4, seed=0, **options)
    return tg.unroll(cell, np.random.default_rng(0).normal(size=(3, 2, 3)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", slow_unless(["gru"], ["lstm", "gru", "clockwork", "narx"]))
def test_the_graph_is_the_drawing(name: str, level: str) -> None:
    run = run_of(name)
    trace = inspector.trace(run, run.outputs[-1].sum())
    graph, drawing = inspector.to_networkx(run, level=level, trace=trace), picture(run, level=level, trace=trace)
    shapes = {s.id: s for s in drawing.shapes if s.nodes}
    assert set(shapes) <= set(graph)
    for key, shape in shapes.items():
        facts = graph.nodes[key]
        assert (facts["label"], facts["x"], facts["y"]) == (shape.label, shape.x, shape.y)
    lines = {line.id: line for line in drawing.lines if line.source in graph and line.target in graph}
    assert {key: (u, v) for u, v, key in graph.edges(keys=True)} == {
        key: (line.source, line.target) for key, line in lines.items()
    }
    assert {facts["timestep"] for _, facts in graph.nodes(data=True) if "timestep" in facts} == {0, 1, 2}


def test_edges_carry_their_gradient() -> None:
    run = run_of("rnn")
    trace = inspector.trace(run, run.outputs[-1].sum())
    graph = inspector.to_networkx(run, trace=trace)
    into = [facts["gradient"] for _, _, facts in graph.in_edges("t1.h", data=True)]
    np.testing.assert_allclose(into, [trace.norm("h")[1]])
    assert all("gradient" not in facts for _, _, facts in inspector.to_networkx(run).edges(data=True))


def test_cuts_are_cuts() -> None:
    graph = inspector.to_networkx(run_of("lstm1997", truncated=True), level="cell")
    assert {target for _, target, facts in graph.edges(data=True) if facts["cut"]} == {
        f"t{t}.shared.stop_gradient" for t in range(3)
    }


def test_graphml_and_json_come_back(tmp_path: Path) -> None:
    run = run_of("lstm")
    trace = inspector.trace(run, run.outputs[-1].sum())
    graph = inspector.to_networkx(run, trace=trace)
    read = nx.read_graphml(inspector.export(run, tmp_path / "a.graphml", trace=trace))
    again = nx.node_link_graph(
        json.loads(inspector.export(run, tmp_path / "a.json", trace=trace).read_text()), edges="links"
    )
    for other in (read, again):
        assert set(other) == set(graph) and other.number_of_edges() == graph.number_of_edges()
        assert other.nodes["t1.f"]["label"] == "f" and other.nodes["t1.f"]["x"] == graph.nodes["t1.f"]["x"]
    norms = sorted(facts["gradient"] for _, _, facts in graph.edges(data=True) if "gradient" in facts)
    assert sorted(facts["gradient"] for _, _, facts in again.edges(data=True) if "gradient" in facts) == norms


def test_mermaid_has_every_node_and_edge_once(tmp_path: Path) -> None:
    run = run_of("gru")
    graph = inspector.to_networkx(run, level="cell")
    text = inspector.export(run, tmp_path / "a.mmd", level="cell").read_text()
    assert text.startswith("flowchart LR\n") and text.count("subgraph") == text.count("  end\n") == 3
    assert len(re.findall(r'^    n\d+\["', text, re.MULTILINE)) == len(graph)
    assert len(re.findall(r"^  n\d+ (?:-->|-\.->) n\d+$", text, re.MULTILINE)) == graph.number_of_edges()


def test_dot_is_the_source_that_is_drawn(tmp_path: Path) -> None:
    text = inspector.export(run_of("rnn"), tmp_path / "a.dot").read_text()
    assert text.startswith("digraph run") and 'id="t1.h.tanh"' in text and "pos=" in text


@pytest.mark.parametrize("name", NASTY)
def test_names_are_data_everywhere(name: str, tmp_path: Path) -> None:
    class Named(tg.Cell):
        def step(self, x: object, state: tuple[object, ...]) -> tuple[object]:
            return (tg.tanh(tg.named(**{name: tg.sigmoid(x + state[0])})),)

    run = tg.unroll(Named(3, 3, seed=0), np.ones((2, 1, 3)))
    assert len(nx.read_graphml(inspector.export(run, tmp_path / "a.graphml"))) == len(inspector.to_networkx(run))
    json.loads(inspector.export(run, tmp_path / "a.json").read_text())
    labels = re.findall(r'\["(.*)"\]$', inspector.export(run, tmp_path / "a.mmd").read_text(), re.MULTILINE)
    assert labels and not any(set(re.sub(r"#\d+;", "", label)) & set('"<>&`\n') for label in labels)


@pytest.mark.parametrize("name", ["a\x01b", "a\x1b[0m", "a\ud800b", "a\ufffeb"])
def test_what_xml_cannot_hold_is_replaced_wherever_it_stands(name: str, tmp_path: Path) -> None:
    """In the name of a class, a layer, a gate, a parameter: control characters, half a surrogate pair, a
    noncharacter.
    """

    class Named(tg.Cell):
        def __init__(self) -> None:
            super().__init__(3, 3, seed=0)
            self.w = self.parameter(name, (3, 3))

        def step(self, x: object, state: tuple[object, ...]) -> tuple[object]:
            return (tg.named(**{name: tg.sigmoid(x @ self.w + state[0])}),)

        def __repr__(self) -> str:
            return name

    with tg.scope(name):
        run = tg.unroll(Named(), np.ones((2, 1, 3)))
    trace = inspector.trace(run, run.outputs[-1].sum())
    for suffix in ("svg", "graphml", "dot", "mmd", "tex"):
        write = inspector.render if suffix == "svg" else inspector.export
        text = Path(write(run, tmp_path / f"a.{suffix}", trace=trace)).read_text(encoding="utf-8")
        assert name not in text and (
            suffix not in ("svg", "graphml") or ElementTree.fromstring(text.encode()) is not None
        )
    assert "�" in nx.read_graphml(tmp_path / "a.graphml").name


@pytest.mark.parametrize("name", ["a\udc80", "a\rb", "=cmd|' /C calc'!A0"])
def test_no_name_breaks_a_table_or_a_page(name: str, tmp_path: Path) -> None:
    """Half a surrogate pair, a carriage return, and what a spreadsheet would run."""

    class Named(tg.Cell):
        def step(self, x: object, state: tuple[object, ...]) -> tuple[object]:
            return (tg.tanh(tg.named(**{name: tg.sigmoid(x + state[0])})),)

    Named.__name__ = name.replace("\udc80", "C")  # Python itself takes no half pair there
    run = tg.unroll(Named(3, 3, seed=0), np.ones((2, 1, 3)))
    loss = run.outputs[-1].sum()
    trace = inspector.trace(run, loss)
    visible = name.encode("utf-8", "backslashreplace").decode()
    found = json.loads(inspector.gates(run).to_json(tmp_path / "a.json").read_text("utf-8"))
    assert any(name in labels for labels in found["derivatives"]["axes"].values())
    with trace.to_csv(tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert {len(row) for row in rows} == {4}
    assert {row[1].removeprefix("'") for row in rows} >= {visible, "h"} and not any(
        row[1].startswith("=") for row in rows
    )
    assert "<html" in inspector.report(run, loss, tmp_path / "a.html").read_text("utf-8")


@FEW
@given(run=runs())
def test_random_cells_can_be_exported(run: Run) -> None:
    graph = inspector.to_networkx(run)
    assert (
        len(graph) > 0
        and nx.node_link_graph(nx.node_link_data(graph, edges="links"), edges="links").nodes == graph.nodes
    )


def test_drawings_show_themselves_in_notebooks() -> None:
    drawn = inspector.render(run_of("rnn"))
    assert (
        isinstance(drawn, str)
        and drawn._repr_svg_().replace(' style="max-width:100%;height:auto"', "", 1) == drawn
        and "<svg" in drawn
    )


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.svg, \.png, \.pdf, .* or \.graphml"):
        inspector.export(run_of("rnn"), tmp_path / "a.pickle")
    assert list(tmp_path.iterdir()) == []
