"""Products with a sum in them are written as products of matrices and vectors, and are what is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.algebra.contractions import contraction
from inspector.algebra.expression import Expression
from inspector.picture.compose import picture
from inspector.text import visible

SIZES = {"i": 2, "j": 3, "k": 4}
terms = st.lists(st.sampled_from("ijk"), min_size=1, max_size=2, unique=True).map("".join)


def expression(left: str, right: str, output: str, batched: tuple[bool, bool] = (False, False)) -> Expression:
    operands = []
    for term, is_batched in zip((left, right), batched, strict=True):
        shape = tuple(SIZES[label] for label in term)
        operands.append(Expression("symbol", shape=(5, *shape) if is_batched else shape, batched=is_batched))
    b = ["b" if is_batched else "" for is_batched in (*batched, any(batched))]
    subscripts = f"{b[0]}{left},{b[1]}{right}->{b[2]}{output}"
    shape = (*(5,) * any(batched), *(SIZES[label] for label in output))
    return Expression("einsum", tuple(operands), {"subscripts": subscripts}, shape, any(batched))


@given(
    left=terms,
    right=terms,
    output=st.lists(st.sampled_from("ijk"), max_size=2, unique=True).map("".join),
    batched=st.tuples(st.booleans(), st.booleans()),
)
def test_what_is_written_is_what_is_computed(left: str, right: str, output: str, batched: tuple[bool, bool]) -> None:
    if not set(output) <= set(left) | set(right):
        return
    sides = contraction(expression(left, right, output, batched))
    if sides is None:
        return
    rng = np.random.default_rng(0)
    values = [rng.normal(size=tuple(SIZES[label] for label in term)) for term in (left, right)]
    columns = [value[:, None] if value.ndim == 1 else value for value in values]
    a, b = (columns[k].T if transposed else columns[k] for k, transposed in sides)
    expected = np.einsum(f"{left},{right}->{output}", *values)
    np.testing.assert_allclose((a @ b).reshape(expected.shape), expected)
    assert (a @ b).size == expected.size


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("ij,j->i", [(0, False), (1, False)]),
        ("ij,i->j", [(0, True), (1, False)]),
        ("j,ij->i", [(1, False), (0, False)]),
        ("i,j->ij", [(0, False), (1, True)]),
        ("i,j->ji", [(1, False), (0, True)]),
        ("i,i->", [(0, True), (1, False)]),
        ("ij,jk->ik", [(0, False), (1, False)]),
        ("ij,kj->ik", [(0, False), (1, True)]),
        ("ij,jk->ki", [(1, True), (0, True)]),
    ],
)
@pytest.mark.parametrize("batched", [(True, True), (False, False)])
def test_matrices_vectors_inner_and_outer_products(form: str, written: list[Any], batched: tuple[bool, bool]) -> None:
    inputs, output = form.split("->")
    sides = contraction(expression(*inputs.split(","), output, batched))
    assert sides is not None and [tuple(side) for side in sides] == written


@pytest.mark.parametrize("form", ["i,i->i", "ij,ij->", "ij,ij->ij", "ij,k->ijk", "ij,j->", "ij,i->i"])
def test_what_is_no_product_is_not_written_as_one(form: str) -> None:
    inputs, output = form.split("->")
    assert contraction(expression(*inputs.split(","), output)) is None


class Matrix(tg.Cell):
    """A gated delta rule: a matrix state, written by outer products."""

    state_names = ("h", "S")

    def __init__(self) -> None:
        super().__init__(4, 4, seed=0)
        for name in "qkv":
            self.parameter(f"w_{name}", (4, 4))
        for name in "ab":
            self.parameter(f"w_{name}", (4, 1))

    def initial_state(self, batch: int) -> Any:
        return self.State(np.zeros((batch, 4)), np.zeros((batch, 4, 4)))

    def gates(self, x: Any) -> Any:
        w = dict(self.named_parameters())
        return tg.named(
            q=x @ w["w_q"], k=x @ w["w_k"], v=x @ w["w_v"], a=tg.sigmoid(x @ w["w_a"]), b=tg.sigmoid(x @ w["w_b"])
        )

    def step(self, x: Any, state: Any) -> Any:
        q, k, v, a, b = self.gates(x)
        r = tg.named(r=(state.S * k[:, None]).sum(2))
        matrix = a[:, :, None] * state.S + tg.einsum("bi,bj->bij", b * (v - r), k)
        return tg.einsum("bij,bj->bi", matrix, q), matrix


class Otherwise(Matrix):
    """The same with the rows and columns of the state exchanged, and reshapes."""

    def step(self, x: Any, state: Any) -> Any:
        q, k, v, a, b = self.gates(x)
        r = tg.named(r=(k[:, :, None] * state.S).sum(axis=-2))
        matrix = tg.reshape(a, (-1, 1, 1)) * state.S + k[:, :, None] * (b * (v - r))[:, None, :]
        return tg.einsum("bij,bi->bj", matrix, q), matrix


@pytest.mark.parametrize(
    ("cell", "lines"),
    [
        (
            Matrix(),
            [
                "rₜ = Sₜ₋₁ kₜ",
                "Sₜ = aₜ · Sₜ₋₁ + (bₜ · (vₜ − rₜ)) kₜᵀ",
                "hₜ = Sₜ qₜ",
                "∂Sₜ/∂Sₜ₋₁ along the highway = aₜ I",
            ],
        ),
        (Otherwise(), ["rₜ = Sₜ₋₁ᵀ kₜ", "Sₜ = aₜ · Sₜ₋₁ + kₜ (bₜ · (vₜ − rₜ))ᵀ", "hₜ = Sₜᵀ qₜ"]),
    ],
    ids=["matrix", "otherwise"],
)
def test_a_matrix_state_reads_as_in_papers(cell: tg.Cell, lines: list[str]) -> None:
    found = inspector.equations(tg.unroll(cell, np.random.default_rng(0).normal(size=(2, 3, 4))))
    assert [line for line in lines if line not in found.unicode.splitlines()] == [], found.unicode
    assert "[" not in found.unicode and "einsum" not in found.latex and visible(found.unicode, "\n") == found.unicode
    for equation in found.equations:
        np.testing.assert_allclose(equation.computed, equation.value, rtol=1e-12, atol=1e-14)


def test_different_functions_of_the_same_parameters_are_told_apart() -> None:
    run = tg.unroll(tg.cells.get("lru")(3, 4, seed=0), np.ones((2, 1, 3)))
    labels = [[s.label for s in picture(run).shapes if s.id.startswith(f"t{t}.") and "f" in s.label] for t in (0, 1)]
    assert labels[0] == labels[1]
    assert sorted(labels[0]) == ["× f(gamma)"] * 2 + ["× f(nu, theta)"] * 2 + ["× f₂(nu, theta)"] * 2
