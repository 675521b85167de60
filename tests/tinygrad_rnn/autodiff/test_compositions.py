"""Functions composed of primitives: NumPy's numbers for NumPy's arguments, gradients checked and compared with HIPS
autograd's, and what they do where conventions differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.tinygrad_rnn.autodiff.compositions import CASES, COMPOSED, EACH, LITTLE, OURS, PLAIN, Case, X, drawn, parts
from tinygrad_rnn.autodiff import functions


def test_every_composition_has_a_case() -> None:
    assert set(CASES) == COMPOSED - PLAIN - set(functions.__all__)


@pytest.mark.parametrize(("name", "case"), EACH)
@LITTLE
@given(data=st.data())
def test_a_composition_is_numpys_function(name: str, case: Case, data: st.DataObject) -> None:
    call, arrays = drawn(case, data)
    expected = parts(call(np, *arrays))
    tensors = [tg.tensor(x) for x in arrays]
    found = [call(np, *tensors)]
    if hasattr(OURS, name.partition(".")[0]):  # ours by its own name, on arrays and on Tensors
        found += [call(OURS, *arrays), call(OURS, *tensors)]
        assert not any(isinstance(part, tg.Tensor) for part in parts(found[1]))
    for values_found in found:
        for ours, theirs in zip(parts(values_found), expected, strict=True):
            plain = ours.data if isinstance(ours, tg.Tensor) else ours
            assert np.shape(plain) == np.shape(theirs) and np.asarray(plain).dtype == np.asarray(theirs).dtype
            np.testing.assert_allclose(plain, theirs, rtol=1e-13, atol=1e-13)
    assert tg.gradcheck(lambda *xs: call(np, *xs), arrays)


WITHOUT_REFERENCE = {
    "array_split",
    "average",
    "broadcast_arrays",
    "cumprod",
    "diagonal",
    "divmod",
    "dsplit",
    "float_power",
    "fmod",
    "full_like",
    "hsplit",
    "median",
    "outer",
    "percentile",
    "ptp",
    "quantile",
    "rot90",
    "take",
    "tile",
    "trace",
    "vdot",
    "vsplit",
    "cross",
    "diag",
    "diff",
    "linalg.norm",
    "repeat",
    "pad",
    "roll",
    "rollaxis",
    "sort",
}
"""What HIPS autograd has no rule for, or (second half) not for every argument, or with the wrong shape."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "case"), [each for each in EACH if each.values[0] not in WITHOUT_REFERENCE])
@given(data=st.data())
def test_gradients_are_those_of_hips_autograd(name: str, case: Case, data: st.DataObject) -> None:
    autograd = pytest.importorskip("autograd", reason="HIPS autograd is the reference here: pip install autograd")
    call, arrays = drawn(case, data)

    def total(m: Any, *xs: Any) -> Any:
        out = call(m, *xs)
        return m.sum(out * np.cos(np.arange(out.size)).reshape(out.shape))

    theirs = autograd.grad(lambda xs: total(autograd.numpy, *xs))(arrays)
    leaves = [tg.tensor(x, requires_grad=True) for x in arrays]
    for ours, reference in zip(tg.grad(total(np, *leaves), leaves), theirs, strict=True):
        np.testing.assert_allclose(ours.data, reference, rtol=1e-9, atol=1e-12)


def slope(call: Any, x: Any) -> Any:
    leaf = tg.tensor(x, requires_grad=True)
    return tg.grad(tg.sum(call(leaf)), leaf)[0].data.tolist()


def test_lengths_and_deviations_at_zero_have_gradient_zero() -> None:
    assert slope(np.linalg.norm, [0.0, 0.0]) == slope(np.std, [2.0, 2.0]) == [0.0, 0.0]
    assert slope(lambda x: tg.norm(x, 3), [0.0, 0.0]) == slope(lambda x: tg.norm(x, 1), [0.0, 0.0]) == [0.0, 0.0]
    assert slope(lambda x: np.hypot(x, 0.0), [0.0]) == [0.0] and slope(tg.root, [0.0, 4.0]) == [0.0, 0.25]
    assert slope(lambda x: tg.norm(x, axis=1), [[3.0, 0.0], [0.0, 0.0]]) == [[1.0, 0.0], [0.0, 0.0]]


def test_infinities_and_nan() -> None:
    inf, nan = np.inf, np.nan
    assert slope(lambda x: np.logaddexp(x, -inf), [-inf, 0.0]) == [0.5, 1.0]
    assert slope(lambda x: np.nan_to_num(x), [nan, inf, -inf, 2.0]) == [0.0, 0.0, 0.0, 1.0]
    assert slope(lambda x: np.fmax(x, [nan, 1.0, 1.0]), [3.0, nan, 1.0]) == [1.0, 0.0, 0.5]
    assert slope(np.sort, [nan, 1.0]) == [1.0, 1.0] and tg.sort(np.array([nan, 1.0])).tolist()[0] == 1.0
    x = np.array([[1.0, nan, 2.0], [1.0, 5.0, 2.0]])
    for call in (lambda x: np.median(x, axis=1), lambda x: np.percentile(x, [10, 50], axis=1)):
        np.testing.assert_array_equal(call(tg.tensor(x)).data, call(x))
    special = np.array([nan, inf, -inf, 1.0, 0.0])
    for call in (
        np.isnan,
        np.isinf,
        np.isfinite,
        np.nan_to_num,
        lambda x: np.fmin(x, 0.5),
        lambda x: np.heaviside(x, 0.5),
    ):
        np.testing.assert_array_equal(call(tg.tensor(special)).data, call(special))
    assert tg.nan_to_num(np.float32(inf)) == np.finfo(np.float32).max


@pytest.mark.parametrize(
    ("row", "q", "expected"),
    [
        ([1.0, np.inf, np.inf], 0.5, np.inf),
        ([np.inf, np.inf], 0.5, np.inf),
        ([-np.inf, -np.inf, 1.0], 0.5, -np.inf),
        ([1.0, 2.0, np.inf], 0.5, 2.0),
        ([1.0, np.inf], 0.0, 1.0),
        ([-np.inf, 1.0], 1.0, 1.0),
        ([-np.inf, 1.0], 0.25, -np.inf),
        ([1.0, np.inf], 0.25, np.inf),
        ([-np.inf, np.inf], 0.5, np.nan),
    ],
)
def test_quantiles_beside_infinities(row: Any, q: float, expected: float) -> None:
    """NumPy's median has the first four; its quantile takes infinite differences, which are NaN next to themselves."""
    with np.errstate(invalid="ignore"):
        assert np.quantile(tg.tensor(row), q).item() == pytest.approx(expected, nan_ok=True)
        if q == 0.5:
            np.testing.assert_array_equal(np.median(tg.tensor(row)).data, np.median(np.array(row)))
        assert slope(lambda x: np.quantile(x, 0.5), [1.0, 2.0, np.inf]) == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("order", [0.5, 1, 1.5, 3, -1, -2])
def test_norms_of_zeros_are_pytorchs(order: float, torch: Any) -> None:
    for row in ([0.0, 0.0, 0.0], [1.0, 0.0, -2.0]):
        twin = torch.tensor(row, dtype=torch.float64, requires_grad=True)
        expected = torch.linalg.vector_norm(twin, order)
        expected.backward()
        assert np.linalg.norm(tg.tensor(row), order).item() == pytest.approx(expected.item())
        assert slope(lambda x: np.linalg.norm(x, order), row) == pytest.approx(twin.grad.tolist())


def test_what_is_one_operation_is_one_node_and_what_changes_nothing_none() -> None:
    matrix, vector = tg.tensor(X), tg.tensor(X[0])
    for out in (np.dot(matrix, vector), np.dot(vector, X.T), np.dot(matrix, X.T), np.dot(vector, X[1])):
        assert out.op.name == "matmul" and all(getattr(x, "op", None) is None for x in out.inputs)
    empty = tg.tensor(X[:, :0])
    for x, same in (
        (matrix, np.roll(matrix, 0, 0)),
        (matrix, np.roll(matrix, (2, -3), (0, 1))),
        (empty, np.roll(empty, 1, 1)),
        (matrix, np.rot90(matrix, 4)),
        (matrix, np.atleast_1d(matrix)),
        (matrix, np.atleast_2d(matrix)),
    ):
        assert same is x


@pytest.mark.filterwarnings("ignore:Degrees of freedom", "ignore::RuntimeWarning")
@pytest.mark.parametrize("ddof", [1, 2, 3, 4])
def test_more_degrees_of_freedom_than_elements_leave_no_variance(ddof: int) -> None:
    for call in (np.var, np.std):
        for row in (X, X * 0.0):
            np.testing.assert_allclose(
                call(tg.tensor(row), axis=1, ddof=ddof).data, call(row, axis=1, ddof=ddof), rtol=1e-12
            )


def test_ties_and_zeros() -> None:
    assert slope(lambda x: np.sort(x)[:1], [2.0, 2.0]) == [1.0, 0.0]
    assert slope(np.cumprod, [0.0, 2.0, 3.0]) == [9.0, 0.0, 0.0]
    assert slope(np.ptp, [1.0, 1.0, 1.0]) == [0.0, 0.0, 0.0]
    assert slope(np.arcsinh, [0.0, -0.0]) == slope(np.sinh, [0.0, -0.0]) == [1.0, 1.0]
    assert slope(lambda x: np.fmod(x, 3.0), [0.0, 4.0, -4.0]) == [1.0, 1.0, 1.0]


def test_small_and_large_numbers_keep_their_digits() -> None:
    tiny = np.array([1e-12, -1e-9, 1e-300])
    for call in (np.sinh, np.arcsinh, np.arctanh, np.tan, np.arcsin):
        np.testing.assert_allclose(call(tg.tensor(tiny)).data, call(tiny), rtol=4e-16)
    half = np.tile(np.float16([1.0, 3.0]), 40000)  # where np.var overflows
    assert np.var(tg.tensor(half)).data == 1.0 and np.std(tg.tensor(half)).dtype == np.float16
    assert tg.hypot(np.array(1e200), np.array(1e200)) == np.hypot(1e200, 1e200)
    assert tg.log10(np.array(1000.0)) == 3.0 and tg.log2(np.array(8.0)) == 3.0 and tg.exp2(np.array(10.0)) == 1024.0


@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated:DeprecationWarning")
def test_steps_and_places_pass_no_gradient() -> None:
    for call in (np.floor, np.ceil, np.trunc, np.rint, np.fix, lambda x: np.round(x, 1), np.sign, lambda x: x // 2.0):
        assert slope(lambda x, call=call: call(x) * x, [1.25, -2.75]) == call(np.array([1.25, -2.75])).tolist()
    x = tg.tensor(X, requires_grad=True)
    for out in (np.argmax(x, axis=1), np.argsort(x), np.isnan(x), np.any(x > 0), np.count_nonzero(x), np.isclose(x, X)):
        assert isinstance(out, tg.Tensor) and not out.requires_grad and out.dtype.kind in "bi"


def test_answers_that_are_plain() -> None:
    x = tg.tensor(X)
    assert np.allclose(x, X + 1e-9) is True and np.allclose(x, X + 1.0) is False and tg.allclose(X, X, 0, 0) is True
    assert np.array_equal(x, X) is True and np.array_equal(x, X[0]) is False and tg.array_equal(X, -X) is False
    assert (np.shape(x), np.ndim(x), np.size(x), np.count_nonzero(x).item()) == ((2, 3), 2, 6, 6)
    assert tg.count_nonzero(np.array([[0.0, 2.0]]), axis=1).tolist() == [1]


def test_what_is_decided_is_decided_anew_when_a_graph_is_run_again() -> None:
    """Places and truth values are nodes: nothing that depends on the numbers is baked into the graph."""
    x = tg.tensor([3.0, 1.0, 2.0], requires_grad=True, name="x")
    out = np.sort(x) * np.array([1.0, 10.0, 100.0]) + np.median(x) + np.where(np.isnan(x), 0.0, np.floor(x)) + np.ptp(x)
    other = np.array([-1.0, 7.5, 0.0])
    again = np.sort(other) * np.array([1.0, 10.0, 100.0]) + np.median(other) + np.floor(other) + np.ptp(other)
    np.testing.assert_allclose(tg.Graph(out).run({"x": other}).data, again)
