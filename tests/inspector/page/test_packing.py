from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inspector.page.packing import finite, pack_floats, pack_levels, pack_norms, pooled

from .unpacking import unpack

NORMS = st.one_of(st.floats(1e-300, 1e300), st.floats(1e-9, 10.0), st.just(0.0), st.sampled_from([np.nan, np.inf]))


@given(st.lists(NORMS, max_size=12))
def test_norms_come_back_to_three_digits_with_zero_and_missing_ones_apart(norms: list[float]) -> None:
    found, wanted = unpack(dict(pack_norms(norms))), np.array(norms)
    there = np.isfinite(wanted)
    np.testing.assert_array_equal(np.isnan(found), ~there)
    np.testing.assert_array_equal(found[there] == 0, wanted[there] == 0)
    np.testing.assert_allclose(found[there], wanted[there], rtol=1e-3)


@given(st.lists(st.floats(width=32) | st.just(np.nan), max_size=12))
def test_floats_come_back_or_are_not_there(values: list[float]) -> None:
    wanted = np.array(values, np.float64)
    np.testing.assert_array_equal(unpack(dict(pack_floats(wanted))), np.where(np.isfinite(wanted), wanted, np.nan))


@given(st.lists(st.floats(-2.0, 2.0) | st.just(np.nan), max_size=12))
def test_levels_come_back_to_half_a_class_within_their_range(values: list[float]) -> None:
    found = unpack(dict(pack_levels(values, -1.0, 1.0)))
    np.testing.assert_allclose(found, np.clip(values, -1, 1), atol=1 / 254 + 1e-12)


@given(st.integers(1, 30), st.integers(1, 7))
def test_pooling_keeps_the_largest_of_each_block(count: int, pool: int) -> None:
    values = np.random.default_rng(count).normal(size=(2, count))
    values[:, ::3] = np.nan
    found = pooled(values, pool)
    assert found.shape == (2, -(-count // pool))
    for k, column in enumerate(found.T):
        block = values[:, k * pool : (k + 1) * pool]
        wanted = [max((v for v in row if not np.isnan(v)), default=np.nan) for row in block]
        np.testing.assert_array_equal(column, wanted)


def test_what_json_has_no_number_for_is_none() -> None:
    assert [finite(x) for x in (1.23456789, np.nan, np.inf, None, 0.0)] == [1.23457, None, None, None, 0.0]
