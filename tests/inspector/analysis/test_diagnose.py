"""A diagnosis names what was done to the run on purpose, and its remedies do what they say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given

import inspector
import tinygrad_rnn as tg
from inspector.analysis.diagnose import EXPLODES, VANISHES, Remedy, _best, _distance, _evidence, _kept, life
from inspector.results import Labelled
from tests.marks import slow_unless
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

X = np.random.default_rng(0).normal(size=(50, 2, 3))


def run_of(name: str, change: Any = None, steps: int = 50, **options: Any) -> Run:
    cell = tg.cells.get(name)(3, 6, seed=0)
    if change is not None:
        cell.load_state_dict({k: change(k, np.array(v)) for k, v in cell.state_dict().items()})
    return tg.unroll(cell, X[:steps], **options)


def last(run: Run) -> tg.Tensor:
    return run.outputs[0 if run.reverse else -1].sum()


def forgetful(name: str, value: Any) -> Any:
    return value + np.repeat([0.0, -1.0, 0.0, 0.0], 6) if name == "bias_ih" else value


@pytest.mark.slow
@pytest.mark.parametrize("reverse", slow_unless([False], [False, True]))
def test_a_forget_gate_that_closes_is_found_and_opened(reverse: bool) -> None:
    run = run_of("lstm", forgetful, reverse=reverse)
    found = inspector.diagnose(run, last(run))
    assert found.verdict == "vanishes" and found.kept < VANISHES and found.state == "c"
    mean = np.mean([run.names["f", t].data.mean() for t in range(50)])
    assert f"in × f (mean f = {mean:.2f})" in found.evidence[1] and float(found.evidence[1].partition("%")[0]) > 95
    remedy = found.remedies[0]
    assert remedy.change.endswith("of bias in f") and remedy.kept >= 0.1
    assert 0 < found.half_life < 1.5 < 20 < abs(remedy.half_life)


@pytest.mark.slow
def test_the_remedy_holds_in_a_cell_that_is_really_changed() -> None:
    run = run_of("lstm", forgetful)
    remedy = inspector.diagnose(run, last(run)).remedies[0]
    more = float(remedy.change.split()[0])
    other = run_of(
        "lstm", lambda k, v: forgetful(k, v) + (np.repeat([0.0, more, 0.0, 0.0], 6) if k == "bias_ih" else 0.0)
    )
    trace = inspector.trace(other, last(other))
    whole = np.hypot(trace.norm("h"), trace.norm("c"))
    assert whole[0] / whole[-1] == pytest.approx(remedy.kept, rel=1e-9)


def test_a_gate_whose_complement_carries_the_state_is_closed() -> None:
    run = run_of("mgu")
    found = inspector.diagnose(run, last(run))
    assert found.verdict == "vanishes" and "× (1 − f)" in found.evidence[1]
    assert found.remedies[0].change.startswith("-") and found.remedies[0].kept > found.kept


def test_recurrent_weights_that_blow_up_are_found_and_scaled_down() -> None:
    run = run_of("irnn", lambda k, v: 1.6 * v if k == "weight_hh" else v)
    found = inspector.diagnose(run, last(run))
    assert found.verdict == "explodes" and found.kept > EXPLODES and found.half_life < 0
    assert found.evidence[1].startswith("100% of what is gained comes from weight_hhᵀ")
    (remedy,) = found.remedies
    assert remedy.change.startswith("weight_hh × 0.") and 0.1 <= remedy.kept <= 10


class Gated(tg.Cell):
    """A cell whose gradient is known in closed form: each step multiplies the state by ``gain * sigmoid(bias)``."""

    def __init__(self, gain: float, bias: float) -> None:
        super().__init__(3, 1, seed=0)
        self.gain = self.parameter("gain", (1,), init=lambda shape, rng: np.full(shape, gain))
        self.bias = self.parameter("bias", (1,), init=lambda shape, rng: np.full(shape, bias))

    def step(self, x: Any, state: Any) -> Any:
        f = tg.named(f=tg.sigmoid(x[:, :1] * 0.0 + self.bias))
        return (f * state.h * self.gain,)


def remedies_of(gain: float, bias: float, steps: int) -> tuple[Remedy, ...]:
    run = tg.unroll(Gated(gain, bias), X[:steps])
    return inspector.diagnose(run, last(run)).remedies


@pytest.mark.parametrize(
    ("steps", "enough"), [(50, 1.06), (20, 1.14), *((13, enough) for enough in (1.3, 1.45, 1.75, 2.1, 2.6, 3.1, 3.9))]
)
def test_weights_are_enlarged_no_more_than_is_needed(steps: int, enough: float) -> None:
    """`enough` is the factor with which a tenth of the gradient arrives."""
    (remedy,) = remedies_of(0.1 ** (1 / (steps - 1)) / enough, 50.0, steps)
    factor = float(remedy.change.removeprefix("gain × "))
    assert enough <= factor < (1.2 if enough < 1.4 else 1.34) * enough and 0.1 <= remedy.kept <= 10


@pytest.mark.parametrize(
    ("steps", "enough"), [(50, 0.9), (25, 0.8), *((13, enough) for enough in (0.65, 0.52, 0.45, 0.38, 0.3))]
)
def test_weights_are_reduced_no_more_than_is_needed(steps: int, enough: float) -> None:
    """`enough` is the factor with which ten times the gradient arrives."""
    (remedy,) = remedies_of(10 ** (1 / (steps - 1)) / enough, 50.0, steps)
    factor = float(remedy.change.removeprefix("gain × "))
    assert enough / (1.2 if enough > 0.82 else 1.4) <= factor <= enough and 0.1 <= remedy.kept <= 10


@pytest.mark.parametrize("enough", [0.9, 1.3, 1.7, 2.5, 3.5, 4.5, 5.5, 7.5])
def test_a_gate_is_opened_no_more_than_is_needed(enough: float) -> None:
    level = 0.1 ** (1 / 12)
    remedy = remedies_of(1.0, np.log(level / (1 - level)) - enough, 13)[0]
    assert remedy.change.endswith(" of bias in f")
    assert (
        enough <= float(remedy.change.split()[0]) <= enough + (0.5 if enough < 2 else 1.0 if enough < 6 else 2.0)
        and remedy.kept >= 0.1
    )


@pytest.mark.parametrize(
    ("enough", "chosen"),
    [(1.5, 1.5), (1.28, 1.25), (1.7, 1.6875), (0.94, 1.0), (2.07, 2.125), (3.96, 4.0), (6.0, 4.0), (1e3, None)],
)
def test_the_stretch_around_the_best_setting_is_halved_four_times(enough: float, chosen: float | None) -> None:
    """Where what is left grows too fast with the setting for any of the first to be good enough."""
    tried: list[float] = []

    def trial(much: float) -> Any:
        tried.append(much)
        return SimpleNamespace(much=much, kept=float(np.exp(200 * (much - enough))))

    assert [one.much for one in _best(trial, [1.0, 2.0, 4.0], 0.0)] == [chosen] * (chosen is not None)
    assert tried[:3] == [1.0, 2.0, 4.0] and len(tried) <= 3 + 2 * 4


def test_a_remedy_takes_away_a_tenth_of_what_is_lost_at_least() -> None:
    for lost, helps in ((11.0, False), (11.2, True)):
        remedy: Any = SimpleNamespace(kept=float(np.exp(-10)))
        assert [*_best(lambda much, remedy=remedy: remedy, [1.0], float(np.exp(-lost)))] == [remedy] * helps


def test_what_does_not_help_is_no_remedy() -> None:
    """A gate that is open already is on the way, and cannot make up for the weights beside it."""
    remedies = remedies_of(0.1, 5.0, 13)
    assert remedies and all(remedy.change.startswith("gain × ") for remedy in remedies)
    for remedy in remedies:
        assert abs(np.log(remedy.kept)) < 0.9 * abs(np.log(remedy.kept_before))


def test_all_is_well_where_it_is() -> None:
    run = run_of("lstm", lambda k, v: v + np.repeat([0.0, 4.0, 0.0, 0.0], 6) if k == "bias_ih" else v)
    found = inspector.diagnose(run, last(run))
    assert found.verdict == "well" and found.remedies == () and "all is well" in str(found)


@pytest.mark.parametrize(
    ("factor", "says"), [(0.45, "fading"), (2.2, "growing"), (0.9, "all is well"), (1.1, "all is well")]
)
def test_a_short_run_whose_gradient_is_on_its_way_is_not_praised(factor: float, says: str) -> None:
    cell = tg.cells.RNNCell(3, 2, seed=0, nonlinearity="relu")
    cell.load_state_dict(
        {"weight_ih": np.zeros((2, 3)), "weight_hh": factor * np.eye(2), "bias_ih": np.ones(2), "bias_hh": np.ones(2)}
    )
    run = tg.unroll(cell, X[:6])
    found = inspector.diagnose(run, last(run))
    expected = says if says == "all is well" else f"well so far, but {says}"
    assert found.verdict == "well" and found.kept == pytest.approx(factor**5)
    assert found.finding.startswith(f"{expected}: at t = 0")


def test_a_gradient_that_stops_is_explained() -> None:
    run = run_of("lstm", truncate=10)
    found = inspector.diagnose(run, last(run))
    assert found.verdict == "stops" and "no gradient reaches t = 0" in str(found)
    assert any("truncated BPTT" in line for line in found.evidence)


def test_a_gradient_that_is_no_number_is_told() -> None:
    run = run_of("rnn", steps=5)
    with np.errstate(all="ignore"):
        found = inspector.diagnose(run, (run.outputs[3] * np.inf).sum() + last(run))
    assert found.verdict == "not finite" and "from t = 3 back" in found.finding


@pytest.mark.parametrize("kind", ["stack", "directions", "compiled"])
def test_other_runs(kind: str) -> None:
    cells = [tg.cells.LSTMCell(3, 4, seed=0), tg.cells.GRUCell(4 if kind == "stack" else 3, 4, seed=1)]
    made: Any = {
        "stack": lambda: tg.Stacked(*cells),
        "directions": lambda: tg.Bidirectional(*cells),
        "compiled": lambda: tg.compile(cells[0]),
    }
    run = tg.unroll(made[kind](), X)
    found = inspector.diagnose(run, run.outputs[-1].sum())
    assert found.verdict in ("vanishes", "well") and len(str(found).splitlines()) > 2


@pytest.mark.parametrize("forget", [0.0, 8.0])
@pytest.mark.parametrize("wrap", [lambda cell: cell, lambda cell: tg.compile(cell, backend="numpy"), tg.Stacked])
def test_a_loss_at_every_step_does_not_hide_how_far_each_reaches(wrap: Any, forget: float) -> None:
    cell = tg.cells.LSTMCell(3, 4, seed=0)
    bias = cell.bias_ih.data + np.repeat([0.0, forget, 0.0, 0.0], 4)
    cell.load_state_dict({**cell.state_dict(), "bias_ih": bias})
    run = tg.unroll(wrap(cell), np.random.default_rng(0).normal(size=(40, 2, 3)))
    found = inspector.diagnose(run, (run.stacked**2).sum())
    seed = 2.0 * run.outputs[-1].data
    alone = inspector.diagnose(run, (run.outputs[-1] * seed).sum())
    assert found.verdict == "well" and ("reads 40 steps" in found.finding) == (alone.verdict == "vanishes")
    share = f"{alone.kept:.0%}" if forget else f"{alone.kept:.2g}"
    assert found.evidence[-1].startswith(f"of what the loss of t = 39 alone sends back, {share} arrives at t = 0, ")
    assert (alone.verdict == "vanishes") == (forget == 0.0)
    assert not any("alone" in one for one in alone.evidence)


def test_of_a_run_from_its_end_the_last_step_is_the_first() -> None:
    run = tg.unroll(tg.cells.RNNCell(3, 4, seed=0), np.ones((30, 2, 3)), reverse=True)
    found = inspector.diagnose(run, run.stacked.sum())
    assert "the loss of t = 0 alone" in found.evidence[-1] and "arrives at t = 29, half-life" in found.evidence[-1]
    other = tg.unroll(run.cell, np.ones((30, 2, 3)))
    forwards = inspector.diagnose(other, other.stacked.sum())
    np.testing.assert_allclose((found.kept, found.half_life), (forwards.kept, forwards.half_life), rtol=1e-9)


@pytest.mark.parametrize(
    ("made", "part"),
    [
        (lambda *cells: tg.Stacked(*cells), "layer1/"),
        (lambda *cells: tg.Bidirectional(*cells), "forward/"),
        (lambda *cells: tg.Stacked(tg.Bidirectional(*cells)), "layer0/forward/"),
    ],
)
def test_a_remedy_in_a_stack_is_for_the_layer_that_needs_it(made: Any, part: str) -> None:
    run = tg.unroll(made(*[tg.cells.LSTMCell(4, 4, seed=seed) for seed in (0, 1)]), np.zeros((30, 1, 4)) + 0.1)
    found = inspector.diagnose(run, run.outputs[-1].sum())
    mean = np.mean([run.names[f"{part}f", t].data for t in range(len(run))])
    assert found.verdict == "vanishes" and found.fall is not None and found.fall.state == f"{part}c"
    assert f"(mean {part}f = {mean:.2f})" in found.evidence[1]
    assert f"of bias in {part}f" in found.remedies[0].change and found.remedies[0].kept > 100 * found.kept


@pytest.mark.slow
def test_it_plots_and_exports(tmp_path: Path) -> None:
    run = run_of("gru", lambda k, v: v - np.repeat([0.0, 2.0, 0.0], 6) if k == "bias_ih" else v, steps=20)
    found = inspector.diagnose(run, last(run))
    assert found.verdict == "vanishes" and "of bias in z" in found.remedies[0].change
    assert isinstance(found.save(tmp_path / "diagnosis.svg"), Path)
    assert found.to_dict()["verdict"] == "vanishes" and found.to_dict()["remedies"][0]["kept"] == found.remedies[0].kept
    assert "what would help, tried on this run:" in str(found)


@FEW
@given(run=runs())
def test_random_cells(run: Run) -> None:
    loss = (run.stacked**2).sum()
    assume(len(run) > 1 and any(value in tg.Graph(loss) for value in run.names.values()))
    found = inspector.diagnose(run, loss)
    whole = np.sqrt(sum(np.square(found.trace.norm(s)) for s in found.trace.states))
    assert found.verdict in ("well", "vanishes", "explodes", "stops")
    assert (found.verdict == "stops") == (whole[-1 if run.reverse else 0] == 0)


def test_the_text_has_the_remedies_the_evidence_in_order_and_the_curve() -> None:
    run = run_of("lstm", forgetful, steps=20)
    found = inspector.diagnose(run, last(run))
    lines = str(found).splitlines()
    at = lines.index("what would help, tried on this run:")
    assert lines[at + 1 :] == [f"  - {one}" for one in found.remedies]
    assert lines[2 : 2 + len(found.evidence)] == [f"  - {one}" for one in found.evidence]
    shares = [float(one.partition("%")[0]) for one in found.evidence if " of what is " in one]
    assert shares == sorted(shares, reverse=True) and found.evidence[0].startswith("along c its norm is multiplied by ")


def test_evidence_begins_with_what_takes_most() -> None:
    run = run_of("rnn")
    found = inspector.diagnose(run, last(run))
    shares = [float(one.partition("%")[0]) for one in found.evidence if " of what is " in one]
    assert len(shares) > 1 and shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        (1, ("8.1e+03 a step back (+9.000 nats)", "gained comes from", "taken back by")),
        (-1, ("0.000123 a step back (-9.000 nats)", "lost goes in", "made up for by")),
    ],
)
def test_evidence_is_what_takes_more_than_a_twentieth_of_the_whole(sign: int, words: tuple[str, str, str]) -> None:
    """Shares are of all that is gained (or lost), not of what is left after some of it is taken back."""
    parts = {"b": 0.6, "a": 9.0, "c": 0.4, "e": -0.4, "d": -0.6, "f": -0.7}
    fall: Any = SimpleNamespace(
        state="h",
        mean=Labelled([sign * value for value in parts.values()], {"part": list(parts)}),
        total=Labelled([sign * 8.0, np.nan, sign * 10.0], {"t": range(3)}),
        factors={},
    )
    size, verb, against = words
    assert [*_evidence(run_of("rnn", steps=2), fall)] == [
        f"along h its norm is multiplied by {size}",
        f"90% of what is {verb} a",
        f"6% of what is {verb} b",
        f"13% of that is {against} f, d",
    ]


@pytest.mark.parametrize(
    ("half_life", "words"),
    [
        (3.0, "half-life 3 steps"),
        (1.0, "half-life 1 step"),
        (10.0, "half-life 10 steps"),
        (-2.5, "doubling every 2.5 steps"),
        (10.1, "level along the way"),
        (-10.1, "level along the way"),
        (np.inf, "level along the way"),
        (np.nan, "level along the way"),
    ],
)
def test_a_half_life_that_the_run_does_not_last_is_level(half_life: float, words: str) -> None:
    assert life(half_life, 10) == words


def test_what_is_kept_is_a_share_unless_that_says_nothing() -> None:
    told = {1e-3: "0.001", 4.9e-3: "0.0049", 5.1e-3: "1%", 0.254: "25%", 9.99: "999%", 10.0: "10", 1.6e4: "1.6e+04"}
    assert {share: _kept(share) for share in told} == told
    assert [_distance(kept) for kept in (0.0, np.inf, np.nan)] == [np.inf] * 3
    assert [_distance(kept) for kept in (0.1, 1.0, 10.0)] == pytest.approx([np.log(10), 0.0, np.log(10)])


def test_a_factor_that_is_no_gate_gets_no_bias() -> None:
    """In a minimal cell whose state is multiplied by a tanh, that is named like a gate and is none."""

    class Signed(tg.Cell):
        def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
            super().__init__(input_size, hidden_size, **options)
            self.w = self.parameter("w", (input_size, hidden_size))

        def step(self, x: Any, state: Any) -> Any:
            f = tg.named(f=tg.tanh(x @ self.w))
            return (f * state.h + x @ self.w,)

    run = tg.unroll(Signed(3, 6, seed=0), X)
    found = inspector.diagnose(run, last(run))
    assert found.verdict == "vanishes" and any("in × f" in one for one in found.evidence)
    assert not any("bias" in remedy.change for remedy in found.remedies)


def test_a_run_of_one_step_has_no_half_life() -> None:
    run = run_of("lstm", steps=1)
    found = inspector.diagnose(run, last(run))
    assert (found.verdict, found.kept, found.remedies, found.fall) == ("well", 1.0, (), None)
    assert np.isnan(found.half_life) and "one step" in found.finding
    stopped = inspector.diagnose(run, last(run) * 0.0)
    assert stopped.verdict == "stops" and stopped.finding == "the gradient is exactly 0 at every timestep"
