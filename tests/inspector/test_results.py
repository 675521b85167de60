"""Labelled arrays and what is written of them."""

from __future__ import annotations

import csv
import inspect
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.figure import Figure

import inspector
from inspector.plots import save
from inspector.plots.style import SHEET
from inspector.results import Analysis, Labelled, Result
from inspector.tracing.sparkline import sparkline
from tests.inspector.test_notebook import LOSS, RUN, made, results
from tests.strategies import FEW


@dataclass(frozen=True, eq=False)
class Both(Analysis):
    norms: Labelled
    shares: Labelled
    rate: float
    name: str


def labelled(shape: tuple[int, ...], values: np.ndarray) -> Labelled:
    return Labelled(values, {f"a{k}": range(n) for k, n in enumerate(shape)}, "norm")


@FEW
@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_every_value_is_written_once_under_its_labels(
    data: st.DataObject, shape: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    values = data.draw(arrays(np.float64, tuple(shape), elements=st.floats(width=64)))
    table = labelled(tuple(shape), values)
    found = Both(table, Labelled([1.0], {"t": [3]}), 0.5, "x")
    folder = tmp_path_factory.mktemp("found")
    rows = list(csv.DictReader(found.to_csv(folder / "a.csv").read_text().splitlines()))
    assert len(rows) == values.size + 1
    for row in rows[:-1]:
        value = values[tuple(int(row[f"a{k}"]) for k in range(len(shape)))]
        assert float(row["value"]) == value or np.isnan(value)
    read = json.loads(found.to_json(folder / "a.json").read_text())
    back = np.array(read["norms"]["values"], dtype=np.float64)
    np.testing.assert_array_equal(back, np.where(np.isfinite(values), values, np.nan))
    assert (read["rate"], read["name"], read["norms"]["what"]) == (0.5, "x", "norm")


def test_a_place_is_found_by_its_label() -> None:
    table = Labelled(np.arange(6).reshape(2, 3), {"t": [4, 9], "name": ["f", "i", "o"]})
    assert table["t", 9].tolist() == [3, 4, 5]
    assert table["name", "i"].tolist() == [1, 4]
    assert np.asarray(table).sum() == 15
    with pytest.raises(KeyError, match="no axis is called 'step'; there are t, name"):
        table["step", 0]
    with pytest.raises(KeyError, match="name has no 'g'"):
        table["name", "g"]
    with pytest.raises(ValueError, match=r"shape \(2, 3\), axes .*'t': 2, 'name': 2"):
        Labelled(np.zeros((2, 3)), {"t": [0, 1], "name": ["a", "b"]})
    with pytest.raises(ValueError, match="read-only"):
        table.values[0] = 1


@FEW
@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_what_is_selected_is_what_indices_give(data: st.DataObject, shape: list[int]) -> None:
    table = labelled(tuple(shape), np.arange(np.prod(shape)).reshape(shape))
    wanted: dict[str, int | list[int]] = {}
    expected = table.values
    for k, size in enumerate(shape):
        place = data.draw(st.integers(0, size - 1) | st.lists(st.integers(0, size - 1), min_size=1) | st.none())
        if place is not None:
            wanted[f"a{k}"] = place
            expected = np.take(expected, [place] if isinstance(place, int) else place, axis=k)
    gone = tuple(k for k in range(len(shape)) if isinstance(wanted.get(f"a{k}"), int))
    found = table.sel(**wanted)
    np.testing.assert_array_equal(found, expected.squeeze(gone))
    assert list(found.axes) == [f"a{k}" for k in range(len(shape)) if k not in gone] and found.what == table.what
    for axis, labels in found.axes.items():
        assert list(labels) == wanted.get(axis, list(table.axes[axis]))
    if not found.axes:
        assert float(found) == expected.item()


def test_a_number_is_found_by_all_of_its_labels() -> None:
    table = Labelled([[1.0, 2.0], [3.0, 4.0]], {"t": [0, 5], "state": ["h", "c"]})
    assert float(table.sel(t=5, state="h")) == 3.0
    assert table.sel(state=("c", "h")).axes == {"t": (0, 5), "state": ("c", "h")}
    with pytest.raises(KeyError, match="t has no 1; it has 0, 5"):
        table.sel(state="h", t=1)
    with pytest.raises(KeyError, match="no axis is called 'step'; there are t, state"):
        table.sel(step=0)


def test_xarray_gets_the_labels_as_coordinates() -> None:
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    table = Labelled([[1.0, 2.0]], {"t": [5], "name": ["f", "i"]}, "norm")
    found = Both(table, Labelled([0.0], {"t": [0]}), 1.0, "").to_xarray()["norms"]
    assert isinstance(found, xarray.DataArray) and found.name == "norm"
    assert found.dims == ("t", "name") and float(found.sel(t=5, name="i")) == 2.0


@pytest.mark.parametrize("name", ["pandas", "xarray"])
def test_what_is_not_installed_is_asked_for_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    found = Both(Labelled([1.0], {"t": [0]}), Labelled([0.0], {"t": [0]}), 1.0, "")
    with pytest.raises(ModuleNotFoundError, match=rf"to_{name} needs {name}, .*'tinygrad-rnn\[{name}\]'"):
        getattr(found, f"to_{name}")()


def test_pandas_gets_the_labels_as_its_index() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    series = Both(
        Labelled([[1.0, 2.0]], {"t": [5], "name": ["f", "i"]}, "norm"), Labelled([0.0], {"t": [0]}), 1.0, ""
    ).to_pandas()["norms"]
    assert isinstance(series, pandas.Series) and series[5, "i"] == 2.0 and series.name == "norm"


@given(arrays(np.float64, st.integers(1, 200), elements=st.floats(width=64)), st.integers(1, 80), st.booleans())
def test_a_sparkline_has_one_mark_a_value_at_most_as_many_as_fit(values: np.ndarray, width: int, log: bool) -> None:
    line = sparkline(values, width, log=log)
    assert len(line) == min(len(values), width)
    assert set(line) <= set("▁▂▃▄▅▆▇█·!")
    if len(values) <= width:
        assert [mark == "!" for mark in line] == (~np.isfinite(values) & (log | (values != -np.inf))).tolist()


def test_the_logarithm_of_zero_is_marked_as_zero() -> None:
    assert sparkline([-np.inf, -2.0, np.nan, -1.0], log=False) == "·▁!█"
    assert sparkline([-np.inf, -np.inf, -2.0, -np.inf], 2, log=False)[0] == "·"
    assert sparkline([-np.inf, 1.0]) == "!█"


@given(arrays(np.float64, st.integers(2, 50), elements=st.floats(1e-9, 1e9)))
def test_a_higher_value_never_has_a_lower_mark(values: np.ndarray) -> None:
    line = sparkline(values)
    order = np.argsort(values)
    assert [line[k] for k in order] == sorted(line)
    assert line[order[-1]] == "█"


# ------------------------------------------------------------------------------------- of every result


def plots() -> Iterator[tuple[type[Result], str]]:
    """All methods that draw."""
    for kind in results():
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if name.startswith("plot") and method is not Result.plot:
                yield kind, name


@pytest.mark.parametrize(
    ("kind", "name"), [pytest.param(*one, id=".".join((one[0].__name__, one[1]))) for one in plots()]
)
def test_a_picture_is_drawn_on_axes_and_written_by_another_method(kind: type[Result], name: str) -> None:
    method = getattr(kind, name)
    first, second, *_ = inspect.signature(method).parameters.values()
    assert (first.name, second.name, second.default) == ("self", "ax", None)
    assert inspect.signature(method).return_annotation == "Axes"
    with pytest.raises(TypeError, match=r"use \.save\('x\.png'\)"):
        method(made(kind) if kind in QUICK else kind.__new__(kind), "x.png")


QUICK = (inspector.GradientTrace, inspector.DecayRecorder, inspector.WhatIf, inspector.Diagnosis)
"""Whose pictures are drawn by a function."""


def test_all_results_write_themselves_in_one_way() -> None:
    for kind in results():
        for name in ("to_json", "to_csv", "to_xarray"):
            assert getattr(kind, name) is getattr(Result, name), (kind, name)
        assert callable(kind.save) and callable(kind.to_dict) and callable(kind.to_pandas) and callable(kind.plot)


def test_a_comparison_and_equations_write_themselves_too(tmp_path: Path) -> None:
    found = made(inspector.Comparison)
    read = json.loads(found.to_json(tmp_path / "a.json").read_text("utf-8"))
    assert read["words"] == str(found) and read["shared"] == list(found.shared) and read["not_finite"] is None
    rows = list(csv.DictReader(found.to_csv(tmp_path / "a.csv").read_text("utf-8").splitlines()))
    assert [row["operation"] for row in rows if row["change"] == "added"] == list(found.added)
    equations = inspector.equations(RUN)
    read = json.loads(equations.to_json(tmp_path / "a.json").read_text("utf-8"))["equations"]
    assert [one["unicode"] for one in read] == equations.unicode.splitlines()
    assert [one["latex"] for one in read] == [line.latex for layer in equations.layers for line in layer.lines]
    for none in (equations, inspector.stops(LOSS, RUN.states[0].h)):
        with pytest.raises(TypeError, match="there is no picture of it"):
            none.save(tmp_path / "a.svg")


def test_a_trace_and_a_recorder_have_their_norms_as_tables() -> None:
    trace = inspector.trace(RUN, LOSS)
    for name in trace.names:
        np.testing.assert_array_equal(trace.tables()["norms"]["name", name], trace.norm(name))
    for name in trace.parameters:
        np.testing.assert_array_equal(trace.tables()["parameters"]["parameter", name], trace.parameter_norm(name))
    recorder = made(inspector.DecayRecorder)
    table = recorder.tables()["h"]
    assert table.axes == {"step": tuple(recorder.steps), "t": tuple(range(6))}
    np.testing.assert_array_equal(table, np.stack(recorder.curves["h"]))
    assert inspector.DecayRecorder().tables() == {} and inspector.DecayRecorder().to_dict()["every"] == 100


def test_a_picture_in_axes_of_the_users_keeps_to_them(tmp_path: Path) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    before = {name: matplotlib.rcParams[name] for name in SHEET}
    assert inspector.duality(RUN, LOSS).plot(axes) is axes and len(figure.axes) == 1
    assert {name: matplotlib.rcParams[name] for name in SHEET} == before
    with pytest.raises(ValueError, match=r"\.svg, \.png or \.pdf"):
        inspector.duality(RUN, LOSS).save(tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_picture_does_not_depend_on_the_style_of_the_user(tmp_path: Path) -> None:
    found = inspector.trace(RUN, LOSS)
    plain = found.save(tmp_path / "a.svg").read_bytes()
    with matplotlib.rc_context(GARISH):
        axes = found.plot()
        assert save(axes, tmp_path / "b.svg").read_bytes() == found.save(tmp_path / "c.svg").read_bytes() == plain


GARISH = {
    "axes.labelcolor": "red",
    "axes.titlesize": 30,
    "grid.color": "red",
    "legend.fontsize": 30,
    "lines.linewidth": 9,
    "text.color": "red",
    "xtick.color": "red",
    "ytick.color": "red",
}
