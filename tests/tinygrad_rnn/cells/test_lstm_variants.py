"""Coupled gates and layer normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

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
