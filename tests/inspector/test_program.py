"""Drawings of programs: every instruction is there, and no name can break out of its label."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg


def test_every_part_of_a_compiled_cell_is_drawn(tmp_path: Path) -> None:
    programs = tg.compile(tg.cells.LSTMCell(3, 4, seed=0), backend="numpy").programs(batch=2)
    parts = ["forward once", "forward ahead", "forward loop", "adjoint loop", "adjoint after", "adjoint total"]
    assert list(programs) == ["traced", "step", *parts]
    for name, program in programs.items():
        tree = ElementTree.fromstring(inspector.render_program(program, title=name).svg)
        titles = [node.text for node in tree.iter("{http://www.w3.org/2000/svg}title")]
        for step in program.body:
            assert f"v{step.target}" in titles
        edges = sum(len(step.values) for step in program.body) + len(program.outputs)
        assert sum("->" in str(title) for title in titles) == edges


def test_a_drawn_program_is_written_and_shows_itself_like_other_drawings(tmp_path: Path) -> None:
    program = tg.compile(tg.cells.RNNCell(3, 4, seed=0), backend="numpy").programs(batch=2)["step"]
    drawing = inspector.render_program(program, tmp_path / "step.PNG", title="one step")
    assert (tmp_path / "step.PNG").read_bytes().startswith(b"\x89PNG")
    assert drawing.save(tmp_path / "step.svg").read_text() == drawing.svg
    assert drawing.save(tmp_path / "step.pdf").read_bytes().startswith(b"%PDF")
    assert drawing._repr_svg_().replace(' style="max-width:100%;height:auto"', "", 1) == drawing.svg
    assert str(drawing) == f"one step\n{program}" and repr(drawing) == "<ProgramDrawing: one step>"
    assert repr(inspector.render_program(program)) == f"<ProgramDrawing: {len(program.body)} instructions>"


def test_names_are_escaped() -> None:
    class Odd(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (tg.named(**{'<b>"&\\N': tg.tanh(state.h)}) * 0.5,)

    svg = inspector.render_program(tg.compile(Odd(2, 2), backend="numpy").programs()["traced"]).svg
    assert "value &lt;b&gt;&quot;&amp;\\N" in svg


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(TypeError, match="needs a Program"):
        inspector.render_program(3)  # type: ignore[arg-type]
    programs = tg.compile(tg.cells.RNNCell(2, 2), backend="numpy").programs()
    with pytest.raises(ValueError, match=r"'step.txt' must end in .svg, .png or .pdf"):
        inspector.render_program(programs["step"], "step.txt")

    class Looking(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (state.h if np.asarray(state.h).any() else state.h * 2.0,)

    with pytest.warns(tg.CompileWarning), pytest.raises(ValueError, match="cannot be traced"):
        tg.compile(Looking(2, 2), backend="numpy").programs()
