"""Figures are written whole, warn once, and draw where they are told to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from inspector.plots.figures import Canvas, axes_of, picture, save, warn
from inspector.plots.legends import legend
from inspector.plots.maps import colour_bar

ILL = "not finite since t = 3"


@picture
def plot(result: Any, ax: Axes | None = None) -> Axes:
    return axes_of(ax, 4.0, 3.0)


@pytest.mark.parametrize("path", ["a.svg", Path("a.svg")])
def test_a_path_is_no_axes(path: str | Path) -> None:
    for call in (lambda: plot(None, path), lambda: plot(None, ax=path), lambda: axes_of(path, 4.0, 3.0)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"to write a file, use \.save\('a\.svg'\)"):
            call()


def test_what_is_not_finite_is_said_once_in_each_figure() -> None:
    axes = plot(SimpleNamespace(not_finite=ILL))
    warn(axes, ILL)
    warn(axes, None)
    warn(axes, "something else")
    assert [text.get_text() for text in axes.get_figure().texts] == [ILL, "something else"]
    (above, below) = sorted(text.get_position()[1] for text in axes.get_figure().texts)
    assert above < below, "and not on top of each other"
    assert not plot(SimpleNamespace(not_finite=None)).get_figure().texts
    own = Figure().add_subplot()
    plot(SimpleNamespace(not_finite=ILL), own)
    assert [text.get_text() for text in own.texts] == [ILL] and not own.get_figure().texts


def test_a_figure_or_its_axes_are_written_alike_and_whole(tmp_path: Path) -> None:
    axes, other, third = (Canvas(3.0, 2.0).add_subplot() for _ in range(3))
    for one in (axes, other, third):
        one.plot([1, 2], label="a")
    paths = (
        save(axes, tmp_path / "a.svg"),
        save(other.figure, tmp_path / "b.svg"),
        third.figure.save(tmp_path / "c.svg"),
    )
    assert len({path.read_bytes() for path in paths}) == 1
    (tmp_path / "d.svg").write_text("before")
    axes.text(0.5, 0.5, "$\\no such command$")
    with pytest.raises(ValueError, match=r"Unknown symbol: \\no"):
        save(axes, tmp_path / "d.svg")
    assert (tmp_path / "d.svg").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg", "c.svg", "d.svg"]


def test_a_legend_below_does_not_narrow_the_plots_above_it() -> None:
    """Beside a colour bar, where two columns of it would be wider than the plot."""
    figure = Canvas(8.0, 4.0)
    above, below = figure.subplots(2, 1)
    colour_bar([above], ScalarMappable(Normalize(0, 1)), "share")
    lines = [below.plot([0, 1], [k, -k], label="n" * 20)[0] for k in range(6)]
    legend(below, lines)
    figure.draw_without_rendering()
    assert min(axes.get_position().width for axes in (above, below)) > 0.8
    key = below.get_legend().get_window_extent()
    assert key.y1 < below.get_window_extent().y0 and key.x1 <= figure.bbox.x1 + 1
