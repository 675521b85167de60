"""What makes each cell the one it is called after: closed forms, and the equations written out again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.strategies import reached

RNG = np.random.default_rng(7)
N, H, B, T = 3, 4, 2, 6
X = RNG.normal(size=(T, B, N))


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def one(cell: tg.Cell) -> tuple[Any, Any, Any, dict[str, Any]]:
    """An input, a state that can be reached, the next state, and the weights, as arrays."""
    state = cell.State(*reached(cell, B, np.random.default_rng(3)))
    new = cell(tg.tensor(X[0]), state)
    return X[0], state, cell.State(*[np.asarray(value.data) for value in new]), cell.state_dict()


def close(left: Any, right: Any) -> None:
    np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-14)


def jacobian(cell: tg.Cell, of: str, by: str) -> Any:
    """d of_t / d by_{t-1} of a single sequence, (units, units)."""
    state = cell.State(*[tg.tensor(s, requires_grad=True) for s in reached(cell, 1, np.random.default_rng(3))])
    new = cell(tg.tensor(X[0, :1]), state)
    return tg.jacobian(getattr(new, of), getattr(state, by))[0, :, 0, :]


# ------------------------------------------------------------------------------------- LSTM of 1997


def test_lstm_of_1997() -> None:
    cell = tg.cells.LSTM1997Cell(N, H, block_size=2, seed=0)
    x, old, new, w = one(cell)
    u = np.concatenate([old.h, old.i, old.o], axis=1)
    net = {name: x @ w[f"W_{name}"].T + u @ w[f"R_{name}"].T + w[f"b_{name}"] for name in "ioc"}
    i, o = sigmoid(net["i"]), sigmoid(net["o"])
    s = old.s + np.repeat(i, 2, axis=1) * (4 * sigmoid(net["c"]) - 2)
    close(new.s, s)
    close(new.h, np.repeat(o, 2, axis=1) * (2 * sigmoid(s) - 1))
    close(new.i, i)
    close(new.o, o)


@pytest.mark.parametrize("block_size", [1, 2])
def test_the_error_carousel_is_one_for_a_thousand_steps(block_size: int) -> None:
    """Equation 35: in the truncated gradient ds_t/ds_{t-q} is 1 for every q."""
    cell = tg.cells.LSTM1997Cell(N, H, block_size=block_size, truncated=True, seed=0)
    start = cell.State(*[tg.tensor(s, requires_grad=True) for s in cell.initial_state(1)])
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(1000, 1, N)), start)
    weights = RNG.normal(size=(1, H))
    (found,) = tg.grad((run.states[-1].s * weights).sum(), [start.s])
    np.testing.assert_array_equal(found.data, weights)
    (whole,) = tg.grad(
        (tg.unroll(_like(cell, truncated=False), run_inputs(run), start).states[-1].s * weights).sum(), [start.s]
    )
    assert not np.allclose(whole.data, weights)


def run_inputs(run: Any) -> Any:
    return np.stack([x.data for x in run.inputs])


def _like(cell: Any, **options: Any) -> Any:
    other = type(cell)(cell.input_size, cell.hidden_size, block_size=cell.block_size, **options)
    other.load_state_dict(cell.state_dict())
    return other


def test_the_error_through_a_cell_does_not_depend_on_the_lag() -> None:
    """Equation 41: y_out h'(s) times g'(net_c) y_in at the step that wrote it, and nothing in between."""
    cell = tg.cells.LSTM1997Cell(N, 1, truncated=True, seed=0)
    x = tg.tensor(np.random.default_rng(0).normal(size=(50, 1, N)), requires_grad=True)
    run = tg.unroll(cell, x)
    (by_x,) = tg.grad(run.states[-1].s.sum(), [x])
    for t in range(50):
        zc, zi = run.names["g", t].data, run.names["i", t].data
        slope = (2 + zc) * (2 - zc) / 4  # g' in terms of g
        written = slope * zi * cell.W_c.data + zc * zi * (1 - zi) * cell.W_i.data
        close(by_x.data[t], written)


def test_cuts_are_in_the_graph() -> None:
    run = tg.unroll(tg.cells.LSTM1997Cell(N, H, truncated=True, seed=0), X)
    assert sum(node.op == "stop_gradient" for node in tg.Graph(run.outputs).nodes) == T


def test_lstm_of_2000() -> None:
    cell = tg.cells.LSTM2000Cell(N, H, block_size=2, seed=0)
    x, old, new, w = one(cell)
    net = {name: x @ w[f"W_{name}"].T + old.h @ w[f"R_{name}"].T + w[f"b_{name}"] for name in "ifoc"}
    i, f, o = (np.repeat(sigmoid(net[name]), 2, axis=1) for name in "ifo")
    s = f * old.s + i * (4 * sigmoid(net["c"]) - 2)
    close(new.s, s)
    close(new.h, o * (2 * sigmoid(s) - 1))


def test_a_forget_bias_is_a_half_life() -> None:
    cell = tg.cells.LSTM2000Cell(N, H, block_size=2, forget_bias=2.0, truncated=True, seed=0)
    for name in ("W_f", "R_f"):
        getattr(cell, name).data = np.zeros(getattr(cell, name).shape)
    start = cell.State(*[tg.tensor(s, requires_grad=True) for s in cell.initial_state(1)])
    run = tg.unroll(cell, RNG.normal(size=(12, 1, N)), start)
    (found,) = tg.grad(run.states[-1].s.sum(), [start.s])
    half_life = np.log(2) / np.log1p(np.exp(-2.0))
    np.testing.assert_allclose(found.data, 0.5 ** (12 / half_life), rtol=1e-12)
    assert round(half_life, 2) == 5.46
    with pytest.raises(ValueError, match=r"forget_bias=1.0 needs biases"):
        tg.cells.LSTM2000Cell(N, H, bias=False, forget_bias=1.0)


# ------------------------------------------------------------------------------------ LSTM variants


def nets(w: Any, names: str, x: Any, h: Any) -> dict[str, Any]:
    return {name: x @ w[f"W_{name}"].T + h @ w[f"R_{name}"].T + w[f"b_{name}"] for name in names}


ODYSSEY = ["peephole", "nig", "nfg", "nog", "niaf", "noaf", "cifg", "np", "fgr"]


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


# ------------------------------------------------------------------------------------ GRU relatives


def test_gru_with_the_reset_before_the_product() -> None:
    cell = tg.cells.GRUResetBeforeCell(N, H, seed=0)
    x, old, new, w = one(cell)
    a = nets(w, "rz", x, old.h)
    n = np.tanh(x @ w["W_n"].T + (sigmoid(a["r"]) * old.h) @ w["R_n"].T + w["b_n"])
    z = sigmoid(a["z"])
    close(new.h, z * old.h + (1 - z) * n)


def test_mgu_and_janet() -> None:
    cell: tg.Cell = tg.cells.MGUCell(N, H, seed=0)
    x, old, new, w = one(cell)
    f = sigmoid(nets(w, "f", x, old.h)["f"])
    close(new.h, (1 - f) * old.h + f * np.tanh(nets(w, "n", x, f * old.h)["n"]))
    cell = tg.cells.JANETCell(N, H, beta=0.7, seed=0)
    x, old, new, w = one(cell)
    a = nets(w, "fn", x, old.h)
    close(new.h, sigmoid(a["f"]) * old.h + (1 - sigmoid(a["f"] - 0.7)) * np.tanh(a["n"]))


# -------------------------------------------------------------------------------------- older ideas


def test_jordan_feeds_its_output_back() -> None:
    cell = tg.cells.JordanCell(N, H, decay=0.3, units=5, seed=0)
    x, old, new, w = one(cell)
    s = 0.3 * old.s + old.y
    h = np.tanh(x @ w["W_h"].T + s @ w["R_h"].T + w["b_h"])
    close(new.y, sigmoid(h @ w["V"].T + w["c"]))
    close(new.s, s)


def test_irnn_begins_as_the_identity() -> None:
    cell = tg.cells.IRNNCell(N, H, seed=0)
    np.testing.assert_array_equal(cell.weight_hh.data, np.eye(H))
    start = np.abs(RNG.normal(size=(1, H))) + 0.1
    run = tg.unroll(cell, np.zeros((1000, 1, N)), (start,))
    np.testing.assert_array_equal(run.outputs[-1].data, start)


@pytest.mark.parametrize("tau", [1.0, 5.0])
def test_a_leaky_unit_forgets_with_its_time_constant(tau: float) -> None:
    cell = tg.cells.LeakyCell(N, H, time_constant=tau, bias=False, seed=0)
    cell.R_n.data = np.zeros((H, H))  # type: ignore[attr-defined]
    start = RNG.normal(size=(1, H))
    run = tg.unroll(cell, np.zeros((20, 1, N)), (start,))
    close(run.outputs[-1].data, (1 - 1 / tau) ** 20 * start)


def test_mozers_units_learn_their_time_constants() -> None:
    cell = tg.cells.MozerCell(N, H, seed=0)
    x, old, new, w = one(cell)
    tau = sigmoid(w["q"])
    close(tau, (np.arange(H) + 0.5) / H)
    close(new.h, tau * old.h + (1 - tau) * np.tanh(nets(w, "n", x, old.h)["n"]))


@pytest.mark.parametrize("delay", [1, 2, 4])
def test_a_delay_divides_the_decay(delay: int) -> None:
    """With h_t = R h_{t-D} the gradient after q steps is R to the power q / D."""
    cell = tg.cells.NARXCell(N, H, delays=(delay,), nonlinearity="identity", bias=False, seed=0)
    rotation = tg.init.orthogonal((H, H), np.random.default_rng(0))
    getattr(cell, f"R_{delay}").data = 0.8 * rotation
    x = tg.tensor(np.zeros((13, 1, N)), requires_grad=True)
    run = tg.unroll(cell, x)
    weights = RNG.normal(size=(1, H))
    norms = [np.linalg.norm(g.data) for g in tg.grad((run.outputs[-1] * weights).sum(), list(run.outputs))]
    for q in range(13):
        expected = 0.8 ** (q // delay) * np.linalg.norm(weights) if q % delay == 0 else 0.0
        np.testing.assert_allclose(norms[12 - q], expected, rtol=1e-12)


def test_delayed_states_are_the_earlier_ones_themselves() -> None:
    run = tg.unroll(tg.cells.NARXCell(N, H, delays=(1, 3), seed=0), X)
    assert run.states[5].h_1.id == run.states[4].h.id and run.states[5].h_2.id == run.states[3].h.id


def test_a_second_order_net_is_an_automaton() -> None:
    """R11: one transition matrix for each symbol; parity, wired by hand."""
    cell = tg.cells.SecondOrderCell(2, 2, seed=0)
    w = np.zeros((2, 2, 2))
    w[0, 0, 0] = w[1, 1, 0] = w[0, 1, 1] = w[1, 0, 1] = 20.0  # symbol 0 stays, symbol 1 swaps
    cell.W.data, cell.b.data = w.reshape(2, 4), np.full(2, -10.0)
    bits = RNG.integers(0, 2, size=(60, 5))
    run = tg.unroll(cell, np.eye(2)[bits], (np.tile([1.0, 0.0], (5, 1)),))
    np.testing.assert_array_equal(run.outputs[-1].data.argmax(axis=1), bits.sum(axis=0) % 2)


def test_second_order_is_the_sum_over_triples() -> None:
    cell = tg.cells.SecondOrderCell(N, H, seed=0)
    x, old, new, w = one(cell)
    close(new.h, sigmoid(np.einsum("ijk,bj,bk->bi", w["W"].reshape(H, H, N), old.h, x) + w["b"]))


def test_clockwork_modules_tick_at_their_periods() -> None:
    cell = tg.cells.ClockworkCell(N, 8, periods=(1, 2, 4, 8), seed=0)
    run = tg.unroll(cell, RNG.normal(size=(17, 1, N)))
    h = np.stack([np.zeros((1, 8)), *[out.data for out in run.outputs]])
    for k, period in enumerate((1, 2, 4, 8)):
        moved = (h[1:, 0, 2 * k] != h[:-1, 0, 2 * k]).tolist()
        assert moved == [t % period == 0 for t in range(17)]


def test_fast_clockwork_modules_do_not_reach_slow_ones() -> None:
    found = jacobian(tg.cells.ClockworkCell(N, H, periods=(1, 2), seed=0), "h", "h")
    state = reached(tg.cells.ClockworkCell(N, H, periods=(1, 2), seed=0), 1, np.random.default_rng(3))
    assert (state[1][0, 2:] == 0).all(), "the slow module moves at this step"
    np.testing.assert_array_equal(found[2:, :2], 0)
    assert (found[:2] != 0).all() and (found[2:, 2:] != 0).all()


def test_the_chunker_moves_at_surprises_only() -> None:
    cell = tg.cells.ChunkerCell(N, H, seed=0)
    x = np.eye(N)[[0, 0, 1, 1, 2, 0]][:, None]
    state = cell.State(*cell.initial_state(1))
    for k, now in enumerate(x):
        expected = bool(np.abs(now - state.p).max() > 0.5)
        perfect = cell.State(state.h, state.a, now if k % 2 else state.p)
        new = cell(tg.tensor(now), perfect)
        moved = bool((new.h.data != state.h).any())
        assert moved == (expected if k % 2 == 0 else False)
        state = cell.State(*[value.data for value in new])


# --------------------------------------------------------------------------------- newer relatives


def test_mingru_has_a_diagonal_jacobian() -> None:
    cell = tg.cells.MinGRUCell(N, H, seed=0)
    x, old, new, w = one(cell)
    z = sigmoid(x @ w["W_z"].T + w["b_z"])
    close(new.h, (1 - z) * old.h + z * (x @ w["W_n"].T + w["b_n"]))
    close(jacobian(cell, "h", "h"), np.diag(1 - z[0]))


def test_minlstm_weighs_old_and_new_to_one() -> None:
    cell = tg.cells.MinLSTMCell(N, H, seed=0)
    x, old, new, w = one(cell)
    f, i = (sigmoid(x @ w[f"W_{g}"].T + w[f"b_{g}"]) for g in "fi")
    close(new.h, (f * old.h + i * (x @ w["W_n"].T + w["b_n"])) / (f + i))


@pytest.mark.parametrize("inputs", [N, H])
def test_sru(inputs: int) -> None:
    cell = tg.cells.SRUCell(inputs, H, seed=0)
    x = RNG.normal(size=(B, inputs))
    old = cell.State(*reached(cell, B, np.random.default_rng(3)))
    new, w = cell(tg.tensor(x), old), cell.state_dict()
    f, r = (sigmoid(x @ w[f"W_{g}"].T + w[f"v_{g}"] * old.c + w[f"b_{g}"]) for g in "fr")
    c = f * old.c + (1 - f) * (x @ w["W_n"].T)
    close(new.c.data, c)
    close(new.h.data, r * c + (1 - r) * (x @ w["P"].T if inputs != H else x))


def test_lru_is_a_sum_of_complex_exponentials() -> None:
    cell = tg.cells.LRUCell(N, H, r_min=0.5, r_max=0.9, seed=0)
    w = cell.state_dict()
    eigenvalues = np.exp(-np.exp(w["nu"]) + 1j * np.exp(w["theta"]))
    assert (np.abs(eigenvalues) > 0.5).all() and (np.abs(eigenvalues) < 0.9).all()
    close(np.exp(2 * w["gamma"]), 1 - np.abs(eigenvalues) ** 2)
    x = RNG.normal(size=(9, 1, N))
    run = tg.unroll(cell, x)
    into = np.exp(w["gamma"]) * (x[:, 0] @ (w["B_re"] + 1j * w["B_im"]).T)
    s = sum(eigenvalues ** (8 - t) * into[t] for t in range(9))
    close(run.states[-1].re.data[0] + 1j * run.states[-1].im.data[0], s)
    close(run.outputs[-1].data[0], ((w["C_re"] + 1j * w["C_im"]) @ s).real + w["D"] @ x[-1, 0])


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_slstm_does_not_depend_on_its_stabiliser(forget: str) -> None:
    cell = tg.cells.SLSTMCell(N, H, forget=forget, seed=0)
    x, old, new, w = one(cell)
    a = nets(w, "ifzo", x, old.h)
    c, n = old.c * np.exp(old.m), old.n * np.exp(old.m)
    f = np.exp(a["f"]) if forget == "exp" else sigmoid(a["f"])
    c, n = f * c + np.exp(a["i"]) * np.tanh(a["z"]), f * n + np.exp(a["i"])
    close(new.h, sigmoid(a["o"]) * c / n)
    for shift in (-3.0, 5.0):
        moved = cell.State(old.h, old.c * np.exp(-shift), old.n * np.exp(-shift), old.m + shift)
        close(cell(tg.tensor(x), moved).h.data, new.h)


def test_slstm_stays_finite_where_exponentials_overflow() -> None:
    cell = tg.cells.SLSTMCell(N, H, forget="exp", seed=0)
    cell.b_i.data, cell.b_f.data = np.full(H, 800.0), np.full(H, 700.0)  # type: ignore[attr-defined]
    assert np.isfinite(tg.unroll(cell, X).stacked.data).all()


@pytest.mark.parametrize("reflections", [1, 3, 4])
def test_the_recurrent_matrix_stays_orthogonal(reflections: int) -> None:
    cell = tg.cells.OrthogonalRNNCell(N, H, reflections=reflections, nonlinearity="identity", bias=False, seed=0)
    optimizer = tg.optim.Adam(cell.parameters(), lr=0.5)
    for _ in range(5):
        optimizer.zero_grad()
        (tg.unroll(cell, X).stacked ** 3).sum().backward()
        optimizer.step()
    q = jacobian(cell, "h", "h")
    close(q @ q.T, np.eye(H))
    assert round(float(np.linalg.det(q))) == (-1) ** reflections


def test_modrelu_keeps_lengths_where_its_bias_is_zero() -> None:
    cell = tg.cells.OrthogonalRNNCell(N, H, seed=0)
    cell.b.data = np.zeros(H)
    start = RNG.normal(size=(1, H))
    run = tg.unroll(cell, np.zeros((1000, 1, N)), (start,))
    np.testing.assert_allclose(np.linalg.norm(run.outputs[-1].data), np.linalg.norm(start), rtol=1e-10)


# -------------------------------------------------------------------------------------------- table


def test_the_table_counts_what_texts_state() -> None:
    found = tg.cells.table()
    assert list(found) == tg.cells.names()
    measures = {name: (row.states, row.layers, row.sigmoids, row.tanhs) for name, row in found.items()}
    assert measures["rnn"] == (1, 1, 0, 1)
    assert measures["lstm"] == (2, 4, 3, 2)
    assert measures["gru"] == (1, 3, 2, 1)
    assert measures["lstm1997"][1] == 3 and measures["lstm2000"][1] == 4 and measures["layernorm"][1] == 4
    assert {name: row.layers for name, row in found.items() if name in ODYSSEY} == {
        "peephole": 4,
        "nig": 3,
        "nfg": 3,
        "nog": 3,
        "niaf": 4,
        "noaf": 4,
        "cifg": 3,
        "np": 4,
        "fgr": 4,
    }
    assert {name: found[name].layers for name in ("slstm", "sru", "mingru", "minlstm", "lru", "chunker", "narx")} == {
        "slstm": 4,
        "sru": 4,
        "mingru": 2,
        "minlstm": 3,
        "lru": 3,
        "chunker": 3,
        "narx": 1,
    }


def test_what_cells_cost_against_each_other() -> None:
    cost = {name: row.multiply_adds for name, row in tg.cells.table(input_size=8, hidden_size=16).items()}
    assert cost["rnn"] == 16 * (8 + 16)
    for name, times in {
        "mgu": 2,
        "janet": 2,
        "gru": 3,
        "gru_before": 3,
        "coupled": 3,
        "cifg": 3,
        "lstm": 4,
        "peephole": 4,
    }.items():
        assert cost[name] == times * cost["rnn"], name
    parameters = {name: tg.cells.table([name], 10, 20)[name].parameters for name in ("lstm", "gru")}
    assert parameters["gru"] * 4 == parameters["lstm"] * 3
    assert cost["second_order"] == 16 * 16 * 8
    small, large = (tg.cells.table(["second_order"], 4, h)["second_order"].multiply_adds for h in (8, 16))
    assert large == 4 * small


def test_the_table_counts_any_cell_and_prints() -> None:
    from tinygrad_rnn.cells.costs import measure

    class Own(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            w = dict(self.named_parameters())
            return (tg.tanh(tg.einsum("bi,ij->bj", x, w["w"])) + 0.5 * state.h,)

    cell = Own(N, H)
    cell.parameter("w", (N, H))
    assert (measure(cell).multiply_adds, measure(cell).layers, measure(cell).tanhs) == (N * H, 1, 1)
    text = str(tg.cells.table(["rnn", "lstm"]))
    assert text.splitlines()[0].split()[:3] == ["cell", "states", "layers"] and "1,664" in text
    with pytest.raises(KeyError, match="no cell called 'lsmt'; did you mean"):
        tg.cells.table(["lsmt"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: tg.cells.LSTM1997Cell(2, 5, block_size=2),
            "LSTM1997Cell: block_size must divide 5 memory cells, got 2",
        ),
        (lambda: tg.cells.LSTM1997Cell(2, 4, bias="some"), "bias must be True, False or 'gates', got 'some'"),
        (
            lambda: tg.cells.LSTM2000Cell(2, 4, cell_input="sine"),
            "LSTM2000Cell: cell_input must be one of g, h, sigmoid, tanh, identity",
        ),
        (lambda: tg.cells.JordanCell(2, 4, decay=1.0), r"decay must lie in \[0, 1\), got 1.0"),
        (lambda: tg.cells.JordanCell(2, 4, units=0), "units must be a positive integer, got 0"),
        (
            lambda: tg.cells.LeakyCell(2, 4, time_constant=0.5),
            "time_constant must be one number or 4, at least 1, got 0.5",
        ),
        (lambda: tg.cells.LeakyCell(2, 4, time_constant=[1, 2]), "time_constant must be one number or 4"),
        (lambda: tg.cells.NARXCell(2, 4, delays=()), "delays must be different positive integers"),
        (lambda: tg.cells.NARXCell(2, 4, delays=(1, 1)), "delays must be different positive integers"),
        (
            lambda: tg.cells.ClockworkCell(2, 4, periods=(2, 1)),
            "periods must be rising positive integers whose number divides 4",
        ),
        (lambda: tg.cells.ClockworkCell(2, 4, periods=(1, 2, 4)), "whose number divides 4"),
        (lambda: tg.cells.LRUCell(2, 4, r_min=0.9, r_max=0.5), "needs 0 <= r_min < r_max <= 1, got 0.9 and 0.5"),
        (lambda: tg.cells.SLSTMCell(2, 4, forget="relu"), "forget must be 'sigmoid' or 'exp', got 'relu'"),
        (lambda: tg.cells.OrthogonalRNNCell(2, 4, reflections=5), r"reflections must lie in 1..4, got 5"),
        (lambda: tg.cells.OrthogonalRNNCell(2, 4, nonlinearity="x"), "OrthogonalRNNCell: nonlinearity must be one of"),
    ],
)
def test_bad_options_are_explained(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
