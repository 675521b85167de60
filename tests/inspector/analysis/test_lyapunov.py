"""Lyapunov exponents and rates of maps that are known, and of small changes followed by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import inspector
import tinygrad_rnn as tg
from inspector.analysis.lyapunov import _dimension
from inspector.analysis.phase import _NAMED, _slope


class Henon(tg.Cell):
    """x' = 1 - 1.4 x² + y, y' = 0.3 x (Hénon 1976): one direction is stretched, areas shrink by 0.3 a step."""

    state_names = ("x", "y")

    def step(self, x: Any, state: Any) -> Any:
        return 1.0 - 1.4 * state.x**2 + state.y, 0.3 * state.x


class Logistic(tg.Cell):
    """h' = 4 h (1 - h), whose exponent is ln 2."""

    def step(self, x: Any, state: Any) -> Any:
        return (4.0 * state.h * (1.0 - state.h),)


def linear(matrix: Any, length: int) -> inspector.Lyapunov:
    matrix = np.asarray(matrix, dtype=np.float64)
    cell = tg.cells.RNNCell(1, len(matrix), nonlinearity="identity", bias=False)
    cell.load_state_dict({"weight_hh": matrix, "weight_ih": np.zeros((len(matrix), 1))})
    return inspector.lyapunov(cell, np.zeros((length, 1, 1)))


def test_henon() -> None:
    found = inspector.lyapunov(
        Henon(1, 1), np.zeros((3000, 4, 1)), state=[0.1 * np.array([[1.0], [2.0], [-1.0], [0.5]])] * 2
    )
    assert found.exponents.values.sum() == pytest.approx(math.log(0.3), abs=1e-12)
    assert found.exponents.values[0] == pytest.approx(0.41922, abs=0.01)
    assert abs(found.exponents.values[0] - 0.41922) < 4 * found.errors.values[0] < 0.03
    assert found.dimension == pytest.approx(1.258, abs=0.005)
    assert found.entropy == found.exponents.values[0] and found.half_life == pytest.approx(-math.log(2) / found.entropy)
    assert (found.steps, found.discarded) == (2700, 300)


def test_logistic_map() -> None:
    found = inspector.lyapunov(Logistic(1, 1), np.zeros((2000, 3, 1)), state=[np.array([[0.1234], [0.345], [0.456]])])
    assert found.exponents.values[0] == pytest.approx(math.log(2), abs=0.003)
    assert found.dimension == 1.0


def test_a_linear_recurrence_has_the_logarithms_of_its_eigenvalues() -> None:
    matrix = np.random.default_rng(0).normal(size=(6, 6)) / math.sqrt(6)
    found = linear(matrix, 3000)
    expected = np.sort(np.log(np.abs(np.linalg.eigvals(matrix))))[::-1]
    np.testing.assert_allclose(found.exponents, expected, atol=0.005)
    assert found.exponents.values.sum() == pytest.approx(np.log(abs(np.linalg.det(matrix))), abs=1e-10)


def test_an_orthogonal_network_neither_grows_nor_shrinks() -> None:
    found = linear(tg.init.orthogonal((5, 5), np.random.default_rng(0)), 200)
    np.testing.assert_allclose(found.exponents, 0.0, atol=1e-13)
    assert found.half_life == math.inf and "neither grow nor die" in str(found)
    np.testing.assert_allclose(linear(0.5 * np.eye(3), 200).exponents, math.log(0.5), rtol=1e-12)


def test_gaussian_matrices_have_newmans_spectrum() -> None:
    """λ_i = ½ (ln(2 g²/n) + ψ((n - i + 1)/2)) for independent matrices g N(0, 1/n) (Newman 1986)."""
    n, g, euler = 20, 1.5, 0.5772156649015329
    found = inspector.lyapunov(np.random.default_rng(0).normal(0, g / math.sqrt(n), size=(1000, 1, n, n)))
    digamma = {0.5: -euler - 2 * math.log(2), 1.0: -euler}
    for k in range(1, n):
        digamma[k / 2 + 1] = digamma[k / 2] + 2 / k
    expected = [0.5 * (math.log(2 * g**2 / n) + digamma[k / 2]) for k in range(n, 0, -1)]
    np.testing.assert_array_less(np.abs(found.exponents.values - expected) / found.errors.values, 4.0)
    assert found.errors.values.max() < 0.05 and found.cell == ""


def test_the_sum_is_the_mean_log_determinant_of_an_lstm() -> None:
    run = tg.unroll(tg.cells.LSTMCell(2, 4, seed=0), np.random.default_rng(0).normal(size=(60, 2, 2)))
    found = inspector.lyapunov(run, discard=10)
    matrices = inspector.step_jacobians(run)[10:]
    assert found.exponents.values.sum() == pytest.approx(np.linalg.slogdet(matrices)[1].mean(), rel=1e-12)
    assert found.exponents.shape == (8,)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_run_and_its_jacobians_and_its_cell_agree(reverse: bool) -> None:
    cell, x = tg.cells.GRUCell(2, 4, seed=0), np.random.default_rng(0).normal(size=(40, 2, 2))
    of_run = inspector.lyapunov(tg.unroll(cell, x, reverse=reverse))
    order = slice(None, None, -1 if reverse else 1)
    of_matrices = inspector.lyapunov(inspector.step_jacobians(tg.unroll(cell, x, reverse=reverse))[order])
    of_cell = inspector.lyapunov(cell, x[order])
    np.testing.assert_allclose(of_run.exponents, of_matrices.exponents, rtol=1e-12)
    np.testing.assert_allclose(of_run.exponents, of_cell.exponents, rtol=1e-9)


def test_a_long_run_is_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, x = (
        tg.Stacked(tg.cells.LSTMCell(2, 3, seed=0), tg.cells.GRUCell(3, 3, seed=1)),
        np.random.default_rng(0).normal(size=(50, 1, 2)),
    )
    whole = inspector.lyapunov(cell, x, layer="layer1")
    monkeypatch.setattr("inspector.analysis.lyapunov._CHUNK", 7)
    np.testing.assert_allclose(inspector.lyapunov(cell, x, layer="layer1").exponents, whole.exponents, rtol=1e-9)
    assert whole.cell.endswith(", layer1")


def test_the_largest_exponent_is_the_growth_of_a_small_change() -> None:
    cell = tg.cells.RNNCell(1, 12, bias=False)
    cell.load_state_dict(
        {"weight_hh": np.random.default_rng(0).normal(0, 2.5 / math.sqrt(12), (12, 12)), "weight_ih": np.zeros((12, 1))}
    )
    found = inspector.lyapunov(cell, np.zeros((3000, 1, 1)), state=[np.ones((1, 12))], count=1, discard=200)
    x, h, logs = np.zeros((1, 1)), np.ones((1, 12)), []
    with tg.no_grad():
        change = 1e-8 * np.eye(12)[:1]
        for _ in range(3000):
            (moved,), (h,) = (np.asarray(v) for v in cell(x, (h + change,))), (np.asarray(v) for v in cell(x, (h,)))
            change = moved - h
            logs.append(math.log(np.linalg.norm(change) / 1e-8))
            change *= 1e-8 / np.linalg.norm(change)
    assert found.exponents.shape == (1,)
    assert found.exponents.values[0] == pytest.approx(np.mean(logs[200:]), abs=0.01)


def test_the_cell_state_of_an_lstm_must_not_be_left_out() -> None:
    cell = tg.cells.LSTMCell(4, 8, seed=0)
    cell.bias_ih.data, cell.bias_hh.data = np.repeat([0.0, 3.0, 0.0, 0.0], 8), np.zeros(32)
    matrices = inspector.step_jacobians(tg.unroll(cell, np.random.default_rng(0).normal(size=(1000, 1, 4))))
    full, block = (inspector.lyapunov(part).half_life for part in (matrices, matrices[:, :, :8, :8]))
    assert full > 40 * block > 0


def test_a_dead_direction_has_no_rate() -> None:
    found = linear(np.diag([0.5, 0.0]), 20)
    assert found.exponents.values.tolist()[0] == pytest.approx(math.log(0.5)) and found.exponents.values[1] == -math.inf
    assert found.to_dict()["exponents"]["values"][1] is None


@pytest.mark.parametrize(
    ("exponents", "dimension"),
    [
        ([-1.0, -2.0], 0.0),
        ([0.0, -1.0], 1.0),
        ([1.0, -2.0], 1.5),
        ([1.0, -1.0, -3.0], 2.0),
        ([1.0, -0.5, -2.0], 2.25),
        ([1.0, 1.0], 2.0),
        ([1.0, -np.inf], 1.0),
        ([-np.inf, -np.inf], 0.0),
        ([1.0, np.nan], np.nan),
    ],
)
def test_the_dimension_is_where_volumes_cease_to_grow(exponents: list[float], dimension: float) -> None:
    assert _dimension(np.array(exponents)) == pytest.approx(dimension, nan_ok=True)


def test_errors_are_those_of_the_means_of_ten_blocks_of_every_sequence() -> None:
    rates = np.random.default_rng(0).normal(size=(100, 2))
    matrices = np.exp(rates)[:, :, None, None]
    for discard, blocks, options in ((10, 10, {}), (0, 10, {"discard": 0}), (40, 3, {"discard": 40, "blocks": 3})):
        means = [part.mean(axis=0) for part in np.array_split(rates[discard:], blocks)]
        found = inspector.lyapunov(matrices, **options)
        assert found.exponents.values[0] == pytest.approx(rates[discard:].mean(), rel=1e-12)
        assert found.errors.values[0] == pytest.approx(np.std(means, ddof=1) / math.sqrt(2 * blocks), rel=1e-12)
    every = inspector.lyapunov(matrices, discard=0).running
    assert every.axes["step"][0] == 1 and every.axes["step"][-1] == 100 and len(every.axes["step"]) > 50
    for step, mean in zip(every.axes["step"], every.values[:, 0], strict=True):
        assert mean == pytest.approx(rates[:step].mean(), abs=1e-12)


@pytest.mark.parametrize("source", ["run", "cell", "matrices"])
def test_the_first_step_that_is_not_finite_is_named_and_left_out(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspector.analysis.lyapunov._CHUNK", 7)
    cell, x = tg.cells.RNNCell(1, 2, nonlinearity="identity", bias=False, seed=0), np.zeros((20, 1, 1))
    x[10] = x[12] = np.nan
    matrices = np.full((20, 1, 2, 2), 0.5) + np.eye(2)
    matrices[10:, 0, 1, 1] = np.nan
    of = {"run": lambda: (tg.unroll(cell, x),), "cell": lambda: (cell, x), "matrices": lambda: (matrices,)}[source]()
    found = inspector.lyapunov(*of, discard=0)
    assert found.not_finite is not None and found.not_finite.timestep == 10
    assert np.isfinite(found.exponents.values).all() and found.steps == (10 if source == "matrices" else 20)
    fine = {
        "run": lambda: (tg.unroll(cell, 0 * x[:5]),),
        "cell": lambda: (cell, x[:5]),
        "matrices": lambda: (matrices[:5],),
    }
    assert inspector.lyapunov(*fine[source](), discard=0).not_finite is None


@pytest.mark.parametrize(
    ("rates", "told", "summed"),
    [
        (
            [1.0, 3.0] * 10,
            "largest 2 ± 0.2 nats a step, changes double in 0.347 steps",
            "sum 2, dimension 1, entropy 2",
        ),
        (
            [-2.0, -4.0] * 10,
            "largest -3 ± 0.2 nats a step, half-life 0.231 steps",
            "sum -3, dimension 0, entropy 0 nats",
        ),
        ([-1.0, -3.0], "largest -2 ± 1 nats a step, half-life 0.347 steps", "sum -2, dimension 0, entropy 0"),
        ([-1.0], "largest -1 nats a step, half-life 0.693 steps", "sum -1, dimension 0, entropy 0 nats a step"),
        ([-np.inf] * 4, "largest minus infinity nats a step, changes die within a step", "sum minus infinity"),
        ([0.0] * 4, "largest 0 ± 0 nats a step, changes neither grow nor die", "sum 0, dimension 1, entropy 0"),
    ],
)
def test_a_spectrum_is_told_with_its_error_if_there_is_one(rates: list[float], told: str, summed: str) -> None:
    found = inspector.lyapunov(np.exp(rates)[:, None, None, None], discard=0, blocks=len(rates))
    head, _, largest, rest = str(found).splitlines()[:4]
    assert head == f"Lyapunov exponents of given matrices, {len(rates)} steps after 0".replace(" 1 steps", " 1 step")
    assert largest.strip() == told and summed in rest
    axes = found.plot(ax=Figure().add_subplot())
    assert not isinstance(axes, Path)
    size, _, life = told.removeprefix("largest ").partition(" nats a step, ")
    assert any(text.get_text().startswith(f"λ_1 = {size}\n{life}\n") for text in axes.texts)


def test_pictures_files_and_errors(tmp_path: Path) -> None:
    found = inspector.lyapunov(tg.cells.GRUCell(1, 3, seed=0), np.zeros((30, 1, 1)))
    assert found.save(tmp_path / "spectrum.png").stat().st_size > 10_000
    linear(np.diag([0.5, 0.0]), 20).save(tmp_path / "dead.png")
    assert json.loads(found.to_json(tmp_path / "a.json").read_text())["steps"] == 27
    axes = Figure().add_subplot()
    assert found.plot(ax=axes) is axes
    with pytest.raises(TypeError, match="a cell needs inputs"):
        inspector.lyapunov(tg.cells.GRUCell(1, 3))
    with pytest.raises(TypeError, match="inputs and state go with a cell, not with ndarray"):
        inspector.lyapunov(np.ones((2, 1, 3, 3)), np.ones(3))
    with pytest.raises(TypeError, match="needs a Run, a Cell, a Stacked or matrices, got str"):
        inspector.lyapunov("lstm")
    with pytest.raises(ValueError, match=r"matrices must be \(T, batch, n, n\), got \(2, 3, 3\)"):
        inspector.lyapunov(np.ones((2, 3, 3)))
    for options, message in (
        ({"count": 4}, "count must lie in 1..3"),
        ({"discard": 2}, "discard must lie in 0..1"),
        ({"blocks": 0}, "blocks must be"),
    ):
        with pytest.raises(ValueError, match=message):
            inspector.lyapunov(np.ones((2, 1, 3, 3)), **options)


# ------------------------------------------------------------------------------------- phase diagram


def scaled(x: float, y: float) -> tg.Cell:
    cell = tg.cells.RNNCell(1, 4, nonlinearity="identity", init="orthogonal", seed=0)
    cell.weight_hh.data = x * y * cell.weight_hh.data
    return cell


def test_the_rate_of_a_linear_network_is_exact_even_where_gradients_underflow() -> None:
    xs, ys = [1e-4, 0.5, 2.0, 1e4], [0.5, 1.0]
    found = inspector.phase_diagram(scaled, xs, ys, names=("scale", "other"), progress=False)
    np.testing.assert_allclose(found.rate, np.log(np.outer(ys, xs)), rtol=1e-9, atol=1e-12)
    assert found.rate["scale", 2.0].shape == (2,) and list(found.rate.axes) == ["other", "scale"]
    assert str(found).endswith(": from -9.9 to 9.21 nats a step back, explodes in 38% of 8 settings")


def test_a_picture_of_nothing_but_explosions_has_no_lines() -> None:
    axes: Any = inspector.phase_diagram(scaled, [2.0, 3.0], [2.0, 3.0], progress=False).plot()
    assert [type(drawn).__name__ for drawn in axes.collections] == ["QuadMesh"] and axes.get_legend() is None


def test_cells_that_are_not_alike_are_run_one_by_one() -> None:
    def sized(x: float, y: float) -> tg.Cell:
        return tg.cells.RNNCell(1, int(x), nonlinearity="identity", init="orthogonal", seed=0)

    found = inspector.phase_diagram(sized, [2, 3], [0.0], progress=False)
    np.testing.assert_allclose(found.rate, 0.0, atol=1e-12)


def test_the_rate_is_the_largest_lyapunov_exponent() -> None:
    def lstm(x: float, y: float) -> tg.Cell:
        cell = tg.cells.LSTMCell(1, 6, seed=0)
        cell.weight_hh.data = x * cell.weight_hh.data
        return cell

    x = np.random.default_rng(0).normal(size=(400, 1, 1))
    found = inspector.phase_diagram(lstm, [1.0, 4.0], [0.0], inputs=x, progress=False)
    expected = [inspector.lyapunov(lstm(scale, 0.0), x, count=1, discard=0).exponents.values[0] for scale in (1.0, 4.0)]
    np.testing.assert_allclose(found.rate.values[0], expected, atol=0.02)


@pytest.mark.parametrize("name", ["rnn", "lstm"])
def test_cells_given_by_name_have_an_edge(name: str, tmp_path: Path) -> None:
    xs = np.array([0.3, 1.0, 9.0])
    found = inspector.phase_diagram(name, xs, [0.2, 0.5], progress=False)
    assert (found.rate["recurrent weight scale", 0.3] < 0).all() and (
        found.rate["recurrent weight scale", 9.0] > 0
    ).all()
    assert found.save(tmp_path / "phases.png").stat().st_size > 10_000


@pytest.mark.parametrize(("lost", "ill"), [(0, 0.0), (3, np.inf), (2, 0.0), (1, np.nan), (2, 1e-200), (2, 1e200)])
def test_a_rate_leaves_out_what_is_lost_and_the_last_tenth(lost: int, ill: float) -> None:
    sizes = np.exp(-0.5 * np.arange(40.0))
    sizes[40 - (40 - lost) // 10 :] = 7.0
    sizes[:lost] = ill
    assert _slope(sizes) == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize(
    ("sizes", "rate"),
    [
        ([0.0, 0.0, 1.0], -np.inf),
        ([np.inf, np.inf, 1.0], np.inf),
        ([np.nan, np.nan, 1.0], np.nan),
        ([2.0, 1.0], math.log(2.0)),
        ([1e-139, 1e139], -278 * math.log(10.0)),
    ],
)
def test_the_rate_where_little_is_left(sizes: list[float], rate: float) -> None:
    assert _slope(np.array(sizes)) == pytest.approx(rate, nan_ok=True)


def test_cells_given_by_name_are_what_the_documentation_says() -> None:
    x, y, n = 1.5, 3.0, 32
    for build, names, settings in _NAMED.values():
        state = build(x, y).state_dict()
        assert (
            state["weight_hh"].std() == pytest.approx(x / math.sqrt(n), rel=0.05) and len(names) == len(settings) == 2
        )
        assert build(2 * x, y).state_dict()["weight_hh"] == pytest.approx(2 * state["weight_hh"])
        assert [grid.shape for grid in settings] == [(20,), (20,)] and all(
            (np.diff(grid) > 0).all() for grid in settings
        )
    ends = {name: [(grid[0], grid[-1]) for grid in settings] for name, (_, _, settings) in _NAMED.items()}
    assert ends == {"rnn": [(0.2, 4.0), (0.1, 2.0)], "lstm": [(0.25, 10.0), (-2.0, 7.5)]}  # around the edge
    rnn, lstm = (_NAMED[name][0](x, y).state_dict() for name in ("rnn", "lstm"))
    assert set(rnn) == {"weight_ih", "weight_hh"} and rnn["weight_ih"].std() == pytest.approx(y, rel=0.3)
    np.testing.assert_array_equal(lstm["bias_ih"] + lstm["bias_hh"], np.repeat([0.0, y, 0.0, 0.0], n))


def test_two_sequences_of_noise_drive_a_single_setting_and_a_row_of_them(tmp_path: Path) -> None:
    def leaning(x: float, y: float) -> tg.Cell:
        cell = tg.cells.RNNCell(1, 2, seed=0)
        cell.weight_ih.data = x + y + cell.weight_ih.data
        return cell

    noise = np.random.default_rng(0).normal(size=(100, 2, 1))
    for xs in ([1.0], [0.5, 2.0]):
        found = inspector.phase_diagram(leaning, xs, [0.5], progress=False)
        np.testing.assert_array_equal(
            found.rate, inspector.phase_diagram(leaning, xs, [0.5], inputs=noise, progress=False).rate
        )
        found.save(tmp_path / "row.png")


def test_what_is_wrong_with_a_phase_diagram_is_named() -> None:
    with pytest.raises(KeyError, match="no cell called 'gru'; there are rnn, lstm"):
        inspector.phase_diagram("gru")
    with pytest.raises(TypeError, match="needs xs and ys"):
        inspector.phase_diagram(scaled, [1.0])
    for xs in ([2.0, 1.0], [1.0, 1.0], [], [np.nan], [[1.0]]):
        with pytest.raises(ValueError, match="xs must be rising numbers"):
            inspector.phase_diagram(scaled, xs, [1.0])
    with pytest.raises(ValueError, match="need different names"):
        inspector.phase_diagram(scaled, [1.0], [1.0], names=("a", "a"))
    with pytest.raises(TypeError, match="make_cell must give a Cell, got float"):
        inspector.phase_diagram(lambda x, y: x, [1.0], [1.0], progress=False)  # type: ignore[arg-type,return-value]
