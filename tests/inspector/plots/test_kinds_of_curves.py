"""Every curve of every plot can be told from the others, is named in the legend, and lies under nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

import inspector
import tinygrad_rnn as tg
from inspector.picture.curve_styles import Style, styles
from inspector.picture.theme import CURVES
from inspector.plots.figures import axes_of, save
from inspector.plots.legends import legend
from inspector.results import Result
from tests.inspector.test_notebook import SPECIAL, made, results

NAMES = st.one_of(
    st.sampled_from(
        [
            *tg.cells.names(),
            "h",
            "c",
            "f",
            "i",
            "z",
            "z_f",
            "layer0/h",
            "layer1/h",
            "layer1/c",
            "_x",
            "$x$",
            "LSTMCell(3, 4)",
        ]
    ),
    st.text(min_size=1, max_size=8),
)
HOSTILE = (
    "_x",
    "_child0",
    "$x$",
    "$",
    "a_1$^{",
    "<b>&amp;",
    "new\nline",
    "\\$",
    "very long name " * 20,
    "unbroken" * 40,
)


# ------------------------------------------------------------------------------------------------ styles


def visibly(style: Style, points: int) -> tuple[str, str, str]:
    """What can be seen of a style on a curve of so many points."""
    look = style.line(points)
    return look["color"], str(look["linestyle"]) if points > 1 else "", str(look["marker"])


@given(names=st.lists(NAMES, min_size=1, max_size=24, unique=True), points=st.sampled_from([1, 5, 30, 31, 1000]))
def test_24_curves_are_told_apart(names: list[str], points: int) -> None:
    found = styles(names)
    assert list(found) == names
    assert len({visibly(style, points) for style in found.values()}) == len(names)


@given(names=st.lists(NAMES, min_size=1, max_size=8, unique=True), count=st.integers(1, 3))
def test_curves_that_belong_together_have_one_colour_and_are_told_apart(names: list[str], count: int) -> None:
    looks = [style.among(k, count) for style in styles(names).values() for k in range(count)]
    assert len({visibly(look, 100) for look in looks}) == len(looks)
    assert all(style.among(0, count).colour == style.colour for style in styles(names).values())


@given(
    states=st.lists(st.sampled_from(["h", "c", "n", "m", "a", "s", "layer0/h", "layer1/h"]), min_size=1, unique=True),
    others=st.lists(st.sampled_from([*"figozrxn", "k", "tanh(c)", "(h, c)"])),
)
def test_a_state_keeps_its_style_whatever_stands_beside_it(states: list[str], others: list[str]) -> None:
    assert list(styles([*states, *others]).items())[: len(states)] == list(styles(states).items())


def test_states_and_registered_cells_have_colours_of_their_own() -> None:
    alone = {name: styles([name])[name].colour for name in [*tg.cells.names(), "h", "c"]}
    for family in (
        ["lstm", "slstm", "minlstm", "lstm1997"],
        ["gru", "mingru", "gru_before"],
        ["rnn", "lstm", "gru"],
        ["h", "c"],
    ):
        assert len({alone[name] for name in family}) == len(family), family
        assert {name: style.colour for name, style in styles(family).items()} == {name: alone[name] for name in family}
    for name in tg.cells.names():
        spoken = repr(tg.cells.get(name)(3, 4, seed=0))
        assert styles([spoken])[spoken].colour == alone[name] == styles([f"{name}, keras"])[f"{name}, keras"].colour


def test_one_colour_has_sixteen_dashes_and_markers_and_four_hatchings() -> None:
    looks = [Style(0, k) for k in range(16)]
    assert len({visibly(look, 100) for look in looks}) == len({visibly(look, 10) for look in looks}) == 16
    assert len({look.hatch for look in looks[:4]}) == 4


# ------------------------------------------------------------------------------------------------ plots


class Many(tg.Cell):
    """Own states, and gates with names that Matplotlib or XML could take for something else."""

    state_names = ("a", "b")

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.W = self.parameter("W", (input_size + hidden_size, hidden_size))

    def step(self, x: tg.Tensor, state: tuple[tg.Tensor, ...]) -> tuple[tg.Tensor, ...]:
        a, b = state
        z = tg.concatenate([x, a], axis=1) @ self.W
        kept = b
        for k, name in enumerate(HOSTILE):
            kept = kept * tg.named(**{name: tg.sigmoid(z + 0.5 * k)}) + 0.1 * z
        return tg.tanh(kept) * 0.5, kept


def hostile() -> tuple[Any, tg.Tensor]:
    run = tg.unroll(Many(2, 3, seed=0), np.random.default_rng(0).normal(size=(5, 1, 2)))
    return run, (run.outputs[-1] ** 2).sum()


def plots() -> Iterator[Any]:
    """Every public way to plot, by its name: methods that begin with ``plot`` of all results, and functions that do."""
    for kind in results():
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if name.startswith("plot") and method is not Result.plot:
                yield pytest.param(
                    lambda kind=kind, name=name: getattr(result(kind), name)(),
                    id=f"{kind.__name__}.{name}",
                    marks=pytest.mark.slow,
                )
    for name in inspector.__all__:
        if name.startswith("plot_"):
            yield pytest.param(FUNCTIONS[name], id=name, marks=() if name == "plot_decay" else pytest.mark.slow)


def result(kind: type) -> Any:
    """Of the hostile cell, where that can be."""
    return made(kind) if kind in SPECIAL else made(kind, *hostile())


def many_decays() -> Any:
    trace = inspector.trace(*hostile())
    return inspector.plot_decay({f"{name}{k}": trace for k in range(2) for name in HOSTILE[:6]})


FUNCTIONS: dict[str, Callable[[], Any]] = {
    "plot_decay": many_decays,
    "plot_heat_map": lambda: inspector.plot_heat_map([[1.0, 0.1]], ["_x"], ["$x$", "new\nline"], title=HOSTILE[-1]),
    "plot_snapshots": lambda: inspector.plot_snapshots(made(inspector.DecayRecorder)),
    "plot_training": lambda: inspector.plot_training(made(inspector.DecayRecorder)),
}


def look(handle: Any) -> tuple[Any, ...]:
    """Colour, dash or hatching, and marker."""
    if isinstance(handle, Line2D):
        return to_hex(handle.get_color()), handle._unscaled_dash_pattern, handle.get_linestyle(), handle.get_marker()
    if isinstance(handle, PolyCollection):
        return tuple(map(float, handle.get_facecolor()[0])), handle.get_hatch()
    return (to_hex(handle.get_facecolor(), keep_alpha=True), handle.get_hatch())


def check(figure: Figure) -> None:
    """The legends of a figure tell its curves apart, cover nothing, and lie inside what is saved."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    figure.set_layout_engine("none")
    legends = [one for one in figure.findobj(Legend) if one.get_visible()]
    boxes = [one.get_window_extent().frozen() for one in legends]
    for one, box in zip(legends, boxes, strict=True):
        handles = one.legend_handles
        assert len({look(handle) for handle in handles}) == len(handles)
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1, (
            "inside what is saved"
        )
        one.set_visible(False)
    for axes in figure.axes:
        axes.grid(False, which="both")
        axes.patch.set_visible(False)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[::-1, :, :3]
    for one, box in zip(legends, boxes, strict=True):
        below = pixels[max(0, int(box.y0)) : int(box.y1) + 1, max(0, int(box.x0)) : int(box.x1) + 1]
        assert (below == 255).all(), f"the legend with {one.get_texts()[0].get_text()!r} lies on something"


@pytest.mark.parametrize("draw", list(plots()))
def test_legends_tell_curves_apart_and_cover_nothing(draw: Callable[[], Any], tmp_path: Path) -> None:
    drawn = draw()
    figure = drawn if isinstance(drawn, Figure) else drawn.get_figure()
    save(figure, tmp_path / "a.svg")
    check(figure)


@pytest.mark.parametrize("corner", ["upper right", "upper left", "lower left", "lower right", None])
def test_a_legend_stands_in_the_corner_that_is_free_or_else_below(corner: str | None) -> None:
    axes = axes_of(None, 6.0, 4.0)
    handles = axes.plot([0.1, 0.9], [0.5, 0.5], label="a curve")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    for name, x, y in (
        ("upper right", 0.55, 0.55),
        ("upper left", 0.0, 0.55),
        ("lower left", 0.0, 0.0),
        ("lower right", 0.55, 0.0),
    ):
        if name != corner:
            axes.fill_between([x, x + 0.45], [y, y], [y + 0.45, y + 0.45])
    legend(axes, handles)
    figure = axes.get_figure()
    (key,) = figure.findobj(Legend)
    FigureCanvasAgg(figure).draw()
    box, inside = key.get_window_extent(), axes.get_window_extent()
    if corner is None:
        assert box.y1 <= inside.y0 and figure.get_figheight() > 4.0
    else:
        middle = inside.x0 + inside.width / 2, inside.y0 + inside.height / 2
        assert (box.x0 > middle[0]) == corner.endswith("right") and (box.y0 > middle[1]) == corner.startswith("upper")
        assert figure.get_figheight() == 4.0
    check(figure)


@pytest.mark.parametrize("count", [1, 8, 9, 24])
def test_every_curve_is_in_the_legend_by_its_very_name(count: int) -> None:
    run, loss = hostile()
    trace = inspector.trace(run, loss)
    axes = inspector.plot_decay({f"{HOSTILE[k % len(HOSTILE)]}#{k}": trace for k in range(count)}, names=["a"])
    (key,) = axes.get_figure().findobj(Legend)
    told = ["".join(text.get_text().replace("\\$", "$").split()) for text in key.get_texts()]
    if count == 1:
        assert told[0].startswith("a:")
    else:
        wanted = ["".join(f"{HOSTILE[k % len(HOSTILE)]}#{k}".replace("\n", "↵").split()) for k in range(count)]
        assert [text.rpartition(":")[0] for text in told] == wanted
    assert not any(text.get_text().replace("\\$", "").count("$") for text in key.get_texts()), (
        "nothing is set as mathematics"
    )
    check(axes.get_figure())


def test_rows_of_exact_zeros_do_not_hide_each_other() -> None:
    run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((6, 1, 2)), truncate=3)
    trace = inspector.trace(run, run.outputs[-1].sum())
    axes = inspector.plot_decay(dict.fromkeys("abcdef", trace))
    rows = [tuple(one.get_offsets()[0]) for one in axes.collections]
    assert len(rows) == len(set(rows)) == 12, "a row for h and c of each"
    canvas = FigureCanvasAgg(axes.get_figure())
    canvas.draw()
    heights = sorted(one.get_offset_transform().transform(one.get_offsets())[0][1] for one in axes.collections)
    lowest = min(
        line.get_transform().transform(np.c_[line.get_xdata(), line.get_ydata()])[3:, 1].min() for line in axes.lines
    )
    size = 0.9 * np.sqrt(axes.collections[0].get_sizes()[0]) * axes.get_figure().dpi / 72
    assert (np.diff(heights) > 0.6 * size).all() and heights[-1] < lowest, "apart, and below the curves"


def colours_of(drawn: Any, names: tuple[str, ...]) -> dict[str, str]:
    """The colour in which each of the names stands in a legend."""
    figure = drawn if isinstance(drawn, Figure) else drawn.get_figure()
    found: dict[str, str] = {}
    for key in figure.findobj(Legend):
        for handle, text in zip(key.legend_handles, key.get_texts(), strict=True):
            said = text.get_text().replace("∂L/∂", "").replace("_t", "").replace("through ", "")
            name = said.replace(":", " ").replace(",", " ").split()[0]
            if name in names:
                colour = handle.get_color() if isinstance(handle, Line2D) else handle.get_facecolor()
                found.setdefault(name, to_hex(colour))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("make", [Many, tg.cells.SLSTMCell])
def test_a_state_has_one_colour_in_all_pictures_of_a_run(make: type) -> None:
    run = tg.unroll(make(2, 3, seed=0), np.random.default_rng(0).normal(size=(6, 1, 2)))
    loss = (run.stacked**2).sum()
    trace, reach = inspector.trace(run, loss), inspector.reach(run, loss)
    names = trace.states
    usual = colours_of(trace.plot(), names)
    assert set(usual) == set(names) and len(set(usual.values())) == len(names)
    others = [
        trace.plot(names=["x", *names]),
        reach.plot_gradients(),
        reach.plot_lags(),
        inspector.band(run, loss).plot(),
        inspector.shares(run, loss).plot(),
        inspector.strongest_path(run, loss).plot(),
        inspector.gates(run, loss).plot(),
    ]
    for drawn in others:
        found = colours_of(drawn, names)
        assert found == {name: usual[name] for name in found}
    svg = inspector.figure(run, loss)
    places = {name: styles(names)[name].place for name in names}
    assert all(
        f"curve{place} mark" in svg and usual[name].upper() == CURVES[place][0] for name, place in places.items()
    )
