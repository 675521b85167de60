"""Every registered cell against numbers that PyTorch made from its equations; PyTorch is not needed to check them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells import frozen_cells
from tests.tinygrad_rnn.cells.frozen_cells import CASES, Case

FROZEN, _ = tg.load_safetensors(frozen_cells.FILE)

WITHOUT_SLOPE = {
    "lstm1997 block_size=2 truncated=True": ("initial/h", "initial/i", "initial/o"),
    "lstm2000 block_size=2 truncated=True": ("initial/h",),
    "clockwork": ("initial/clock",),
    "chunker": ("initial/p",),
    "sru": ("initial/h",),
    "lru": ("initial/h",),
}
"""What has no part in the loss, or only behind a cut."""


def of(case: Case, kind: str) -> dict[str, np.ndarray]:
    """What the file holds of a case under ``kind/``, by name."""
    start = f"{case.key}/{kind}/"
    return {key.removeprefix(start): value for key, value in FROZEN.items() if key.startswith(start)}


def close(ours: Any, theirs: Any, what: str) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12, err_msg=what)


def test_every_cell_is_in_the_file() -> None:
    assert {case.name for case in CASES} == set(tg.cells.names())
    assert {key.partition("/")[0] for key in FROZEN} == {case.key for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_values_and_gradients_are_those_of_the_file(case: Case) -> None:
    cell = tg.cells.get(case.name)(frozen_cells.N, frozen_cells.H, seed=0, **case.options)
    cell.load_state_dict(of(case, "parameters"))
    assert cell.state_names == tuple(case.states)
    inputs = tg.tensor(FROZEN[f"{case.key}/inputs"], requires_grad=True)
    initial = {name: tg.tensor(value, requires_grad=True) for name, value in of(case, "initial").items()}
    run = tg.unroll(cell, inputs, cell.State(**initial))
    loss: Any = 0.0
    for name, weights in of(case, "weights").items():
        values = tg.stack([getattr(state, name) for state in run.states])
        close(values.data, FROZEN[f"{case.key}/states/{name}"], name)
        loss = loss + tg.sum(values * weights)
    close(loss.data, FROZEN[f"{case.key}/loss"], "loss")
    leaves = {f"parameters/{name}": value for name, value in cell.named_parameters()}
    leaves |= {"inputs": inputs, **{f"initial/{name}": value for name, value in initial.items()}}
    for name, gradient in zip(leaves, tg.grad(loss, list(leaves.values())), strict=True):
        close(gradient.data, FROZEN[f"{case.key}/by_{name}"], f"gradient by {name}")
        assert bool(gradient.data.any()) is (name not in WITHOUT_SLOPE.get(case.key, ())), f"gradient by {name}"


@pytest.mark.slow
def test_the_file_is_what_pytorch_makes_today() -> None:
    pytest.importorskip("torch", reason="PyTorch makes the file: pip install torch")
    made = frozen_cells.make()
    assert set(made) == set(FROZEN)
    for key, value in made.items():
        np.testing.assert_allclose(
            value, FROZEN[key], rtol=1e-11, atol=1e-12, err_msg=f"{key}: run frozen_cells.py again"
        )
