"""Coupled gates, layer normalisation and the recurrent projection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.cells.checks import RNG, H, N, close, nets, one, sigmoid


def test_coupled_gates() -> None:
    cell = tg.cells.CoupledLSTMCell(N, H, seed=0)
    x, old, new, w = one(cell)
    a = nets(w, "fgo", x, old.h)
    c = sigmoid(a["f"]) * old.c + (1 - sigmoid(a["f"])) * np.tanh(a["g"])
    close(new.c, c)
    close(new.h, sigmoid(a["o"]) * np.tanh(c))


def test_layer_normalisation_is_pytorchs(torch: Any) -> None:
    cell = tg.cells.LayerNormLSTMCell(N, H, seed=0)
    for _, parameter in cell.named_parameters():
        parameter.data = parameter.data + 0.3 * RNG.normal(size=parameter.shape)
    x, old, new, w = one(cell)
    w = {name: torch.tensor(value) for name, value in w.items()}
    x, h, c = (torch.tensor(value) for value in (x, old.h, old.c))

    def normalised(name: str, value: Any) -> Any:
        return torch.nn.functional.layer_norm(value, value.shape[1:], w[f"gain_{name}"], w[f"shift_{name}"], eps=1e-5)

    z = normalised("h", h @ w["weight_hh"].T) + normalised("x", x @ w["weight_ih"].T) + w["bias"]
    f, i, o, g = z.chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    close(new.c, c.numpy())
    close(new.h, (o.sigmoid() * normalised("c", c).tanh()).numpy())


@pytest.mark.parametrize("bias", [True, False])
def test_the_projection_is_pytorchs(torch: Any, bias: bool) -> None:
    cell = tg.cells.ProjectedLSTMCell(3, 5, 2, bias=bias, seed=0)
    module = torch.nn.LSTM(3, 5, proj_size=2, bias=bias).double()
    module.load_state_dict({name: torch.tensor(value) for name, value in tg.Stacked(cell).state_dict().items()})
    x, h, c, weights = (RNG.normal(size=shape) for shape in [(6, 4, 3), (4, 2), (4, 5), (6, 4, 2)])
    ours = [tg.tensor(value, requires_grad=True) for value in (x, h, c)]
    theirs = [torch.tensor(value, requires_grad=True) for value in (x, h[None], c[None])]
    run = tg.unroll(cell, ours[0], ours[1:])
    outputs, state = module(theirs[0], tuple(theirs[1:]))
    close(run.stacked.data, outputs.detach().numpy())
    for own, their in zip(run.final_state, state, strict=True):
        close(own.data, their[0].detach().numpy())
    (tg.sum(run.stacked * weights) + tg.sum(tg.square(run.final_state.c))).backward()
    ((outputs * torch.tensor(weights)).sum() + (state[1] ** 2).sum()).backward()
    for own, their in zip(ours, theirs, strict=True):
        close(own.grad, their.grad.numpy().reshape(own.shape))
    for name, parameter in cell.named_parameters():
        close(parameter.grad, getattr(module, f"{name}_l0").grad.numpy())


def test_what_is_above_a_projection_reads_its_output() -> None:
    below = tg.cells.ProjectedLSTMCell(3, 7, seed=0)
    assert (below.hidden_size, below.memory_size) == (4, 7) and repr(below) == "ProjectedLSTMCell(3, 7, 4)"
    run = tg.unroll(tg.Stacked(below, tg.cells.GRUCell(4, 2, seed=1)), RNG.normal(size=(3, 2, 3)))
    assert run.stacked.shape == (3, 2, 2) and run.children["layer0"].stacked.shape == (3, 2, 4)
    with pytest.raises(ValueError, match="layer 1 reads 7 features, layer 0 gives 4"):
        tg.Stacked(below, tg.cells.GRUCell(7, 2))
    assert tg.models.SequenceModel(below, 5, seed=0)(RNG.normal(size=(3, 2, 3))).outputs.shape == (3, 2, 5)
