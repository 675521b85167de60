"""What holds Tensors differentiates or is refused; it never becomes a constant without a word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg


def leaf(value: Any = 0.3) -> tg.Tensor:
    return tg.tensor(value, requires_grad=True)


def slope(function: Any, x: tg.Tensor) -> Any:
    return tg.grad(tg.sum(function(x)), x)[0].data.tolist()


# ---------------------------------------------------------------- lists, tuples and arrays of objects


def objects(*values: Any) -> Any:
    array = np.empty(len(values), object)
    for k, value in enumerate(values):
        array[k] = value
    return array


TOGETHER: list[tuple[Any, float]] = [
    (lambda x: 2.0 * x + (tg.tensor([1.0, 2.0]) * [x, x]).sum(), 5.0),
    (lambda x: [x, x] * tg.tensor([1.0, 2.0]), 3.0),
    (lambda x: x[None] @ [[x]], 0.6),
    (lambda x: [[1.0, x]] @ tg.tensor([[2.0], [3.0]]), 3.0),
    (lambda x: tg.add([x, x], 1.0), 2.0),
    (lambda x: tg.add(1.0, (x, 2.0)), 1.0),
    (lambda x: tg.add([[x, 1.0], [2.0, x]], np.ones(2)), 2.0),
    (lambda x: tg.sum([x, x]), 2.0),
    (lambda x: tg.mean([x, x]), 1.0),
    (lambda x: tg.max([x, 1.0]), 0.0),
    (lambda x: tg.where(np.array([True, False]), [x, x], 0.0), 1.0),
    (lambda x: tg.stack([[x, 1.0], [2.0, x * x]]), 1.6),
    (lambda x: tg.concatenate([[x], [x, 1.0]]), 2.0),
    (lambda x: np.multiply([x, x], tg.tensor([1.0, 2.0])), 3.0),
    (lambda x: np.concatenate([tg.stack([x, x]), [x, 1.0]]), 3.0),
    (lambda x: tg.tensor([1.0, 2.0]) * objects(x, x), 3.0),
    (lambda x: objects(x, x) * tg.tensor([1.0, 2.0]), 3.0),
    (lambda x: tg.square(objects(x, 2.0)), 0.6),
    (lambda x: tg.clip(tg.tensor([-1.0, 1.0]), x, None), 1.0),
    (lambda x: tg.linear(np.ones((1, 2)), [[x, 2.0], [x, x]], [x, 1.0]), 4.0),
]


@pytest.mark.parametrize("number", range(len(TOGETHER)))
def test_operations_take_lists_of_tensors_as_their_stack(number: int) -> None:
    function, expected = TOGETHER[number]
    assert slope(function, leaf()) == pytest.approx(expected)
    plain = tg.tensor(0.3)  # a gradient by what requires none must not be lost either
    assert slope(function, plain) == pytest.approx(expected)


def test_a_run_takes_steps_and_states_in_lists() -> None:
    cell = tg.cells.RNNCell(1, 1, seed=0)
    x, h = leaf(), leaf(0.5)
    run = tg.unroll(cell, [[[x]], [[x]]], state=[[[h]]])
    twin = tg.unroll(cell, np.full((2, 1, 1), 0.3), state=(np.full((1, 1), 0.5),))
    assert run.stacked.data.tolist() == twin.stacked.data.tolist()
    by_x, by_h = tg.grad(tg.sum(run.stacked), [x, h])
    one = tg.tensor(np.full((2, 1, 1), 0.3))
    start = tg.tensor([[0.5]])
    whole, first = tg.grad(tg.sum(tg.unroll(cell, one, state=(start,)).stacked), [one, start])
    assert by_x.item() == pytest.approx(whole.data.sum()) and by_h.item() == pytest.approx(first.item())


def test_a_cotangent_may_be_a_list_of_tensors() -> None:
    x, c = leaf([1.0, 2.0]), leaf()
    (gradient,) = tg.grad(x * x, x, [c, 2.0 * c], create_graph=True)
    assert slope(lambda c: gradient, c) == pytest.approx(2.0 + 8.0)
    (x * x).backward([c, c])
    assert x.grad == pytest.approx([0.6, 1.2])


# --------------------------------------------------------------------------------- NumPy's own arrays


def into(array: Any, place: Any, value: Any) -> None:
    array[place] = value


LOST: list[Any] = [
    lambda x: np.array(x),
    lambda x: np.asarray(x),
    lambda x: np.array([x, x]),
    lambda x: np.array([[x], [x]]),
    lambda x: np.array([x, 1.0], dtype=object),
    lambda x: np.sum([x, x]),
    lambda x: np.mean([x, x]),
    lambda x: np.add([x, x], 1.0),
    lambda x: np.tanh([x]),
    lambda x: np.full(2, x),
    lambda x: into(np.zeros((2, 2)), (slice(None), 0), x),
    lambda x: into(np.zeros(2), slice(None), [x, x]),
    lambda x: np.zeros(2).__iadd__(x),
    lambda x: np.put(np.zeros(2), [0], x),
    lambda x: tg.tensor(x),
    lambda x: tg.tensor([x, x]),
    lambda x: tg.tensor([1.0]).__setattr__("data", [x]),
    lambda x: tg.init.normal(1.0)((2,), np.random.default_rng(0)).__setitem__(slice(None), x),
]


@pytest.mark.parametrize("number", range(len(LOST)))
@pytest.mark.parametrize("of", [lambda x: x, lambda x: x * 2.0], ids=["leaf", "computed"])
def test_an_array_refuses_what_requires_a_gradient(number: int, of: Any) -> None:
    with pytest.raises(
        TypeError, match=r"an array cannot carry the gradient.*tg\.stack.*\.data|has no derivative rule|takes no out"
    ):
        LOST[number](of(leaf()))


def test_plain_numbers_are_a_word_away() -> None:
    x = leaf([1.0, 2.0])
    assert np.array(x.data).tolist() == np.array(x.detach()).tolist() == [1.0, 2.0]
    with tg.no_grad():
        assert np.asarray(x).tolist() == np.array(x * 1.0).tolist() == [1.0, 2.0]
    assert float(x[0]) == x[0].item() == 1.0 and np.asarray(tg.tensor([1.0])).tolist() == [1.0]
    parameter = leaf([0.0, 0.0])
    parameter.data = x * 2.0  # an assignment of data says by itself that no history comes along
    assert parameter.data.tolist() == [2.0, 4.0]
    assert tg.Graph(x * 2.0).hold(x, leaf(1.0)).outputs[0].data.tolist() == [2.0, 2.0]


def test_soft_targets_differentiate_and_labels_are_read() -> None:
    logits, soft = tg.tensor([[1.0, 2.0]]), leaf([[0.25, 0.75]])
    (gradient,) = tg.grad(tg.losses.cross_entropy(logits, soft), soft)
    np.testing.assert_allclose(gradient.data, -tg.log_softmax(logits).data)
    assert tg.losses.cross_entropy(logits, tg.tensor([1], dtype=int)).item() == pytest.approx(np.log1p(np.exp(-1.0)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: tg.pad(tg.tensor([1.0]), 1, constant_values=x),
            TypeError,
            r"pad: there is no derivative by constant_values.*\.data",
        ),
        (
            lambda x: tg.pad(tg.tensor([1.0]), 1, constant_values=[x, 1.0]),
            TypeError,
            "pad: there is no derivative by constant_values",
        ),
        (lambda x: tg.sum(tg.tensor([1.0]), axis=x), TypeError, "sum: there is no derivative by axis"),
        (
            lambda x: tg.tensor([1.0, 2.0])[x],
            IndexError,
            "getitem: an index must be integers or booleans, got a Tensor of dtype float64",
        ),
        (lambda x: tg.tensor([1.0, 2.0])[:, x], IndexError, "getitem: an index must be integers or booleans"),
        (lambda x: tg.take(tg.tensor([1.0, 2.0]), x), TypeError, "take"),
    ],
)
def test_settings_have_no_derivative_and_say_so(call: Any, error: Any, message: str) -> None:
    for x in (leaf(), tg.tensor(0.0)):
        with pytest.raises(error, match=message):
            call(x)


def test_whole_numbers_in_tensors_are_settings_like_any() -> None:
    two = tg.tensor(1, dtype=int)
    x = leaf(np.ones((2, 3)))
    assert tg.sum(x, axis=two).shape == (2,) and tg.reshape(x, (two, -1)).shape == (1, 6)
    assert x[tg.tensor([0, 1], dtype=int), two].shape == (2,)


def test_other_libraries_take_values_and_no_gradients(torch: Any) -> None:
    for value in (tg.tensor([[1.0, 2.0]]), tg.tensor(3.0), leaf([1.0]).detach()):
        assert torch.as_tensor(value).tolist() == np.from_dlpack(value).tolist() == value.data.tolist()
    torch.as_tensor(tg.tensor([1.0])).add_(1.0)
    for x in (leaf(), leaf([[1.0, 2.0]])):
        with pytest.raises(TypeError, match="an array cannot carry the gradient"):
            torch.as_tensor(x)


# --------------------------------------------------------------------------------- complex numbers

COMPLEX: list[Any] = [
    lambda x: x * (3.0 + 4.0j),
    lambda x: 1j + x,
    lambda x: x * np.array([1j]),
    lambda x: np.multiply(np.array([1j]), x),
    lambda x: x**1j,
    lambda x: x.astype(complex),
    lambda x: tg.astype(x, np.complex64),
    lambda x: tg.matmul(x[None], np.array([[1j]])),
    lambda x: tg.where(np.array([True]), x, 1j),
    lambda x: tg.stack([x, [1j]]),
    lambda x: tg.tensor(1j),
    lambda x: tg.tensor([1.0], dtype=complex),
    lambda x: x.backward([1j]),
    lambda x: tg.grad(x, x, np.array([1j])),
    lambda x: x.__setattr__("data", [1j]),
    lambda x: tg.unroll(tg.cells.RNNCell(1, 1), np.ones((2, 1, 1), complex)),
    lambda x: tg.unroll(tg.cells.RNNCell(1, 1), np.ones((2, 1, 1)), state=(np.ones((1, 1), complex),)),
    lambda x: tg.Graph(x * 1.0).run({0: np.array([1j])}),
]


@pytest.mark.parametrize("number", range(len(COMPLEX)))
def test_complex_numbers_are_refused(number: int) -> None:
    with pytest.raises(
        TypeError, match="complex numbers have no gradient here; keep the real and the imaginary part as two Tensors"
    ):
        COMPLEX[number](leaf([2.0]))


def test_a_primitive_of_ones_own_cannot_bring_complex_numbers_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tg.PRIMITIVES, "fourier", None)

    @tg.primitive(lambda g, y, x: g)
    def fourier(x: Any) -> Any:
        return np.fft.fft(x)

    with pytest.raises(TypeError, match="fourier: complex numbers have no gradient here"):
        tg.abs(fourier(leaf([1.0, 2.0])))
    with pytest.raises(TypeError, match="parameter 'w': complex"):
        tg.Cell(1, 1).parameter("w", (1,), np.array([1j]))


def test_gradcheck_goes_on_where_complex_numbers_cannot() -> None:
    assert tg.gradcheck(lambda x: x * tg.tensor(np.ones(2)), np.array([1.0, 2.0]))
    assert tg.gradcheck(lambda x: x * x if float(x.data[0]) > 0 else x, np.array([1.0, 2.0]))


# ---------------------------------------------------------------------------- casts end the gradient


@pytest.mark.parametrize("kind", [int, np.int8, bool])
def test_casts_to_integers_and_booleans_stop_the_gradient(kind: Any) -> None:
    x = leaf([1.7, 2.2])
    cut = x.astype(kind)
    assert not cut.requires_grad and slope(lambda x: x.astype(kind) * 3.0, x) == [0.0, 0.0]
    assert slope(lambda x: x.astype(kind) * x, x) == cut.data.astype(float).tolist()
    assert tg.grad(tg.sum(cut * x * 2.0), x, create_graph=True)[0].data.tolist() == (cut.data * 2.0).tolist()
    assert tg.jacobian(cut * 3.0, x).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(ValueError, match="nothing in this value's graph requires a gradient"):
        tg.sum(cut * 3.0).backward()
    assert slope(lambda x: x.astype(np.float32) * 3.0, x) == [3.0, 3.0]


def test_a_cast_stops_the_gradient_in_a_compiled_run_too() -> None:
    class Steps(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            return (state.h + x.astype(np.int64) * 1.0 + 0.5 * x,)

    for cell in (Steps(2, 2), tg.compile(Steps(2, 2), backend="numpy")):
        x = tg.tensor(np.full((3, 1, 2), 1.75))
        assert tg.grad(tg.sum(tg.unroll(cell, x).outputs[-1]), x)[0].data.tolist() == [[[0.5, 0.5]]] * 3


@pytest.mark.parametrize("kind", [int, bool])
def test_a_gradient_by_whole_numbers_is_zero(kind: Any) -> None:
    for x in (tg.tensor([1, 0], dtype=kind), tg.tensor([1.0, 0.0]).astype(kind)):
        assert tg.grad(tg.sum(x * 3.0), x)[0].data.tolist() == [0, 0]
        assert tg.jacobian(x * 3.0, x).tolist() == [[0, 0], [0, 0]]
