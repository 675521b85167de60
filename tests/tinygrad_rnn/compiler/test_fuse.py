"""A plan of loop nests and products is the program: read literally, it puts every output at its place."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tinygrad_rnn as tg
from tests.tinygrad_rnn.compiler.cells import CELLS, Attentive
from tests.tinygrad_rnn.compiler.checks import close
from tests.tinygrad_rnn.compiler.programs import B, H, N, feeds, traced, written
from tests.tinygrad_rnn.compiler.test_places import at
from tinygrad_rnn.compiler.adjoint import derive_adjoint
from tinygrad_rnn.compiler.errors import UnsupportedError
from tinygrad_rnn.compiler.fuse import fuse
from tinygrad_rnn.compiler.levels import Levels
from tinygrad_rnn.compiler.memory import Memory
from tinygrad_rnn.compiler.passes import BACKWARD, FORWARD, optimise
from tinygrad_rnn.compiler.places import Place, Row
from tinygrad_rnn.compiler.program import Program
from tinygrad_rnn.compiler.stages import Nest, Output, Plan, Product

START = {"sum": 0.0, "max": -np.inf, "min": np.inf}
COMBINE = {"set": lambda old, new: new, "add": np.add, "sum": np.add, "max": np.maximum, "min": np.minimum}


def given(program: Program) -> dict[int, Place]:
    """Inputs and constants, each in a buffer of its own."""
    values = [*program.inputs.values(), *program.constants]
    return {value: Place.whole(f"in {value}", Row.ONLY, program.types[value].shape) for value in values}


def asked(program: Program) -> list[Output]:
    """The outputs, each in a buffer of its own; every other one is added to what is there."""
    return [
        Output(value, Place.whole(f"out {k}", Row.ONLY, program.types[value].shape), add=bool(k % 2))
        for k, value in enumerate(program.outputs.values())
    ]


def carry_out(plan: Plan, buffers: dict[str, NDArray[Any]]) -> None:
    """Do what a plan says, stage by stage, one element after the other where elements meet."""
    buffers |= {name: np.full(max(1, size), np.nan, dtype) for name, (dtype, size) in plan.scratch.items()}

    def array(place: Place) -> NDArray[Any]:
        return at(place, buffers[place.buffer])

    for stage in plan.stages:
        if isinstance(stage, Product):
            array(stage.out)[...] = array(stage.left) @ array(stage.right)
            continue
        known: dict[int, Any] = {load.value: array(load.place).copy() for load in stage.loads}
        for step in stage.steps:
            operands = [known[o] if isinstance(o, int) else o.value for o in step.operands]
            if step.op.name not in START:
                known[step.target] = np.broadcast_to(step.op.evaluate(operands, dict(step.attributes)), stage.shape)
        for store in stage.stores:
            target = array(store.place)
            if store.how in START:
                target[...] = START[store.how]
            for index in np.ndindex(stage.shape):
                new = known[store.value][index]
                combine = {"set": lambda old, new: new, "max": max, "min": min}.get(
                    store.how, lambda old, new: old + new
                )
                target[index] = combine(target[index], new)


def assert_planned(program: Program) -> Plan:
    outputs, inputs = asked(program), given(program)
    plan = fuse(program, inputs, outputs)
    numbers = feeds(program)
    with np.errstate(all="ignore"):
        expected = program.evaluate(numbers)
        buffers = {inputs[program.inputs[key]].buffer: array.reshape(-1) for key, array in numbers.items()}
        buffers |= {inputs[value].buffer: np.array(array).reshape(-1) for value, array in program.constants.items()}
        buffers |= {o.place.buffer: np.full(o.place.size, float(o.add)) for o in outputs}
        carry_out(plan, buffers)
    for (key, right), output in zip(expected.items(), outputs, strict=True):
        found = buffers[output.place.buffer].reshape(right.shape)
        close(found, right + output.add, str(key))
    return plan


@pytest.mark.parametrize("kind", [kind for kind in CELLS if kind is not Attentive], ids=lambda kind: kind.__name__)
def test_a_plan_read_literally_gives_what_a_step_and_its_adjoint_compute(kind: Any) -> None:
    for masked in (False, True):
        step = optimise(traced(kind(N, H, seed=0), masked=masked), FORWARD)
        assert_planned(step)
        assert_planned(optimise(derive_adjoint(step, [("state", "h")]), BACKWARD))


@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (lambda x: x[1:, :2] * 2.0, [(B, H)]),
        (lambda x: (x.T, x.reshape(-1), tg.transpose(x)[1:] + 1.0), [(B, H)]),
        (lambda x, y: tg.concatenate([tg.tanh(x), y, x[:, :1]], axis=1), [(B, H), (B, N)]),
        (lambda x, y: (x + y, x.sum(axis=0), tg.max(x, axis=1, keepdims=True) * x), [(B, H), (H,)]),
        (lambda x, y: tg.tanh(x.T @ y) @ y[:, 1:3], [(H, B), (H, H)]),
        (lambda x: (x, x, -x), [(B, H)]),
        (lambda x: tg.exp(tg.tanh(x).T) + tg.tanh(x)[1:, :1], [(B, H)]),
        (lambda x: x.sum() * tg.where(x > 0, x, 0.5), [(1, H)]),
        (lambda x: (x[:, 1:].reshape(-1), x.T.reshape(-1) * 2.0, x[:, 1:].reshape(B, 1, H - 1)), [(B, H)]),
        (lambda x: tg.concatenate([tg.tanh(x), x.T.reshape(B, H)], axis=1) + tg.tanh(x).reshape(-1)[:1], [(B, H)]),
        (lambda x: (tg.exp(x).T.reshape(-1).reshape(B, H).T.reshape(-1), tg.exp(x)), [(B, H)]),
        (lambda x, y: (tg.tanh(x.T.reshape(B, H) @ y)).T.reshape(-1), [(B, H), (H, H)]),
        (lambda x, y: (x @ y, tg.transpose(x, (0, 2, 1)) @ y[..., 1:] + 1.0), [(B, 3, 3), (B, 3, 4)]),
        (lambda x, y: tg.exp(x) @ tg.transpose(y, (0, 1, 3, 2)), [(1, B, 1, 3), (N, 1, 5, 3)]),
    ],
    ids=range(14),
)
def test_views_joins_reductions_and_products_have_their_places(make: Any, shapes: Any) -> None:
    assert_planned(written(make, *shapes))


def test_gates_share_one_nest_and_lstm_steps_need_no_copies() -> None:
    step = optimise(traced(tg.cells.LSTMCell(N, H, seed=0)), FORWARD)
    plan = fuse(step, given(step), asked(step))
    kinds = Counter(type(stage) for stage in plan.stages)
    assert kinds == {Product: 2, Nest: len(plan.stages) - 2}
    (gates,) = [s for s in plan.stages if isinstance(s, Nest) and any(one.op.name == "tanh" for one in s.steps)]
    names = Counter(one.op.name for one in gates.steps)
    assert names["sigmoid"] == 3 and names["tanh"] == 2 and gates.shape == (B, H)


@pytest.mark.parametrize(("units", "detours"), [(4, 1), (257, 0)])
def test_the_next_state_takes_a_detour_where_a_nest_is_too_short_to_check_that_rows_do_not_overlap(
    units: int, detours: int
) -> None:
    step = optimise(traced(tg.cells.LSTMCell(N, units, seed=0)), FORWARD)
    inputs = given(step) | {step.inputs["state", "c"]: Place.whole("c", Row.NOW, (B, units))}
    outputs = [Output(step.outputs["state", "c"], Place.whole("c", Row.NEXT, (B, units)))]
    nests = [stage for stage in fuse(step, inputs, outputs).stages if isinstance(stage, Nest)]
    both = [
        {load.place.buffer for load in nest.loads} & {store.place.buffer for store in nest.stores} for nest in nests
    ]
    assert sum(map(len, both)) == 1 - detours
    assert len([nest for nest in nests if not nest.steps]) == detours


def test_scratch_is_used_again_when_its_reader_is_through() -> None:
    def chain(x: Any, w: Any) -> Any:
        for _ in range(6):
            x = tg.tanh(x @ w)
        return x

    program = written(chain, (B, H), (H, H), weights=1)
    plan = assert_planned(program)
    assert len(plan.scratch) <= 2 and {size for _, size in plan.scratch.values()} == {B * H}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda x: tg.cumsum(x, axis=1), r"cumsum on shapes \(2, 4\)"),
        (lambda x: tg.getitem(x, (slice(None), slice(None, None, -1))), r"getitem on shapes \(2, 4\)"),
    ],
)
def test_what_no_loop_can_do_is_named(make: Any, said: str) -> None:
    program = written(make, (B, H))
    with pytest.raises(UnsupportedError, match=said):
        fuse(program, given(program), asked(program))


# -------------------------------------------------------------------------------------- levels, memory


def levels_of(program: Program) -> dict[str, tuple[str, int]]:
    """How each operation's value comes about, and at which level."""
    levels = Levels(program, given(program), set(program.outputs.values()))
    return {step.op.name: (levels.kind[step.target], levels.level[step.target]) for step in program.body}


def test_what_reads_a_product_waits_for_it_and_what_feeds_it_alone_sinks_to_it() -> None:
    program = written(lambda x, w, b: tg.sigmoid(x @ w + tg.exp(b)), (B, H), (H, H), (B, H), weights=2)
    assert levels_of(program) == {
        "matmul": ("product", 0),
        "exp": ("pointwise", 1),
        "add": ("pointwise", 1),
        "sigmoid": ("pointwise", 1),
    }
    two = written(lambda x, w, v: (tg.tanh(x @ w) @ v).sum(axis=0), (B, H), (H, H), (H, H), weights=2)
    levels = Levels(two, given(two), set(two.outputs.values()))
    assert [(levels.kind[s.target], levels.level[s.target]) for s in two.body] == [
        ("product", 0),
        ("pointwise", 1),
        ("product", 1),
        ("reduction", 2),
    ]


def test_an_output_stays_where_it_is_computed_first() -> None:
    program = written(lambda x, w, b: (tg.exp(b), x @ w + tg.exp(b)), (B, H), (H, H), (B, H), weights=2)
    levels = Levels(program, given(program), set(program.outputs.values()))
    first, *_, last = [step.target for step in program.body if step.op.name == "exp"]
    assert (levels.level[first], levels.level[last]) == (0, 1)


def test_parts_of_a_whole_lie_in_it_and_views_where_their_origin_lies() -> None:
    program = written(lambda x, y: tg.concatenate([tg.tanh(x), y], axis=1)[:, 1:].T, (B, N), (B, H))
    levels = Levels(program, given(program), set(program.outputs.values()))
    memory = Memory(program, levels, given(program), asked(program))
    made = {step.op.name: step for step in program.body}
    tanh, join, flipped = (made[name].target for name in ("tanh", "concatenate", "transpose"))
    whole = memory.place(join)
    assert [place.buffer for _, place in memory.parts(made["concatenate"])] == [whole.buffer] * 2
    assert memory.place(tanh) == whole._replace(shape=(B, N)) and levels.origin(flipped) == join
    row = np.arange(float(B * (N + H)))
    np.testing.assert_array_equal(at(memory.place(flipped), row), row.reshape(B, N + H)[:, 1:].T)
    assert memory.scratch == {whole.buffer: (np.dtype(float), math.prod(whole.shape))}
