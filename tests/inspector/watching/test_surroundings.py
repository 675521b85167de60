"""What people do around a watched part: hooks, parametrizations, changes in place, gradients of gradients, threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import inspector


def noisy(torch: Any) -> Any:
    class Noisy(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, weight: Any) -> Any:
            return torch.nn.functional.dropout(weight, 0.3)

    return Noisy()


@pytest.mark.parametrize("kind", ["GRU", "GRUCell"])
@pytest.mark.parametrize("change", ["spectral", "random", "random, cached"])
def test_a_parametrization_is_not_computed_once_more(torch: Any, kind: str, change: str) -> None:
    name = "weight_hh" if kind == "GRUCell" else "weight_hh_l0"
    parametrize = torch.nn.utils.parametrize

    def train(watched: bool) -> tuple[list[Any], Any]:
        torch.manual_seed(0)
        module = getattr(torch.nn, kind)(2, 3)
        if change == "spectral":
            torch.nn.utils.parametrizations.spectral_norm(module, name)
        else:
            parametrize.register_parametrization(module, name, noisy(torch))
        watching = inspector.watch(module) if watched else None
        record = []
        for _ in range(2):
            with parametrize.cached() if "cached" in change else contextlib.nullcontext():
                x = torch.randn(1 if change == "random" else 4, 2, 2)
                if kind == "GRU":
                    module(x)[0].sum().backward()
                else:
                    state = None
                    for row in x:
                        state = module(row, state)
                    state.sum().backward()
            record += [torch.get_rng_state(), *(one.clone() for one in module.buffers())]
            record += [parameter.grad.clone() for parameter in module.parameters()]
        return record, watching

    alone, _ = train(False)
    watched, watching = train(True)
    assert all(torch.equal(one, other) for one, other in zip(alone, watched, strict=True))
    if (change, kind) != ("spectral", "GRUCell"):  # whose weight is another one at each step
        assert watching[""].agreement < 1e-5


def test_hooks_of_the_user_on_what_a_part_gives(torch: Any) -> None:
    cell = torch.nn.LSTMCell(2, 3, dtype=torch.float64)
    watching = inspector.watch(cell)
    state, clipped = None, []
    for row in torch.randn(6, 2, 2, dtype=torch.float64):
        state = cell(row, state)
        state[0].register_hook(lambda gradient: gradient.clamp(-0.1, 0.1))
        state[0].retain_grad()
        clipped.append(state[0])
    (3 * state[0]).sum().backward()
    assert watching[""].agreement < 1e-13
    np.testing.assert_allclose(watching[""].trace().norm("h"), [h.grad.norm() for h in clipped], rtol=1e-12)

    module = torch.nn.LSTM(2, 3, dtype=torch.float64)
    watching = inspector.watch(module)
    outputs = module(torch.randn(6, 2, 2, dtype=torch.float64))[0]
    outputs.register_hook(lambda gradient: gradient.clamp(-0.1, 0.1))
    (3 * outputs).sum().backward()
    assert watching[""].agreement < 1e-13


@pytest.mark.parametrize("first", [True, False])
def test_hooks_of_the_user_on_a_part(torch: Any, first: bool) -> None:
    def hook(module: Any) -> None:
        module.register_forward_hook(lambda module, given, output: (2 * output[0], output[1]))
        module.register_full_backward_hook(lambda module, by_input, by_output: None)

    module = torch.nn.GRU(2, 3)
    if first:
        hook(module)
    watching = inspector.watch(module)
    if not first:
        hook(module)
    module(torch.randn(4, 2, 2, requires_grad=True))[0].sum().backward()
    assert watching[""].agreement < 1e-5


def halved(torch: Any, h: Any) -> None:
    h.mul_(0.5)


def cleared(torch: Any, h: Any) -> None:
    h[0] = 0


def behind_its_back(torch: Any, h: Any) -> None:
    h.data.mul_(0.5)


def the_same_numbers(torch: Any, h: Any) -> None:
    h.copy_(h.detach().clone())


@pytest.mark.parametrize("change", [halved, cleared, behind_its_back, the_same_numbers])
def test_a_state_that_is_changed_in_place(torch: Any, change: Callable[..., None]) -> None:
    torch.manual_seed(0)
    cell = torch.nn.LSTMCell(2, 3, dtype=torch.float64)
    watching = inspector.watch(cell)
    state = None
    for t, row in enumerate(torch.randn(6, 2, 2, dtype=torch.float64)):
        state = cell(row, state)
        if t == 2:
            change(torch, state[0])
    state[0].sum().backward()
    (seen,) = watching.calls("")
    assert len(seen.run) == 6
    assert seen.agreement < 1e-13
    assert seen.trusted


@pytest.mark.parametrize("kind", ["GRU", "GRUCell"])
def test_weights_that_are_changed_behind_pytorchs_back(torch: Any, kind: str) -> None:
    module = getattr(torch.nn, kind)(2, 3)
    x = torch.randn(4, 2, 2) if kind == "GRU" else torch.randn(4, 2)
    watching = inspector.watch(module)
    module(x)  # as in an evaluation that nobody told no_grad
    for parameter in module.parameters():
        parameter.data.mul_(0.5)
    outputs = module(x)
    (outputs[0] if kind == "GRU" else outputs).sum().backward()
    assert watching[""].trusted, str(watching)


def test_states_in_a_list(torch: Any) -> None:
    for module, shape in ((torch.nn.LSTM(2, 3), (1, 4, 3)), (torch.nn.LSTMCell(2, 3), (4, 3))):
        watching = inspector.watch(module)
        x = torch.randn(5, 4, 2)[: 5 if len(shape) == 3 else 1].squeeze(0)
        module(input=x, hx=[torch.randn(shape), torch.randn(shape)])[0].sum().backward()
        assert watching[""].agreement < 1e-5


def test_a_gradient_of_a_gradient_is_told(torch: Any) -> None:
    torch.manual_seed(0)
    module = torch.nn.GRU(2, 3, dtype=torch.float64)
    watching = inspector.watch(module)
    x = torch.randn(5, 2, 2, dtype=torch.float64, requires_grad=True)
    score = module(x)[0][-1].sum()
    (slope,) = torch.autograd.grad(score, x, create_graph=True)
    assert watching[""].agreement < 1e-13
    (score + (slope.norm() - 1) ** 2).backward()
    assert not watching[""].trusted
    assert "create_graph=True" in watching[""].proof
    module(x)[0].sum().backward()
    assert watching[""].trusted


def test_every_where_gradients_are_asked_for_without_a_backward(torch: Any) -> None:
    module = torch.nn.GRU(2, 3)
    watching = inspector.watch(module, every=2)
    for _ in range(5):
        torch.autograd.grad(module(torch.randn(4, 1, 2))[0].sum(), list(module.parameters()))
    assert watching.recorder.steps == [1, 3, 5]


def test_a_backward_after_the_end_puts_no_hook_back(torch: Any) -> None:
    module = torch.nn.GRU(2, 3)
    with inspector.watch(module, every=2):
        loss = module(torch.randn(4, 1, 2))[0].sum()
    loss.backward()
    module(torch.randn(4, 1, 2))[0].sum().backward()
    assert not module._forward_hooks
    assert not any(parameter._backward_hooks for parameter in module.parameters())


def test_calls_stay_in_order_in_a_second_backward(torch: Any) -> None:
    module = torch.nn.GRU(2, 3)
    watching = inspector.watch(module)
    inputs = torch.randn(4, 5, 1, 2)
    loss = sum(module(x)[0].sum() for x in inputs)
    loss.backward(retain_graph=True)
    loss.backward()
    for x, seen in zip(inputs, watching.calls(""), strict=True):
        np.testing.assert_allclose(seen.run.inputs[0].data, x[0])


def test_a_backward_inside_a_backward_is_part_of_it(torch: Any) -> None:
    from torch.utils.checkpoint import checkpoint

    model = torch.nn.ModuleDict({"a": torch.nn.GRU(2, 3), "b": torch.nn.GRU(3, 2)})
    watching = inspector.watch(model, every=1)
    for _ in range(2):
        x = torch.randn(4, 1, 2)
        inner = checkpoint(lambda y: model["b"](y)[0], model["a"](x)[0], use_reentrant=True)
        model["a"](inner)[0].sum().backward()
    assert watching.recorder.steps == [1, 2]
    first, second = watching.calls("a")
    np.testing.assert_allclose(first.run.inputs[0].data, x[0])
    assert max(seen.agreement for seen in (first, second, watching["b"])) < 1e-5


def test_a_module_that_was_replaced(torch: Any) -> None:
    model = torch.nn.ModuleDict({"rnn": torch.nn.GRU(2, 3)})
    watching = inspector.watch(model)
    x = torch.randn(4, 1, 2)
    for steps in range(2):
        for _ in range(steps):
            model["rnn"](x)[0].sum().backward()
        old, model["rnn"] = model["rnn"], torch.nn.GRU(2, 4)
        assert "another module has taken its place: watch the model again" in str(watching)
        model["rnn"] = old
    assert "taken its place" not in str(watching)


@pytest.mark.parametrize("dtype", [int, "banana", np.float16, complex])
def test_a_replay_in_no_such_dtype(torch: Any, dtype: Any) -> None:
    with pytest.raises(ValueError, match="dtype must be float32 or float64"):
        inspector.watch(torch.nn.GRU(2, 3), dtype=dtype)


def test_dtypes_of_pytorch(torch: Any) -> None:
    module = torch.nn.GRU(2, 3)
    watching = inspector.watch(module, dtype=torch.float32)
    module(torch.randn(4, 1, 2))[0].sum().backward()
    assert watching[""].run.cell.dtype == np.float32


def test_calls_inside_a_compiled_function(torch: Any) -> None:
    module = torch.nn.GRUCell(2, 3)
    watching = inspector.watch(module)
    torch.compile(lambda x: module(x).sum(), backend="eager")(torch.randn(1, 2)).backward()
    with pytest.raises(RuntimeError, match=r"outside of torch\.compile"):
        watching[""]


def test_threads(torch: Any) -> None:
    cell = torch.nn.GRUCell(2, 3)
    watching = inspector.watch(cell)

    def work() -> None:
        for _ in range(10):
            state = None
            for row in torch.randn(5, 2, 2):
                state = cell(row, state)
            state.sum().backward()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(seen.agreement < 1e-5 for seen in watching.calls("") if seen.reached)
