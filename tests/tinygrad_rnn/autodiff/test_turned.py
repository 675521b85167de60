"""A weight that is transposed at every step is turned once, and never out of date."""

from __future__ import annotations

import gc
import weakref

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.autodiff import turned as module
from tinygrad_rnn.autodiff.turned import turned, unturned


def test_from_the_second_time_on_it_is_one_contiguous_array_and_the_way_back_is_the_original() -> None:
    weight = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    first, second, third = turned(weight), turned(weight), turned(weight)
    assert first.base is weight and second is third and second.flags.c_contiguous
    for transpose in (first, second):
        np.testing.assert_array_equal(transpose, weight.T)
    assert unturned(second) is weight
    np.testing.assert_array_equal(unturned(weight), weight.T)


def test_nothing_is_kept_longer_than_the_weight() -> None:
    gc.collect()
    known = len(module._copies), len(module._origins)
    weight = np.ones((2, 3))
    view = turned(weight)
    copy = turned(weight)
    there = weakref.ref(weight)
    del weight, view
    assert there() is None and len(module._copies) == known[0]
    np.testing.assert_array_equal(unturned(copy), copy.T)
    del copy
    gc.collect()
    assert len(module._origins) == known[1]


def test_a_new_value_of_a_weight_is_the_one_that_is_multiplied() -> None:
    x = tg.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    weight = tg.tensor(np.ones((2, 3)), requires_grad=True)
    for value in (1.0, 2.0, 3.0):
        weight.data = np.full((2, 3), value)
        for _ in range(3):
            y = x @ weight.T
            np.testing.assert_array_equal(y.data, [[6.0 * value] * 2])
            assert y.inputs[1].op is tg.transpose and y.inputs[1].inputs[0] is weight
            by_x, by_weight = tg.grad(tg.sum(y), [x, weight])
            np.testing.assert_array_equal(by_x.data, [[2.0 * value] * 3])
            np.testing.assert_array_equal(by_weight.data, [[1.0, 2.0, 3.0]] * 2)


def test_what_is_no_weight_of_its_own_is_not_copied() -> None:
    """Neither views, which somebody may write through, nor inputs, nor what was computed."""
    data = np.ones((4, 3))
    for value in (tg.Tensor(data[:2], True), tg.tensor(data), tg.tensor(data, requires_grad=True) * 2.0):
        assert value.T._data.base is not None and value.T._data.base is not value.T._data
        assert np.shares_memory(value.T._data, value._data)
