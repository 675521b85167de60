"""One NaN or infinity anywhere, a gradient of zero, a single step: whatever is public answers, says so, and draws the
rest.

Functions are collected from what `inspector` makes public: a new one is tested without being mentioned here, if it
takes a run, or a run and a loss. One that takes something else has to say in CALLS how it is called.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import inspector
import tinygrad_rnn as tg
from inspector.plots import save
from inspector.results import Result
from tinygrad_rnn.recurrent.unroll import Run

RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 2, 3))


def lstm(steps: int = 5, x: Any = None) -> tuple[Run, tg.Tensor]:
    run = tg.unroll(tg.cells.LSTMCell(3, 3, seed=0), X[:steps] if x is None else x)
    return run, (run.stacked**2).sum()


def nan_weight() -> tuple[Run, tg.Tensor]:
    cell = tg.cells.LSTMCell(3, 3, seed=0)
    weights = np.array(cell.weight_hh.data)
    weights[0, 0] = np.nan
    cell.weight_hh.data = weights
    run = tg.unroll(cell, X[:5])
    return run, (run.stacked**2).sum()


def infinite_input() -> tuple[Run, tg.Tensor]:
    x = X[:5].copy()
    x[3, 0, 1] = np.inf
    return lstm(x=x)


def growing(factor: float, x: Any = X[:, :1]) -> tuple[Run, tg.Tensor]:
    """A linear net, of which the last step is read: all that grows is its state, and its gradient."""
    cell = tg.cells.RNNCell(3, 2, nonlinearity="identity", init="orthogonal", seed=0)
    cell.weight_hh.data = factor * np.array(cell.weight_hh.data)
    run = tg.unroll(cell, x)
    return run, run.outputs[-1].sum()


def zero_gradient() -> tuple[Run, tg.Tensor]:
    run, loss = lstm()
    return run, loss * 0.0


KINDS: dict[str, tuple[Callable[[], tuple[Run, tg.Tensor]], str | None]] = {
    "NaN weight": (
        nan_weight,
        "not finite since t = 0: NaN in the parameter weight_hh (1 of 36 numbers), first read by matmul for z_i",
    ),
    "infinite input": (
        infinite_input,
        "not finite since t = 3: infinity in the input x (1 of 6 numbers), first read by matmul for z_i",
    ),
    "overflow at t = 20": (
        lambda: growing(10 ** (308 / 19.5)),
        "not finite since t = 20: infinity first appears in matmul for h",
    ),
    "gradient overflows": (
        lambda: growing(1e80, 0 * X[:6, :1]),
        (
            "gradient not finite from t = 2 back: infinity first appears in what matmul for h sends back; all values"
            " are finite"
        ),
    ),
    "zero gradient": (zero_gradient, None),
    "one step": (lambda: lstm(1), None),
}


@lru_cache
def made(kind: str) -> tuple[Run, tg.Tensor]:
    with np.errstate(all="ignore"):
        return KINDS[kind][0]()


@lru_cache
def trace_of(kind: str) -> inspector.GradientTrace:
    return inspector.trace(*made(kind))


def recorder_of(trace: inspector.GradientTrace) -> inspector.DecayRecorder:
    recorder = inspector.DecayRecorder(every=1)
    recorder(SimpleNamespace(number=1, prediction=SimpleNamespace(run=trace.run), loss=trace.loss))  # type: ignore[arg-type]
    return recorder


def given(trace: inspector.GradientTrace) -> dict[str, Any]:
    """Somebody's gradient, of which a half is wrong."""
    return {
        "weight_hh": trace.parameter_gradient("weight_hh"),
        "h": np.ones((trace.steps, *trace.run.outputs[0].shape)),
    }


Call = Callable[[inspector.GradientTrace, Path], Any]

CALLS: dict[str, Call] = {
    "saliency": lambda t, path: [
        inspector.saliency(t.run, t.loss, method) for method in ("gradient", "gradient_x_input", "integrated")
    ],
    "check_gradient": lambda t, path: inspector.check_gradient(t.run, t.loss, given(t)),
    "what_if": lambda t, path: inspector.what_if(t.run, t.loss, scale={"weight_hh": 1.5}),
    "stops": lambda t, path: inspector.stops(t.loss, t.run.states[0].h, t.run),
    "lyapunov": lambda t, path: [
        inspector.lyapunov(t.run),
        inspector.lyapunov(t.run.cell, np.stack([x.data for x in t.run.inputs])),
    ],
    "plot_decay": lambda t, path: inspector.plot_decay(t, path),
    "plot_heat_map": lambda t, path: inspector.plot_heat_map(
        [t.norm("h")], ["h"], [str(k) for k in range(t.steps)], path
    ),
    "plot_training": lambda t, path: inspector.plot_training(recorder_of(t), path),
    "plot_snapshots": lambda t, path: inspector.plot_snapshots(recorder_of(t), path),
    "animate_training": lambda t, path: inspector.animate_training(recorder_of(t), path.with_suffix(".gif")),
    "draw": lambda t, path: inspector.draw(t.run, trace=t, steps=slice(0, 2)),
    "render": lambda t, path: [
        inspector.render(t.run, path, trace=t, steps=slice(0, 2), values=True, backward=True),
        inspector.render(t.run, trace=t, level="cell"),
    ],
    "figure": lambda t, path: inspector.figure(t.run, t.loss, path),
    "report": lambda t, path: inspector.report(t.run, t.loss, path.with_suffix(".html")),
    "lecture": lambda t, path: inspector.lecture(t.run, t.loss, path.with_suffix(".html")),
    "explore": lambda t, path: explored(t),
    "export": lambda t, path: inspector.export(t.run, path.with_suffix(".json"), trace=t, steps=slice(0, 2)),
    "compare_graphs": lambda t, path: inspector.compare_graphs(t.run, t.run),
    "equations": lambda t, path: inspector.equations(t.run),
    "decay_rate": lambda t, path: inspector.decay_rate(t.norm("h")),
    "to_networkx": lambda t, path: inspector.to_networkx(t.run, trace=t, steps=slice(0, 2)),
    "phase_diagram": lambda t, path: inspector.phase_diagram(
        lambda x, y: t.run.cell, [0.0, 1.0], [0.0, 1.0], inputs=np.stack([x.data for x in t.run.inputs])
    ),
    "assert_gradient_reaches": lambda t, path: refused(
        lambda: inspector.assert_gradient_reaches(t.loss, t.run.states[0].h, at_least=np.inf)
    ),
    "assert_no_detach": lambda t, path: inspector.assert_no_detach(t.loss),
    "assert_same_graph": lambda t, path: inspector.assert_same_graph(t.loss, t.loss),
}
"""How those are called that take more, or something else, than a run and a loss; they are given a trace, and a
path for their picture.
"""


def explored(found: inspector.GradientTrace) -> str:
    """The data that a widget is given."""
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    data: str = inspector.explore(found.run, found.loss).data
    return data


SILENT = {
    "compare_graphs",
    "equations",
    "assert_no_detach",
    "assert_same_graph",  # numbers play no part
    "step_jacobians",
    "decay_rate",
    "plot_heat_map",
    "to_networkx",  # numbers alone, without a place for words
    "phase_diagram",
    "assert_gradient_reaches",  # of which more below
    "animate_training",  # pixels
}
NOT_OF_A_RUN = {"sweep", "render_program", "watch"}
REFUSED = {
    ("strongest_path", "zero gradient"): "no gradient reaches t=0/h",
    ("waterfall", "one step"): "a run of one step has no step before",
}
"""What cannot be asked."""

FUNCTIONS = [
    name for name in inspector.__all__ if inspect.isfunction(getattr(inspector, name)) and name not in NOT_OF_A_RUN
]


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as error:
        call()
    return str(error.value)


def called(name: str, trace: inspector.GradientTrace, path: Path) -> Any:
    if name in CALLS:
        return CALLS[name](trace, path)
    function = getattr(inspector, name)
    first, *others = inspect.signature(function).parameters
    assert first == "run", f"say in CALLS how {name} is called"
    return function(trace.run, trace.loss) if others[:1] == ["loss"] else function(trace.run)


def plain(text: str) -> str:
    """What a picture or a page says, with its lines joined."""
    return " ".join(re.sub(r"<!--.*?-->|<[^>]*>", " ", text, flags=re.DOTALL).split())


def told(found: Any, path: Path, pictures: bool = True) -> Iterator[str]:
    """All the places where something that was found can be read, with its pictures written."""
    if isinstance(found, Path):
        yield found.read_text(encoding="utf-8", errors="replace")
    elif isinstance(found, (Axes, Figure)):
        yield save(found, path.with_suffix(".svg")).read_text(encoding="utf-8")
    elif not isinstance(found, Result):
        yield str(found)
    else:
        yield str(found.not_finite if isinstance(found, inspector.GradientTrace) else found)
        yield json.dumps(found.to_dict(), allow_nan=False, ensure_ascii=False)
        assert found.to_csv(path.with_suffix(".csv")).stat().st_size
        draws = [one for one in dir(found) if one.startswith("plot") and getattr(type(found), one) is not Result.plot]
        for draw in draws if pictures else []:
            yield save(getattr(found, draw)(), path.with_suffix(".svg")).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function(name: str, kind: str, tmp_path: Path) -> None:
    sentence, path = KINDS[kind][1], tmp_path / "picture.svg"
    if (name, kind) in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[name, kind]):
            called(name, trace_of(kind), path)
        return
    found = called(name, trace_of(kind), path)
    pictures = kind != "infinite input"  # drawn as what overflows is
    texts = [
        plain(text) for one in (found if isinstance(found, list) else [found]) for text in told(one, path, pictures)
    ]
    assert texts
    if sentence is None:
        assert not any(re.search("not finite (since|from|in|at) ", text) for text in texts)
    elif name not in SILENT and not (sentence.startswith("gradient") and name in WITHOUT_LOSS):
        assert all(sentence in text for text in texts), [text[:200] for text in texts if sentence not in text]


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in FUNCTIONS
        if name not in SILENT
        and name not in ("draw", "render", "figure", "report", "lecture", "explore", "plot_snapshots", "export")
    ],
)
def test_every_analysis_of_a_state_that_overflows(name: str, tmp_path: Path) -> None:
    """The same in little, and without pictures."""
    kind = "overflow at t = 20"
    found = called(name, trace_of(kind), tmp_path / "picture.svg")
    for one in found if isinstance(found, list) else [found]:
        assert plain(next(iter(told(one, tmp_path)))).startswith(
            f"{'RNNCell(3, 2), 22 steps: ' * (name == 'diagnose')}{KINDS[kind][1]}"
        ) or isinstance(one, (Path, Axes))


WITHOUT_LOSS = {"jacobians", "lyapunov", "first_not_finite"}
"""What knows of values alone."""


def test_what_has_no_run_names_leaves_by_their_names() -> None:
    _, loss = made("NaN weight")
    message = refused(lambda: inspector.assert_gradient_reaches(loss, made("NaN weight")[0].states[0].h))
    assert "not finite since t = 0: NaN in the parameter weight_hh (1 of 36 numbers)" in message
    with np.errstate(all="ignore"):
        run, loss = growing(1.0, np.where(np.arange(4)[:, None, None] == 3, np.inf, X[:4]))
    assert "not finite since t = 3: infinity in the input x (6 of 6 numbers)" in str(
        inspector.stops(loss, run.states[0].h)
    )


@pytest.mark.slow
def test_a_setting_of_which_the_run_is_not_finite_is_no_explosion() -> None:
    def make(x: float, y: float) -> tg.Cell:
        cell = tg.cells.RNNCell(3, 2, nonlinearity="identity", init="orthogonal", seed=0)
        cell.weight_hh.data = x * np.array(cell.weight_hh.data)
        return cell

    with np.errstate(all="ignore"):
        found = inspector.phase_diagram(make, [0.5, 2.0, np.inf][:2], [0.0], inputs=X)
        broken = inspector.phase_diagram(lambda x, y: made("NaN weight")[0].cell, [0.5], [0.0], inputs=X)
    assert found.not_finite is None and np.sign(found.rate.values).tolist() == [[-1.0, 1.0]]
    assert np.isnan(broken.rate.values).all() and "explodes in 0% of 1 setting, not finite in 100%" in str(broken)
    assert str(broken.not_finite) == KINDS["NaN weight"][1]


def test_zero_is_not_called_small_nor_small_zero() -> None:
    """A gradient of 1e-200 has squares that underflow, one of 1e200 squares that overflow."""
    run, _ = lstm()
    plain_norms = inspector.trace(run, run.outputs[-1].sum()).norm("h")
    for scale in (1e-250, 1e250):
        found = inspector.trace(run, run.outputs[-1].sum() * scale)
        np.testing.assert_allclose(found.norm("h"), scale * plain_norms, rtol=1e-12)
        assert found.not_finite is None
    assert not trace_of("zero gradient").norm("h").any()


def test_padding_that_holds_nan_is_finite() -> None:
    x = X[:5].copy()
    x[3:, 1] = np.nan
    run = tg.unroll(tg.cells.LSTMCell(3, 3, seed=0), x, lengths=[5, 3])
    assert inspector.trace(run, (run.stacked**2).sum()).not_finite is None


def test_a_compiled_run_says_the_same_as_the_recorded_one() -> None:
    run, _ = made("NaN weight")
    with np.errstate(all="ignore"):
        compiled = tg.unroll(tg.compile(run.cell, backend="numpy"), X[:5])
        found = inspector.trace(compiled, (compiled.stacked**2).sum())
    assert str(found.not_finite) == KINDS["NaN weight"][1]
    assert (
        str(inspector.first_not_finite(compiled))
        == "not finite since t = 0: NaN in the parameter weight_hh (1 of 36 numbers)"
    )


def test_a_loss_that_is_not_finite_by_itself() -> None:
    run, _ = lstm()
    with np.errstate(all="ignore"):
        found = inspector.trace(run, tg.log(run.outputs[2].sum() * 0.0 - 1.0)).not_finite
    assert str(found) == "not finite in the loss: NaN first appears in log"
    assert found is not None and found.to_dict() == {
        "says": str(found),
        "kind": "NaN",
        "source": "value",
        "timestep": None,
        "name": None,
        "operation": "log",
        "culprit": "",
    }
