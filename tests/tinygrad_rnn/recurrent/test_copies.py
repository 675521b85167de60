"""What is pickled, as for another process, or copied is the same and has a life of its own."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

X = np.random.default_rng(0).normal(size=(3, 2, 3))

duplicates = pytest.mark.parametrize(
    "duplicate", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy], ids=["pickle", "deepcopy"]
)


def same_but_apart(one: Any, other: Any) -> None:
    """The same outputs and parameters, and no parameter in common."""
    assert type(one) is type(other) and repr(one) == repr(other)
    assert one.initialisation == other.initialisation and one.is_compiled == other.is_compiled
    pairs = list(zip(one.named_parameters(), other.named_parameters(), strict=True))
    for (name, own), (twin, others) in pairs:
        assert (name, own.name, own.requires_grad) == (twin, others.name, others.requires_grad) and own is not others
        np.testing.assert_array_equal(own.data, others.data)
    outputs = [tg.unroll(network, X).stacked for network in (one, other)]
    np.testing.assert_array_equal(outputs[0].data, outputs[1].data)
    tg.sum(outputs[0]).backward()
    assert all(others.grad is None for _, (_, others) in pairs)
    for _, own in one.named_parameters():
        own.grad = None


@pytest.mark.parametrize("name", tg.cells.names())
@duplicates
def test_every_cell(name: str, duplicate: Any) -> None:
    cell = tg.cells.get(name)(3, 4, seed=0)
    same_but_apart(cell, duplicate(cell))
    state = cell.initial_state(2)
    again = duplicate(state)
    assert type(again) is type(state) is cell.State and again._fields == cell.state_names


@duplicates
def test_networks_of_cells_and_compiled_ones(duplicate: Any) -> None:
    both = tg.Bidirectional(tg.cells.LSTMCell(3, 4, seed=0), tg.cells.GRUCell(3, 2, seed=1))
    deep = tg.Stacked(both, tg.cells.LSTM1997Cell(6, 4, cell_output="identity", output_gate=False, seed=2))
    chrono = tg.cells.LSTMCell(3, 4, init=tg.init.preset("chrono", t_max=30), seed=3)
    for network in (both, deep, chrono):
        for one in (network, tg.compile(network, backend="numpy"), tg.compile(network, backend="numpy", checkpoint=2)):
            same_but_apart(one, duplicate(one))
    compiled = duplicate(tg.compile(chrono, backend="numpy", checkpoint=2))
    assert (compiled.checkpoint, compiled.backend) == (2, "numpy")


@duplicates
def test_an_ensemble_keeps_its_own_copies_of_the_parameters(duplicate: Any) -> None:
    ensemble = tg.compile([tg.cells.RNNCell(3, 4, seed=k) for k in range(3)], backend="numpy")
    for parameter in ensemble.parameters():
        parameter.data = parameter.data * 0.5  # as an optimiser would, and unlike the members now
    twin = duplicate(ensemble)
    assert len(twin) == 3
    same_but_apart(ensemble, twin)


@duplicates
def test_models(duplicate: Any) -> None:
    model = tg.models.SequenceModel(tg.cells.LSTMCell(3, 4, seed=0), 2, output="softmax")
    np.testing.assert_array_equal(model(X).outputs.data, duplicate(model)(X).outputs.data)


@pytest.mark.parametrize("duplicate", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy, copy.copy])
def test_a_tensor_keeps_its_gradient_and_where_it_was_cut(duplicate: Any) -> None:
    x = tg.tensor(np.asfortranarray(np.arange(6.0).reshape(2, 3)), requires_grad=True, name="x")
    assert duplicate(x).grad is None
    tg.sum(x * x).backward()
    twin = duplicate(x)
    np.testing.assert_array_equal(twin.grad, x.grad)
    twin.grad *= 2.0
    np.testing.assert_array_equal(x.grad, 2.0 * x.data)
    cut = (x * 2.0).detach()
    assert duplicate(cut).origin == cut.origin and not hasattr(duplicate(x), "origin")


@duplicates
def test_a_primitive_is_the_one_that_was_declared(duplicate: Any) -> None:
    for op in (value for name in tg.__all__ if isinstance(value := getattr(tg, name), tg.Primitive)):
        assert duplicate(op) is op
