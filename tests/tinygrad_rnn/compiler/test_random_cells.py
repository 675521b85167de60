"""A net under the compiler: random cells, run in every way, are eagerly and compiled the same in everything there
is to see.
"""

from __future__ import annotations

import warnings
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.random_cells import matrix_cells, ways_to_run, wide_cells
from tests.tinygrad_rnn.compiler.checks import same_in_an_ensemble, same_in_everything
from tinygrad_rnn.compiler import kernels

pytestmark = pytest.mark.filterwarnings("ignore::tinygrad_rnn.CompileWarning")
FEW, MANY = (settings(max_examples=n, deadline=None, suppress_health_check=list(HealthCheck)) for n in (15, 300))
drawn = given(cell=wide_cells(), way=ways_to_run(), seed=st.integers(0, 999))


@settings(parent=FEW)
@drawn
def test_a_random_cell_is_the_same_compiled(cell: tg.Cell, way: Any, seed: int) -> None:
    same_in_everything(cell, way, seed, "numpy")


@pytest.mark.slow
@settings(parent=MANY)
@drawn
def test_many_random_cells_are_the_same_compiled(cell: tg.Cell, way: Any, seed: int) -> None:
    same_in_everything(cell, way, seed, "numpy")


@settings(parent=FEW, max_examples=5)
@given(cell=wide_cells(), way=ways_to_run(max_steps=6), seed=st.integers(0, 999))
def test_members_of_an_ensemble_of_random_cells_are_those_cells(cell: tg.Cell, way: Any, seed: int) -> None:
    same_in_an_ensemble(cell, way, seed, "numpy")


@pytest.mark.slow
@settings(parent=MANY, max_examples=60)
@drawn
def test_members_of_many_ensembles_of_random_cells_are_those_cells(cell: tg.Cell, way: Any, seed: int) -> None:
    same_in_an_ensemble(cell, way, seed, "numpy")


@pytest.mark.slow
@settings(parent=MANY, max_examples=10)
@given(cell=wide_cells(), way=ways_to_run(max_steps=8), seed=st.integers(0, 999))
def test_a_random_cell_is_the_same_in_machine_code(cell: tg.Cell, way: Any, seed: int) -> None:
    pytest.importorskip("numba")
    same_in_everything(cell, way, seed, "numba")


# -------------------------------------------------------------------------------------- matrices as states

a_matrix = given(cell=matrix_cells(), way=ways_to_run(max_steps=6), seed=st.integers(0, 999))


def same_as_loops(cell: tg.Cell, way: Any, seed: int) -> None:
    """The same as eagerly, where a loop is planned for every step; the programs of those loops run in NumPy."""
    pytest.importorskip("numba")
    with warnings.catch_warnings(record=True) as found, mock.patch.object(kernels, "load", side_effect=ImportError):
        warnings.simplefilter("always", tg.CompileWarning)
        assert same_in_everything(cell, way, seed, "numba"), "it ran eagerly"
    assert not [w for w in found if "cannot be fused" in str(w.message)], [str(w.message) for w in found]


@settings(parent=FEW)
@a_matrix
def test_cells_with_matrices_are_the_same_compiled(cell: tg.Cell, way: Any, seed: int) -> None:
    same_as_loops(cell, way, seed)


@pytest.mark.slow
@settings(parent=MANY)
@a_matrix
def test_many_cells_with_matrices_are_the_same_compiled(cell: tg.Cell, way: Any, seed: int) -> None:
    same_as_loops(cell, way, seed)


@pytest.mark.slow
@settings(parent=MANY, max_examples=10)
@a_matrix
def test_cells_with_matrices_are_the_same_in_machine_code(cell: tg.Cell, way: Any, seed: int) -> None:
    pytest.importorskip("numba")
    with warnings.catch_warnings():
        warnings.simplefilter("error", tg.CompileWarning)
        assert same_in_everything(cell, way, seed, "numba")
