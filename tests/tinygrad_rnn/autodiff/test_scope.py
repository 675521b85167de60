"""Scopes and switches: nested, restored whatever happens, each thread its own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.autodiff.scope import Context, context, timestep

SWITCHES = [lambda: tg.scope("layer0"), tg.no_grad, tg.detect_anomaly, lambda: timestep(3)]


def test_scopes_nest() -> None:
    assert tg.tensor(1.0).scope is None
    with tg.scope("encoder"), tg.scope("layer1"), timestep(4), tg.scope("attention"):
        x = tg.tensor(1.0, name="x")
        y = x * 2.0
    assert str(y.scope) == "encoder/layer1/t=4/attention"
    assert y.scope is x.scope and y.timestep == 4
    assert y.scope.layers == ("encoder", "layer1", "attention")
    assert [link.kind for link in y.scope.chain()] == ["layer", "layer", "timestep", "layer"]
    assert x.path == "encoder/layer1/t=4/attention/x" and y.path.endswith("/multiply")
    assert repr(y.scope) == "Scope('encoder/layer1/t=4/attention')"
    assert (y * 2.0).scope is None


def test_a_recorded_gradient_has_the_scope_of_what_it_differentiates() -> None:
    x = tg.tensor(0.5)
    with tg.scope("layer0"), timestep(2):
        y = tg.tanh(x)
    (g,) = tg.grad(y, x, create_graph=True)
    assert g.scope.is_backward and not y.scope.is_backward
    assert g.timestep == 2 and g.scope.layers == ("layer0",)
    assert str(g.scope) == "layer0/t=2/backward"


@pytest.mark.parametrize("switch", SWITCHES)
def test_everything_is_restored_after_an_exception(switch: Any) -> None:
    with tg.scope("outer"):
        before = context.get()
        with pytest.raises(ZeroDivisionError), switch():
            assert context.get() != before
            raise ZeroDivisionError
        assert context.get() is before
    assert context.get() == Context()


def test_an_exception_inside_a_cell_restores_everything() -> None:
    class Broken(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            raise RuntimeError("inside")

    cell = Broken(1, 1)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="inside"), tg.detect_anomaly():
            tg.unroll(cell, np.ones((2, 1, 1)))
        assert context.get() == Context()


def test_an_exception_inside_a_recorded_sweep_restores_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("inside")

    monkeypatch.setattr(tg.tanh, "rules", (broken,))
    x = tg.tensor(0.5)
    with pytest.raises(RuntimeError, match="inside"):
        tg.grad(tg.tanh(x), x, create_graph=True)
    assert context.get() == Context()


def test_an_abandoned_sweep_leaves_nothing_behind() -> None:
    from tinygrad_rnn.autodiff.sweep import sweep

    x = tg.tensor(0.5)
    y = tg.tanh(tg.tanh(x))
    visits = sweep([y], [tg.tensor(1.0)], [x], create_graph=True)
    next(visits)
    assert context.get() == Context(), "between two visits the caller's own scope is in force"
    visits.close()


def test_threads_do_not_see_each_others_scopes() -> None:
    inside, seen = threading.Barrier(2, timeout=10), {}

    def work(name: str) -> None:
        with tg.scope(name):
            inside.wait()
            x = tg.tensor(2.0, requires_grad=True)
            y = x * x
            inside.wait()
        y.backward()
        seen[name] = (str(y.scope), float(x.grad), context.get() == Context())

    def quiet() -> None:
        with tg.no_grad():
            inside.wait()
            x = tg.tensor(2.0, requires_grad=True)
            seen["quiet"] = ((x * x).op is None, x.scope is None)
            inside.wait()

    for pair in ((work, "a"), (work, "b")), ((work, "c"), (quiet,)):
        threads = [threading.Thread(target=target, args=args) for target, *args in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == {name: (name, 4.0, True) for name in "abc"} | {"quiet": (True, True)}


def test_ids_stay_unique_and_ordered_across_threads() -> None:
    made: list[list[tg.Tensor]] = [[], [], [], []]

    def work(mine: list[tg.Tensor]) -> None:
        x = tg.tensor(1.0)
        for _ in range(500):
            x = x * 1.0
            mine.append(x)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({t.id for mine in made for t in mine}) == 2000
    for mine in made:
        assert [t.id for t in mine] == sorted(t.id for t in mine)
        assert tg.grad(mine[-1], mine[0])[0].item() == 1.0


def test_threads_that_go_back_into_one_leaf_lose_no_sum() -> None:
    leaf = tg.tensor(np.zeros(100_000), requires_grad=True)  # long enough for NumPy to let other threads in
    ones = np.ones(leaf.shape)

    def work() -> None:
        for _ in range(20):
            leaf.backward(ones)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(leaf.grad, 80.0)


def test_coroutines_do_not_see_each_others_scopes() -> None:
    async def work(name: str) -> str:
        with tg.scope(name):
            await asyncio.sleep(0)
            return str(tg.tensor(1.0).scope)

    async def both() -> list[str]:
        return list(await asyncio.gather(work("a"), work("b")))

    assert asyncio.run(both()) == ["a", "b"]


# ---------------------------------------------------------------------------- switches as objects

OBJECTS = [tg.no_grad(), tg.detect_anomaly(), tg.scope("layer0")]
each_object = pytest.mark.parametrize("switch", OBJECTS, ids=lambda s: type(s).__name__)


@each_object
def test_one_object_can_be_entered_again_and_inside_itself(switch: Any) -> None:
    for _ in range(2):
        with switch:
            inside = context.get()
            with switch, switch:
                pass
            assert context.get() is inside != Context()
        assert context.get() == Context()


@each_object
def test_one_object_serves_several_threads_at_once(switch: Any) -> None:
    meet, seen = threading.Barrier(2, timeout=10), []

    def work(first: bool) -> None:
        if not first:
            meet.wait()  # enters second, leaves last
        with switch:
            if first:
                meet.wait()
            meet.wait()
            seen.append(context.get() != Context())
            if not first:
                meet.wait()
        if first:
            meet.wait()
        seen.append(context.get() == Context())

    threads = [threading.Thread(target=work, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 4


def recorded(x: tg.Tensor) -> bool:
    return (x * 2.0).op is not None


def test_no_grad_holds_inside_every_step_of_a_generator_and_never_outside() -> None:
    x, seen = tg.tensor([1.0], requires_grad=True), []

    @tg.no_grad()
    def steps() -> Any:
        try:
            got = yield recorded(x)
            seen.append((got, recorded(x)))
            yield
        except KeyError:
            seen.append(("thrown", recorded(x)))
            yield recorded(x)
        finally:
            seen.append(("closed", recorded(x)))
        return "end"

    generator = steps()
    assert next(generator) is False and recorded(x), "between two steps the caller's switches are in force"
    generator.send("sent")
    assert generator.throw(KeyError()) is False and recorded(x)
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "end"
    other = steps()
    next(other)
    other.close()
    assert seen == [("sent", False), ("thrown", False), ("closed", False), ("closed", False)]


def test_no_grad_decorates_functions_coroutines_and_asynchronous_generators() -> None:
    x = tg.tensor([1.0], requires_grad=True)

    @tg.no_grad()
    def plain(again: bool = True) -> Any:
        return (plain(False), recorded(x)) if again else recorded(x)

    @tg.no_grad()
    async def coroutine() -> bool:
        await asyncio.sleep(0)
        return recorded(x)

    @tg.no_grad()
    async def numbers() -> Any:
        try:
            await asyncio.sleep(0)
            yield recorded(x)
            yield recorded(x)
        finally:
            yield recorded(x)

    async def everything() -> list[Any]:
        beside = asyncio.create_task(asyncio.sleep(0, recorded(x)))
        found: list[Any] = [await coroutine(), recorded(x), await beside]
        async for number in numbers():
            found += [number, recorded(x)]
        return found

    assert plain() == (False, False) and plain.__name__ == "plain" and recorded(x)
    assert asyncio.run(everything()) == [False, True, True] + [False, True] * 3


def test_detect_anomaly_decorates_a_generator() -> None:
    @tg.detect_anomaly()
    def steps() -> Any:
        yield tg.tensor(0.0)
        yield tg.tensor(0.0) * np.inf

    generator = steps()
    x = next(generator)
    with np.errstate(invalid="ignore"):
        assert np.isnan((x * np.inf).data), "the caller is not judged"
        with pytest.raises(tg.AnomalyError, match="NaN in the output of multiply"):
            next(generator)


def test_a_scope_needs_a_name() -> None:
    with pytest.raises(TypeError, match="scope: name must be a string, got int"), tg.scope(3):  # type: ignore[arg-type]
        pass
