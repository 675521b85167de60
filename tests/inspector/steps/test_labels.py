"""How nodes read: signs and operands in diagrams, slices, and formulas with no more brackets than they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.picture.compose import picture
from inspector.steps.labels import APPLIED, formula, number_or_name, operation_label, slice_label, symbol

FORMULAS = [
    (lambda f, c: f * (1.0 - f), "f(1 − f)"),
    (lambda f, c: 1.0 - tg.tanh(c) * tg.tanh(c), "1 − tanh c·tanh c"),
    (lambda f, c: tg.square(tg.tanh(c)), "tanh²c"),
    (lambda f, c: -(f + c) * c, "(−(f + c))·c"),
    (lambda f, c: (f + c) / c, "(f + c)/c"),
    (lambda f, c: f / (f * c), "f/(f·c)"),
    (lambda f, c: tg.sigmoid(f + c), "σ(f + c)"),
    (lambda f, c: -f, "−f"),
    (lambda f, c: f - (c - 2.0), "f − (c − 2)"),
    (lambda f, c: (f > c) * f, "(f > c)·f"),
    (lambda f, c: tg.transpose(f * f), "f²"),
    (lambda f, c: tg.stop_gradient(f) + c, "f + c"),
    (lambda f, c: tg.sum(f), None),
]


@pytest.mark.parametrize(("x", "text"), FORMULAS)
def test_formulas_of_unnamed_values(x: Callable[..., Any], text: str | None) -> None:
    value = np.ones((2, 2))
    graph = tg.Graph(x(tg.tensor(value, name="f"), tg.tensor(value, name="c")))
    assert formula(graph.nodes[-1], graph, lambda node: node.name) == text


@given(data=st.data())
def test_a_formula_means_what_the_graph_computes(data: st.DataObject) -> None:
    """Read by Python, with its brackets and precedence, it gives the value."""
    names = {name: tg.tensor(data.draw(st.sampled_from([2.0, 3.0, 5.0])), name=name) for name in "abcd"}
    values = [*names.values()]
    for _ in range(data.draw(st.integers(1, 4))):
        operation = data.draw(st.sampled_from([tg.add, tg.subtract, tg.multiply, tg.divide]))
        left, right = (data.draw(st.sampled_from(values)) for _ in range(2))
        with np.errstate(all="ignore"):
            values.append(operation(left, right))
        assume(np.isfinite(values[-1].item()))
    graph = tg.Graph(values[-1])
    text = formula(graph.nodes[-1], graph, lambda node: node.name, "…")
    assert text is not None
    read = text.replace("−", "-").replace("·", "*").replace("²", "**2")
    for name in "abcd)":
        read = read.replace(f"{name}(", f"{name}*(")
    np.testing.assert_allclose(
        eval(read, {name: value.item() for name, value in names.items()}), values[-1].item(), err_msg=text
    )


def test_what_has_no_formula_is_left_out_where_something_may_stand_for_it() -> None:
    c = tg.tensor(np.ones((2, 2)), name="c")
    graph = tg.Graph(tg.exp(tg.sum(c) + 1.0))
    assert formula(graph.nodes[-1], graph, lambda node: node.name) is None
    assert formula(graph.nodes[-1], graph, lambda node: node.name, "…") == "exp(Σ(c) + 1)"
    assert formula(graph.nodes[-1], graph, lambda node: node.name, "…", depth=2) == "exp(… + 1)"
    graph = tg.Graph(c + 1.0)
    assert formula(graph.nodes[-1], graph, lambda node: node.name, within=APPLIED) == "(c + 1)"


@pytest.mark.parametrize(
    ("op", "operands", "label"),
    [
        ("multiply", (None, "w"), "× w"),
        ("multiply", ("w", None), "× w"),
        ("subtract", ("1", None), "1 −"),
        ("subtract", (None, "1"), "− 1"),
        ("matmul", (None, "W"), "W ·"),
        ("maximum", ("0", None), "max 0"),
        ("greater", ("0", None), "0 >"),
        ("add", (None, None), "+"),
        ("sigmoid", (None,), "σ"),
        ("where", (None, None, "0"), "where"),
    ],
)
def test_an_operation_is_labelled_with_the_operand_that_no_line_brings(
    op: str, operands: tuple[str | None, ...], label: str
) -> None:
    assert str(operation_label(tg.PRIMITIVES[op], operands)) == label


def test_an_operation_without_a_sign_goes_by_its_name() -> None:
    assert (symbol("tanh"), symbol("divide"), symbol("not an operation")) == ("tanh", "÷", "not an operation")


@pytest.mark.parametrize(
    ("index", "label"),
    [
        ((slice(None), slice(4, 8)), "[4:8]"),
        ((slice(None), slice(None, 3)), "[:3]"),
        ((slice(2, None),), "[2:]"),
        (slice(0, 1), "[0:1]"),
        (slice(None, None, 2), "[::2]"),
        (slice(0, 4, 1), "[0:4]"),
        ((0,), "[0]"),
        ((slice(1, 2), slice(3, 4)), "[…]"),
        ((slice(None), np.array([0, 2])), "[…]"),
    ],
)
def test_a_slice_is_labelled_with_what_it_takes(index: Any, label: str) -> None:
    assert slice_label(index) == label


def test_a_constant_of_one_number_is_that_number() -> None:
    x = tg.tensor(np.ones((2, 2)), name="x")
    graph = tg.Graph((x * np.full((2, 2), 0.25) + np.eye(2)) * np.array([[True, False]]))
    texts = {number_or_name(node) for node in graph.nodes if node.is_leaf}
    assert texts == {"x", "0.25", None}


def test_a_cell_that_takes_its_units_by_an_array_is_drawn_and_compared() -> None:
    class Shuffled(tg.Cell):
        def __init__(self) -> None:
            super().__init__(3, 4, seed=0)
            self.w = self.parameter("w", (4, 3))

        def step(self, x: Any, state: Any) -> Any:
            return (tg.tanh(state.h[:, np.array([1, 0, 3, 2])] + x @ self.w.T)[:, ::-1],)

    drawing = picture(tg.unroll(Shuffled(), np.ones((2, 1, 3))))
    assert {"[…]", "[::-1]"} <= {shape.label for shape in drawing.shapes}
    assert inspector.compare_graphs(Shuffled(), Shuffled()).removed == ()
