"""The gradient of a loop as a framework took it that differentiated `while` by going through it forwards once more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg

X = np.random.default_rng(2).normal(size=(6, 3, 2))


def step(p: dict[str, Any], x: Any, h: Any) -> Any:
    return np.tanh(x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"])


def vjp(p: dict[str, Any], x: Any, h: Any, cotangent: Any) -> tuple[Any, dict[str, Any]]:
    """Of one step: the cotangent of the state that it read, and of the parameters."""
    dz = cotangent * (1 - step(p, x, h) ** 2)
    bias = dz.sum(axis=0)
    return dz @ p["weight_hh"], {"weight_ih": dz.T @ x, "weight_hh": dz.T @ h, "bias_ih": bias, "bias_hh": bias}


def gradient_of_while(p: dict[str, Any], x: Any, outputs: Any, final: Any) -> dict[str, Any]:
    """The loop carries (t, h, outputs, parameters); its gradient is a loop that carries their cotangents, too, and runs
    in the same order: the Jacobians of the steps are multiplied forwards.
    """
    h, g_h, g_outputs = np.zeros((x.shape[1], 4)), final, outputs.copy()
    g_p = {name: np.zeros_like(value) for name, value in p.items()}
    for t in range(len(x)):
        g_h = g_h + g_outputs[t]
        g_outputs[t] = 0.0
        g_h, more = vjp(p, x[t], h, g_h)
        g_p = {name: g_p[name] + more[name] for name in p}
        h = step(p, x[t], h)
    return g_p


def parameters(run: tg.Run) -> dict[str, Any]:
    return {name: value.data for name, value in run.cell.named_parameters()}


def test_the_sum_of_all_outputs() -> None:
    run = tg.unroll(tg.cells.RNNCell(2, 4, seed=0), X)
    theirs = gradient_of_while(parameters(run), X, np.ones((6, 3, 4)), np.zeros((3, 4)))
    found = inspector.check_gradient(run, run.stacked.sum(), theirs)
    assert found.causes == ("Jacobians in the wrong order: the loop goes through the steps forwards",)
    assert found.parameters == ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@pytest.mark.slow
def test_the_last_state_alone() -> None:
    run = tg.unroll(tg.cells.RNNCell(2, 4, seed=0), X)
    theirs = gradient_of_while(parameters(run), X, np.zeros((6, 3, 4)), np.ones((3, 4)))
    found = inspector.check_gradient(run, run.outputs[-1].sum(), theirs)
    assert found.causes == (
        "Jacobians in the wrong order: the loop goes through the steps forwards, from the last state’s gradient",
    )


@pytest.mark.slow
def test_where_jacobians_commute_the_order_does_not_matter() -> None:
    """One unit, linear: every Jacobian is the same number."""
    run = tg.unroll(tg.cells.RNNCell(2, 1, seed=0, nonlinearity="identity"), X)
    start = np.zeros((3, 1))
    h = np.array([start, *(output.data for output in run.outputs)])
    w = float(run.cell.weight_hh.data[0, 0])
    delta, gradient = np.ones((3, 1)), 0.0
    for t in range(6):
        gradient += float((delta * h[t]).sum())
        delta = delta * w
    found = inspector.check_gradient(run, run.outputs[-1].sum(), {"weight_hh": [[gradient]]})
    assert not found.ok and found.cause.startswith("Jacobians in the wrong order")
    constant = tg.unroll(tg.cells.RNNCell(2, 1, seed=0, nonlinearity="identity"), X[:1])
    assert inspector.check_gradient(constant, constant.outputs[-1].sum(), {"weight_hh": [[0.0]]}).ok


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "where"), [((0, 1), ""), ((1,), " in layer1"), ((0,), " in layer0")])
def test_a_stack_of_such_loops(layers: tuple[int, ...], where: str) -> None:
    """Each layer is a loop of its own; its inputs' cotangents are those that its steps left when they were visited."""
    run = tg.unroll(tg.Stacked(tg.cells.RNNCell(2, 4, seed=0), tg.cells.RNNCell(4, 4, seed=1)), X)
    own = [
        {name: value.data for name, value in cell.named_parameters()}
        for cell in run.cell.layers  # type: ignore[union-attr]
    ]
    inputs, g_y, theirs = [X, run.children["layer0"].stacked.data], np.ones((6, 3, 4)), {}
    for layer in (1, 0):
        p, x = own[layer], inputs[layer]
        states = [np.zeros((3, 4)), *(output.data for output in run.children[f"layer{layer}"].outputs)]
        g_x, g_h = np.zeros_like(x), np.zeros((3, 4))
        total = {name: np.zeros_like(value) for name, value in p.items()}
        for t in range(6) if layer in layers else reversed(range(6)):
            cotangent = g_h + g_y[t]
            g_x[t] = (cotangent * (1 - states[t + 1] ** 2)) @ p["weight_ih"]
            g_h, more = vjp(p, x[t], states[t], cotangent)
            total = {name: total[name] + more[name] for name in p}
        theirs |= {f"{name}_l{layer}": value for name, value in total.items()}
        g_y = g_x
    found = inspector.check_gradient(run, run.stacked.sum(), theirs)
    assert found.causes == (f"Jacobians in the wrong order{where}: the loop goes through the steps forwards",)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["right", "wrong"])
def test_products_of_jacobians_multiplied_out(order: str) -> None:
    """The textbook's double sum over pairs of steps, with a product of Jacobians dh_j/dh_{j-1} for each."""
    run = tg.unroll(tg.cells.RNNCell(2, 4, seed=0), X)
    p = parameters(run)
    h = [np.zeros((3, 4)), *(output.data for output in run.outputs)]
    gradient = np.zeros((4, 4))
    for b in range(3):
        jacobians = [np.diag(1 - h[t + 1][b] ** 2) @ p["weight_hh"] for t in range(6)]
        for s in range(6):
            for k in range(s + 1):
                product = np.eye(4)
                for j in range(k + 1, s + 1):
                    product = jacobians[j] @ product if order == "right" else product @ jacobians[j]
                delta = (2 * h[s + 1][b] @ product) * (1 - h[k + 1][b] ** 2)
                gradient += np.outer(delta, h[k][b])
    found = inspector.check_gradient(run, (run.stacked**2).sum(), {"weight_hh": gradient})
    wrong = "Jacobians in the wrong order: those between two steps are multiplied the other way round"
    assert found.causes == (() if order == "right" else (wrong,))
