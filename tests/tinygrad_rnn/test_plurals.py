"""No text says "1 steps": not where the number is written, and nowhere else in what the packages say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.plurals import counted

ROOT = Path(__file__).resolve().parents[3]
NOUNS = re.compile(
    r" (memory |scalar |training"
    r" )?(axes|biases|cells|characters|curves|cuts|derivatives|dimensions|edges|elements|features|files|inputs|"
    r"integers|layers|losses|members|models|nodes|norms|numbers|operands|operations|parameters|paths|pictures|points|rules|runs|seeds|sequences|"
    r"settings|states|steps|timesteps|units|values|weights|windows)\b"
)
SEVERAL = {"limit", "_WIDEST", "tour.COUNT", "self.window + 1", "len(hits)", "found.steps", "shape", "self", "who"}
"""What is never 1 where it is said, and what is no number."""


def written(path: Path) -> Iterator[str]:
    """Numbers that a text has in front of a noun in the plural."""
    for text in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(text, ast.JoinedStr):
            for number, after in zip(text.values, text.values[1:], strict=False):
                if (
                    isinstance(number, ast.FormattedValue)
                    and isinstance(after, ast.Constant)
                    and NOUNS.match(str(after.value))
                ):
                    yield ast.unparse(number.value)


@pytest.mark.parametrize("package", ["inspector", "tinygrad_rnn"])
def test_no_number_stands_before_a_plural_of_its_own(package: str) -> None:
    found = {
        (path.name, said) for path in (ROOT / package).rglob("*.py") for said in written(path) if said not in SEVERAL
    }
    assert not found, "say counted(number, noun)"


def test_what_is_written_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "f\"{n} steps, {len(x):.3g} memory cells and {name} is; {counted(n, 'step')} on\"", encoding="utf-8"
    )
    assert [*written(tmp_path / "a.py")] == ["n", "len(x)"]


@pytest.mark.parametrize(
    ("number", "spec", "said"),
    [
        (0, "", "0 steps"),
        (1, "", "1 step"),
        (2, "", "2 steps"),
        (1.0, ".3g", "1 step"),
        (0.9996, ".3g", "1 step"),
        (1.01, ".3g", "1.01 steps"),
        (1, ",", "1 step"),
        (12000, ",", "12,000 steps"),
        (-1, "", "-1 steps"),
        ("1", "", "1 step"),
        (np.int64(1), "", "1 step"),
        (np.nan, ".3g", "nan steps"),
    ],
)
def test_the_noun_follows_the_number_that_is_read(number: float, spec: str, said: str) -> None:
    assert counted(number, "step", spec) == said
    assert counted(number, "axis", spec, "axes").endswith("axis" if said.endswith("step") else "axes")


def test_a_run_of_one_step_is_told_in_the_singular() -> None:
    run = tg.unroll(tg.cells.LSTMCell(1, 1, seed=0), np.ones((1, 1, 1)))
    loss = run.stacked.sum()
    texts = [
        *(
            str(getattr(inspector, name)(run, loss))
            for name in ("trace", "reach", "band", "weights", "gates", "saliency", "shares", "duality", "diagnose")
        ),
        str(inspector.jacobians(run)),
        str(run),
        str(tg.Graph([loss])),
        str(tg.Graph([run.inputs[0]])),
        str(tg.training.History()),
    ]
    for text in texts:
        assert not re.search(rf"(?<![\d.,])1{NOUNS.pattern}", text), text
    assert any("1 step" in text for text in texts) and "1 node, 0 edges" in texts[-2]
