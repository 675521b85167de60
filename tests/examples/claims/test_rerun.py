"""The rerun of 1997 and the runner of all experiments."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import rerun_of_1997 as rerun

import tinygrad_rnn as tg
from tinygrad_rnn.training import Solved

CLAIMS = Path(rerun.__file__).parent


@pytest.fixture
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("claims_runner", CLAIMS / "__main__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "weights"), [("reber", 276), ("2a", 10504), ("2b", 10504), ("2c", 364), ("adding", 93), ("order", 156)]
)
def test_the_nets_are_the_published_ones(name: str, weights: int) -> None:
    problem = rerun.PROBLEMS[name]
    model = rerun.paper_model(problem, problem.task(), 0)
    assert sum(parameter.size for parameter in model.parameters()) == weights
    cell = model.cell.cell  # type: ignore[union-attr]
    assert cell.truncated
    np.testing.assert_array_equal(cell.b_i.data if problem.in_bias else (), problem.in_bias)
    assert np.abs(model.readout.weight.data).max() <= problem.weights


@pytest.mark.slow
def test_a_trial_ends_with_the_papers_rule_or_the_budget() -> None:
    short = tg.tasks.NoiseFree(p=3)
    solved = rerun.trial("2a", "1997", 0, short, Solved(100), 5_000)
    failed = rerun.trial("2a", "1997", 0, short, Solved(100), 150)
    assert solved.solved and 100 < solved.sequences < 5_000
    assert not failed.solved and failed.sequences == 150


def test_failures_are_told() -> None:
    trials = [rerun.Trial("2a", "1997", k, k > 0, 1000 * (k + 1)) for k in range(4)]
    assert rerun.summary(trials) == ("3,000 sequences", "3 of 4 seeds; 2,000 to 4,000")
    assert rerun.summary(trials[:1]) == ("none solved", "0 of 1 seeds")
    (line,) = rerun.lines_of(trials)
    assert line.verdict == "differs" and line.expected == "published 5,040"
    near = [rerun.Trial("2a", "1997", k, True, 5000) for k in range(3)]
    assert next(iter(rerun.lines_of(near))).verdict == "agrees"


def test_results_are_kept_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerun, "KEPT", tmp_path / "kept.csv")
    assert rerun.kept() == []
    rerun.keep([rerun.Trial("2a", "1997", 1, False, 7), rerun.Trial("2a", "1997", 0, True, 5)])
    rerun.keep([rerun.Trial("2a", "1997", 1, True, 9)])
    assert rerun.kept() == [rerun.Trial("2a", "1997", 0, True, 5), rerun.Trial("2a", "1997", 1, True, 9)]


def test_every_experiment_is_found_once_and_in_order(runner: ModuleType) -> None:
    titles = list(runner.experiments().values())
    numbers = [title.partition(":")[0] for title in titles]
    assert numbers[:20] == [f"E{k}" for k in range(1, 21)]
    assert len(set(numbers)) == len(numbers)


def test_the_runner_prints_a_table_and_fails_with_its_experiments(
    runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = CLAIMS / "claim.py"
    (tmp_path / "claim.py").write_text(frame.read_text())
    for name, number, found in (("right", 1, 1.0), ("wrong", 2, 3.0)):
        (tmp_path / f"{name}.py").write_text(
            f'"""E{number}: {name}."""\n'
            "import sys\nfrom claim import exact, main, trend\n"
            f"def measure(quick, rng):\n    return [exact('one, or not', {found}, 1.0, 1e-9), trend('a', 1, 'more',"
            " True)], None\n"
            "def draw(found, path):\n    path.write_text('drawn')\n"
            "sys.exit(main(__doc__, measure, draw))\n"
        )
    monkeypatch.setattr(runner, "HERE", tmp_path)
    out = tmp_path / "out"
    assert runner.main(["right", "--quick", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "E1: right." in said and "PASS" in said and "1 exact lines pass, 0 fail" in said
    assert (out / "right.png").read_text() == "drawn"
    assert runner.main(["--quick", "--out", str(out), "--workers", "2"]) == 1
    said = capsys.readouterr().out
    assert "FAIL" in said and "one, or not" in said and "1 exact lines pass, 1 fail" in said
    with pytest.raises(SystemExit):
        runner.main(["neither"])
    assert "no experiment called neither; there are right, wrong" in capsys.readouterr().err


def test_a_broken_experiment_is_not_silent(
    runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text('"""E3: broken."""\nraise ValueError("on purpose")\n')
    monkeypatch.setattr(runner, "HERE", tmp_path)
    assert runner.main(["--out", str(tmp_path)]) == 1
    assert "on purpose" in capsys.readouterr().err
