"""Decay is fitted exactly where it is exact, and pictures say what they must."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import inspector
import tinygrad_rnn as tg
from inspector.plots.curves import mark_rows
from inspector.plots.figures import axes_of, save
from tests.marks import slow_unless

CELLS = ("rnn", "lstm", "gru")


def trace_of(name: str, steps: int = 20) -> inspector.GradientTrace:
    run = tg.unroll(tg.cells.get(name)(3, 4, seed=0), np.random.default_rng(0).normal(size=(steps, 1, 3)))
    return inspector.trace(run, run.outputs[-1].sum())


TRACES = {name.upper(): trace_of(name) for name in CELLS}


@given(factor=st.floats(0.2, 3.0), size=st.floats(1e-6, 1e6), steps=st.integers(2, 60))
def test_the_fit_of_a_geometric_sequence_is_exact(factor: float, size: float, steps: int) -> None:
    decay = inspector.decay_rate(size * factor ** np.arange(steps - 1, -1, -1.0))
    assert decay.factor == pytest.approx(factor, rel=1e-9)
    if abs(math.log(factor)) > 1e-6:
        assert decay.half_life == pytest.approx(math.log(2) / -math.log(factor), rel=1e-6)


def test_zeros_and_what_is_not_finite_are_left_out_of_the_fit() -> None:
    norms = 0.5 ** np.arange(9, -1, -1.0)
    norms[[0, 3]] = 0.0
    norms[5] = np.nan
    assert inspector.decay_rate(norms).half_life == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("norms", "says"),
    [
        ([1, 1, 1], "×1 a step back"),
        ([0, 0, 2], "no decay"),
        ([], "no decay"),
        ([1, 2, 4], "half-life 1 step"),
        ([4, 2, 1], "doubles in 1 step"),
    ],
)
def test_a_decay_in_words(norms: list[float], says: str) -> None:
    assert says in str(inspector.decay_rate(norms))


def test_norms_must_be_a_sequence() -> None:
    with pytest.raises(ValueError, match=r"\(T,\)"):
        inspector.decay_rate([[1.0, 2.0]])


def texts(axes: object) -> str:
    figure = axes.get_figure()  # type: ignore[attr-defined]
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_the_legend_tells_rate_half_life_and_initialisation() -> None:
    axes = inspector.plot_decay(TRACES)
    said = texts(axes)
    for name, trace in TRACES.items():
        assert str(inspector.decay_rate(trace.norm("h"))) in said, name
    assert "initialisation: pytorch" in said
    assert axes.get_yscale() == "log"
    curves = {line.get_label().split(":")[0]: line.get_ydata() for line in axes.get_lines()}
    np.testing.assert_array_equal(curves["LSTM h"], TRACES["LSTM"].norm("h"))
    assert set(curves) == {"RNN", "LSTM h", "LSTM c", "GRU"}


def test_different_initialisations_are_told_apart() -> None:
    run = tg.unroll(tg.cells.LSTMCell(3, 4, init="keras", seed=0), np.zeros((5, 1, 3)))
    other = inspector.trace(run, run.outputs[-1].sum())
    assert "LSTM pytorch, K keras" in texts(inspector.plot_decay({"LSTM": TRACES["LSTM"], "K": other}))


def test_names_choose_what_is_plotted() -> None:
    axes = inspector.plot_decay(TRACES["LSTM"], names=["f", "z_f", "x"])
    assert [line.get_label().split(":")[0] for line in axes.get_lines()] == ["f", "z_f", "x"]
    with pytest.raises(KeyError, match="z_f"):
        inspector.plot_decay(TRACES["LSTM"], names=["q"])


def test_exact_zeros_are_marked_and_not_drawn_at_a_made_up_height() -> None:
    run = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), np.ones((6, 1, 3)), truncate=3)
    axes = inspector.plot_decay(inspector.trace(run, run.outputs[-1].sum()))
    assert "exactly 0 at 3 steps" in texts(axes)
    for line in axes.get_lines():
        assert np.isnan(line.get_ydata()[:3]).all()


def test_given_axes_are_used_and_pyplot_is_not() -> None:
    before = "matplotlib.pyplot" in sys.modules
    figure = Figure()
    axes = figure.add_subplot()
    assert inspector.plot_decay(TRACES["GRU"], ax=axes) is axes
    assert len(figure.axes) == 1
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_a_title_set_anew_stays_clear_of_the_note() -> None:
    panels = Figure(figsize=(12, 4), layout="constrained").subplots(1, 2)
    for axes in (inspector.plot_decay(TRACES), inspector.plot_decay(TRACES, ax=panels[0])):
        axes.set_title("a title of mine", loc="left")
        axes.get_figure().draw_without_rendering()
        (note,) = [text for text in axes.texts if text.get_text().startswith("initialisation")]
        (title,) = [text for text in axes.get_children() if getattr(text, "get_text", str)() == "a title of mine"]
        assert not note.get_window_extent().overlaps(title.get_window_extent())


@pytest.mark.parametrize(
    ("suffix", "start"), slow_unless([("svg", b"<?xml")], [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
)
def test_the_same_trace_gives_the_same_bytes(suffix: str, start: bytes, tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.{suffix}" for k in range(2)]
    for path in paths:
        assert isinstance(inspector.plot_decay(TRACES, path), Axes)
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(start) and first == second


def test_labels_are_shown_literally(tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    inspector.plot_decay({"$x^$ <b> & \x00": TRACES["RNN"]}, path)
    assert "$x^$ &lt;b&gt; &amp; �" in path.read_text(encoding="utf-8")


def test_nothing_to_plot_and_unknown_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one trace"):
        inspector.plot_decay({})
    with pytest.raises(ValueError, match=r"\.svg, \.png or \.pdf"):
        inspector.plot_decay(TRACES, tmp_path / "plot.jpg")
    with pytest.raises(FileNotFoundError, match="no folder"):
        inspector.plot_decay(TRACES, tmp_path / "none" / "plot.svg")
    assert list(tmp_path.iterdir()) == []


def test_a_stack_plots_the_states_of_every_layer() -> None:
    stack = tg.Stacked(tg.cells.LSTMCell(3, 4, seed=0), tg.cells.GRUCell(4, 4, seed=1))
    run = tg.unroll(stack, np.ones((4, 1, 3)))
    axes = inspector.plot_decay(inspector.trace(run, run.outputs[-1].sum()))
    assert [line.get_label().split(":")[0] for line in axes.get_lines()] == ["layer0/h", "layer0/c", "layer1/h"]


# ------------------------------------------------------------------------------------------ heat map


def test_a_heat_map_hides_nothing_below_its_floor(tmp_path: Path) -> None:
    values = np.array([[1.0, 1e-3, 1e-9], [0.0, 0.5, 1e-2]])
    axes = inspector.plot_heat_map(values, ["a", "b"], ["x", "y", "$z$"], title="t", label="l")
    (image,) = axes.get_images()
    shown = image.get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), [[False, False, True], [True, False, False]])
    assert image.norm.vmin == pytest.approx(1e-6) and image.norm.vmax == 1.0
    assert {"a", "b", "x", "y", r"\$z\$", "t"} <= set(texts(axes).split("\n"))
    save(axes.get_figure(), tmp_path / "map.png")


@pytest.mark.parametrize("values", [[[1.0]], [[-1.0, 1.0]]])
def test_a_heat_map_refuses_what_it_cannot_show(values: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="plot_heat_map"):
        inspector.plot_heat_map(values, ["a"], ["x", "y"])


def test_a_heat_map_shows_what_is_finite_and_marks_the_rest(tmp_path: Path) -> None:
    marks, image = inspector.plot_heat_map([[np.nan, 1.0, 0.0]], ["a"], ["x", "y", "z"]).get_images()
    assert np.ma.getmaskarray(marks.get_array()).tolist() == [[False, True, True]]
    assert np.ma.getmaskarray(image.get_array()).tolist() == [[True, False, True]]
    (image,) = inspector.plot_heat_map([[0.0, 0.0]], ["a"], ["x", "y"]).get_images()
    assert np.ma.getmaskarray(image.get_array()).all()


def test_a_heat_map_of_equal_values_has_a_scale() -> None:
    assert inspector.plot_heat_map([[2.0, 2.0]], ["a"], ["x", "y"]).get_images()[0].norm.vmin < 2.0


@pytest.mark.parametrize("steps", [1, 2, 5, 30])
def test_marks_lie_in_the_picture_and_ticks_of_time_are_whole(steps: int) -> None:
    """Where only the last norm of many is finite, too."""
    axes: Any = axes_of(None, 6.0, 3.0)
    axes.plot([steps - 1], [1.0], marker="o")
    mark_rows(axes, [], [(np.arange(steps) < steps - 1, "red")])
    left, right = axes.get_xlim()
    assert left <= -0.5 and right >= steps - 0.5
    ticks = [tick for tick in axes.get_xticks() if left <= tick <= right]
    assert ticks and all(float(tick).is_integer() for tick in ticks)


def test_the_hatch_of_a_map_covers_its_places_alone() -> None:
    run = tg.unroll(tg.cells.RNNCell(2, 3, seed=0), np.ones((5, 1, 2)))
    axes: Any = inspector.reach(run, (run.stacked * 0.0).sum()).plot()
    boxes = [path.get_extents().bounds for one in axes.collections for path in one.get_paths()]
    np.testing.assert_allclose(sorted(boxes, key=lambda box: box[1]), [(-0.5, s - 0.5, s + 1.0, 1.0) for s in range(5)])
