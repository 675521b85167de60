"""Maps give each value its colour, and what has none a hatching."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inspector.picture.theme import ALARM, HATCH
from inspector.plots.curves import areas, quantiles
from inspector.plots.figures import Canvas
from inspector.plots.maps import norm_map, signed_map
from tests.strategies import FEW


@FEW
@given(arrays(np.float64, (2, 3), elements=st.floats(-1e6, 1e6) | st.just(np.nan) | st.just(np.inf)))
def test_a_signed_map_is_even_about_0(matrix: np.ndarray) -> None:
    axes = Canvas(3.0, 2.0).add_subplot()
    signed_map(axes, matrix, "share")
    (image,) = axes.get_images()
    largest = np.abs(matrix[np.isfinite(matrix)]).max(initial=0.0) or 1.0
    assert image.get_clim() == (-largest, largest)
    np.testing.assert_array_equal(
        np.ma.getmaskarray(image.get_array()) | np.isnan(image.get_array().data), ~np.isfinite(matrix)
    )


@pytest.mark.parametrize(("missing", "hatch"), [(ALARM, "xxx"), (HATCH, "///")])
def test_what_is_missing_is_hatched_below(missing: str, hatch: str) -> None:
    axes = Canvas(3.0, 2.0).add_subplot()
    signed_map(axes, np.array([[np.nan, 1.0]]), "share", missing)
    assert axes.patch.get_hatch() == hatch


def test_a_map_of_norms_leaves_out_what_cannot_be() -> None:
    axes = Canvas(3.0, 2.0).add_subplot()
    matrix = np.array([[1.0, 1e-9], [0.0, np.inf]])
    norm_map(axes, matrix, "norm", 6, possible=np.array([[True, True], [False, True]]))
    ill, shown = (np.ma.getmaskarray(image.get_array()) for image in axes.get_images())
    np.testing.assert_array_equal(ill, [[True, True], [True, False]])
    np.testing.assert_array_equal(shown, [[False, True], [True, True]])
    hatched = [path.get_extents().bounds for one in axes.collections for path in one.get_paths()]
    assert hatched == [(0.5, -0.5, 1.0, 1.0)], "the norm below the scale, not the place that cannot be"


@FEW
@given(arrays(np.float64, (3, 4), elements=st.floats(-10, 10)))
def test_areas_add_up_on_either_side(parts: np.ndarray) -> None:
    axes = Canvas(3.0, 2.0).add_subplot()
    names = ("a", "b", "c")
    drawn = areas(axes, np.arange(5.0), dict(zip(names, parts, strict=True)), {name: {} for name in names})
    assert set(drawn) == {name for name, part in zip(names, parts, strict=True) if part.any()}
    reach = [
        (path.vertices[:, 1].min(), path.vertices[:, 1].max()) for one in axes.collections for path in one.get_paths()
    ]
    for sign, place in ((1, 1), (-1, 0)):
        total = np.where(sign * parts > 0, parts, 0.0).sum(axis=0)
        far = max((sign * one[place] for one in reach), default=0.0)
        assert far == pytest.approx(max(0.0, float((sign * total).max())))


@given(arrays(np.float64, (3, 5), elements=st.floats(-1e6, 1e6) | st.just(np.nan)))
def test_quantiles_are_numpys_of_what_is_finite(rows: np.ndarray) -> None:
    found = quantiles(rows, (0.25, 0.5))
    for k, row in enumerate(rows):
        usual = row[np.isfinite(row)]
        expected = np.quantile(usual, (0.25, 0.5)) if usual.size else np.full(2, np.nan)
        np.testing.assert_array_equal(found[:, k], expected)
