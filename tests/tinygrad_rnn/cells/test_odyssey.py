"""The variants of the search space odyssey: each one change away from the vanilla LSTM."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.strategies import reached
from tests.tinygrad_rnn.cells.checks import ODYSSEY, B, H, N, X, close, jacobian, nets, one, sigmoid


@pytest.mark.parametrize("name", ODYSSEY)
def test_variants_differ_from_the_vanilla_lstm_by_one_change(name: str) -> None:
    """Greff et al. 2017: every variant from the one set of equations, with its change switched on."""
    cell = tg.cells.get(name)(N, H, seed=0)
    x, old, new, w = one(cell)
    a = nets(w, cell.gates, x, old.h)  # type: ignore[attr-defined]
    zero = np.zeros((B, H))
    peep = {g: w.get(f"p_{g}", np.zeros(H)) for g in "ifo"}
    for g in "ifo" if name == "fgr" else "":
        for k, source in enumerate("ifo"):
            a[g] = a[g] + old[2 + k] @ w[f"R_{g}{source}"].T
    z = a["z"] if name == "niaf" else np.tanh(a["z"])
    i = np.ones((B, H)) if name == "nig" else sigmoid(a["i"] + peep["i"] * old.c)
    f = {"nfg": 1 + zero, "cifg": 1 - i}.get(name)
    f = sigmoid(a["f"] + peep["f"] * old.c) if f is None else f
    c = z * i + old.c * f
    o = np.ones((B, H)) if name == "nog" else sigmoid(a["o"] + peep["o"] * c)
    close(new.c, c)
    close(new.h, o * (c if name == "noaf" else np.tanh(c)))


def test_numbers_of_parameters_of_the_variants() -> None:
    found = {name: tg.cells.table([name], 10, 20)[name].parameters for name in ODYSSEY}
    assert found == {
        "peephole": 2540,
        "nig": 1900,
        "nfg": 1900,
        "nog": 1900,
        "niaf": 2540,
        "noaf": 2540,
        "cifg": 1900,
        "np": 2480,
        "fgr": 6140,
    }


def test_no_peepholes_and_torchs_lstm_are_the_same_cell(torch: Any) -> None:
    cell = tg.cells.NPCell(N, H, seed=0)
    w = cell.state_dict()
    theirs = torch.nn.LSTMCell(N, H).double()
    stacked = {kind: np.concatenate([w[f"{kind}_{g}"] for g in "ifzo"]) for kind in "WRb"}
    theirs.load_state_dict(
        {
            "weight_ih": torch.tensor(stacked["W"]),
            "weight_hh": torch.tensor(stacked["R"]),
            "bias_ih": torch.tensor(stacked["b"]),
            "bias_hh": torch.zeros(4 * H).double(),
        }
    )
    x, old, new, _ = one(cell)
    h, c = theirs(torch.tensor(x), (torch.tensor(old.h), torch.tensor(old.c)))
    close(new.h, h.detach().numpy())
    close(new.c, c.detach().numpy())


def test_cut_peepholes_carry_values_but_no_gradient() -> None:
    whole, cut = (tg.cells.PeepholeLSTMCell(N, H, seed=0, cut_peepholes=flag) for flag in (False, True))
    close(one(whole)[2].h, one(cut)[2].h)
    f = one(cut)[3]
    assert not np.allclose(jacobian(whole, "c", "c"), jacobian(cut, "c", "c"))
    state = cut.State(*reached(cut, 1, np.random.default_rng(3)))
    gate = sigmoid(nets(f, "f", X[0, :1], state.h)["f"] + f["p_f"] * state.c)
    close(jacobian(cut, "c", "c"), np.diag(gate[0]))
