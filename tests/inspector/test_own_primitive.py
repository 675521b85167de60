"""A nonlinearity that a user declared is treated like those of the library, by every function of the inspector.

The twins do what ``tanh`` and ``sigmoid`` do, and their names are as wide: all that is said and drawn of a cell made of
them is what is said and drawn of a cell made of the others, but for the names.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.formats.dot import to_dot
from inspector.picture.compose import picture
from inspector.picture.scene import LEVELS
from tinygrad_rnn.recurrent.unroll import Run


@tg.elementwise(lambda g, y, x: g * (1.0 - y * y), bounds=(-1.0, 1.0))
def htan(x: Any) -> Any:
    return np.tanh(x)


@tg.elementwise(lambda g, y, x: g * tg.cos(x), bounds=(-1.0, 1.0))
def nis(x: Any) -> Any:
    return np.sin(x)


for own in ("htan", "nis"):
    del tg.PRIMITIVES[own]  # what is registered when tests are collected is tested elsewhere


@pytest.fixture(autouse=True, params=["declared", "of the cell's alone"])
def registry(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for own in (htan, nis) if request.param == "declared" else ():
        monkeypatch.setitem(tg.PRIMITIVES, own.name, own)


class Gated(tg.Cell):
    """A reset gate, a candidate and a mixture, with any functions."""

    def __init__(self, phi: Callable[[Any], Any], seed: int = 0) -> None:
        super().__init__(2, 3, seed=seed)
        self.phi = phi
        for k in "rnu":
            self.parameter(f"w_{k}", (2, 3))
            self.parameter(f"u_{k}", (3, 3))

    def step(self, x: Any, state: Any) -> Any:
        w = dict(self.named_parameters())
        r = tg.named(r=self.phi(x @ w["w_r"] + state.h @ w["u_r"]))
        n = tg.named(n=self.phi(x @ w["w_n"] + (r * state.h) @ w["u_n"]))
        return (r * state.h + (1.0 - r) * self.phi(n + state.h),)

    def __repr__(self) -> str:
        return "Gated(2, 3)"


class Ungated(Gated):
    """The same without the reset gate."""

    def step(self, x: Any, state: Any) -> Any:
        w = dict(self.named_parameters())
        return (tg.named(n=self.phi(x @ w["w_n"] + state.h @ w["u_n"])),)


X = np.random.default_rng(0).normal(size=(4, 2, 2))
TWINS = [pytest.param(tg.tanh, htan, id="tanh"), pytest.param(tg.sin, nis, id="sin", marks=pytest.mark.slow)]


def loss_of(run: Run) -> tg.Tensor:
    return (run.outputs[-1] ** 2).sum()


def said(phi: Any) -> Iterator[tuple[str, str]]:
    """All that the inspector says and draws of the cell."""
    run = tg.unroll(Gated(phi), X)
    loss = loss_of(run)
    trace = inspector.trace(run, loss)
    yield "names", str(trace.names)
    yield "norms", str({name: trace.norm(name).round(12).tolist() for name in trace.names})
    for level in LEVELS:
        yield level, to_dot(picture(run, level=level, trace=trace)).source
    yield "values", to_dot(picture(run, trace=trace, values=True)).source
    yield "figure", inspector.figure(run, loss)
    yield "unicode", inspector.equations(run).unicode
    yield "latex", inspector.equations(run).latex
    for analysis in (
        "diagnose",
        "duality",
        "gates",
        "path_orders",
        "saliency",
        "shares",
        "strongest_path",
        "waterfall",
        "weights",
    ):
        yield analysis, str(getattr(inspector, analysis)(run, loss))
    for analysis in ("jacobians", "lyapunov"):
        yield analysis, str(getattr(inspector, analysis)(run))
    for change in (
        {"bias": {"n": 0.5}},
        {"swap": {"n": tg.sigmoid}},
        {"hold": {"n": 1.0}},
        {"scale": {"u_n": 2.0}},
        {"cut": ["n"]},
    ):
        yield f"what_if {change}", str(inspector.what_if(run, loss, **change))
    blocked = tg.unroll(Gated(phi), 1e3 * X)
    yield "stops", str(inspector.stops(loss_of(blocked), blocked.states[0].h, blocked))
    yield "compare", str(inspector.compare_graphs(run, tg.unroll(Ungated(phi), X)))
    with tempfile.TemporaryDirectory() as folder:
        yield (
            "report",
            re.sub('base64,[^"]*', "", inspector.report(run, loss, f"{folder}/a.html").read_text(encoding="utf-8")),
        )


@pytest.mark.slow
@pytest.mark.parametrize(("phi", "twin"), TWINS)
def test_everything_that_is_said_of_a_cell_is_said_of_its_twin(phi: tg.Primitive, twin: tg.Primitive) -> None:
    for (about, expected), (_, found) in zip(said(phi), said(twin), strict=True):
        assert _without_names(found, phi, twin) == _without_names(expected, phi, twin), about


def _without_names(text: str, *ops: tg.Primitive) -> str:
    """LaTeX has commands for some functions, and writes others as operators."""
    for op in ops:
        for word in (rf"\operatorname{{{op.name}}}", rf"\{op.name}", op.name):
            text = text.replace(word, "φ")
    return text.replace("φ(", "φ").replace(r"φ\!\left(", "φ")


@pytest.mark.slow
def test_the_reverse_sweep_is_drawn_alike() -> None:
    drawn = []
    for phi in (tg.tanh, htan):
        run = tg.unroll(Gated(phi), X[:2])
        drawn.append(to_dot(picture(run, trace=inspector.trace(run, loss_of(run)), backward=True)).source)
    assert _without_names(drawn[1], tg.tanh, htan) == _without_names(drawn[0], tg.tanh, htan)


def test_a_function_of_the_library_that_no_cell_uses_has_preactivations_gates_and_layers() -> None:
    run = tg.unroll(Gated(tg.sin), X)
    loss = loss_of(run)
    assert {"z_r", "z_n"} <= set(inspector.trace(run, loss).names)
    compiled = tg.unroll(tg.compile(Gated(tg.sin), backend="numpy"), X)
    np.testing.assert_allclose(
        inspector.trace(compiled, loss_of(compiled)).norm("z_n"), inspector.trace(run, loss).norm("z_n")
    )
    assert list(inspector.gates(run, loss).derivatives.axes["nonlinearity"]) == ["r", "n", "sin in h"]
    boxes = [
        s.label
        for s in picture(run, level="cell").shapes
        if s.look.part == "layer" and s.kind == "box" and not s.look.legend
    ]
    assert boxes.count("sin") == 2 * len(run)
    changed = inspector.what_if(run, loss, bias={"n": 0.25}).traces[1].run
    np.testing.assert_allclose(changed.names["n", 0].data, np.sin(np.arcsin(run.names["n", 0].data) + 0.25), rtol=1e-12)


NAMES = ["apply", "mean", "number", "symbol", "transpose"]


@pytest.mark.parametrize("name", NAMES)
def test_a_function_called_as_another_operation_is_taken_for_what_it_is(name: str) -> None:
    def declared(called: str) -> tg.Primitive:
        def forward(x: Any) -> Any:
            return np.tanh(x)

        forward.__name__ = called
        return tg.Primitive(forward, htan.rules, elementwise=True, bounds=htan.bounds)

    own = declared(name)
    assert own.name == f"custom_{name}" and own.name not in tg.PRIMITIVES
    other = declared(own.name[::-1])  # which is as wide
    run, twin = tg.unroll(Gated(own), X[:2]), tg.unroll(Gated(other), X[:2])
    for said_of in (
        lambda run: inspector.equations(run).unicode,
        lambda run: str(inspector.gates(run, loss_of(run))),
        lambda run: str([(shape.kind, shape.look.part, shape.id) for shape in picture(run).shapes]),
    ):
        assert said_of(run).replace(own.name, "φ") == said_of(twin).replace(other.name, "φ")


def test_limits_of_saturation_are_drawn_for_what_no_list_of_names_holds() -> None:
    found = inspector.gates(tg.unroll(Gated(htan), X))
    np.testing.assert_allclose(found.limits["gate", "n"], [-0.95, 0.95])
    strip = found.plot(gates=["n"]).figure.axes[0]
    assert sum(line.get_linestyle() == "--" for line in strip.lines) == 2
