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
    assert written("axes.plot(xs, linewidth=2.0)") == written("axes_of(ax, (8.0, 4.6 * rows))") == ["pass"]


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
        assert all((mutants.ROOT / stage[-1]).exists() for stage in mutant.tests())


@pytest.mark.parametrize("area", mutants.AREAS)
def test_the_unchanged_tree_has_to_pass_whatever_judges_a_mutant(area: str) -> None:
    found = mutants.mutants(mutants.AREAS[area])
    drawn = [found[k] for k in np.random.default_rng(0).permutation(len(found))[:5]]
    required = [(stage[0], set(stage[1:])) for stage in mutants.stages(drawn)]
    for stage in (stage for mutant in drawn for stage in mutant.tests()):
        whole = {part for part in stage[1:] if not part.startswith("-k")}  # which only picks some of a file's tests
        assert any(stage[0] == option and whole <= rest for option, rest in required)


@pytest.mark.slow
def test_an_unchanged_tree_that_fails_judges_no_mutant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(count: int, into: Path) -> Queue[Path]:
        """A tree with a single test, which fails."""
        free: Queue[Path] = Queue()
        for _ in range(count):
            free.put(tmp_path)
        return free

    (tmp_path / "test_it.py").write_text("def test_it():\n    assert 1 + 1 == 3\n", encoding="utf-8")
    monkeypatch.setattr(mutants, "copies", broken)
    monkeypatch.setattr(mutants, "stages", lambda drawn: [("test_it.py",)])
    monkeypatch.setattr(mutants, "survives", lambda mutant, folder: pytest.fail("a mutant was judged"))
    monkeypatch.setattr("sys.argv", ["mutants", "sweep", "--number", "1", "--workers", "1"])
    said = mutants.main()
    assert (
        isinstance(said, str)
        and "kill every mutant of sweep: pytest test_it.py" in said
        and "assert (1 + 1) == 3" in said
    )
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n", encoding="utf-8")
    assert mutants.failed(["test_it.py"], tmp_path) == ""


def test_equivalent_mutants_are_mutants_of_today() -> None:
    every = {str(mutant) for patterns in mutants.AREAS.values() for mutant in mutants.mutants(patterns)}
    assert mutants.equivalent() <= every, "this line has changed: judge its mutant anew"
