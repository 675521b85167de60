"""Layers above each other and both directions of time, against PyTorch's multi-layer networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

NETWORKS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


def stack_of(name: str, features: int, hidden: int, layers: int, both: bool, seed: int = 0) -> Any:
    make = tg.cells.get(name)
    parts: list[Any] = []
    for k in range(layers):
        width = features if k == 0 else hidden * (2 if both else 1)
        cells = [make(width, hidden, seed=seed + 2 * k + d) for d in range(2 if both else 1)]
        parts.append(tg.Bidirectional(*cells) if both else cells[0])
    return tg.Stacked(*parts)


def close(ours: Any, theirs: Any, what: str) -> None:
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10, err_msg=what)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("lengths", [None, [5, 3, 1]])
def test_forward_and_every_gradient_are_pytorchs(torch: Any, name: str, layers: int, both: bool, lengths: Any) -> None:
    features, hidden, batch, steps = 2, 3, 3, 5
    network = getattr(torch.nn, NETWORKS[name])(features, hidden, num_layers=layers, bidirectional=both).double()
    ours = stack_of(name, features, hidden, layers, both)
    ours.load_state_dict(network.state_dict())
    directions, states = (2 if both else 1), (2 if name == "lstm" else 1)
    rng = np.random.default_rng(layers)
    inputs = rng.normal(size=(steps, batch, features))
    start = rng.normal(size=(states, layers * directions, batch, hidden))
    weights = rng.normal(size=(steps, batch, hidden * directions))

    x, s0 = tg.tensor(inputs, requires_grad=True), tg.tensor(start, requires_grad=True)
    flat = [tuple(s0[s, k] for s in range(states)) for k in range(layers * directions)]
    state = [(flat[2 * k], flat[2 * k + 1]) if both else flat[k] for k in range(layers)]
    run = tg.unroll(ours, x, state, lengths=lengths)
    finals = [d for layer in run.final_state for d in (layer if both else [layer])]
    final = tg.stack([tg.stack([f[s] for f in finals]) for s in range(states)])
    loss = tg.sum(run.stacked * weights) + tg.sum(final * final)
    loss.backward()

    tx = torch.tensor(inputs, requires_grad=True)
    ts = torch.tensor(start, requires_grad=True)
    given: Any = tx if lengths is None else torch.nn.utils.rnn.pack_padded_sequence(tx, lengths)
    out, last = network(given, (ts[0], ts[1]) if name == "lstm" else ts[0])
    if lengths is not None:
        out, _ = torch.nn.utils.rnn.pad_packed_sequence(out)
    tfinal = torch.stack(last) if name == "lstm" else last[None]
    total = (out * torch.tensor(weights)).sum() + (tfinal * tfinal).sum()
    total.backward()

    close(run.stacked.data, out, "outputs")
    close(final.data, tfinal, "final states")
    close(x.grad, tx.grad, "inputs")
    close(s0.grad, ts.grad, "initial states")
    for key, parameter in ours.named_parameters():
        close(parameter.grad, getattr(network, key).grad, key)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("both", [False, True])
def test_state_dict_goes_both_ways(torch: Any, name: str, both: bool) -> None:
    network = getattr(torch.nn, NETWORKS[name])(2, 3, num_layers=2, bidirectional=both).double()
    ours = stack_of(name, 2, 3, 2, both)
    own = ours.state_dict()
    assert set(own) == set(network.state_dict())
    network.load_state_dict({key: torch.tensor(value) for key, value in own.items()})
    again = stack_of(name, 2, 3, 2, both, seed=50)
    again.load_state_dict(network.state_dict())
    for key, value in again.state_dict().items():
        np.testing.assert_array_equal(value, own[key])
    assert again.initialisation == "loaded weights"


# -------------------------------------------------------------------------------- names and children


def test_a_stack_runs_its_layers_in_scopes() -> None:
    run = tg.unroll(stack_of("lstm", 2, 3, 2, False), np.ones((4, 1, 2)))
    assert set(run.children) == {"layer0", "layer1"}
    assert run.names["layer1/f", 2] is run.children["layer1"].names["f", 2]
    assert str(run.names["layer1/f", 2].scope) == "layer1/t=2"
    assert run.outputs[3] is run.children["layer1"].outputs[3]
    assert run.states[3][0].c is run.children["layer0"].states[3].c
    assert ("x", 0) in run.names and run.children["layer1"].inputs[2] is run.children["layer0"].outputs[2]


def test_two_directions_lie_side_by_side() -> None:
    both = tg.Bidirectional(tg.cells.GRUCell(2, 3, seed=0), tg.cells.GRUCell(2, 4, seed=1))
    inputs = np.random.default_rng(0).normal(size=(5, 2, 2))
    run = tg.unroll(both, inputs)
    forward = tg.unroll(both.forward, inputs)
    backward = tg.unroll(both.backward, inputs, reverse=True)
    np.testing.assert_array_equal(
        run.stacked.data, np.concatenate([forward.stacked.data, backward.stacked.data], axis=2)
    )
    assert both.hidden_size == 7 and run.children["backward"].reverse
    assert run.names["backward/z", 4].timestep == 4
    np.testing.assert_array_equal(run.final_state.backward.h.data, backward.outputs[0].data)


def test_directions_of_different_cells() -> None:
    both = tg.Bidirectional(tg.cells.LSTMCell(2, 3, seed=0), tg.cells.RNNCell(2, 1, seed=1))
    run = tg.unroll(tg.Stacked(both, tg.cells.GRUCell(4, 2, seed=2)), np.ones((3, 1, 2)))
    assert run.stacked.shape == (3, 1, 2)
    tg.sum(run.stacked).backward()
    assert all(p.grad is not None and p.grad.any() for p in run.cell.parameters())
    assert {"layer0/forward/c", "layer0/backward/h", "layer1/z"} <= {name for name, _ in run.names}


def test_a_stack_continues_from_its_final_state() -> None:
    stack = stack_of("lstm", 2, 3, 2, False)
    inputs = np.random.default_rng(0).normal(size=(6, 2, 2))
    whole = tg.unroll(stack, inputs)
    first = tg.unroll(stack, inputs[:4])
    rest = tg.unroll(stack, inputs[4:], first.final_state)
    np.testing.assert_allclose(whole.stacked.data[4:], rest.stacked.data, rtol=1e-13)


def test_a_stack_truncates_every_layer() -> None:
    stack = stack_of("rnn", 1, 2, 2, False)
    run = tg.unroll(stack, np.ones((4, 1, 1)), truncate=2)
    (g,) = tg.grad(tg.sum(run.outputs[3]), run.inputs[1])
    assert not g.data.any()


def test_stacked_takes_a_list_too() -> None:
    cells = [tg.cells.RNNCell(1, 2), tg.cells.RNNCell(2, 2)]
    assert repr(tg.Stacked(cells)) == repr(tg.Stacked(*cells)) == "Stacked(RNNCell(1, 2), RNNCell(2, 2))"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda c: tg.Stacked(c(1, 2), "gru"), TypeError, "Stacked: a layer must be a Cell or Bidirectional, got str"),
        (
            lambda c: tg.Bidirectional(c(1, 2), None),
            TypeError,
            "Bidirectional: a direction must be a Cell, got NoneType",
        ),
        (lambda c: tg.Stacked(), ValueError, "Stacked: give at least one layer"),
        (lambda c: tg.Stacked(c(1, 2), c(3, 2)), ValueError, "Stacked: layer 1 reads 3 features, layer 0 gives 2"),
        (lambda c: tg.Stacked(*[c(2, 2)] * 2), ValueError, "a layer is used twice"),
        (lambda c: tg.Bidirectional(c(1, 2), c(2, 2)), ValueError, "input sizes 1 and 2 differ"),
        (lambda c: tg.Bidirectional(*[c(1, 2)] * 2), ValueError, "must be two cells, not one used twice"),
        (
            lambda c: tg.unroll(tg.Stacked(c(1, 2), c(2, 2)), np.ones((2, 1, 1)), [np.zeros((1, 2))]),
            ValueError,
            "2 layers need as many states, got 1",
        ),
        (
            lambda c: tg.unroll(tg.Bidirectional(c(1, 2), c(1, 2)), np.ones((2, 1, 1)), [np.zeros((1, 2))]),
            ValueError,
            "two directions need two states, got 1",
        ),
    ],
)
def test_bad_arguments_are_explained(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make(tg.cells.RNNCell)
