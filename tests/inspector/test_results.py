"""Labelled arrays and what is written of them."""

from __future__ import annotations

import csv
import importlib
import json
import pkgutil
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import inspector.analysis
from inspector.results import Finding, Labelled
from inspector.tracing.sparkline import sparkline
from tests.strategies import FEW


@dataclass(frozen=True, eq=False)
class Both(Finding):
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


def test_what_is_found_is_itself_and_does_not_change() -> None:
    """Arrays have no truth value and no hash, so findings are compared as objects, and can be keys."""
    for module in pkgutil.iter_modules(inspector.analysis.__path__):
        importlib.import_module(f"inspector.analysis.{module.name}")
    found = [kind for kind in Finding.__subclasses__() if kind.__module__.startswith("inspector.")]
    assert len(found) > 10
    for kind in found:
        assert kind.__eq__ is object.__eq__ and kind.__hash__ is object.__hash__, kind
        with pytest.raises(FrozenInstanceError):
            kind.__new__(kind).not_finite = None
