"""A place is an array in a buffer: whatever is done to the one is what NumPy does to the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.strategies import Draw, shapes
from tinygrad_rnn.compiler.indexing import Window
from tinygrad_rnn.compiler.places import Place, Row, contiguous


def at(place: Place, row: NDArray[Any]) -> NDArray[Any]:
    """What lies at a place, in a row of its buffer."""
    strides = tuple(stride * row.itemsize for stride in place.strides)
    return np.lib.stride_tricks.as_strided(row[place.offset :], place.shape, strides)


@st.composite
def factors(draw: Draw, number: int) -> tuple[int, ...]:
    """Numbers, 1 among them, whose product is a given one."""
    found = [1] if draw(st.booleans()) else []
    while number > 1:
        found.append(draw(st.sampled_from([n for n in range(2, number + 1) if number % n == 0])))
        number //= found[-1]
    return tuple(draw(st.permutations(found)))


@given(st.data())
def test_windows_transposes_and_repeats_are_numpys(data: st.DataObject) -> None:
    shape = data.draw(shapes(min_side=1, max_side=4))
    array = np.arange(float(np.prod(shape))).reshape(shape)
    row, place = array.reshape(-1), Place.whole("b", Row.NOW, shape)
    for step in data.draw(st.lists(st.sampled_from(["cut", "transpose", "broadcast", "reshape"]), max_size=5)):
        if step == "cut":
            starts = [data.draw(st.integers(0, n - 1)) for n in array.shape]
            bounds = [(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, array.shape, strict=True)]
            window = Window(tuple(bounds))
            array, place = array[(*window.slices, ...)], place.cut(window)
        elif step == "transpose":
            axes = tuple(data.draw(st.permutations(range(array.ndim))))
            array, place = array.transpose(axes), place.transpose(axes)
        elif step == "broadcast":
            lead = data.draw(st.lists(st.integers(1, 3), max_size=1))
            wide = (*lead, *(data.draw(st.integers(1, 3)) if n == 1 else n for n in array.shape))
            array, place = np.broadcast_to(array, wide), place.broadcast(wide)
        else:
            wanted = data.draw(factors(array.size))
            reshaped = place.reshape(wanted)
            assert (reshaped is not None) == np.shares_memory(array.reshape(wanted), row)
            array, place = (array, place) if reshaped is None else (array.reshape(wanted), reshaped)
        np.testing.assert_array_equal(at(place, row), array)
        assert place.is_contiguous == at(place, row).flags.c_contiguous
        assert (place.buffer, place.row, place.size) == ("b", Row.NOW, row.size)


@pytest.mark.parametrize("shape", [(), (3,), (2, 1, 3), (0, 2)])
def test_strides_are_those_of_an_array_in_c_order(shape: tuple[int, ...]) -> None:
    if 0 not in shape:
        assert contiguous(shape) == tuple(stride // 8 for stride in np.zeros(shape).strides)
    place = Place.whole("b", Row.ONLY, shape)
    assert place.strides == contiguous(shape) and place.offset == 0 and place.size == np.prod(shape)
