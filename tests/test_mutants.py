"""The mutants are real: each is a program that differs from the code, in what it does and not in its messages."""

from __future__ import annotations

import ast
from pathlib import Path
from queue import Queue

import numpy as np
import pytest

from tests import mutants


def written(code: str) -> list[str]:
    """The changes of a piece of code, each as the text that takes a node's place."""
    return [text for _, text in mutants.changes(ast.parse(code), code)]


def test_what_is_changed_and_what_is_not() -> None:
    assert written("x = a + b") == ["(a) - (b)"]
    assert sorted(written("y = f(1, axis=-2) if a < b else True")) == ["(2)", "(a) <= (b)", "2", "False"]
    assert written("if not ready:\n    go()") == ["(ready)", "pass"]
    assert written("[x for x in xs if x.good]") == ["True"]
    assert written("def f(x: tuple[int, 3]) -> list[4]:\n    'doc'\n    raise ValueError(1 + 2)") == []
    assert written("x = np.random.default_rng(0).normal()") == []
    for drawn in ("axes.plot(xs, linewidth=2.0)", "axes_of(ax, 8.0, 4.6 * rows)", "Canvas(8.0, 4.6 * rows)"):
        assert written(drawn) == ["pass"]


@pytest.mark.parametrize("area", mutants.AREAS)
def test_mutants_of_the_code_are_programs(area: str) -> None:
    found = mutants.mutants(mutants.AREAS[area])
    assert len(found) > 100
    for k in np.random.default_rng(0).permutation(len(found))[:5]:
        mutant = found[k]
        assert ast.dump(ast.parse(mutant.source())) != ast.dump(
            ast.parse((mutants.ROOT / mutant.path).read_text(encoding="utf-8"))
        )
        assert str(mutant).startswith(mutant.path) and " => " in str(mutant)


def test_the_tests_that_run_the_changed_line_judge_a_mutant() -> None:
    path = "inspector/analysis/gates.py"
    near, far = "tests/inspector/analysis/test_gates.py", "tests/inspector/analysis/test_reach.py"
    runs = [f"{far}::test_a|run", f"{far}::test_b|setup", f"{far}::test_b|run", f"{near}::test_c|run"]
    contexts = {path: {1: [""], 4: [""], 5: runs, 7: runs, 11: [""], 12: [f"{far}::test_d|run"]}}

    def judge(lines: range) -> list[list[str]]:
        *quick, slow = mutants.Mutant(path, lines, 0, 1, "").tests(contexts)
        assert slow[-1] == "tests/test_snapshots.py"
        return [*(part[len(mutants.QUICK) :] for part in quick), slow[1:2]]

    a_to_c = [[f"{near}::test_c"], [f"{far}::test_a", f"{far}::test_b"], [near]]
    assert judge(range(5, 8)) == a_to_c
    assert judge(range(12, 13)) == [[f"{far}::test_d"], [far]]
    assert judge(range(1, 2)) == [[f"{near}::test_c"], [f"{far}::test_a", f"{far}::test_b", f"{far}::test_d"], [near]]
    assert judge(range(2, 3)) == judge(range(1, 2))  # a line of which nothing is known


def test_a_mutant_knows_the_lines_of_its_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code.py").write_text("def f(x):\n    return (\n        x,\n        x + y,\n    )\n", encoding="utf-8")
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    assert [(m.lines, m.text) for m in mutants.mutants(("*.py",))] == [(range(2, 5), "(x) - (y)")]


@pytest.mark.slow
def test_a_tree_is_judged_by_its_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, tests = tmp_path / "inspector" / "analysis", tmp_path / "tests" / "inspector" / "analysis"
    for folder in (code, tests):
        folder.mkdir(parents=True)
    for package in (code, code.parent):
        (package / "__init__.py").touch()
    (code / "half.py").write_text(
        "def half(x):\n    return x / 2\n\n\ndef unused(x):\n    return x + 1\n", encoding="utf-8"
    )
    (tmp_path / "conftest.py").write_text(
        "from hypothesis import settings\n\nfor name in ('mutants', 'full'):\n    settings.register_profile(name)\n",
        encoding="utf-8",
    )
    (tmp_path / "tests" / "test_snapshots.py").touch()

    def one_tree(count: int, into: Path) -> Queue[Path]:
        free: Queue[Path] = Queue()
        free.put(tmp_path)
        return free

    def judge(expected: float) -> int | str:
        (tests / "test_half.py").write_text(
            f"from inspector.analysis.half import half\n\n\ndef test_it():\n    assert half(4) == {expected}\n",
            encoding="utf-8",
        )
        return mutants.main()

    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "copies", one_tree)
    monkeypatch.setattr("sys.argv", ["mutants", "analyses", "--workers", "1"])
    said = judge(3)
    assert isinstance(said, str) and "would kill every mutant of analyses" in said and "assert 2.0 == 3" in said
    assert "mutants killed" not in capsys.readouterr().out
    assert judge(2) == 0
    said = capsys.readouterr().out
    assert "half.py: return x / 2" not in said
    assert "half.py: return x + 1 => return x + 2" in said and "half.py: return x + 1 => return (x) - (1)" in said
    assert "analyses: 2 of 4 mutants killed" in said


@pytest.mark.slow
def test_equivalent_mutants_are_mutants_of_today() -> None:
    every = {str(mutant) for patterns in mutants.AREAS.values() for mutant in mutants.mutants(patterns)}
    assert mutants.equivalent() <= every, "this line has changed: judge its mutant anew"
