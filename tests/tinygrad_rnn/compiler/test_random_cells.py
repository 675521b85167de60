"""A net under the compiler: random cells, run in every way, are eagerly and compiled the same in everything there
is to see.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.random_cells import ways_to_run, wide_cells
from tests.tinygrad_rnn.compiler.checks import same_in_an_ensemble, same_in_everything

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
@settings(parent=MANY, max_examples=100)
@drawn
def test_members_of_many_ensembles_of_random_cells_are_those_cells(cell: tg.Cell, way: Any, seed: int) -> None:
    same_in_an_ensemble(cell, way, seed, "numpy")


@pytest.mark.slow
@settings(parent=MANY, max_examples=16)
@given(cell=wide_cells(), way=ways_to_run(max_steps=8), seed=st.integers(0, 999))
def test_a_random_cell_is_the_same_in_machine_code(cell: tg.Cell, way: Any, seed: int) -> None:
    pytest.importorskip("numba")
    same_in_everything(cell, way, seed, "numba")
