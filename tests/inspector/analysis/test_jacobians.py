"""Jacobians of the full state against the engine, PyTorch and JAX; their spectra where they are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.collections import PolyCollection

import inspector
import tinygrad_rnn as tg
from inspector.analysis import step_jacobians
from inspector.analysis.jacobians import effective_rank
from tests.random_cells import BATCH, cells
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

T = 5
X = np.random.default_rng(0).normal(size=(T, 2, 3))


def cell(name: str, seed: int = 0, inputs: int = 3) -> tg.Cell:
    return tg.cells.get(name)(inputs, 4, seed=seed)


def flat(state: Any) -> np.ndarray:
    return np.concatenate([np.asarray(leaf.data).reshape(leaf.shape[0], -1) for leaf in state], axis=1)


def one_by_one(made: tg.Cell, x: np.ndarray, state: Any) -> np.ndarray:
    """The Jacobian of one step of one sequence, from the engine's own `jacobian`, number by number."""
    old = [tg.tensor(np.asarray(leaf.data), requires_grad=True) for leaf in state]
    new = made(x, made.State(*old))
    rows = []
    for value in new:
        if isinstance(value, tg.Tensor):
            parts = [tg.jacobian(value, leaf).reshape(value.size, leaf.size) for leaf in old]
            rows.append(np.concatenate(parts, axis=1))
    return np.concatenate(rows)


def expected(made: tg.Cell, run: Run) -> np.ndarray:
    """One sequence and one step at a time."""
    out = []
    order = range(len(run))[:: -1 if run.reverse else 1]
    before = [run.initial_state, *[run.states[t] for t in order]]
    for k, t in enumerate(order):
        rows = [[tg.tensor(leaf.data[b : b + 1]) for leaf in before[k]] for b in range(run.inputs[t].shape[0])]
        out.append(np.stack([one_by_one(made, run.inputs[t].data[b : b + 1], row) for b, row in enumerate(rows)]))
    return np.stack(out[:: -1 if run.reverse else 1])


@pytest.mark.parametrize("name", tg.cells.names())
def test_every_cell_has_the_jacobians_of_its_single_steps(name: str) -> None:
    run = tg.unroll(cell(name), X)
    np.testing.assert_allclose(inspector.step_jacobians(run), expected(cell(name), run), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("options", [{"reverse": True}, {"truncate": 2}, {}], ids=str)
@pytest.mark.parametrize("compiled", [False, True])
def test_jacobians_are_of_the_dynamics_however_it_was_run(options: dict[str, Any], compiled: bool) -> None:
    made = cell("lstm")
    run = tg.unroll(tg.compile(made, backend="numpy") if compiled else made, X, **options)
    np.testing.assert_allclose(inspector.step_jacobians(run), expected(made, run), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_padded_steps_are_the_identity(compiled: bool, reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        step_jacobians.StepMaps, "_recorded", None
    )  # nor does what stands in the padding keep steps from being repeated
    made, x = cell("lstm"), X.copy()
    x[3:, 1] = np.nan
    run = tg.unroll(tg.compile(made, backend="numpy") if compiled else made, x, lengths=[5, 3], reverse=reverse)
    found = inspector.step_jacobians(run)
    np.testing.assert_array_equal(found[3:, 1], np.broadcast_to(np.eye(8), (2, 8, 8)))
    alone = tg.unroll(made, X[:3, 1:], reverse=reverse)
    np.testing.assert_allclose(found[:3, 1], inspector.step_jacobians(alone)[:, 0], rtol=1e-12)


def test_layers_and_directions_are_chosen_by_name() -> None:
    below, above = cell("lstm"), cell("gru", 1, 4)
    run = tg.unroll(tg.Stacked(below, above), X)
    np.testing.assert_array_equal(
        inspector.step_jacobians(run, "layer0"), inspector.step_jacobians(tg.unroll(below, X))
    )
    np.testing.assert_array_equal(
        inspector.step_jacobians(run, "layer1"), inspector.step_jacobians(run.children["layer1"])
    )
    both = tg.unroll(tg.Bidirectional(cell("lstm"), cell("rnn", 1)), X)
    alone = tg.unroll(cell("rnn", 1), X, reverse=True)
    np.testing.assert_array_equal(inspector.step_jacobians(both, "backward"), inspector.step_jacobians(alone))
    with pytest.raises(ValueError, match="step_jacobians: layer must be one of layer0, layer1; got None"):
        inspector.step_jacobians(run)
    with pytest.raises(ValueError, match="none, there is a single cell; got 'layer0'"):
        inspector.step_jacobians(alone, "layer0")


@FEW
@given(cells(), st.integers(0, 99), st.integers(0, 2))
def test_a_jacobian_times_a_vector_is_what_grad_gives(made: tg.Cell, seed: int, t: int) -> None:
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        run = tg.unroll(made, rng.normal(size=(3, BATCH, 3)))
        states = [flat(state) for state in run.states]
        assume(all(np.isfinite(state).all() and np.abs(state).max() < 1e20 for state in states))
        before = run.initial_state if t == 0 else run.states[t - 1]
        old = [tg.tensor(np.array(leaf.data), requires_grad=True) for leaf in before]
        new = made(run.inputs[t].detach(), made.State(*old))
        weights = [rng.normal(size=value.shape) for value in new]
        loss = sum((value * w).sum() for value, w in zip(new, weights, strict=True))
        pulled = np.concatenate([g.data for g in tg.grad(loss, old)], axis=1)
        found = inspector.step_jacobians(run)[t]
        np.testing.assert_allclose(
            np.einsum("bi,bij->bj", np.concatenate(weights, axis=1), found),
            pulled,
            rtol=1e-9,
            atol=1e-9 * np.abs(found).max(initial=1.0),
        )


def test_pytorch_agrees_on_an_lstm(torch: Any) -> None:
    ours = cell("lstm")
    run = tg.unroll(ours, X)
    theirs = torch.nn.LSTMCell(3, 4, dtype=torch.float64)
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    found = inspector.step_jacobians(run)
    for t in range(1, T):
        for b in range(2):

            def step(s: Any, t: int = t, b: int = b) -> Any:
                return torch.cat(theirs(torch.from_numpy(X[t, b]), (s[:4], s[4:])))

            other = torch.autograd.functional.jacobian(step, torch.from_numpy(flat(run.states[t - 1])[b]))
            np.testing.assert_allclose(found[t, b], other.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.slow
def test_jax_agrees_on_an_rnn() -> None:
    jax = pytest.importorskip("jax", reason="JAX is the reference here: pip install jax")
    made = tg.cells.RNNCell(3, 4, seed=0, dtype=np.float32)
    run = tg.unroll(made, X)
    w, u, bias = made.weight_hh.data, made.weight_ih.data, made.bias_ih.data + made.bias_hh.data
    jacobian = jax.vmap(jax.jacrev(lambda h, x: jax.numpy.tanh(u @ x + w @ h + bias)))
    before = np.stack([run.initial_state.h.data, *[state.h.data for state in run.states[:-1]]]).reshape(-1, 4)
    other = np.asarray(jacobian(before, np.float32(X.reshape(-1, 3)))).reshape(T, 2, 4, 4)
    np.testing.assert_allclose(inspector.step_jacobians(run), other, rtol=1e-4, atol=1e-6)


def test_blocks_and_subsets_do_not_change_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    run = tg.unroll(cell("lstm"), X, lengths=[5, 4], reverse=True)
    whole = inspector.step_jacobians(run)
    np.testing.assert_array_equal(inspector.step_jacobians(run, steps=slice(1, 4)), whole[1:4])
    before = inspector.jacobians(run).to_dict()
    monkeypatch.setattr(step_jacobians, "_BLOCK", 2 * 2 * 8 * 4)
    np.testing.assert_allclose(inspector.step_jacobians(run), whole, rtol=1e-12)
    for name, table in before.items():
        if isinstance(table, dict):
            after = inspector.jacobians(run).to_dict()[name]
            np.testing.assert_allclose(np.array(after["values"], float), np.array(table["values"], float), rtol=1e-9)


class Noisy(tg.Cell):
    """Draws a new number at every step."""

    def step(self, x: Any, state: Any) -> Any:
        return (state.h * self._rng.normal(),)


class Centred(tg.Cell):
    """Batch statistics: sequences depend on one another."""

    def step(self, x: Any, state: Any) -> Any:
        return (tg.tanh(state.h - tg.mean(state.h, axis=0, keepdims=True)) + x,)


class Patterned(tg.Cell):
    """A mask of its own for every sequence of the batch it was made for."""

    def step(self, x: Any, state: Any) -> Any:
        return (tg.tanh(state.h + x) * np.array([[1.0], [0.0]]),)


def test_steps_that_cannot_be_repeated_are_read_off_the_record() -> None:
    for size in (1.0, 1e-9):
        run = tg.unroll(Noisy(3, 3, seed=0), X, [np.full((2, 3), size)])
        h = [size, *(state.h.data[0, 0] for state in run.states)]
        ratios = np.array([h[t + 1] / h[t] for t in range(T)])
        np.testing.assert_allclose(
            inspector.step_jacobians(run), ratios[:, None, None, None] * np.broadcast_to(np.eye(3), (T, 2, 3, 3))
        )
    masked = inspector.step_jacobians(tg.unroll(Patterned(3, 3), X))
    assert masked[:, 0].any(axis=(1, 2)).all() and not masked[:, 1].any()


class Constant(tg.Cell):
    """A second state that is an array, and no Tensor: it depends on nothing."""

    state_names = ("h", "k")

    def step(self, x: Any, state: Any) -> Any:
        return tg.tanh(state.h * state.k + x), np.full((x.shape[0], 3), 2.0)


def test_a_state_that_is_an_array_depends_on_nothing() -> None:
    run = tg.unroll(Constant(3, 3), X)
    found = inspector.step_jacobians(run)
    assert found.shape == (T, 2, 6, 6) and not found[:, :, 3:].any()
    for t in range(T):
        before = run.initial_state if t == 0 else run.states[t - 1]
        slope = 1 - run.states[t].h.data ** 2
        for k, factor in enumerate((np.asarray(before.k), np.asarray(before.h))):
            np.testing.assert_allclose(
                found[t, :, :3, 3 * k : 3 * k + 3], (slope * factor)[:, :, None] * np.eye(3), rtol=1e-12
            )


def test_sequences_that_depend_on_one_another_are_refused() -> None:
    run = tg.unroll(Centred(3, 3), X, [np.random.default_rng(0).normal(size=(2, 3))])
    with pytest.raises(ValueError, match="sequences of a batch depend on one another"):
        inspector.step_jacobians(run)
    np.testing.assert_array_equal(inspector.step_jacobians(tg.unroll(Centred(3, 3), X[:, :1])), 0.0)


class Mixed(tg.Cell):
    """One sequence depends on one other, by a value too small to see."""

    one, other = 0, 1

    def step(self, x: Any, state: Any) -> Any:
        here = (np.arange(state.h.shape[0]) == self.one)[:, None]
        return (state.h + 1e-30 * tg.where(here, state.h[self.other], 0.0) + x,)


def test_even_the_smallest_dependence_is_found() -> None:
    for batch, one, other in ((2, 0, 1), (2, 1, 0), (3, 0, 2), (5, 4, 0), (8, 2, 6), (8, 7, 3)):
        cell = Mixed(3, 3)
        cell.one, cell.other = one, other
        run = tg.unroll(cell, np.ones((1, batch, 3)))
        with pytest.raises(ValueError, match="depend on one another"):
            inspector.step_jacobians(run)


def test_errors_name_what_is_wrong() -> None:
    run = tg.unroll(cell("gru"), X)
    with pytest.raises(TypeError, match="jacobians: run must be what unroll returned, got str"):
        inspector.jacobians("run")  # type: ignore[arg-type]
    for wrong in (slice(3, 3), slice(None, None, 2), slice(None, None, -1)):
        with pytest.raises(ValueError, match=r"steps must be a slice of neighbours within 0\.\.4"):
            inspector.jacobians(run, steps=wrong)
    with pytest.raises(ValueError, match="unroll one of its members"):
        inspector.jacobians(tg.unroll(tg.compile([cell("gru")], backend="numpy"), X))


# ------------------------------------------------------------------------------------------- spectra


def linear(matrix: Any, length: int, batch: int = 1) -> Run:
    matrix = np.asarray(matrix, dtype=np.float64)
    made = tg.cells.RNNCell(1, len(matrix), nonlinearity="identity", bias=False)
    made.load_state_dict({"weight_hh": matrix, "weight_ih": np.ones((len(matrix), 1))})
    return tg.unroll(made, np.ones((length, batch, 1)))


def test_an_orthogonal_network_keeps_everything() -> None:
    q = tg.init.orthogonal((6, 6), np.random.default_rng(0))
    found = inspector.jacobians(linear(q, 300))
    np.testing.assert_allclose(found.singular_values, 1.0, rtol=1e-12)
    np.testing.assert_allclose(found.product, 0.0, atol=1e-11)
    np.testing.assert_allclose(found.bound, 0.0, atol=1e-11)
    np.testing.assert_allclose([found.rank.values, found.surviving.values], 6.0, rtol=1e-9)
    np.testing.assert_allclose([found.radius.values, found.non_normality.values], 1.0, rtol=1e-12)


def test_a_diagonal_network_has_its_diagonal_far_beyond_underflow() -> None:
    found = inspector.jacobians(linear(np.diag([0.1, -0.5, 0.25]), 2000))
    np.testing.assert_allclose(found.singular_values["t", 7], [[0.5, 0.25, 0.1]], rtol=1e-12)
    left = np.arange(1999, -1, -1)
    np.testing.assert_allclose(found.product.values[:, 0], left * math.log(0.5), rtol=1e-12)
    np.testing.assert_allclose(found.gap.values[:-1], 0.0, atol=1e-12)
    assert found.surviving.values[0, 0] == 1.0 and found.surviving.values[-1, 0] == 3.0
    assert math.isnan(found.gap.values[-1, 0])


def test_bands_stay_on_the_logarithmic_axis_where_a_jacobian_is_zero() -> None:
    made = tg.cells.RNNCell(1, 2, nonlinearity="relu", bias=False, seed=0)
    made.load_state_dict({"weight_hh": np.diag([0.5, 0.0]), "weight_ih": np.ones((2, 1))})
    found = inspector.jacobians(tg.unroll(made, np.array([1.0, -9.0, 1.0, 1.0]).reshape(4, 1, 1)))
    assert (found.singular_values.values == 0.0).any(axis=2).all() and not found.singular_values.values[1].any()
    drawn: Any = found.plot()
    bands = [band for band in drawn.get_figure().axes[0].collections if isinstance(band, PolyCollection)]
    assert len(bands) == 2 and all((path.vertices[:, 1] > 0).all() for band in bands for path in band.get_paths())


def test_a_non_normal_matrix_explodes_before_it_vanishes() -> None:
    """R = [[.9, 10], [0, .9]]: the corner of R^k is 10 k .9^(k-1), largest at k = 9 and 10."""
    found = inspector.jacobians(linear([[0.9, 10.0], [0.0, 0.9]], 60))
    assert found.radius.values[3, 0] == pytest.approx(0.9, rel=1e-6)
    assert found.non_normality.values[3, 0] > 11.0
    curve = found.transient.values[0, 0]
    corner = 10 * np.arange(51) * 0.9 ** (np.arange(51) - 1.0)
    np.testing.assert_allclose(
        curve, [np.linalg.norm([[0.9**k, c], [0, 0.9**k]], 2) for k, c in enumerate(corner)], rtol=1e-10
    )
    assert curve.argmax() in (9, 10) and curve.max() == pytest.approx(38.742, rel=1e-3)
    np.testing.assert_allclose(found.product.values[::-1, 0][:51], np.log(curve), rtol=1e-9, atol=1e-9)
    assert (found.gap.values[:-1] >= -1e-12).all() and found.gap.values[0, 0] > 2.0


@pytest.mark.parametrize("reverse", [False, True])
def test_products_are_the_matrices_multiplied(reverse: bool) -> None:
    run = tg.unroll(cell("lstm"), X, reverse=reverse)
    matrices, found = inspector.step_jacobians(run), inspector.jacobians(run)
    for b in range(2):
        chain = np.eye(8)
        for t in range(T) if reverse else reversed(range(T)):
            values = np.linalg.svd(chain, compute_uv=False)
            assert found.product.values[t, b] == pytest.approx(math.log(values[0]), abs=1e-10)
            assert found.surviving.values[t, b] == pytest.approx(float(effective_rank(values)), rel=1e-9)
            chain = chain @ matrices[t, b]
    radii = np.abs(np.linalg.eigvals(matrices)).max(axis=2)
    np.testing.assert_allclose(found.radius, radii, rtol=1e-10)
    np.testing.assert_allclose(found.singular_values, np.linalg.svd(matrices, compute_uv=False), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("reverse", [False, True])
def test_some_of_the_steps_are_a_run_of_their_own(reverse: bool) -> None:
    run = tg.unroll(cell("gru"), X, reverse=reverse)
    whole, some = inspector.jacobians(run), inspector.jacobians(run, steps=slice(1, 4))
    for name, table in some.tables().items():
        assert list(table.axes["t"]) == [1, 2, 3], name
    for name in ("singular_values", "radius", "non_normality", "rank", "transient"):
        np.testing.assert_allclose(getattr(some, name).values, getattr(whole, name).values[1:4], rtol=1e-12)
    matrices = inspector.step_jacobians(run)
    last = matrices[1] @ matrices[2] if reverse else matrices[3] @ matrices[2]
    np.testing.assert_allclose(
        some.product["t", 3 if reverse else 1], np.log(np.linalg.norm(last, 2, axis=(1, 2))), rtol=1e-10
    )
    assert not some.product["t", 1 if reverse else 3].any()


@pytest.mark.parametrize("reverse", [False, True])
def test_the_words_tell_what_all_steps_do_together(reverse: bool) -> None:
    found = inspector.jacobians(tg.unroll(cell("lstm"), X, reverse=reverse))
    farthest = T - 1 if reverse else 0
    whole, bound = (np.median(table.values[farthest]) / math.log(10) for table in (found.product, found.bound))
    assert f"10^{whole:.1f} over all steps, bound 10^{bound:.1f}" in str(found) and whole < -0.1
    assert f"{np.median(found.surviving.values[farthest]):.3g} for all" in str(found)


@pytest.mark.parametrize(("batch", "some"), [(1, 40), (3, 13), (41, 1)])
def test_powers_are_taken_of_forty_matrices_along_the_run(batch: int, some: int) -> None:
    found = inspector.jacobians(linear([[0.5]], 50, batch))
    t = list(found.transient.axes["t"])
    assert len(t) == some and t == np.linspace(0, 49, some).round().tolist()
    np.testing.assert_allclose(found.transient.values, np.broadcast_to(0.5 ** np.arange(51), (some, batch, 51)))


def test_a_dead_step_leaves_nothing() -> None:
    found = inspector.jacobians(linear(np.zeros((3, 3)), 4))
    assert (found.product.values[:-1] == -math.inf).all() and found.product.values[-1, 0] == 0.0
    assert (found.rank.values == 0).all() and (found.surviving.values[:-1] == 0).all()
    assert found.to_dict()["product"]["values"][0] == [None]


def test_the_effective_rank_is_the_participation_ratio() -> None:
    assert effective_rank(np.array([1.0, 1.0, 0.0])) == 2.0
    assert effective_rank(np.array([3e-200, 1e-200])) == pytest.approx(100 / 82)


@pytest.mark.slow
def test_pictures_and_words(tmp_path: Path) -> None:
    found = inspector.jacobians(tg.unroll(cell("lstm"), X))
    assert found.save(tmp_path / "all.png").stat().st_size > 10_000
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    assert found.plot(ax=axes) is axes
    told = str(found)
    assert "state (h, c), n = 8, 5 steps" in told and "non-normality" in told and "bound" in told
    inspector.jacobians(linear(np.zeros((3, 3)), 4)).save(tmp_path / "dead.png")
    inspector.jacobians(linear([[0.5]], 1)).save(tmp_path / "one.png")
