"""The rooms of the house: imports go down, never up and never round in a circle."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autodiff.primitive import TAKEN

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
from house import FLOORS, imports, modules  # noqa: E402


@pytest.mark.parametrize("package", FLOORS)
def test_no_module_needs_itself(package: str) -> None:
    graph = nx.DiGraph([(one, other) for one, others in modules(package).items() for other in others])
    assert list(nx.simple_cycles(graph)) == []


@pytest.mark.parametrize("package", FLOORS)
def test_imports_go_down(package: str) -> None:
    floor = {room: number for number, level in enumerate(FLOORS[package]) for room in level}
    pairs = [(one, other) for one, others in modules(package).items() if one.count(".") for other in others]
    rooms = [(one.split(".")[1], other.split(".")[1], f"{one} -> {other}") for one, other in pairs]
    assert [arrow for one, other, arrow in rooms if one != other and one in floor and floor[one] <= floor[other]] == []


@pytest.mark.parametrize("package", FLOORS)
def test_every_room_has_a_floor(package: str) -> None:
    rooms = [name.split(".")[1] for name in modules(package) if name.count(".")]
    assert {*rooms} - {"__main__"} == set().union(*FLOORS[package])


def test_the_engine_does_not_know_the_inspector() -> None:
    for file in (ROOT / "tinygrad_rnn").rglob("*.py"):
        assert not any(name.split(".")[0] == "inspector" for name in imports(file)), file


def test_operations_are_asked_for_by_names_that_no_operation_of_a_user_has() -> None:
    """``node.op == "tanh"`` is right where nobody else's can be called so."""
    known = {name for name, op in tg.PRIMITIVES.items() if op.is_library} | TAKEN
    for file in (ROOT / "inspector").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for compared in ast.walk(ast.parse(text)) if ".op" in text else ():
            if isinstance(compared, ast.Compare) and ast.unparse(compared.left).endswith((".op", ".op.name")):
                names = [one.value for right in compared.comparators for one in ast.walk(right) if _is_text(one)]
                assert known.issuperset(names), f"{file}:{compared.lineno}"


def _is_text(one: Any) -> bool:
    return isinstance(one, ast.Constant) and isinstance(one.value, str)
