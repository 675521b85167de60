"""The five parts of a schedule: run one after the other they compute what the program says, with few products."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.compiler.cells import CELLS, OTHERS, Peephole
from tests.tinygrad_rnn.compiler.checks import close
from tests.tinygrad_rnn.compiler.programs import H, N, feeds, traced
from tinygrad_rnn.compiler.adjoint import derive_adjoint
from tinygrad_rnn.compiler.passes import BACKWARD, FORWARD, optimise
from tinygrad_rnn.compiler.passes.recomputation import recompute, worth_keeping
from tinygrad_rnn.compiler.program import Program
from tinygrad_rnn.compiler.schedule import Schedule, schedule

T = 3
RECURRENT = ("state", "carry")


def series(program: Program) -> tuple[dict[Any, Any], list[dict[Any, Any]], dict[Any, Any]]:
    """Weights, what comes in at every timestep, and the states at the first."""
    steps = [feeds(program, seed) for seed in range(T)]
    weights = {key: value for key, value in steps[0].items() if key[0] == "operand"}
    first = {key: value for key, value in steps[0].items() if key[0] in RECURRENT}
    return weights, [{k: v for k, v in one.items() if k not in weights and k not in first} for one in steps], first


def step_by_step(program: Program) -> dict[Any, Any]:
    """What a program gives at every timestep, stacked; of gradients of weights the sum."""
    weights, moving, state = series(program)
    found = []
    for now in moving:
        found.append(program.evaluate(weights | now | state))
        state = {key: found[-1][key] for key in state}
    stacks = {key: np.stack([one[key] for one in found]) for key in program.outputs}
    return {key: rows.sum(axis=0) if key[0] == "operand" else rows for key, rows in stacks.items()}


def part_by_part(program: Program, parts: Schedule) -> dict[Any, Any]:
    """The same by the parts of a schedule, each run as it is meant to be."""
    weights, moving, state = series(program)
    fixed = weights | parts.once.evaluate(weights)
    rows = [now | parts.ahead.evaluate(fixed | now) for now in moving]
    for now in rows:
        before = {("keep", program.inputs[key]): value for key, value in state.items()}
        now |= before | parts.loop.evaluate(fixed | now | state)
        state = {key: now[key] for key in state}
    rows = [now | parts.after.evaluate(fixed | now) for now in rows]
    keys = rows[0].keys()
    stacks = {key: np.stack([now[key] for now in rows]) for key in keys}
    for (role, name), value in list(stacks.items()):
        if role == "ahead" or role == "forward":
            stacks["keep", name] = value
    sums = {key: value.sum(axis=0) if key[0] == "sum" else value for key, value in stacks.items()}
    totals = parts.total.evaluate(fixed | {key: sums[key] for key in parts.total.inputs if key in sums})
    return {key: totals[key] if key[0] == "operand" else stacks[key] for key in program.outputs}


def assert_meant(program: Program) -> None:
    with np.errstate(all="ignore"):
        expected, found = step_by_step(program), part_by_part(program, schedule(program))
    for key, value in expected.items():
        close(found[key], value, str(key))


def adjoint_of(step: Program) -> Program:
    adjoint = derive_adjoint(step, [key for key in step.outputs if key[0] == "state"])
    return optimise(recompute(adjoint, step, worth_keeping(adjoint, step)), BACKWARD)


@pytest.mark.parametrize("kind", [*CELLS, *map(tg.cells.get, OTHERS)], ids=lambda kind: kind.__name__)
def test_the_parts_one_after_the_other_are_the_program_over_time(kind: Any) -> None:
    step = optimise(traced(kind(N, H, seed=0)), FORWARD)
    assert_meant(step)
    assert_meant(adjoint_of(step))


def test_a_part_reads_earlier_parts_alone() -> None:
    """Nothing waits for what comes after it, and what is computed once depends on weights alone."""
    reads = {
        "once": {"operand"},
        "ahead": {"operand", "once", "x"},
        "loop": {"operand", "once", "ahead", "x", "state"},
        "after": {"operand", "once", "ahead", "keep", "x"},
    }
    for kind in CELLS:
        parts = schedule(optimise(traced(kind(N, H, seed=0)), FORWARD)).parts()
        for name, allowed in reads.items():
            assert {role for role, _ in parts[name].inputs} <= allowed, (kind.__name__, name)
        assert list(parts) == ["once", "ahead", "loop", "after", "total"] and not parts["total"].body


def ops(program: Program) -> Counter[str]:
    return Counter(step.op.name for step in program.body)


def test_an_lstm_multiplies_once_a_step_and_twice_for_all_steps() -> None:
    step = optimise(traced(tg.cells.LSTMCell(N, H, seed=0)), FORWARD)
    forward = schedule(step)
    assert [ops(part)["matmul"] for part in (forward.ahead, forward.loop, forward.after)] == [1, 1, 0]
    adjoint = derive_adjoint(step)
    backward = schedule(optimise(recompute(adjoint, step, worth_keeping(adjoint, step)), BACKWARD))
    parts = (backward.ahead, backward.loop, backward.after, backward.total)
    assert [ops(part)["matmul"] for part in parts] == [0, 1, 1, 2]


@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_sums_over_time_have_the_types_of_the_gradients_they_are(kind: Any) -> None:
    step = optimise(traced(kind(N, H, seed=0)), FORWARD)
    adjoint = optimise(derive_adjoint(step), BACKWARD)
    total = schedule(adjoint).total
    assert {key: total.types[value] for key, value in total.outputs.items()} == {
        key: adjoint.types[value] for key, value in adjoint.outputs.items() if key[0] == "operand"
    }


def test_separate_weights_cost_no_more_products() -> None:
    """The peephole cell multiplies [x, h] by four matrices; the loop is left with one product."""
    step = optimise(traced(Peephole(N, H, seed=0)), FORWARD)
    assert [ops(part)["matmul"] for part in (schedule(step).ahead, schedule(step).loop)] == [1, 1]
