"""Tensors hold honest values: copies in, read-only views out."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg


def test_dtypes() -> None:
    assert tg.tensor([1, 2]).dtype == np.float64
    assert tg.tensor(True).dtype == np.float64
    assert tg.tensor(np.ones(2, np.float32)).dtype == np.float32
    assert tg.tensor(np.ones(2, np.float16)).dtype == np.float16
    assert tg.tensor([1.0], dtype=np.float32).dtype == np.float32
    assert tg.tensor([1, 2], dtype=int).dtype == np.int64
    assert tg.tensor([True], dtype=bool).dtype == np.bool_
    x = tg.tensor([1.0, 2.0], dtype=np.float32)
    assert (2.0 * x + 1).dtype == (x / 3).dtype == (x**2).dtype == (1.5**x).dtype == np.float32
    assert (x * np.ones(2)).dtype == np.float64


def test_shape_and_friends() -> None:
    x = tg.tensor(np.zeros((2, 3)))
    assert (x.shape, x.ndim, x.size, len(x), x.T.shape) == ((2, 3), 2, 6, 2, (3, 2))
    scalar = tg.tensor(2.5)
    assert (scalar.shape, scalar.ndim, scalar.size, scalar.item()) == ((), 0, 1, 2.5)
    assert float(scalar) == 2.5 and int(scalar) == 2 and bool(scalar) and not bool(tg.tensor(0.0))
    assert [1, 2, 3][tg.tensor(1, dtype=int)] == 2
    assert [float(row) for row in tg.tensor([1.0, 2.0])] == [1.0, 2.0]
    assert 2.0 in tg.tensor([1.0, 2.0]) and 3.0 not in tg.tensor([1.0, 2.0])


def test_item_and_len_explain_themselves() -> None:
    with pytest.raises(ValueError, match=r"item: needs exactly one element, got shape \(2,\)"):
        tg.tensor([1.0, 2.0]).item()
    with pytest.raises(TypeError, match="without dimensions"):
        len(tg.tensor(1.0))
    with pytest.raises(TypeError):
        iter(tg.tensor(1.0)).__next__()
    with pytest.raises(ValueError, match="ambiguous"):
        bool(tg.tensor([1.0, 2.0]))
    with pytest.raises(TypeError):
        [0, 1][tg.tensor(1.0)]


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "message"),
    [
        (("text",), {}, TypeError, "not numeric"),
        (([object()],), {}, TypeError, "not numeric"),
        ((None,), {}, TypeError, "not numeric"),
        (([[1.0], [1.0, 2.0]],), {}, ValueError, "inhomogeneous"),
        (([1, 2],), {"requires_grad": True, "dtype": int}, TypeError, "no gradient; use a floating dtype"),
        (([1.0],), {"name": 3}, TypeError, "name must be a string, got int"),
        (([1.0],), {"dtype": "nonsense"}, TypeError, "nonsense"),
    ],
)
def test_bad_data(args: Any, kwargs: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        tg.tensor(*args, **kwargs)


def test_operands_must_be_numbers() -> None:
    x = tg.tensor([1.0])
    for other in ("a", None, object(), [None]):
        with pytest.raises(TypeError, match="multiply: operand of type"):
            x * other
    with pytest.raises(ValueError, match=r"add\(shapes \(1, 2\), \(3,\)\)"):
        tg.tensor([[1.0, 2.0]]) + np.ones(3)
    with tg.scope("layer0"), pytest.raises(ValueError, match=r"add\(.*\) \[in layer0\]: operands could not"):
        tg.tensor([1.0, 2.0]) + np.ones(3)


def test_repr_shows_what_matters() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    assert repr(x) == "tensor([1., 2.], requires_grad=True, name='x')"
    assert repr(x * 2.0) == "tensor([2., 4.], op=multiply)"
    assert "float32" in repr(tg.tensor(1.0, dtype=np.float32))
    assert len(repr(tg.tensor(np.zeros((100, 100))))) < 400


# ---------------------------------------------------------------------------------------- read-only


def test_data_is_read_only() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2.0
    for t in (x, y, x[:1], y.T, tg.reshape(y, (2, 1)), tg.broadcast_to(x, (3, 2)), y.detach(), x.astype(np.float64)):
        with pytest.raises(ValueError, match="read-only"):
            t.data[...] = 0.0
        with pytest.raises(ValueError):
            t.data.flags.writeable = True
            t.data[...] = 0.0
            raise AssertionError("wrote through data")  # pragma: no cover
        with tg.no_grad(), pytest.raises(ValueError, match="read-only"):
            np.asarray(t)[...] = 0.0
    with pytest.raises(TypeError):
        x[0] = 3.0
    np.testing.assert_array_equal(y.data, [2.0, 4.0])


def test_data_of_a_0d_result_is_an_array() -> None:
    total = tg.sum(tg.tensor([1.0, 2.0]))
    assert isinstance(total.data, np.ndarray) and total.data.shape == ()


def test_the_callers_array_is_copied() -> None:
    a = np.array([1.0, 2.0])
    x = tg.tensor(a, requires_grad=True)
    y = x * x
    a[:] = 50.0
    np.testing.assert_array_equal(x.data, [1.0, 2.0])
    y.backward([1.0, 1.0])
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_assigning_a_leafs_data_copies_and_leaves_recorded_graphs_as_they_were() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = tg.sum(x * x)
    new = np.array([10.0, 20.0])
    x.data = new
    new[:] = 0.0
    np.testing.assert_array_equal(x.data, [10.0, 20.0])
    y.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])
    (second,) = tg.grad(tg.sum(x * x), x)
    np.testing.assert_array_equal(second.data, [20.0, 40.0])


def test_assigning_data_checks() -> None:
    x = tg.tensor([1.0, 2.0], dtype=np.float32)
    x.data = [3, 4]
    assert x.dtype == np.float32
    with pytest.raises(ValueError, match=r"shape \(3,\) cannot replace shape \(2,\)"):
        x.data = np.zeros(3)
    with pytest.raises(ValueError, match="only a leaf can be assigned, this is the output of multiply"):
        (x * 2.0).data = np.zeros(2)


def test_grad_is_the_callers_to_write_to() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = tg.tensor([1.0, 2.0], requires_grad=True)
    cotangent = np.array([1.0, 1.0])
    (x + y).backward(cotangent)
    x.grad *= 5.0  # must reach neither y's gradient nor the caller's cotangent
    np.testing.assert_array_equal(y.grad, [1.0, 1.0])
    np.testing.assert_array_equal(cotangent, [1.0, 1.0])
    (x + y).backward(cotangent)
    np.testing.assert_array_equal(x.grad, [6.0, 6.0])


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_is_a_leaf_of_its_own(duplicate: Any) -> None:
    x = tg.tensor([2.0], requires_grad=True, name="x")
    y = duplicate(x)
    assert y.id != x.id and (y.name, y.requires_grad, y.op) == ("x", True, None)
    assert [g.item() for g in tg.grad(x * y * y * 3.0, [x, y], [1.0])] == [12.0, 24.0]
    assert not np.shares_memory(x.data, y.data)
    with pytest.raises(TypeError, match=r"copy: only a leaf can be copied; detach\(\) this output of multiply first"):
        duplicate(x * 2.0)


def test_a_copied_cell_has_parameters_of_its_own() -> None:
    cell = tg.cells.LSTMCell(1, 2, seed=0)
    twin = copy.deepcopy(cell)
    assert twin.weight_ih is dict(twin.named_parameters())["weight_ih"] and twin.weight_ih is not cell.weight_ih
    both = tg.unroll(cell, np.ones((2, 1, 1))).outputs[-1] * tg.unroll(twin, np.ones((2, 1, 1))).outputs[-1]
    tg.sum(both).backward()
    for own, other in zip(cell.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(own.grad, other.grad, rtol=1e-12)
    (total,) = tg.grad(tg.sum(tg.square(tg.unroll(cell, np.ones((2, 1, 1))).outputs[-1])), cell.weight_hh)
    np.testing.assert_allclose(cell.weight_hh.grad, total.data / 2, rtol=1e-12)


# -------------------------------------------------------------------------------- detach and no_grad


def test_detach_is_a_leaf_of_the_same_value() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    cut = (x * 3.0).detach()
    assert cut.op is None and cut.inputs == () and not cut.requires_grad
    assert x.detach().name == "x"
    tg.sum(cut * x).backward()
    np.testing.assert_array_equal(x.grad, [3.0, 6.0])


def test_no_grad_records_nothing() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.no_grad():
        y = tg.sum(x * x)
        assert y.op is None and not y.requires_grad and len(tg.Graph(y)) == 1
    z = tg.sum(x * x)
    assert z.op is tg.sum and z.requires_grad
    with pytest.raises(ValueError, match="nothing in this value's graph requires a gradient"):
        y.backward()


def test_results_under_no_grad_own_their_values() -> None:
    a = np.array([1.0, 2.0])
    with tg.no_grad():
        outs = [tg.tensor(a), tg.tensor([0.0, 0.0]) + a, tg.where(np.array([True, True]), a, tg.tensor(0.0))]
    a[:] = 9.0
    for out in outs:
        np.testing.assert_array_equal(out.data, [1.0, 2.0])


# -------------------------------------------------------------------------------------------- named


def test_named_returns_in_order_and_lets_arrays_pass() -> None:
    a, b = tg.tensor(1.0), np.array(2.0)
    x, y = tg.named(i=a, f=b)
    assert x is a and y is b and a.name == "i"
    assert tg.named(g=b) is b
    assert tg.named(other=a) is a and a.name == "i", "the first name stays"
    with pytest.raises(TypeError, match="give at least one value"):
        tg.named()
    assert a.path == "i" and (a * 2.0).path == "multiply"
