"""One look: what it sets stays inside, and nobody sets it by hand."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import inspector
from inspector.plots.figures import in_style
from inspector.plots.style import SHEET, context

ROOT = Path(inspector.__file__).parent


def test_the_style_ends_with_what_is_drawn_in_it() -> None:
    before = dict(matplotlib.rcParams)

    @in_style
    def draw(fail: bool) -> float:
        """Divides by nothing."""
        assert {name: matplotlib.rcParams[name] for name in SHEET} == SHEET
        if fail:
            raise ValueError("no data")
        return float(np.float64(1.0) / np.float64(0.0))

    assert draw(False) == np.inf and draw.__name__ == "draw"
    with pytest.raises(ValueError, match="no data"):
        draw(True)
    with context():
        assert matplotlib.rcParams["xtick.color"] == SHEET["xtick.color"]
    assert dict(matplotlib.rcParams) == before


def test_colours_stand_in_one_file_and_sizes_in_another() -> None:
    """Elsewhere a plot names them."""
    files = [*ROOT.glob("plots/*.py"), *ROOT.glob("analysis/*.py"), ROOT / "sweeps.py", ROOT / "training.py"]
    for file in files:
        text = file.read_text("utf-8")
        assert not re.findall(r"#[0-9A-Fa-f]{6}\b", text), file
        if file.name != "style.py":
            assert not re.findall(r"fontsize=[\d.]+|linewidth=(?!0\b|3\b)[\d.]+", text), file
